"""Searches: who is taken how far, by which numbers, and that they end alike again."""

import math

import numpy as np
import optuna
import pytest

import capsjax as cj
from tests.sweep.helpers_sweep import examples, same, swept, tiny

RATES = {"learning_rate": cj.axes.log(1e-4, 0.1, 9)}


def test_successive_halving():
    halved = swept(RATES, epochs=9, search=cj.halving(3), strategy="vmap")
    a_third_goes_on_after_each_rung(halved)
    it_is_the_best_of_a_rung_that_go_on(halved)
    the_last_member_is_what_it_is_without_a_search(halved)


def a_third_goes_on_after_each_rung(halved):
    counts = halved.table["status"].value_counts()
    assert dict(counts) == {"stopped": 8, "done": 1}
    reached = halved.table.groupby("epoch").size()
    assert dict(reached) == {1: 6, 3: 2, 9: 1}


def it_is_the_best_of_a_rung_that_go_on(halved):
    history = halved.history
    first = history[history["epoch"] == 1].set_index("member")["accuracy"]
    going = halved.table.index[halved.table["epoch"] > 1]
    assert first[going].min() >= first.drop(going).max()
    assert halved.table["status"][halved.best().name] in ("done", "stopped")


def the_last_member_is_what_it_is_without_a_search(halved):
    (last,) = halved.table.index[halved.table["status"] == "done"]
    rate = halved.table["learning_rate"][last]
    alone = swept({"learning_rate": [rate]}, epochs=9)
    np.testing.assert_allclose(
        alone.history["loss"],
        halved.history[halved.history["member"] == last]["loss"],
        rtol=1e-12,
    )


def test_halving_goes_on_from_its_folder(tmp_path, monkeypatch):
    """Broken off between rungs: what carries on is read, and the end is equal."""
    more = {"epochs": 4, "search": cj.halving(2), "strategy": "loop"}
    over = {"learning_rate": [0.1, 0.01, 0.001, 1e-4]}
    expected = swept(over, **more)
    from capsjax.sweep.session import Session

    original, rungs = Session.advance, []

    def until(self, stops):
        rungs.append(len(stops))
        if len(rungs) == 3:
            raise KeyboardInterrupt
        original(self, stops)

    with monkeypatch.context() as patch:
        patch.setattr(Session, "advance", until)
        with pytest.raises(KeyboardInterrupt):
            swept(over, out=tmp_path / "s", **more)
    assert rungs == [4, 2, 1]
    again = swept(over, out=tmp_path / "s", **more)
    assert again.table.equals(expected.table) and again.history.equals(expected.history)
    assert same(again.params(), expected.params())


@pytest.mark.parametrize(
    "members, eta, rungs, expected",
    [
        (27, 3, None, [1 / 27, 1 / 9, 1 / 3, 1]),
        (64, 4, None, [1 / 64, 1 / 16, 1 / 4, 1]),
        (64, 4, 2, [1 / 4, 1]),
        (1, 3, None, [1]),
        (10, 3, None, [1 / 9, 1 / 3, 1]),
    ],
)
def test_rungs_lie_at_powers_of_eta(members, eta, rungs, expected):
    found = cj.halving(eta, rungs=rungs).fractions(members)
    np.testing.assert_allclose(found, expected)


def test_members_that_diverge_do_not_go_on():
    linear = cj.with_settings(tiny(), {"h.cap": "identity"})
    over = {"learning_rate": [1e300, 0.01, 1e300, 1e300]}
    more = {"graph": linear, "optimizer": "sgd", "epochs": 2}
    result = swept(over, search=cj.halving(2), strategy="vmap", **more)
    assert list(result.table["status"]) == ["diverged", "done", "diverged", "diverged"]
    assert result.best().name == 1


def test_population_based_training():
    over = {
        "learning_rate": cj.axes.log_uniform(1e-5, 0.3),
        "drop.rate": cj.axes.uniform(0, 0.5),
    }
    search = cj.population(every=2, share=0.5, seed=1)
    more = {"samples": 6, "epochs": 8, "search": search, "graph": tiny()}
    bred = [swept(over, validation=examples(40, 1), **more) for _ in range(2)]
    the_worst_take_over_from_the_best(bred)
    the_population_is_the_same_again(bred)
    all_of_the_population_learn_to_the_end(bred)


def the_worst_take_over_from_the_best(bred):
    """After a look, a loser's numbers are near a winner's, or drawn from the range."""
    result = bred[0]
    history = result.history.set_index(["member", "epoch"])
    before = history.xs(2, level="epoch")["validation_accuracy"]
    changed = [
        member
        for member in result.table.index
        if history.loc[member, 3]["learning_rate"]
        != history.loc[member, 2]["learning_rate"]
    ]
    assert len(changed) == 3
    assert before[changed].max() <= before.drop(changed).min()
    winners = history.xs(2, level="epoch").drop(changed)["learning_rate"].to_numpy()
    for member in changed:
        ratios = history.loc[member, 3]["learning_rate"] / winners
        near = np.isclose(ratios, 0.8) | np.isclose(ratios, 1.25)
        drawn = 1e-5 <= history.loc[member, 3]["learning_rate"] <= 0.3
        assert near.any() or drawn
    rates = result.history["drop.rate"]
    assert rates.between(0, 0.5).all()


