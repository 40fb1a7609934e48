"""evaluate and judge: the metrics of training, for any parameters and data."""

from typing import Any

import jax
import numpy as np
import pytest

import capsjax as cj
from capsjax.training import evaluate as evaluate_module
from capsjax.training.data import Data, Split
from capsjax.training.dataset import bind
from capsjax.training.learner import Learner
from capsjax.training.optimizers import optimizer_of


def network(**options):
    x = cj.input("x", (4,))
    h = cj.capsule("h", cj.matmul(x, 8), cap="relu")
    y = cj.capsule("y", cj.matmul(h, 3), cap="softmax")
    z = cj.capsule("z", cj.matmul(h, 4))
    losses = {
        "y": cj.losses.cross_entropy(),
        "z": cj.losses.mean_squared_error(weight=0.5),
    }
    return cj.compile(cj.graph(y, z, name="two", losses=losses), **options)


def examples(count=50, seed=0):
    x = np.random.default_rng(seed).normal(size=(count, 4)).astype(np.float32)
    return {"x": x, "y": np.argmax(x[:, :3], axis=1).astype(np.int32), "z": x}


@pytest.fixture(scope="module")
def fitted():
    data, held_out = examples(), examples(33, seed=1)
    run = cj.fit(
        network(), data, validation=held_out, epochs=3, batch_size=8, progress=False
    )
    return run, held_out


def last(run):
    row = run.history.iloc[-1].to_dict()
    return {
        name.removeprefix("validation_"): value
        for name, value in row.items()
        if name.startswith("validation_")
    }


def test_the_last_row_of_a_history_bit_by_bit(fitted):
    run, held_out = fitted
    found = cj.evaluate(run, held_out, batch_size=8)
    assert found == last(run)
    assert list(found)[0] == "loss"
    given = {"params": run.params, "state": run.state}
    assert cj.evaluate(run.net, held_out, batch_size=8, **given) == found


def test_another_batch_size_gives_the_same_but_for_rounding(fitted):
    run, held_out = fitted
    found = cj.evaluate(run, held_out)
    assert found == pytest.approx(last(run), rel=1e-9)
    assert cj.evaluate(run, held_out, batch_size=1) == pytest.approx(found, rel=1e-9)


def test_settings_that_are_traced():
    net, data = network(traced=["z.loss.weight"]), examples()
    settings = {"z.loss.weight": 2.0}
    run = cj.fit(
        net, data, validation=data, epochs=1, settings=settings, progress=False
    )
    found = cj.evaluate(run, data, batch_size=32, settings=settings)
    assert found == last(run)
    assert cj.evaluate(run, data, batch_size=32)["loss"] < found["loss"]


def test_of_a_data_set_the_test_examples_are_taken():
    x = cj.input("x", (4,))
    y = cj.capsule("y", cj.matmul(x, 3), cap="softmax")
    net = cj.compile(cj.graph(y, losses={"y": "cross_entropy"}))
    params, state = net.init(jax.random.key(0))
    own, other = examples(), examples(20, seed=1)
    train, test = (Split(each["x"], each["y"]) for each in (own, other))
    given: dict[str, Any] = {"params": params, "state": state}
    found = cj.evaluate(net, Data("d", train, test, 3), **given)
    assert found == cj.evaluate(net, test, **given)
    assert found != cj.evaluate(net, train, **given)


def test_the_core_is_that_of_training(fitted):
    run, held_out = fitted
    learner = Learner(run.net, optimizer_of(None))
    carry = {"params": run.params, "state": run.state}
    numbers = {"net": {}, "optimizer": {}}
    data = bind(run.net, held_out, "data")
    measure = evaluate_module.evaluation(jax.jit, learner, data, 8)
    assert measure(carry, numbers) == last(run)
    nothing = evaluate_module.evaluation(jax.jit, learner, None, 8)
    assert nothing(carry, numbers) == {}


def test_what_does_not_fit(fitted):
    run, held_out = fitted
    with pytest.raises(TypeError, match="found a network and no parameters; expected"):
        cj.evaluate(run.net, held_out)
    with pytest.raises(ValueError, match="data does not fit network 'two':\n.*missing"):
        cj.evaluate(run, {"x": held_out["x"]})
    with pytest.raises(ValueError, match="batch_size is 0; expected a whole number"):
        cj.evaluate(run, held_out, batch_size=0)
    x = cj.input("x", (4,))
    lossless = cj.compile(cj.graph(cj.capsule("y", cj.matmul(x, 3))))
    with pytest.raises(ValueError, match="loss"):
        cj.evaluate(lossless, held_out, params={}, state={})


def test_each_example_is_judged(fitted):
    run, held_out = fitted
    judged = cj.judge(run, held_out, batch_size=8)
    means = cj.evaluate(run, held_out)
    assert len(judged) == 33
    assert judged.loss.mean() == pytest.approx(means["loss"])
    assert judged.losses["z"].mean() == pytest.approx(means["z_loss"])
    counts = judged.confusion("y")
    assert counts.sum() == 33 and set(judged.truth) == {"y"}
    assert np.trace(counts) / 33 == pytest.approx(means["y_accuracy"])
    for truth in range(3):
        assert counts[truth].sum() == np.sum(held_out["y"] == truth)
    worst = judged.worst(5)
    assert list(judged.loss[worst]) == sorted(judged.loss)[::-1][:5]
    assert repr(judged).startswith("Judged(33 examples, mean loss ")


def test_a_loss_that_is_no_number_is_the_worst(fitted):
    run, held_out = fitted
    spoiled = held_out | {"x": held_out["x"].astype(np.float64)}
    largest = np.finfo(spoiled["x"].dtype).max  # finite, but no sum of products is
    spoiled["x"][7] = [(-1) ** i * largest for i in range(spoiled["x"].shape[1])]
    assert not np.isfinite(cj.judge(run, spoiled).loss[7])
    assert cj.judge(run, spoiled).worst(1) == [7]
