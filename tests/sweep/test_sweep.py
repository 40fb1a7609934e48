"""sweep: its members are what fit makes of their settings, however they are run."""

import jax
import numpy as np
import optax
import pytest

import capsjax as cj
from capsjax.sweep import lanes, unit
from tests.sweep.helpers_sweep import examples, furthest, plain, same, swept, tiny

HUGE = 1e300
"""A learning rate that leads out of float64 within a few steps."""

LINEAR = cj.with_settings(plain(), {"h.cap": "identity"})
OVER = {
    "learning_rate": [0.003, 0.01, 0.03],
    "drop.rate": [0.1, 0.4],
    "y.loss.smoothing": [0.05],
    "initial_scale": [1.5],
}


def learn():
    """Six members under each strategy, in float32, 100 steps."""
    with jax.enable_x64(False):
        more = {"graph": tiny(), "epochs": None, "steps": 100, "every": 50}
        more |= {"optimizer": optax.adam, "validation": examples(20, 1)}
        return {
            strategy: swept(OVER, strategy=strategy, **more)
            for strategy in ("loop", "vmap", 4)
        }


def a_member_is_what_fit_makes_of_its_settings(learned, member=5):
    """Within 1e-5 after 100 steps; bit by bit where members run one by one."""
    with jax.enable_x64(False):
        settings = dict(learned["loop"].settings(member))
        scale = settings.pop("initial_scale")
        graph = cj.with_settings(tiny(), {"y.loss.smoothing": 0.05})
        given = {k: v for k, v in settings.items() if k != "y.loss.smoothing"}
        net = cj.compile(graph, traced=["drop.rate"])
        more = {"steps": 100, "batch_size": 8, "progress": False}
        more |= {"initial_scale": scale, "validation": examples(20, 1)}
        run = cj.fit(net, examples(), optimizer=optax.adam, settings=given, **more)
        for strategy, result in learned.items():
            own = result.run(member)
            assert furthest(own.params, run.params) < 1e-5, strategy
            last = own.history.iloc[-1]
            for name in ("validation_loss", "validation_accuracy"):
                expected = run.history[name].iloc[-1]
                np.testing.assert_allclose(last[name], expected, rtol=1e-5)
        assert same(learned["loop"].run(member).params, run.params)

        baked = cj.with_settings(graph, {"drop.rate": given["drop.rate"]})
        rate = optax.adam(given["learning_rate"])
        run = cj.fit(cj.compile(baked), examples(), optimizer=rate, **more)
        assert furthest(learned["loop"].run(member).params, run.params) < 1e-5


def one_program_for_all_numbers(learned):
    for result in learned.values():
        assert len(result.groups) == result.compilations == 1
        assert result.groups["given"][0] == "drop.rate, learning_rate"


def how_members_are_run_changes_no_more_than_rounding(learned):
    """Chunks of four have one that is filled up."""
    for result in learned.values():
        np.testing.assert_allclose(
            result.table["validation_loss"],
            learned["loop"].table["validation_loss"],
            rtol=1e-4,
        )
    lanes = [int(result.groups["lanes"][0]) for result in learned.values()]
    assert lanes == [1, 6, 4]


def the_table_is_tidy(learned):
    result = learned["vmap"]
    metrics = ["loss", "accuracy", "validation_loss", "validation_accuracy"]
    assert list(result.table) == [
        *OVER,
        *("seed", "status", "epoch", "step", *metrics, "diverged_at", "group"),
    ]
    assert result.table.index.name == "member" and len(result.table) == 6
    assert list(result.history) == ["member", "epoch", "step", *metrics]
    assert list(result.history["step"][:2]) == [50, 100]
    assert list(result.history["epoch"][:2]) == [round(50 / 6, 4), round(100 / 6, 4)]
    last = result.history.groupby("member").last()
    for name in metrics:
        np.testing.assert_array_equal(last[name], result.table[name])
    assert result.metric == "validation_accuracy" and result.maximize