def the_population_is_the_same_again(bred):
    assert bred[0].table.equals(bred[1].table)
    assert bred[0].history.equals(bred[1].history)


def all_of_the_population_learn_to_the_end(bred):
    assert (bred[0].table["status"] == "done").all()
    assert bred[0].compilations == 1
    assert (bred[0].table["epoch"] == 8).all()


def test_bayesian_search():
    over = {
        "learning_rate": cj.axes.log_uniform(1e-5, 1.0),
        "h.features": cj.axes.integers(4, 5),
        "optimizer": ["sgd", "adam"],
        "momentum": cj.axes.when({"optimizer": "sgd"}, [0.0, 0.9]),
    }
    search = cj.bayesian(trials=10, batch=4)
    more = {"search": search, "seeds": 2, "strategy": "vmap"}
    proposed = [swept(over, **more) for _ in range(2)]
    optuna_proposes_members_in_batches(proposed)
    proposals_are_the_same_again(proposed)
    programs_serve_later_batches(proposed)


def optuna_proposes_members_in_batches(proposed):
    result = proposed[0]
    assert len(result.table) == 20 and (result.table["status"] == "done").all()
    assert result.table["learning_rate"].between(1e-5, 1.0).all()
    assert set(result.table["h.features"]) <= {4, 5}
    by_optimizer = result.table.groupby("optimizer")["momentum"]
    assert by_optimizer.count().get("adam", 0) == 0
    assert list(result.table["seed"][:4]) == [0, 1, 0, 1]


def proposals_are_the_same_again(proposed):
    assert proposed[0].table.equals(proposed[1].table)


def programs_serve_later_batches(proposed):
    """Four structures at most, whatever is proposed: none is compiled twice."""
    assert len(proposed[0].groups) <= 4
    assert proposed[0].compilations <= 8  # a batch may be narrower than the first


def test_a_study_of_one_s_own_is_told():
    study = optuna.create_study(direction="maximize")
    search = cj.bayesian(trials=3, batch=2, study=study)
    over = {"learning_rate": cj.axes.log_uniform(1e-3, 1e-1)}
    result = swept(over, search=search, strategy="vmap")
    assert len(study.trials) == 3
    assert study.best_value == pytest.approx(result.table["accuracy"].max())
    assert study.best_params["learning_rate"] == result.best()["learning_rate"]
    wrong = optuna.create_study(direction="minimize")
    with pytest.raises(ValueError, match="study: found the direction minimize; exp"):
        swept(over, search=cj.bayesian(trials=2, batch=2, study=wrong), epochs=1)


def test_the_bar_knows_how_many_there_will_be(capsys):
    over = {"learning_rate": cj.axes.log_uniform(1e-3, 1e-1)}
    more = {"seeds": 2, "strategy": "vmap", "epochs": 1, "progress": True}
    swept(over, search=cj.bayesian(trials=3, batch=2), **more)
    shown = capsys.readouterr().err
    assert "0 of 6 members" in shown and "6 of 6 members" in shown


def test_samples_beside_a_search_that_proposes_are_refused():
    over = {"learning_rate": cj.axes.log_uniform(1e-3, 1e-1)}
    with pytest.raises(
        ValueError, match="found samples=4 beside a search that proposes"
    ):
        swept(over, search=cj.bayesian(3, batch=2), samples=4)


def test_a_setting_that_diverges_is_a_failed_trial():
    linear = cj.with_settings(tiny(), {"h.cap": "identity"})
    study = optuna.create_study(direction="maximize")
    over = {"learning_rate": [1e300]}
    more = {"graph": linear, "optimizer": "sgd"}
    swept(over, search=cj.bayesian(trials=1, batch=1, study=study), **more)
    assert [trial.state.name for trial in study.trials] == ["FAIL"]


@pytest.mark.parametrize(
    "make, text",
    [
        (lambda: cj.halving(1), "eta is 1; expected 2 or more"),
        (lambda: cj.halving(2, rungs=0), "rungs is 0; expected 1 or more"),
        (lambda: cj.population(every=0), "every is 0; expected 1 or more"),
        (lambda: cj.population(share=0.6), "share is 0.6; expected above 0, up to 0.5"),
        (lambda: cj.population(resample=2), "resample is 2; expected from 0 to 1"),
        (lambda: cj.population(factors=()), r"factors is \(\); expected numbers above"),
        (lambda: cj.bayesian(0), "trials is 0; expected at least 1"),
        (lambda: cj.bayesian(batch=0), "batch is 0; expected at least 1"),
    ],
)
def test_wrong_settings_of_searches_are_said(make, text):
    with pytest.raises(ValueError, match=text):
        make()


def test_what_is_planned_is_counted():
    assert cj.halving(3).rows([9] * 9) == pytest.approx(9 + 6 + 6)
    assert cj.bayesian(10, batch=4).members(8) == 20
    assert cj.bayesian(10, batch=4).rows([5] * 8) == 100
    assert math.isfinite(cj.population().rows([3, 4]))
