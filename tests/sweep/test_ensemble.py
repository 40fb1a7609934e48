"""ensemble: several seeds, what they say together, and how far they disagree."""

import numpy as np
import pytest

import capsjax as cj
from tests.sweep.helpers_sweep import examples, furthest, plain


@pytest.fixture(scope="module")
def few():
    more = {"epochs": 2, "batch_size": 8, "progress": False}
    return cj.ensemble(plain(), examples(), [0, 4, 7], **more)


def test_members_are_runs_of_their_seeds(few):
    assert len(few) == 3 and list(few.result.table["seed"]) == [0, 4, 7]
    run = cj.fit(few.net, examples(), epochs=2, batch_size=8, seed=7, progress=False)
    own = {k: {n: v for n, v in each.items()} for k, each in few.params.items()}
    assert own["h"]["B"].shape == (3, 8)
    assert furthest(own["y"]["B"][2], run.params["y"]["B"]) < 1e-12


@pytest.mark.parametrize("batch_size", [5, 12, 256])
def test_mean_and_spread_of_what_members_say(few, batch_size):
    x = examples(12, 3)["x"]
    found = few.predict(x, batch_size=batch_size)
    alone = []
    for number in range(3):
        run = few.result.run(number)
        alone.append(np.asarray(run.net.apply(run.params, run.state, {"x": x})[0]["y"]))
    np.testing.assert_allclose(found.members["y"], alone, rtol=1e-10)
    np.testing.assert_allclose(found.mean["y"], np.mean(alone, 0), rtol=1e-10)
    np.testing.assert_allclose(found.spread["y"], np.std(alone, 0), rtol=1e-8)
    by_name = few.predict({"x": x}, batch_size=batch_size)
    np.testing.assert_array_equal(by_name.mean["y"], found.mean["y"])


def test_an_ensemble_of_neurons_shares_its_wiring():
    wired = cj.neural.random_dag(
        "window", inputs=4, neurons=9, in_degree=3, window=6, outputs=3, seed=0
    )
    model = cj.neural.model(wired, cap="softmax", loss="cross_entropy")
    more = {"epochs": 1, "batch_size": 8, "progress": False}
    found = cj.ensemble(model, examples(), 2, **more).predict(examples(5)["x"])
    assert found.mean["y"].shape == (5, 3) and (found.spread["y"] > 0).any()


def test_what_does_not_fit_is_said(few):
    with pytest.raises(ValueError, match="inputs: found {'x': 0} examples; exp"):
        few.predict({"x": np.zeros((0, 4))})
    with pytest.raises(ValueError, match="input 'x'"):
        few.predict({"x": np.zeros((3, 5))})
    two = cj.input("a", (4,)), cj.input("b", (4,))
    edges = [cj.matmul(each, 3) for each in two]
    graph = cj.graph(
        cj.capsule("y", *edges, cap="softmax"), losses={"y": "cross_entropy"}
    )
    arrays = {"a": examples()["x"], "b": examples()["x"], "y": examples()["y"]}
    both = cj.ensemble(graph, arrays, 1, epochs=1, batch_size=8, progress=False)
    with pytest.raises(ValueError, match="has the inputs a, b; found one array; ex"):
        both.predict(examples()["x"])


def test_a_member_that_diverges_is_an_error():
    linear = cj.with_settings(plain(), {"h.cap": "identity"})
    huge = {"kind": "sgd", "learning_rate": 1e300}
    more = {"epochs": 1, "batch_size": 8, "optimizer": huge, "progress": False}
    with pytest.raises(ValueError, match="the members of seeds 0, 1 diverged; expe"):
        cj.ensemble(linear, examples(), 2, **more)