def best_and_what_it_is_made_of(learned):
    result = learned["loop"]
    best = result.best()
    assert best["validation_accuracy"] == result.table["validation_accuracy"].max()
    assert list(result.best(3).index) == result.session.ranked()[:3]
    run = result.run()
    assert run.net.graph == result.graph()
    drop = dict(zip(run.net.typed.caps, run.net.typed.caps.values(), strict=True))
    assert drop["drop"].rate == best["drop.rate"]
    with jax.enable_x64(False):
        outputs, _ = run.net.apply(run.params, run.state, {"x": examples(20, 1)["x"]})
    right = np.argmax(outputs["y"], 1) == examples(20, 1)["y"]
    assert right.mean() == pytest.approx(best["validation_accuracy"])
    assert "best validation_accuracy" in repr(result)


def test_members_under_each_strategy():
    """One test, since what it judges takes long to learn."""
    learned = learn()
    one_program_for_all_numbers(learned)
    a_member_is_what_fit_makes_of_its_settings(learned)
    how_members_are_run_changes_no_more_than_rounding(learned)
    the_table_is_tidy(learned)
    best_and_what_it_is_made_of(learned)


def test_a_member_that_diverges_is_marked_and_disturbs_nobody():
    """Bit by bit what it is alone, run the same way: four lanes, as wide."""
    more = {"strategy": 4, "optimizer": optax.sgd, "graph": LINEAR}
    bad = swept({"learning_rate": [0.01, HUGE, 0.02]}, **more)
    good = swept({"learning_rate": [0.01]}, **more)
    assert list(bad.table["status"]) == ["done", "diverged", "done"]
    assert list(bad.diverged.index) == [1]
    assert 1 < bad.table["diverged_at"][1] <= 4
    assert np.isnan(bad.table["accuracy"][1])
    history = bad.history[bad.history["member"] == 1]
    assert len(history) == 2 and history["accuracy"].isna().all()
    assert same(bad.params(0), good.params(0))
    assert bad.best().name in (0, 2)


def test_a_member_that_diverges_alone_stops_there(monkeypatch):
    blocks = []
    original = lanes.Compiled.place

    def counted(self, number, tree):
        blocks.append(number) if number == 3 else None
        return original(self, number, tree)

    monkeypatch.setattr(lanes.Compiled, "place", counted)
    monkeypatch.setattr(unit, "_AT_ONCE_S", 0.0)  # block by block
    more = {"epochs": 8, "strategy": "loop", "optimizer": optax.sgd, "graph": LINEAR}
    result = swept({"learning_rate": [HUGE]}, **more)
    assert len(blocks) < 8
    assert len(result.history) == 8 and result.history["loss"].isna().all()
    assert result.table["status"][0] == "diverged"


def test_parameters_that_are_not_finite_are_noticed_though_the_loss_was():
    """One step: its loss is that of sound parameters, and it leaves none."""
    more = {"epochs": None, "steps": 1, "optimizer": optax.sgd}
    result = swept({"learning_rate": [float("inf")]}, **more)
    assert result.table["status"][0] == "diverged"
    assert result.table["diverged_at"][0] == 1


def test_nobody_is_best_where_all_diverge():
    result = swept({"learning_rate": [HUGE]}, graph=LINEAR, optimizer=optax.sgd)
    with pytest.raises(ValueError, match="of 1 members none is over with a finite acc"):
        result.best()
    assert "1 diverged" in repr(result)


def test_xla_compiles_one_program(caplog):
    """Counted by what JAX itself says of compilations."""
    jax.config.update("jax_log_compiles", True)  # in other threads, too
    try:
        result = swept({"learning_rate": cj.axes.log(1e-3, 1e-1, 6)}, seeds=2)
    finally:
        jax.config.update("jax_log_compiles", False)
    said = [each.getMessage() for each in caplog.records]
    compiled = [each for each in said if "Finished XLA compilation of jit(adv" in each]
    assert len(compiled) == result.compilations == 1


def test_programs_are_one_for_each_signature():
    """A function, a batch size and a type change the program; numbers do not."""
    types = [(8, "float32"), (16, "bfloat16")]
    over = {
        ("batch_size", "dtype"): types,
        "learning_rate": [0.01, 0.02],
        "initial_scale": [1.0, 2.0],
    }
    result = swept(over, seeds=2)
    assert len(result.table) == 16
    assert len(result.groups) == result.compilations == 2
    assert result.groups["batch_size"].tolist() == [8, 16]
    assert (result.groups["members"] == 8).all()
    assert (result.table["status"] == "done").all()
    assert result.table["step"].tolist() == [12] * 8 + [6] * 8


