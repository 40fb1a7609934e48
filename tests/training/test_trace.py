"""trace: its numbers against the network's own, its table, and a run with it."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers_capsjax import close, quick

import capsjax as cj

NUMBERS = np.random.default_rng(0)
BATCH = {"x": NUMBERS.normal(size=(6, 5)), "y": np.arange(6) % 3}


def classifier(backward: Any = None) -> cj.Network:
    x = cj.input("x", (5,))
    h = cj.capsule("h", cj.matmul(x, 4), cap="relu")
    y = cj.capsule("y", cj.matmul(h, 3), cj.matmul(x, 3), cap="softmax")
    return cj.compile(cj.graph(y, losses={"y": "cross_entropy"}), backward=backward)


def values(tracer: cj.Tracer, step: int = 0) -> dict[tuple[str, str, str], float]:
    table = tracer.table[tracer.table["step"] == step]
    keys = zip(table["capsule"], table["source"], table["quantity"], strict=True)
    return dict(zip(keys, table["value"], strict=True))


def test_the_numbers_are_those_of_the_network():
    net = classifier("feedback_alignment")
    params, state = net.init(jax.random.key(0))
    params["h"]["B"] = jnp.array([0, -100.0, 0, 0])  # one unit is dead
    tracer = cj.trace(net, BATCH, every=3)
    tracer(0, params, state)
    tracer(2, params, state)
    tracer(3, params, state)
    assert sorted(set(tracer.table["step"])) == [0, 3]
    y = quick(net.activations)(params, state, {"x": BATCH["x"]})
    deltas = quick(net.deltas)(params, state, BATCH)
    exact = cj.compile(net.graph, backward="autodiff")
    own, true = (
        each.named(
            quick(jax.grad(lambda p, n=each, s=s: n.loss(p, s, BATCH)[0]))(params)
        )
        for each, s in ((net, state), (exact, {}))
    )

    def cosine(*pairs: Any) -> float:
        a, b = (
            np.concatenate([np.ravel(x) for x in each])
            for each in zip(*pairs, strict=True)
        )
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    expected = {}
    for name in ("h", "y"):
        signals = 6 * np.linalg.norm(deltas[name], axis=1)
        expected[name, "", "Y"] = np.sqrt(np.mean(np.square(y[name]["Y"])))
        expected[name, "", "delta"] = np.sqrt(np.mean(signals**2))
        expected[name, "", "dead"] = 0.25 if name == "h" else 0.0
        expected[name, "", "B"] = np.linalg.norm(params[name]["B"])
        expected[name, "", "dB"] = np.linalg.norm(own[name]["B"])
        pairs = [(own[name]["B"], true[name]["B"])]
        for source, w in net.named(params)[name]["W"].items():
            pair = own[name]["W"][source], true[name]["W"][source]
            expected[name, source, "W"] = np.linalg.norm(w)
            expected[name, source, "dW"] = np.linalg.norm(pair[0])
            expected[name, source, "cosine"] = cosine(pair)
            pairs.append(pair)
        expected[name, "", "cosine"] = cosine(*pairs)
    found = values(tracer)
    assert found.keys() == expected.keys()
    close(found, {name: float(value) for name, value in expected.items()})
    assert abs(found["y", "h", "cosine"] - 1) < 1e-12  # the output's error is exact
    assert found["h", "x", "cosine"] < 0.999


def test_without_rules_there_is_nothing_to_compare_with():
    tracer = cj.trace(classifier(), BATCH)
    tracer.record(
        0, quick(lambda key: tracer.measure(*tracer.net.init(key)))(jax.random.key(0))
    )
    assert set(tracer.table["quantity"]) == {"Y", "delta", "dead", "W", "dW", "B", "dB"}


def test_members_stand_beside_each_other():
    net = classifier("feedback_alignment")
    tracer = cj.trace(net, BATCH)
    members = quick(jax.vmap(net.init))(jax.random.split(jax.random.key(0), 3))
    tracer.record(7, quick(jax.vmap(tracer.measure))(*members))
    assert list(tracer.table)[:2] == ["step", "member"]
    *_, angle = cj.view.trace(tracer.table).figure.axes
    assert angle.get_title("left") == "angle to the exact gradient"
    rows: Any = tracer.table.set_index(["capsule", "source", "quantity"])["value"]
    mean = np.degrees(np.arccos(rows["h", "x", "cosine"].to_numpy())).mean()
    assert angle.get_lines()[0].get_ydata() == pytest.approx([mean])
    alone = cj.trace(net, BATCH)
    own = jax.tree.map(lambda a: a[1], members)
    alone.record(0, quick(alone.measure)(*own))
    table = tracer.table[tracer.table["member"] == 1]
    np.testing.assert_allclose(table["value"], alone.table["value"], rtol=1e-9)


def test_a_run_is_the_same_with_it():
    net = classifier()
    data = {name: np.concatenate([each] * 3) for name, each in BATCH.items()}
    tracer = cj.trace(net, BATCH, every=4)
    given: dict[str, Any] = dict(epochs=3, batch_size=6, progress=False)
    steps: list[int] = []

    def trace(step: int, params: Any, state: Any) -> None:
        steps.append(step)
        tracer(step, params, state)

    run = cj.fit(net, data, trace=trace, **given)
    assert steps == list(range(10))
    assert sorted(set(tracer.table["step"])) == [0, 4, 8]
    plain = cj.fit(net, data, **given)
    close(run.params, plain.params, 0)
    tracer(12, run.params, run.state)
    found = values(tracer, 12)
    assert found["h", "x", "W"] == pytest.approx(
        np.linalg.norm(run.params["h"]["W"]["x"])
    )


def test_what_is_wrong_is_said():
    with pytest.raises(ValueError, match="every=0; expected at least 1"):
        cj.trace(classifier(), BATCH, every=0)
    x = cj.input("x", (5,))
    net = cj.compile(cj.graph(cj.capsule("h", cj.matmul(x, 4))))
    with pytest.raises(ValueError, match="declares no loss"):
        cj.trace(net, BATCH)
    tracer = cj.trace(classifier(), BATCH)
    with pytest.raises(ValueError, match="found a table of 0 rows"):
        cj.view.trace(tracer.table)
    assert list(tracer.table) == ["step", "capsule", "source", "quantity", "value"]
