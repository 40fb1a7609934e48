"""fit: it learns, it is reproducible, it compiles once, it says what does not fit."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import capsjax as cj
from capsjax.training import dataset, learner, metrics, optimizers
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


# Settings that are given, steps, what makes the optimizer.


def dropping():
    """A network whose dropout rate and loss weight are given at the call."""
    x = cj.input("x", (4,))
    d = cj.capsule("d", cj.identity(x), cap=cj.caps.dropout(0.25), bias=None)
    y = cj.capsule("y", cj.matmul(d, 3), cap="softmax")
    return cj.graph(y, name="tiny", losses={"y": "cross_entropy"})


RATES = {"d.rate": 0.4, "y.loss.weight": 0.5, "learning_rate": 0.05, "b1": 0.8}


def given(**more):
    net = cj.compile(dropping(), traced=["d.rate", "y.loss.weight"])
    wide = {**examples(), "x": examples()["x"].astype(np.float64)}
    more = {"settings": RATES, "optimizer": "adamw", **more}
    return cj.fit(net, wide, validation=wide, epochs=2, progress=False, **more)


def test_given_settings_are_those_built_in():
    """Of the graph and of the optimizer, in training and in evaluation."""
    graph = {name: RATES[name] for name in ("d.rate", "y.loss.weight")}
    net = cj.compile(cj.with_settings(dropping(), graph))
    wide = {**examples(), "x": examples()["x"].astype(np.float64)}
    optimizer = {"kind": "adamw", "learning_rate": 0.05, "b1": 0.8}
    baked = cj.fit(
        net, wide, validation=wide, optimizer=optimizer, epochs=2, progress=False
    )
    run = given()
    # Not to the last digit: XLA folds what is built in.
    for one, two in zip(leaves(run), leaves(baked), strict=True):
        assert one.dtype == np.float64
        np.testing.assert_allclose(one, two, rtol=1e-12, atol=1e-12)
    metrics = [name for name in run.history if name != "seconds"]
    np.testing.assert_allclose(
        run.history[metrics], baked.history[metrics], rtol=1e-12, atol=1e-12
    )
    prefixed = {f"optimizer.{n}": RATES[n] for n in ("learning_rate", "b1")}
    again = given(settings={**graph, **prefixed})
    for one, two in zip(leaves(run), leaves(again), strict=True):
        np.testing.assert_array_equal(one, two)  # one program, to the bit


def test_the_default_optimizer_takes_settings():
    """Adam, as of a sweep, of which a run with the same settings is a member."""
    run = cj.fit(classifier(), examples(), epochs=1, progress=False)
    rate = {"learning_rate": 1e-3}
    same = cj.fit(classifier(), examples(), settings=rate, epochs=1, progress=False)
    adam = optax.adam(1e-3)
    plain = cj.fit(classifier(), examples(), optimizer=adam, epochs=1, progress=False)
    for one, two, three in zip(leaves(run), leaves(same), leaves(plain), strict=True):
        # As given, the number is an argument: the products are ordered otherwise.
        np.testing.assert_allclose(one, two, rtol=1e-6, atol=1e-7)
        np.testing.assert_array_equal(one, three)


def test_steps_in_place_of_epochs():
    """50 examples in batches of 10: steps of a part of an epoch are its first ones."""
    runs, states = {}, {}
    for given in ({"steps": 7}, {"steps": 10}, {"epochs": 2}):
        seen = []

        def keep(step, params, state, seen=seen):
            seen.append(jax.tree.map(np.array, params))

        more: dict[str, Any] = {**given, "batch_size": 10, "trace": keep}
        name = next(iter(given.values()))
        runs[name] = cj.fit(classifier(), examples(), progress=False, **more)
        states[name] = seen
    assert [len(seen) for seen in states.values()] == [8, 11, 11]
    jax.tree.map(np.testing.assert_array_equal, states[10], states[2])
    jax.tree.map(np.testing.assert_array_equal, states[7], states[2][:8])
    seven, ten, two = (run.history for run in runs.values())
    assert list(seven["epoch"]) == list(ten["epoch"]) == [1, 2]
    columns = ["loss", "accuracy"]
    np.testing.assert_array_equal(ten[columns], two[columns])
    np.testing.assert_array_equal(seven[columns].iloc[0], two[columns].iloc[0])
    # The last row is of its own two steps' examples, in the order of the epoch.
    batches = dataset.permutation(50, 10, seed=0, epoch=2)[:2]
    losses = [
        classifier().loss(params, {}, {n: a[i] for n, a in examples().items()})[0]
        for params, i in zip(states[7][5:7], batches, strict=True)
    ]
    np.testing.assert_allclose(seven["loss"].iloc[1], np.mean(losses), rtol=1e-6)


def test_a_trace_that_is_called_now_and_then():
    """Steps between two calls run in one program; epochs have five steps."""
    each, some = [], []

    def keep(step, params, state):
        each.append((step, jax.tree.map(np.array, params)))

    class Sometimes:
        every = 3

        def __call__(self, step, params, state):
            some.append((step, jax.tree.map(np.array, params)))

    for trace in (keep, Sometimes()):
        told: dict[str, Any] = {"steps": 11, "batch_size": 10, "trace": trace}
        cj.fit(classifier(), examples(), progress=False, **told)
    assert [step for step, _ in each] == list(range(12))
    assert [step for step, _ in some] == [0, 3, 6, 9]
    jax.tree.map(np.testing.assert_array_equal, each[::3], some)


def test_initial_scale_is_a_factor_of_initial_weights():
    still = {"optimizer": optax.sgd(0.0), "epochs": 1, "progress": False}
    one = cj.fit(classifier(), examples(), **still)
    two = cj.fit(classifier(), examples(), initial_scale=3.0, **still)
    for name, capsule in one.params.items():
        for key, weight in capsule["W"].items():
            np.testing.assert_allclose(two.params[name]["W"][key], 3 * weight)


def test_optimizers_by_name_by_declaration_and_by_function():
    """One program each way, so equal to the bit."""
    ways = ["sgd", {"kind": "sgd", "learning_rate": 0.5}, optax.sgd]
    runs = [
        cj.fit(
            classifier(),
            examples(),
            optimizer=way,
            settings={"learning_rate": 0.01},
            steps=1,
            progress=False,
        )
        for way in ways
    ]
    first, *others = [np.concatenate(leaves(run)) for run in runs]
    for other in others:
        np.testing.assert_array_equal(first, other)


def test_one_trace_for_all_numbers(monkeypatch):
    """The step is compiled for the numbers' types, not for what they are."""
    net, traces = classifier(), []
    step = learner.Learner(net, optimizers.optimizer_of("adam")).step
    batch = {name: array[:5] for name, array in examples().items()}

    def counted(carry, number):
        traces.append(1)
        numbers = {"net": {}, "optimizer": {"learning_rate": number}}
        return step(carry, batch, numbers)

    start = learner.Learner(net, optimizers.optimizer_of("adam")).initial(0)
    jitted = jax.jit(counted)
    for rate in (0.1, 0.2):
        jitted.trace(start, learner.number(rate))
    assert len(traces) == 1