def test_seeds_are_members():
    result = swept({"learning_rate": [0.01, 0.02]}, seeds=[3, 5])
    assert list(result.table["seed"]) == [3, 5, 3, 5]
    net = cj.compile(plain())
    run = cj.fit(
        net,
        examples(),
        optimizer=optax.adam,
        settings={"learning_rate": 0.02},
        epochs=2,
        batch_size=8,
        seed=5,
        progress=False,
    )
    assert furthest(result.params(3), run.params) < 1e-12
    axis = swept({"seed": [5], "learning_rate": [0.02]})
    assert furthest(axis.params(0), run.params) < 1e-12


def test_members_of_several_seeds_share_examples_by_seed(monkeypatch):
    """Where a seed has many members, they see the same examples at each step."""
    many = swept({"learning_rate": cj.axes.log(1e-3, 1e-1, 8)}, seeds=2, epochs=1)
    assert many.session.programs[0].shared_order
    few = swept({"learning_rate": [0.01, 0.02]}, seeds=2, epochs=1, strategy=4)
    assert not few.session.programs[0].shared_order
    alone = swept({"learning_rate": [0.02]}, seeds=[1], epochs=1)
    assert furthest(few.params(3), alone.params(0)) < 1e-12


def test_an_optimizer_state_that_depends_on_a_setting():
    """Adagrad begins with a number that is swept: each member with its own."""
    over = {"initial_accumulator_value": [0.1, 10.0], "learning_rate": [0.5]}
    result = swept(over, optimizer=optax.adagrad)
    run = cj.fit(
        cj.compile(plain()),
        examples(),
        optimizer=optax.adagrad(0.5, initial_accumulator_value=10.0),
        epochs=2,
        batch_size=8,
        progress=False,
    )
    assert furthest(result.params(1), run.params) < 1e-10


def test_what_code_decides_on_in_python_is_built_in():
    """optax's own schedule asks whether its steps are zero; capsjax's does not."""

    def falling(rate, length):
        return optax.sgd(optax.cosine_decay_schedule(rate, length))

    over = {"rate": [0.1, 0.2], "length": [6, 12]}
    result = swept(over, optimizer=falling)
    assert result.compilations == 2 and set(result.groups["given"]) == {"rate"}
    assert (result.table["status"] == "done").all()
    ours = lambda rate, length: optax.sgd(cj.schedules.cosine(rate, length))  # noqa: E731
    other = swept(over, optimizer=ours)
    assert other.compilations == 1
    for member in range(4):  # optax's takes the cosine in float32
        assert furthest(result.params(member), other.params(member)) < 1e-7


def test_networks_of_neurons_are_swept_too():
    wired = cj.neural.random_dag("window", inputs=4, neurons=12, in_degree=3, window=8,
                                 outputs=3, seed=0)  # fmt: skip
    model = cj.neural.model(wired, cap="softmax", loss="cross_entropy")
    more = {"graph": model, "strategy": "vmap", "seeds": 2}
    result = swept({"learning_rate": [0.01, 0.02]}, **more)
    run = cj.fit(
        cj.compile(model),
        examples(),
        optimizer=optax.adam(0.02),
        epochs=2,
        batch_size=8,
        seed=1,
        progress=False,
    )
    assert furthest(result.params(3), run.params) < 1e-10


def test_state_is_a_member_s_own():
    x = cj.input("x", (4,))
    h = cj.capsule("h", cj.matmul(x, 5), cap="standardize", bias=None)
    n = cj.capsule("n", cj.channel_scale(h), cap="relu")
    edge = cj.with_backward(cj.matmul(n, 3), "feedback_alignment")
    graph = cj.graph(
        cj.capsule("y", edge, cap="softmax"), losses={"y": "cross_entropy"}
    )
    result = swept({"h.momentum": [0.5, 0.9]}, graph=graph, strategy="vmap")
    for member, momentum in enumerate((0.5, 0.9)):
        own = cj.with_settings(graph, {"h.momentum": momentum})
        more = {"optimizer": optax.adam(1e-3), "epochs": 2, "batch_size": 8}
        run = cj.fit(cj.compile(own), examples(), progress=False, **more)
        assert furthest(result.run(member).state, run.state) < 1e-12
        assert furthest(result.run(member).params, run.params) < 1e-12


