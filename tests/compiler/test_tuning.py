"""Tuning: what is measured, what the network and the file keep, damage."""

import json
from typing import Any

import jax
import jax.numpy as jnp
import pytest

import capsjax as cj
from capsjax.compiler import tuning
from capsjax.compiler.choices import operations
from capsjax.graph.typed import TypedRun
from tests.helpers_capsjax import close, draw, draw_like, quick


@pytest.fixture
def measured(tmp_path, monkeypatch):
    """Names of what was measured, by role; patches are the quickest, else the last."""
    monkeypatch.setenv("CAPSJAX_CACHE", str(tmp_path))
    calls = []

    def measure(functions, operands):
        calls.append(tuple(functions))
        found = [jax.eval_shape(f, *operands) for f in functions.values()]
        assert len({(each.shape, each.dtype) for each in found}) == 1
        order = sorted(functions, key="patches".__eq__)
        return {name: 1.0 / i for i, name in enumerate(order, 1)}

    monkeypatch.setattr(tuning, "measure", measure)
    return calls


def small(name="small"):
    x = cj.input("x", (6, 6, 3))
    a = cj.capsule("a", cj.conv(x, 3, (3, 3), padding="SAME"), cap="relu")
    b = cj.capsule("b", cj.conv(a, 3, (3, 3), padding="SAME"), cap="relu")
    pool = cj.capsule("pool", cj.identity(b), cap=cj.caps.max_pool((2, 2)))
    flat = cj.capsule("flat", cj.reshape(pool, (-1,)), bias=None)
    y = cj.capsule("y", cj.matmul(flat, 2), cap="softmax")
    return cj.graph(y, name=name, losses={"y": "cross_entropy"})


def pooled():
    """A pooling alone, with two ways to be measured."""
    x = cj.input("x", (6, 6, 3))
    a = cj.capsule("a", cj.channel_scale(x))
    pool = cj.capsule("pool", cj.identity(a), cap=cj.caps.max_pool((2, 2)))
    return cj.graph(pool, losses={"pool": "mean_squared_error"})


BATCH = {"x": jax.ShapeDtypeStruct((2, 6, 6, 3), jnp.float32)}


def chosen(net):
    return [each.chosen for _, each in operations(net.program.typed, 2) if each.choices]


def test_the_quickest_is_kept_and_runs_to_the_same_numbers(measured):
    net, plain = cj.compile(small(), tune=BATCH), cj.compile(small())
    conv = {
        "forward": "patches",
        "input gradient": "patches",
        "weight gradient": "patches",
    }
    pool = {"forward": "slices", "input gradient": "shares"}
    assert chosen(net) == [conv, conv, pool]
    assert chosen(plain) != chosen(net)
    params = draw_like(jax.eval_shape(lambda: plain.init(jax.random.key(0))[0]))
    batch = {"x": draw((2, 6, 6, 3)), "y": jnp.array([0, 1])}

    def gradients(params):
        losses = [lambda p, net=net: net.loss(p, {}, batch)[0] for net in (net, plain)]
        return [jax.grad(loss)(params) for loss in losses]

    close(*quick(gradients)(params))


def test_equal_operations_are_measured_once_and_never_again(measured):
    first = cj.compile(small(), tune=BATCH)
    assert len(measured) == 3 + 2
    again = cj.compile(small("another"), tune=BATCH)
    assert len(measured) == 3 + 2
    assert chosen(again) == chosen(first)
    cj.compile(small(), tune={"x": jnp.zeros((4, 6, 6, 3), jnp.float32)})
    assert len(measured) == 2 * (3 + 2)


def test_explain_says_what_was_found(measured):
    text = cj.explain(cj.compile(small(), tune=BATCH), batch_size=2).text
    assert "pass tune:\n  a: forward patches" in text
    assert text.count("patches (asked for)") == 3


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 1}', "7" * 5000])
def test_a_damaged_file_is_reported_and_measured_again(measured, tmp_path, content):
    path = tmp_path / "algorithms.json"
    path.write_text(content)
    with pytest.warns(UserWarning, match="algorithms.json is damaged"):
        cj.compile(pooled(), tune=BATCH)
    assert len(measured) == 2
    assert len(json.loads(path.read_text())["entries"]) == 2


def test_an_unknown_name_in_the_file_is_measured_again(measured, tmp_path):
    cj.compile(pooled(), tune=BATCH)
    path = tmp_path / "algorithms.json"
    path.write_text(path.read_text().replace('"shares"', '"exec"'))
    cj.compile(pooled(), tune=BATCH)
    assert len(measured) == 2 + 1


def test_without_a_cache_nothing_is_written(measured, tmp_path, monkeypatch):
    monkeypatch.setenv("CAPSJAX_CACHE", "off")
    cj.compile(pooled(), tune=BATCH)
    assert not list(tmp_path.iterdir())


def test_a_run_is_measured_in_a_loop_and_tuned(measured, monkeypatch):
    layer = cj.input("x", (4, 4, 3))
    for i in range(3):
        edge = cj.conv(layer, 3, (3, 3), padding="SAME")
        layer = cj.capsule(f"h{i}", edge, cap="relu")
    looped = []
    plain = tuning.candidates
    monkeypatch.setattr(
        tuning, "candidates", lambda *a: looped.append(a[3]) or plain(*a)
    )
    batch = {"x": jax.ShapeDtypeStruct((2, 4, 4, 3), jnp.float32)}
    fold = cj.passes.Pass(cj.passes.fold_all, observable=True)
    net = cj.compile(cj.graph(layer), passes=(fold,), tune=batch)
    (run,) = net.program.typed.capsules
    assert isinstance(run, TypedRun)
    assert looped == [True] * 3
    (found,) = chosen(net)
    assert found["forward"] == "patches"


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        ({}, "tune: input 'x' is missing"),
        (
            {"x": jnp.zeros((2, 5))},
            r"found shape \(2, 5\); expected \(B, \*\(6, 6, 3\)",
        ),
    ],
)
def test_a_batch_that_does_not_fit(measured, batch, words):
    with pytest.raises(ValueError, match=words):
        cj.compile(small(), tune=batch)


def test_tuning_without_a_backward_of_its_own_is_an_error():
    with pytest.raises(ValueError, match="expected it without mode"):
        cj.compile(small(), tune=BATCH, backward="autodiff")


def test_measuring_runs_each_and_drops_the_hopeless(monkeypatch):
    """A clock of its own: the slow one takes 9 ticks a run, the others 1 and 2."""
    monkeypatch.setattr(tuning, "_BUDGET_S", 4.0)
    ticks = {"slow": 9.0, "quick": 1.0, "middling": 2.0}
    clock, runs = [0.0], []

    class Program:
        def __init__(self, name):
            self.name = name

        def lower(self, *operands):
            return self

        def compile(self):
            return self

        def __call__(self, *operands):
            clock[0] += ticks[self.name]
            runs.append(self.name)
            return jnp.zeros(())

    names: Any = {name: name for name in ticks}
    monkeypatch.setattr(tuning, "jit", Program)
    monkeypatch.setattr(tuning.time, "perf_counter", lambda: clock[0])
    found = tuning.measure(names, ())
    assert found == ticks
    assert runs.count("slow") == 2
    assert runs.count("quick") == runs.count("middling") == 4