SETTINGS: dict[str, tuple[dict[str, Any], str]] = {
    "unknown": (
        {"settings": {"learning_rat": 0.1}},
        "found the setting 'learning_rat'; expected a setting of the optimizer sgd, or "
        "a traced one of network 'tiny': momentum, nesterov, clip_norm, clip_value, "
        "accumulate, learning_rate; "
        "did you mean 'learning_rate'?",
    ),
    "not traced": (
        {"settings": {"y.loss.weight": 0.1}},
        "found the setting 'y.loss.weight'; expected a setting of the optimizer sgd, "
        "or a traced one of network 'tiny': momentum, nesterov, clip_norm, "
        "clip_value, accumulate, learning_rate; compile the network with traced=[...]",
    ),
    "of an optimizer that is made": (
        {"optimizer": optax.sgd(0.1), "settings": {"learning_rate": 0.1}},
        "found the setting 'learning_rate'; expected a setting of the optimizer "
        "GradientTransformationExtraArgs, or a traced one of network 'tiny': there is "
        "none; compile the network with traced=[...]; an optimizer has its settings "
        "built in: give what makes one, optimizer=optax.adam",
    ),
    "twice": (
        {"settings": {"momentum": 0.1, "optimizer.momentum": 0.2}},
        "found the settings 'momentum' and 'optimizer.momentum', which are one; "
        "expected one of them",
    ),
    "true": (
        {"settings": {"nesterov": True}},
        "setting 'nesterov': found True; expected a number; what is none is built into "
        "the graph or the optimizer",
    ),
    "text": (
        {"settings": {"momentum": "0.9"}},
        "setting 'momentum': found '0.9'; expected a number; what is none is built "
        "into the graph or the optimizer",
    ),
    "several": (
        {"settings": {"momentum": [0.8, 0.9]}},
        "setting 'momentum': found [0.8, 0.9]; expected a number; what is none is "
        "built into the graph or the optimizer",
    ),
    "missing": (
        {"optimizer": optax.adamw},
        "optimizer adamw: found no learning_rate; expected a number for it among the "
        "settings",
    ),
    "steps": ({"steps": 0}, "steps is 0; expected at least 1"),
    "part of a step": ({"steps": 2.5}, "steps is 2.5; expected a whole number"),
    "part of an epoch": ({"epochs": 0.5}, "epochs is 0.5; expected a whole number"),
}


@pytest.mark.parametrize("case", SETTINGS)
def test_the_whole_text_of_an_error_of_settings(case):
    more, text = SETTINGS[case]
    with pytest.raises(ValueError) as caught:
        more = {"optimizer": "sgd", "progress": False, **more}
        cj.fit(classifier(), examples(), **more)
    assert str(caught.value) == text


def test_a_setting_of_both_the_network_and_the_optimizer():
    net = cj.compile(dropping(), traced={"b1": ["d.rate"]})
    with pytest.raises(ValueError) as caught:
        cj.fit(net, examples(), settings={"b1": 0.5}, progress=False)
    assert str(caught.value) == (
        "found the setting 'b1', which is one of the optimizer adam and a traced one "
        "of network 'tiny'; expected one of them; cure: optimizer.b1 for the "
        "optimizer's, or trace the other under another name"
    )


def test_numbers_of_numpy_and_jax_are_numbers():
    own = learner.Learner(classifier(), optimizers.optimizer_of("adam"))
    values = {"learning_rate": np.float32(0.1), "b1": jnp.float32(0.9), "eps": 1}
    values["b2"] = np.asarray(0.99)
    assert own.given(values)["optimizer"] == values