def test_memory_bounds_how_many_run_at_once():
    from capsjax.sweep.memory import lane_bytes

    free = swept({"learning_rate": cj.axes.log(1e-3, 1e-1, 6)}, strategy="vmap")
    each = lane_bytes(free.session.programs[0])
    over = {"learning_rate": cj.axes.log(1e-3, 1e-1, 6)}
    bound = swept(over, strategy="vmap", memory_limit=2 * each)
    assert bound.groups["lanes"][0] == 2
    assert "6 asked for; memory for 2" in bound.groups["strategy"][0]
    assert furthest(free.params(5), bound.params(5)) < 1e-12
    with pytest.raises(ValueError, match=f"expected {each:,} at least, which a member"):
        swept(over, memory_limit=each - 1)
    with pytest.raises(ValueError, match="memory_limit: found 'much'"):
        swept(over, memory_limit="much")


def test_keep_says_whose_parameters_are_there():
    result = swept({"learning_rate": [1e-4, 0.1, 1e-3]}, keep=1)
    best = int(result.best().name)
    result.params()
    other = next(n for n in range(3) if n != best)
    with pytest.raises(ValueError, match=f"member {other}: its parameters were not"):
        result.params(other)
    with pytest.raises(ValueError, match="found member 7; expected 0 to 2"):
        result.params(7)


def test_a_bar_tells_members_and_the_best(capsys):
    swept({"learning_rate": [0.01, 0.02]}, progress=True, validation=examples(9, 1))
    shown = capsys.readouterr().err
    assert "0 of 2 members" in shown
    assert (
        "2 of 2 members, " in shown and " a second, best validation_accuracy" in shown
    )
    assert "100 %" in shown


@pytest.mark.parametrize(
    "more, text",
    [
        ({"epochs": 3, "steps": 3}, "found epochs=3 and steps=3; expected one"),
        ({"epochs": 0}, "epochs is 0; expected at least 1"),
        ({"epochs": None, "steps": 10, "every": 3}, "every is 3; expected a divisor"),
        ({"seeds": 0}, "seeds: found 0; expected how many, or which, from 0 on"),
        ({"seeds": [1, 1]}, r"seeds: found \[1, 1\]; expected each once"),
        (
            {"metric": "acuracy"},
            "one of loss, accuracy; did you mean 'accuracy'",
        ),
        ({"strategy": "map"}, "strategy: found 'map'; expected 'loop', 'vmap', or how"),
        ({"strategy": 0}, "strategy: found 0; expected 'loop', 'vmap', or how many"),
        ({"samples": 3}, "found samples=3 without a range to draw from"),
    ],
)
def test_wrong_settings_are_said(more, text):
    with pytest.raises(ValueError, match=text):
        swept({"learning_rate": [0.01]}, **more)


def test_seeds_beside_an_axis_of_them_are_refused():
    with pytest.raises(ValueError, match="found seeds=2 beside an axis 'seed'"):
        swept({"seed": [1, 2]}, seeds=2)


def test_a_network_without_loss_is_refused():
    x = cj.input("x", (4,))
    graph = cj.graph(cj.capsule("y", cj.matmul(x, 3)))
    with pytest.raises(ValueError, match="declares no loss"):
        swept({"learning_rate": [0.01]}, graph=graph)


def test_data_that_does_not_fit_is_named():
    with pytest.raises(ValueError, match=r"input 'x': found examples of shape \(4,\)"):
        swept({"x.shape": [[4], [5]]})


def test_what_is_no_graph_is_refused():
    with pytest.raises(TypeError, match="cj.sweep takes a Graph, or a function that"):
        cj.sweep(3, examples(), {"learning_rate": [0.1]}, progress=False)  # type: ignore
    with pytest.raises(ValueError, match="what makes the graph returned 3; expected"):
        swept({"depth": [1]}, graph=lambda depth: 3)
