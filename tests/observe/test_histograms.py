"""Histograms on the device, and the pictures of learning."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import capsjax as cj
from capsjax.observe.histograms import BINS, EDGES, histogram
from capsjax.view.learning.frames import span


def test_bins_are_numpys():
    values = 10.0 ** np.random.default_rng(0).uniform(-11.9, 3.9, 1000)
    expected = np.histogram(values, EDGES)[0]
    assert np.array_equal(jax.jit(histogram)(jnp.asarray(-values)), expected)


def test_what_is_out_of_range():
    counts = np.asarray(jax.jit(histogram)(np.array([0.0, 1e-20, 1e9, np.inf, np.nan])))
    assert counts[0] == 2 and counts[-1] == 3 and counts.shape == (BINS,)


@pytest.fixture(scope="module")
def traced():
    x = cj.input("x", (4,))
    h = cj.capsule("h", cj.matmul(x, 3), cap="sigmoid")
    y = cj.capsule("y", cj.matmul(h, 2), cj.identity(cj.capsule("s", cj.matmul(x, 2))))
    net = cj.compile(cj.graph(y, losses={"y": "mean_squared_error"}))
    batch = {"x": jnp.ones((2, 4)), "y": jnp.zeros((2, 2))}
    tracer = cj.trace(net, batch, histograms=True)
    keys = jax.random.split(jax.random.key(0), 3)
    members = jax.jit(lambda keys: jax.vmap(tracer.measure)(*jax.vmap(net.init)(keys)))
    tracer.record(0, members(keys))
    return net, tracer


def test_shares_add_up_of_each_member(traced):
    table = traced[1].histograms
    by = ["step", "member", "capsule", "source", "quantity"]
    sums = table.groupby(by)["share"].sum()
    assert set(table["member"]) == {0, 1, 2}
    np.testing.assert_allclose(sums, 1.0)
    assert {"Y", "delta", "W", "B"} == set(table["quantity"])


def test_boxes_and_lines_have_what_was_measured(traced):
    net, tracer = traced
    found = cj.view.learning(tracer, net).frames
    assert found is not None
    table = tracer.table
    for i, name in enumerate(found.names):
        own = table[(table["capsule"] == name) & (table["quantity"] == "delta")]
        expected = own["value"].mean() if len(own) else np.nan
        np.testing.assert_allclose(found.signals[0, i], expected)
    names = [tuple(found.names[end] for end in ends) for ends in found.ends]
    assert set(names) == {("x", "h"), ("x", "s"), ("h", "y"), ("s", "y")}
    assert np.isnan(found.gradients[0, names.index(("s", "y"))])
    own = table[(table["capsule"] == "y") & (table["quantity"] == "dW")]["value"]
    at = names.index(("h", "y"))
    np.testing.assert_allclose(found.gradients[0, at], own.mean())


def test_scales_span_four_decades_to_twelve():
    assert span(np.array([0.5, 0.7])) == (1e-4, 1.0)
    assert span(np.array([1e-7, 0.7, 0.0, np.nan])) == (1e-7, 1.0)
    assert span(np.array([1e-30, 1.0])) == (1e-12, 1.0)


def test_the_widget_has_plain_data(traced):
    pytest.importorskip("anywidget")
    net, tracer = traced
    made = cj.view.learning(tracer, net).widget()
    assert made.graph["steps"] == [0] and len(made.graph["lines"]) == 4
    assert made.graph["signals"][0][0] is None  # an input has no error signal


def test_what_is_refused(traced):
    net, tracer = traced
    with pytest.raises(ValueError, match=r"found steps \[7\]; expected some of the 1"):
        cj.view.learning(tracer, net, steps=[7])
    with pytest.raises(ValueError, match="expected one of the capsules of 'lenet-5'"):
        cj.view.learning(tracer, cj.zoo.graph("lenet-5"))
    with pytest.raises(ValueError, match="expected a tracer's table"):
        cj.view.learning(tracer.histograms, net)
    with pytest.raises(ValueError, match="found no histograms; expected"):
        cj.view.histograms(tracer.table)
    with pytest.raises(ValueError, match="found step 7; expected one of the 1"):
        cj.view.histograms(tracer, step=7)


def test_both_edges_from_one_source_count():
    x = cj.input("x", (3,))
    y = cj.capsule("y", cj.matmul(x, 2), cj.matmul(x, 2))
    net = cj.compile(cj.graph(y, losses={"y": "mean_squared_error"}))
    tracer = cj.trace(net, {"x": jnp.eye(3), "y": jnp.ones((3, 2))})
    tracer(0, *net.init(jax.random.key(0)))
    table = tracer.table
    rows = table[(table["quantity"] == "dW") & (table["capsule"] == "y")]
    assert sorted(rows["source"]) == ["x", "x#2"]
    frames = cj.view.learning(tracer, net).frames
    assert frames is not None
    expected = np.exp(np.mean(np.log(rows["value"])))
    assert frames.gradients.tolist() == [[pytest.approx(expected)]]


def test_one_color_bar_tells_the_shares_of_all_panels(traced):
    axes = cj.view.histograms(traced[1]).axes
    scales = {mesh.get_clim() for own in axes for mesh in own.collections}
    assert len(axes) == 4 and len(scales) == 1


def test_two_pictures_of_one_scale(traced):
    net, tracer = traced
    weaker = tracer.table.assign(value=1e-3 * tracer.table["value"])
    first, second = cj.view.learning(tracer, net), cj.view.learning(weaker, net)
    same = cj.view.learning(weaker, net, like=first)
    assert first.frames is not None and second.frames is not None
    assert same.frames is not None and same.frames.spans == first.frames.spans
    assert second.frames.spans != first.frames.spans
