"""diagnose: its numbers, what it calls wrong, where, and in which words."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers_capsjax import quick

import capsjax as cj

BATCH = {"x": np.random.default_rng(0).normal(size=(6, 8)), "y": np.arange(6) % 3}


def chain(depth=4, cap="tanh"):
    h = cj.input("x", (8,))
    for i in range(1, depth + 1):
        h = cj.capsule(f"h{i}", cj.matmul(h, 8), cap=cap)
    y = cj.capsule("y", cj.matmul(h, 3), cap="softmax")
    return cj.compile(cj.graph(y, name="chain", losses={"y": "cross_entropy"}))


def column(found: cj.Diagnosis, name: str) -> dict[str, Any]:
    return dict(zip(found.table["capsule"], found.table[name], strict=True))


def test_the_table_is_what_the_network_gives():
    net = chain()
    params, state = net.init(jax.random.key(0))
    found = cj.diagnose(net, BATCH)
    assert list(found.table["capsule"]) == ["h1", "h2", "h3", "h4", "y"]
    assert list(found.table["depth"]) == [1, 2, 3, 4, 5]
    outputs = quick(net.activations)(params, state, {"x": BATCH["x"]})
    deltas = quick(net.deltas)(params, state, BATCH)
    for name, y, delta in found.table[["capsule", "Y", "delta"]].itertuples(
        index=False
    ):
        expected = np.sqrt(np.mean(np.square(outputs[name]["Y"])))
        np.testing.assert_allclose(y, expected, rtol=1e-12)
        own = 6 * np.linalg.norm(deltas[name], axis=1)  # a mean over 6 examples
        np.testing.assert_allclose(delta, np.sqrt(np.mean(own**2)), rtol=1e-12)
    assert found.healthy and not any(found.table["problem"])
    start = np.sqrt(np.mean(np.square(BATCH["x"])))
    assert found.findings[0].start == pytest.approx(start, rel=1e-12)


def test_the_first_out_of_range_from_the_losses_back():
    found = cj.diagnose(chain(7, "sigmoid"), BATCH)
    outputs, signals = found.findings
    assert outputs.first is None
    size = column(found, "delta")
    out = [name for name in reversed(size) if size[name] * 1000 < size["y"]]
    assert out and signals.first == out[0] != "h1"
    assert signals.problem == "vanishes" and signals.smallest == "h1"
    assert not found.healthy
    text = repr(found)
    assert "|Y| is in range" in text
    assert f"on the way from the losses is {out[0]!r}, {size[out[0]]:.3g};" in text
    growth = np.exp(-np.polyfit(np.arange(1, 9), np.log([*size.values()]), 1)[0])
    assert signals.growth == pytest.approx(growth)
    _, axes = cj.view.diagnosis(found).figure.axes
    assert axes.get_title("right") == f"{out[0]} vanishes"


def test_outputs_that_explode():
    net = chain(6, "identity")
    params = jax.tree.map(lambda a: 10 * a, net.init(jax.random.key(0))[0])
    found = cj.diagnose(net, BATCH, params=params)
    size = column(found, "Y")
    start = found.findings[0].start
    out = [name for name in size if size[name] > 1000 * start]
    assert found.findings[0].first == out[0]
    assert found.findings[0].problem == "explodes"
    marked = column(found, "problem")
    assert [n for n in marked if "|Y| explodes" in marked[n]] == out


def test_dead_and_broken_capsules():
    net = chain(3, "relu")
    params, _ = net.init(jax.random.key(0))
    params["h2"]["B"] = jnp.full(8, -1e3)
    params["h3"]["B"] = jnp.ones(8)
    found = cj.diagnose(net, BATCH, params=params)
    assert [(f.first, f.problem) for f in found.findings] == [
        ("h2", "is zero"),
        ("h2", "is zero"),
    ]
    params["h2"]["B"] = jnp.full(8, jnp.nan)
    found = cj.diagnose(net, BATCH, params=params)
    # Of NaN, relu's own rule gives a slope of zero or NaN; Y is broken in any case.
    assert (found.findings[0].first, found.findings[0].problem) == (
        "h2",
        "is not finite",
    )


def test_where_no_signal_is_asked_for_none_is_missed():
    token = cj.input("token", (8,), dtype="integer")
    x = cj.input("x", (8,))
    e = cj.capsule("e", cj.embed(token, 5, 1), bias=None)
    flat = cj.capsule("flat", cj.reshape(e, (-1,)), bias=None)
    before = cj.capsule("before", cj.identity(x), cap="tanh", bias=None)
    y = cj.capsule("y", cj.matmul(before, 3), cj.matmul(flat, 3), cap="softmax")
    beside = cj.capsule("beside", cj.matmul(flat, 2))
    net = cj.compile(cj.graph(y, beside, losses={"y": "cross_entropy"}))
    tokens = jnp.arange(48).reshape(6, 8) % 5
    found = cj.diagnose(net, {**BATCH, "token": tokens})
    delta = column(found, "delta")
    assert np.isnan(delta["before"]) and np.isnan(delta["beside"])
    assert delta["e"] > 0 and found.healthy
    # Integers have no size: what reads them stands in for them.
    only = cj.capsule("y", cj.matmul(flat, 3), cap="softmax")
    net = cj.compile(cj.graph(only, losses={"y": "cross_entropy"}))
    found = cj.diagnose(net, {"token": tokens, "y": BATCH["y"]})
    size = column(found, "Y")
    assert found.findings[0].start == pytest.approx(size["e"])


def test_no_loss_is_said():
    x = cj.input("x", (8,))
    net = cj.compile(cj.graph(cj.capsule("y", cj.matmul(x, 3))))
    with pytest.raises(ValueError, match="declares no loss"):
        cj.diagnose(net, {"x": BATCH["x"]})
