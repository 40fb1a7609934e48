"""fit: it learns, it is reproducible, it compiles once, it says what does not fit."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import capsjax as cj
from capsjax.training import dataset, learner, metrics
from capsjax.training.data import Split


def classifier(units=8, loss="cross_entropy"):
    x = cj.input("x", (4,))
    h = cj.capsule("h", cj.matmul(x, units), cap="relu")
    y = cj.capsule("y", cj.matmul(h, 3), cap="softmax")
    return cj.compile(cj.graph(y, name="tiny", losses={"y": loss}))


def examples(count=50, seed=0):
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(count, 4)).astype(np.float32)
    return {"x": x, "y": np.argmax(x[:, :3], axis=1).astype(np.int32)}


def test_it_learns_and_tells_how():
    net = classifier()
    run = cj.fit(
        net,
        examples(200),
        validation=examples(77, seed=1),
        optimizer=optax.adam(0.02),
        epochs=15,
        progress=False,
    )
    assert list(run.history) == [
        "epoch",
        "seconds",
        "loss",
        "accuracy",
        "validation_loss",
        "validation_accuracy",
    ]
    assert list(run.history["epoch"]) == list(range(1, 16))
    assert run.history["validation_accuracy"].iloc[-1] > 0.85
    assert run.history["loss"].iloc[-1] < 0.5 * run.history["loss"].iloc[0]


def test_validation_is_over_every_example_once():
    """77 examples in batches of 32: the filled-up ones must not count."""
    net, held_out = classifier(), examples(77, seed=1)
    run = cj.fit(
        net, examples(64), validation=held_out, epochs=2, batch_size=32, progress=False
    )
    loss, (outputs, _) = net.loss(run.params, run.state, held_out)
    right = np.argmax(outputs["y"], axis=1) == held_out["y"]
    last = run.history.iloc[-1]
    np.testing.assert_allclose(last["validation_loss"], loss, rtol=1e-6)
    np.testing.assert_allclose(last["validation_accuracy"], right.mean(), rtol=1e-6)


def test_the_same_seed_gives_the_same_run_and_another_another():
    runs = [
        cj.fit(classifier(), examples(), epochs=3, seed=seed, progress=False)
        for seed in (5, 5, 6)
    ]
    first, again, other = (np.concatenate(leaves(run)) for run in runs)
    assert (first == again).all()
    assert not np.allclose(first, other)


def leaves(run):
    return [np.ravel(leaf) for leaf in jax.tree.leaves(run.params)]


def test_one_trace_for_all_epochs(monkeypatch):
    net, traces = classifier(), []
    original = learner.optimizer_step

    def counted(*arguments):
        traces.append(1)
        return original(*arguments)

    monkeypatch.setattr(learner, "optimizer_step", counted)
    cj.fit(net, examples(53), epochs=4, batch_size=10, progress=False)
    assert len(traces) == 1


@pytest.mark.parametrize("room", [10**9, 10], ids=["on the device", "on the host"])
def test_where_the_data_is_held_changes_nothing(monkeypatch, room):
    at_home = cj.fit(classifier(), examples(), epochs=2, progress=False)
    monkeypatch.setattr(dataset, "room", lambda: room)
    run = cj.fit(classifier(), examples(), epochs=2, progress=False)
    for one, two in zip(leaves(at_home), leaves(run), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-6, atol=1e-7)


def test_given_parameters_are_started_from_and_stay_whole():
    net = classifier()
    start, _ = net.init(jax.random.key(9))
    before = jax.tree.map(np.array, start)
    rate = optax.sgd(0.0)
    run = cj.fit(
        net, examples(), optimizer=rate, epochs=1, params=start, progress=False
    )
    for kept, after in zip(
        jax.tree.leaves(before), jax.tree.leaves(run.params), strict=True
    ):
        np.testing.assert_array_equal(kept, after)
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(start))


def test_several_outputs_have_metrics_of_their_own():
    x = cj.input("x", (4,))
    a = cj.capsule("a", cj.matmul(x, 3), cap="softmax")
    b = cj.capsule("b", cj.matmul(x, 2))
    weighted = cj.losses.mean_squared_error(weight=0.5)
    net = cj.compile(cj.graph(a, b, losses={"a": "cross_entropy", "b": weighted}))
    data = {"x": examples()["x"], "a": examples()["y"], "b": np.ones((50, 2))}
    run = cj.fit(net, data, validation=data, epochs=1, progress=False)
    last = run.history.iloc[-1]
    assert {"a_accuracy", "validation_a_loss", "validation_b_loss"} <= set(last.index)
    total = last["validation_a_loss"] + 0.5 * last["validation_b_loss"]
    np.testing.assert_allclose(last["validation_loss"], total, rtol=1e-6)


def test_a_split_goes_to_the_only_input_and_output():
    split = Split(examples()["x"], examples()["y"])
    by_name = cj.fit(classifier(), examples(), epochs=1, progress=False)
    by_split = cj.fit(classifier(), split, epochs=1, progress=False)
    for one, two in zip(leaves(by_name), leaves(by_split), strict=True):
        np.testing.assert_array_equal(one, two)


BAD = {
    "unknown": ({"z": np.ones((50, 4))}, "'z': unknown; expected x, y"),
    "shape": ({"x": np.ones((50, 5))}, r"input 'x': found examples of shape \(5,\)"),
    "count": ({"x": np.ones((49, 4))}, "numbers of examples differ"),
    "class": (
        {"y": np.full(50, 3)},
        "target of 'y': found classes from 3 to 3; expected 0 to 2",
    ),
    "negative": ({"y": np.full(50, -1)}, "found classes from -1 to -1"),
    "target": (
        {"y": np.ones((50, 2))},
        r"target of 'y': found float64 of shape \(2,\) per example; expected \(3,\), "
        r"or integers of shape \(\)",
    ),
    "empty": (
        {"x": np.ones((0, 4)), "y": np.ones(0, np.int32)},
        "there are no examples",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_data_that_does_not_fit(case):
    change, message = BAD[case]
    with pytest.raises(ValueError, match=message) as caught:
        cj.fit(classifier(), {**examples(), **change}, progress=False)
    assert "data does not fit network 'tiny'" in str(caught.value)


def test_missing_arrays_and_wrong_types():
    with pytest.raises(ValueError, match="'y': missing"):
        cj.fit(classifier(), {"x": examples()["x"]}, progress=False)
    with pytest.raises(TypeError, match="data must be what cj.load_data"):
        cj.fit(classifier(), [1, 2], progress=False)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["epochs", "batch_size"])
def test_settings_out_of_range(name):
    with pytest.raises(ValueError, match=f"{name} is 0; expected at least 1"):
        settings: dict[str, Any] = {name: 0}
        cj.fit(classifier(), examples(), progress=False, **settings)


def test_a_network_without_a_loss_can_not_be_trained():
    x = cj.input("x", (4,))
    net = cj.compile(cj.graph(cj.capsule("y", cj.matmul(x, 3))))
    with pytest.raises(ValueError, match="declares no loss; declare one"):
        cj.fit(net, examples(), progress=False)


def test_every_example_is_visited_once_an_epoch():
    order = dataset.permutation(53, 10, seed=1, epoch=1)
    assert order.shape == (5, 10)
    assert len(set(order.ravel())) == 50
    assert (order != dataset.permutation(53, 10, seed=1, epoch=2)).any()
    indices, weights = dataset.covering(53, 10)
    counted = indices.ravel()[weights.ravel() == 1]
    np.testing.assert_array_equal(counted, np.arange(53))


def test_metric_names_agree():
    """What is summed starts from sums of the same names, or the step would retrace."""
    net = classifier()
    params, state = net.init(jax.random.key(0))
    batch = examples(6)
    loss, (outputs, _) = net.loss(params, state, batch)
    step = metrics.of_step(net, loss, outputs, batch)
    assert step.keys() == metrics.zero(net).keys()
    losses, outputs = net.examples(params, state, batch)
    own = metrics.of_examples(net, losses, outputs, batch, jnp.ones(6))
    assert own.keys() == metrics.zero(net, evaluation=True).keys()


def test_a_bar_is_shown_when_asked_for(capsys):
    cj.fit(classifier(), examples(), epochs=1, progress=True)
    shown = capsys.readouterr()
    assert "validation" not in shown.err and "accuracy=" in shown.err
    cj.fit(classifier(), examples(), epochs=1, progress=False)
    assert capsys.readouterr().err == ""
