"""Displays in notebooks: what they say, and that what is written in them is text."""

import dataclasses
import re

import jax.numpy as jnp
import numpy as np
import pytest

import capsjax as cj

EVIL = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def run():
    x = cj.input("x", (4,))
    h = cj.capsule("h", cj.matmul(x, 4), cap="sigmoid")
    y = cj.capsule("y", cj.matmul(h, 2), cap="softmax")
    net = cj.compile(cj.graph(y, name="tiny", losses={"y": "cross_entropy"}))
    run = cj.fit(net, data(), epochs=1, batch_size=8, progress=False)
    return dataclasses.replace(run, configuration={"note": EVIL})


def data():
    rows = np.arange(32, dtype=np.float32).reshape(8, 4)
    return {"x": rows, "y": np.arange(8) % 2}


def shown(found) -> str:
    bundle = found._repr_mimebundle_()
    assert bundle["text/plain"] == repr(found)
    page = bundle["text/html"]
    assert "<script" not in page and "prefers-color-scheme" in page
    return re.sub(r"<style>.*?</style>", "", page, flags=re.S)


def test_a_run(run, tmp_path):
    page = shown(run)
    assert "Run of tiny" in page and "1 epoch ·" in page
    assert "&lt;script&gt;" in page
    assert "data:image/svg+xml" in page and "Saved in" not in page
    run.save(tmp_path / "run")
    again = cj.load_run(tmp_path / "run")
    assert f"Saved in {tmp_path / 'run'}." in shown(again)


def test_judged_diagnosis_explanation_tracer(run):
    judged = shown(cj.judge(run, data()))
    assert "Confusion of y" in judged and "Largest losses" in judged
    diagnosis = shown(cj.diagnose(run.net, data()))
    assert "Diagnosis of" in diagnosis and "healthy" in diagnosis
    assert "pass drop_unneeded" in shown(cj.explain(run.net))
    tracer = cj.trace(run.net, data(), every=1)
    assert "0 recorded" in shown(tracer)
    tracer(1, run.params, run.state)
    assert "1 recorded" in shown(tracer) and "<img" in shown(tracer)


def test_a_derivation():
    net = cj.neural.neuron("h1", ["x1", "x2"])
    net = cj.neural.growth(net, "h2", ["x1", "h1"])
    page = shown(cj.neural.derive(net))
    assert "2 variable · 1 growth · 1 convergence" in page
    assert "<img" in page and "step 3: growth" in page
    for number in range(20):
        net = cj.neural.growth(net, f"g{number}", ["x1"])
    assert "<img" not in shown(cj.neural.derive(net))


def test_a_sweep():
    x = cj.input("x", (4,))
    y = cj.capsule("y", cj.matmul(x, 2), cap="softmax")
    graph = cj.graph(y, losses={"y": "cross_entropy"})
    over = {"learning_rate": [0.01, 0.1]}
    result = cj.sweep(graph, data(), over=over, epochs=1, batch_size=8, progress=False)
    page = shown(result)
    assert "Sweep over learning_rate" in page and "Best members" in page
    assert "1 compiled" in page and "diverged" in page and "<img" in page


def test_signals():
    table = cj.view.signals({"h": jnp.array([[0.0, 3.0], [4.0, jnp.inf]])})
    assert table.at[0, "shape"] == (2,) and table.at[0, "largest"] == np.inf
    assert table.at[0, "zero"] == table.at[0, "not_finite"] == 0.25
    both = cj.view.signals({"h": {"U": jnp.ones((1, 2)), "Y": jnp.zeros((1, 2))}})
    assert list(both["array"]) == ["U", "Y"] and list(both["rms"]) == [1.0, 0.0]
