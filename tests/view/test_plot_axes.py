"""Every plotting function draws into given axes, and says which it drew."""

import functools
import inspect
import re
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import capsjax as cj

_HISTORY = pd.DataFrame({"epoch": [1, 2], "loss": [0.9, 0.5], "accuracy": [0.5, 0.7]})
_DRAWINGS = {"draw", "draw_network", "draw_networks", "figure"}
_OTHERS = {"explore", "report", "signals", "summary"}


def network() -> cj.Network:
    x = cj.input("x", (4,))
    h = cj.capsule("h", cj.matmul(x, 8), cap="tanh")
    y = cj.capsule("y", cj.matmul(h, 2), cap="softmax")
    return cj.compile(cj.graph(y, losses={"y": "cross_entropy"}))


@pytest.fixture(scope="module")
def given() -> dict[str, tuple[Any, ...]]:
    """Arguments of each function, and how many panels it draws of them."""
    net = network()
    params, state = net.init(jax.random.key(0))
    batch = {"x": jnp.ones((2, 4)), "y": jnp.arange(2)}
    tracer = cj.trace(net, batch, every=1, histograms=True)
    for step in range(3):
        tracer(step, params, state)
    rows = [(1e-3, 1, 0.7), (1e-2, 1, 0.8), (1e-3, 2, 0.6), (1e-2, 2, 0.9)]
    table = pd.DataFrame(rows, columns=["rate", "depth", "accuracy"])
    times = [(m, s, 0.2 * s) for m in range(4) for s in range(3)]
    swept = SimpleNamespace(
        table=table.assign(seed=0, status="done"),
        history=pd.DataFrame(times, columns=["member", "step", "accuracy"]),
        axes=("rate", "depth"),
        metric="accuracy",
        maximize=True,
    )
    image = cj.input("image", (4, 4, 1))
    flat = cj.capsule("flat", cj.reshape(image, (-1,)), bias=None)
    code = cj.capsule("code", cj.matmul(flat, 2))
    wide = cj.capsule("wide", cj.matmul(code, 16))
    out = cj.capsule("reconstruction", cj.reshape(wide, (4, 4, 1)), bias=None)
    decoder = cj.compile(cj.graph(out))
    images = {"image": np.full((3, 4, 4, 1), 0.5, np.float32)}
    one = {"image": images["image"][:1]}
    decoded = (decoder, *decoder.init(jax.random.key(0)))
    return {
        "compared_curves": (2, {"a": _HISTORY, "b": _HISTORY}),
        "diagnosis": (2, cj.diagnose(net, batch)),
        "heat_map": (1, swept, "rate", "depth"),
        "histograms": (4, tracer),
        "learning": (3, tracer, net),
        "learning_curves": (2, _HISTORY),
        "memory": (1, net, 8),
        "parallel": (1, swept),
        "perturbations": (1, *decoded, one, {"capsule": "code", "steps": 3}),
        "reconstructions": (1, *decoded, images),
        "response": (2, swept),
        "sweep_curves": (1, swept),
        "trace": (5, tracer.table),
    }


PLOTS = sorted(
    name
    for name in cj.view.__all__
    if name not in _DRAWINGS | _OTHERS and not inspect.isclass(getattr(cj.view, name))
)


def drawn(given: Any, name: str, **more: Any) -> tuple[int, Any]:
    count, *arguments = given[name]
    if arguments and isinstance(arguments[-1], dict) and "steps" in arguments[-1]:
        more |= arguments.pop()
    return count, getattr(cj.view, name)(*arguments, **more)


@pytest.fixture(scope="module")
def plain(given):
    """Each picture as it is drawn without axes, once."""
    return functools.cache(lambda name: drawn(given, name))


@pytest.mark.parametrize("name", PLOTS)
def test_axes_are_returned_and_may_be_given(given, plain, name):
    count, picture = plain(name)
    assert len(picture.axes) == count
    assert all(axes.has_data() for axes in picture.axes)
    assert picture._repr_svg_().startswith("<?xml")

    figure = Figure(layout="constrained")
    left, right = figure.subplots(1, 2)
    _, picture = drawn(given, name, ax=left)
    assert picture.figure is figure and len(picture.axes) == count
    assert all(axes.has_data() for axes in picture.axes)
    assert count > 1 or picture.axes == (left,)
    assert not right.has_data()
    assert not figure.legends and figure.get_suptitle() == ""
    assert picture._repr_svg_() is None  # the figure shows itself


@pytest.mark.parametrize("name", PLOTS)
def test_axes_in_no_grid(given, name):
    axes = Figure().add_axes((0, 0, 1, 1))
    if given[name][0] == 1:
        assert drawn(given, name, ax=axes)[1].axes == (axes,)
        return
    with pytest.raises(ValueError, match="found axes that stand in no grid; expected"):
        drawn(given, name, ax=axes)


@pytest.mark.parametrize("name", PLOTS)
def test_dark_pages(plain, name):
    """Everything that is too dark for a dark page has another color there."""
    svg = plain(name)[1].svg
    style = re.search(r"<style>@media \(prefers-color-scheme:dark\){(.*)}</style>", svg)
    assert style is not None
    assert 'path[style*="fill: #ffffff"]' in style[1]
    for color in set(re.findall(r"stroke: (#[0-9a-f]{6})", svg[style.end() :])):
        parts = [int(color[at : at + 2], 16) for at in (1, 3, 5)]
        if sum(parts) < 180:
            assert f'[style*="stroke: {color}"]' in style[1]


@pytest.mark.parametrize("name", sorted(_DRAWINGS))
def test_drawings_have_axes(name):
    net = cj.neural.neuron("h", ["x1", "x2"])
    argument = {"draw": cj.zoo.graph("mlp"), "figure": 4, "draw_networks": [net]}
    picture = getattr(cj.view, name)(argument.get(name, net))
    (axes,) = getattr(picture, "axes", picture.figure.axes)
    assert axes.has_data() or axes.patches or axes.texts
