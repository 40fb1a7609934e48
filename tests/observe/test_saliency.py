"""Gradients by inputs and between capsules, against derivatives of plain formulas."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers_capsjax import close, draw, draw_like, quick

import capsjax as cj
from capsjax.compiler.passes import PIPELINE, Pass, fold_all

FOLDED = (*(p for p in PIPELINE if p.name != "fold"), Pass(fold_all, observable=True))


def small_cnn() -> cj.Graph:
    image = cj.input("image", (6, 6, 1))
    c1 = cj.capsule("c1", cj.conv(image, 3, (3, 3)), cap="relu")
    s2 = cj.capsule("s2", cj.identity(c1), cap=cj.caps.max_pool((2, 2)), bias=None)
    flat = cj.capsule("flat", cj.reshape(s2, (-1,)), bias=None)
    digit = cj.capsule("digit", cj.matmul(flat, 4), cap="softmax")
    return cj.graph(digit, name="small", losses={"digit": "cross_entropy"})


def logits(net, params, image):
    """The logits of `small_cnn` in plain JAX."""
    named = net.named(params)
    c1 = jax.lax.conv_general_dilated(
        image,
        named["c1"]["W"]["image"],
        (1, 1),
        "VALID",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    c1 = jnp.maximum(c1 + named["c1"]["B"], 0)
    s2 = c1.reshape(-1, 2, 2, 2, 2, 3).max(axis=(2, 4))
    digit = named["digit"]
    return s2.reshape(len(image), -1) @ digit["W"]["flat"] + digit["B"]


@pytest.fixture(scope="module")
def trained():
    net = cj.compile(small_cnn())
    params, state = net.init(jax.random.key(0))
    return net, draw_like(params, 3), state, draw((5, 6, 6, 1))


def test_saliency_of_the_loss_is_of_each_example_alone(trained):
    net, params, state, image = trained
    digit = jnp.arange(5) % 4

    def losses(image):
        log = jax.nn.log_softmax(logits(net, params, image))
        return -jnp.sum(jnp.take_along_axis(log, digit[:, None], axis=1))

    def both(image):
        batch = {"image": image, "digit": digit}
        return cj.saliency(net, params, state, batch), jax.grad(losses)(image)

    found, expected = quick(both)(image)
    close(found, {"image": expected})


ENTRIES = {
    "number": (2, lambda y: y[:, 2]),
    "tuple": ((3,), lambda y: y[:, 3]),
    "by example": (
        np.array([0, 3, 1, 1, 2]),
        lambda y: y[jnp.arange(5), jnp.array([0, 3, 1, 1, 2])],
    ),
    "largest": (None, lambda y: y.max(axis=1)),
}


@pytest.mark.parametrize("name", ENTRIES)
def test_saliency_of_an_entry(trained, name):
    net, params, state, image = trained
    entry, taken = ENTRIES[name]
    tensor = "Y" if name == "tuple" else "U"

    def value(image):
        u = logits(net, params, image)
        return jnp.sum(taken(u if tensor == "U" else jax.nn.softmax(u)))

    def both(image):
        batch = {"image": image, "digit": jnp.arange(5) % 4}  # targets don't disturb
        found = cj.saliency(
            net, params, state, batch, of="digit", tensor=tensor, entry=entry
        )
        return found, jax.grad(value)(image)

    found, expected = quick(both)(image)
    close(found, {"image": expected})


def test_saliency_of_a_hidden_capsule_under_jit(trained):
    net, params, state, image = trained

    @quick
    def found(image):
        inputs = {"image": image}
        return cj.saliency(net, params, state, inputs, of="c1", entry=(1, 2, 0))

    window = net.named(params)["c1"]["W"]["image"][..., 0]
    for own, gradient in zip(image, found(image)["image"], strict=True):
        u = jnp.vdot(own[1:4, 2:5], window) + net.named(params)["c1"]["B"][0]
        expected = jnp.zeros((6, 6, 1)).at[1:4, 2:5].set(window * (u > 0))
        close(gradient, expected)


def test_integrated_gradients_add_up(trained):
    net, params, state, image = trained
    entry = np.array([1, 0, 3, 2, 2])

    @quick
    def found(image):
        return cj.integrated_gradients(
            net,
            params,
            state,
            {"image": image},
            of="digit",
            entry=entry,
            baseline={"image": jnp.full((1, 1, 1), 0.5)},
            steps=4000,
        )["image"]

    def value(image):
        return jax.nn.softmax(logits(net, params, image))[jnp.arange(5), entry]

    rise = value(image) - value(jnp.full_like(image, 0.5))
    # Piecewise smooth along the way: the error is of the order of one step's share.
    np.testing.assert_allclose(found(image).sum((1, 2, 3)), rise, atol=2e-3)


def test_integrated_gradients_of_a_product_are_exact_in_one_step():
    """f = (u.x) (v.x): the gradient is linear on the way, so its middle is its mean."""
    x = cj.input("x", (3,))
    y = cj.capsule("y", cj.matmul(x, 2), cap="multiply", bias=None)
    net = cj.compile(cj.graph(y))
    params, state = net.init(jax.random.key(0))
    u, v = net.named(params)["y"]["W"]["x"].T
    x = draw((2, 3))

    @quick
    def found(x):
        given = net, params, state, {"x": x}
        return cj.integrated_gradients(*given, of="y", steps=1)["x"]

    expected = x * ((x @ v)[:, None] * u + (x @ u)[:, None] * v) / 2
    close(found(x), expected)


def deep(depth: int = 6) -> cj.Graph:
    """Equal residual layers, which are folded."""
    h = cj.input("x", (4,))
    for i in range(depth):
        r = cj.capsule(f"r{i}", cj.matmul(h, 4), cap="tanh")
        h = cj.capsule(f"h{i}", cj.identity(h), cj.identity(r), bias=None)
    return cj.graph(cj.capsule("y", cj.matmul(h, 3)), name="deep")


def test_gradient_between_capsules_of_a_folded_network():
    net = cj.compile(deep(), passes=FOLDED)
    assert net.program.typed.runs
    params, state = net.init(jax.random.key(0))
    named, x = net.named(params), draw((2, 4))

    def behind(h, first):
        for i in range(first, 6):
            own = named[f"r{i}"]
            (w,) = own["W"].values()
            h = h + jnp.tanh(h @ w + own["B"])
        return h @ named["y"]["W"]["h5"] + named["y"]["B"]

    def row(entry):
        return cj.gradient_between(
            net, params, state, {"x": x}, of="y", by="h2", entry=entry
        )

    def both(x):
        h2 = net.activations(params, state, {"x": x})["h2"]["Y"]
        expected = jax.vmap(jax.jacobian(lambda h: behind(h, 3)))(h2)
        return jax.vmap(row, out_axes=1)(jnp.arange(3)), expected

    close(*quick(both)(x))


def test_gradient_between_counts_every_path_from_the_capsule_and_no_other():
    x = cj.input("x", (3,))
    a = cj.capsule("a", cj.matmul(x, 3), cap="tanh")
    b = cj.capsule("b", cj.matmul(a, 3), cap="tanh")
    # a reaches y directly, and through b; x, directly and through both.
    y = cj.capsule("y", cj.matmul(a, 1), cj.matmul(b, 1), cj.matmul(x, 1))
    other = cj.capsule("other", cj.matmul(b, 2))
    net = cj.compile(cj.graph(y, other))
    params, state = net.init(jax.random.key(0))
    named, x = net.named(params), draw((2, 3))

    def after(a, x):
        own = named["b"]
        b = jnp.tanh(a @ own["W"]["a"] + own["B"])
        own = named["y"]["W"]
        return jnp.sum(a @ own["a"] + b @ own["b"] + x @ own["x"])

    def first(x):
        return jnp.tanh(x @ named["a"]["W"]["x"] + named["a"]["B"])

    def found(x):
        given = net, params, state, {"x": x}
        return [cj.gradient_between(*given, of="y", by=by) for by in ("a", "x")]

    def expected(x):
        whole = jax.grad(lambda x: after(first(x), x))
        return [jax.grad(after)(first(x), x), whole(x)]

    close(*quick(lambda x: (found(x), expected(x)))(x))


def test_state_and_shared_weights_are_given_on():
    x = cj.input("x", (3,))
    h = cj.capsule("h", cj.identity(x), cap="standardize", bias=None)
    a = cj.capsule("a", cj.share(cj.matmul(h, 3), "twin"))
    b = cj.capsule("b", cj.share(cj.matmul(a, 3), "twin"))
    net = cj.compile(cj.graph(cj.capsule("y", cj.matmul(b, 2), cap="softmax")))
    params, _ = net.init(jax.random.key(0))
    state = {"h": {"mean": draw((3,), 1), "variance": draw((3,), 2) ** 2 + 0.5}}

    @quick
    def found(x):
        return cj.saliency(net, params, state, {"x": x}, of="b", entry=1)["x"]

    w = net.named(params)["twin"]["W"]
    deviation = jnp.sqrt(state["h"]["variance"] + cj.caps.standardize().epsilon)
    close(found(draw((2, 3))), jnp.broadcast_to((w @ w)[:, 1] / deviation, (2, 3)))


def test_guided_saliency_is_that_of_the_publication():
    """Where a relu passes a signal back, it passes what is positive alone."""
    x = cj.input("x", (4,))
    a = cj.capsule("a", cj.matmul(x, 5), cap="relu")
    b = cj.capsule("b", cj.matmul(a, 5), cap="relu")
    y = cj.capsule("y", cj.matmul(b, 3), cap="softmax")
    graph = cj.graph(y, losses={"y": "cross_entropy"})
    net = cj.compile(graph, backward="guided")
    params = draw_like(net.init(jax.random.key(0))[0])
    x = draw((6, 4), 5)
    named = jax.tree.map(np.asarray, net.named(params))
    layers = [named[n]["W"][s] for n, s in (("a", "x"), ("b", "a"), ("y", "b"))]
    u = [np.asarray(x) @ layers[0] + named["a"]["B"]]
    u.append(np.maximum(u[0], 0) @ layers[1] + named["b"]["B"])
    signal = np.broadcast_to(layers[2][:, 1], (6, 5))
    expected = {}
    for name, own, w in (("b", u[1], layers[1]), ("a", u[0], layers[0])):
        signal = (np.maximum(signal, 0) * (own > 0)) @ w.T
        expected[name] = signal

    def found(x):
        given = net, params, {}, {"x": x}
        entry: Any = {"of": "y", "tensor": "U", "entry": 1}
        by_a = cj.gradient_between(*given, by="a", **entry)
        return {"b": by_a, "a": cj.saliency(*given, **entry)["x"]}

    close(quick(found)(x), expected)

    # The total input of a ruled capsule itself: its function has no part in it.
    @quick
    def of_a(x):
        given = net, params, {}, {"x": x}
        return cj.saliency(*given, of="a", tensor="U", entry=2)["x"]

    close(of_a(x), np.broadcast_to(layers[0][:, 2], (6, 4)))


def test_feedback_weights_are_given_on():
    net = cj.compile(deep(), backward="feedback_alignment", passes=FOLDED)
    params, state = quick(net.init)(jax.random.key(0))
    feedback = net.named_state(state)["y"]["feedback"]["h5"]

    @quick
    def found(x):
        given = net, params, state, {"x": x}
        return cj.gradient_between(*given, of="y", by="h5", entry=2)

    close(found(draw((2, 4))), jnp.broadcast_to(feedback[:, 2], (2, 4)))


ERRORS = {
    "unknown of": (dict(of="digot"), "no capsule 'digot', found as of=.*'digit'"),
    "entry": (dict(of="digit", entry=4), "entry=4; expected from 0 to 3"),
    "tuple": (dict(of="digit", entry=(4,)), r"entry=\(4,\); expected one of shape"),
    "float": (dict(of="digit", entry=1.5), "expected an integer"),
    "tensor": (dict(of="c1", tensor="X"), "tensor='X'; expected 'U'"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_what_is_wrong_is_said(trained, name):
    net, params, state, image = trained
    settings, message = ERRORS[name]
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(
            lambda image: cj.saliency(net, params, state, {"image": image}, **settings),
            image,
        )


def test_what_is_wrong_between_capsules_is_said(trained):
    net, params, state, image = trained
    inputs = {"image": image}
    with pytest.raises(ValueError, match="no capsule 'c11', found as by=.*'c1'"):
        cj.gradient_between(net, params, state, inputs, of="digit", by="c11")
    with pytest.raises(ValueError, match="'digit' does not lead to 'c1'"):
        cj.gradient_between(net, params, state, inputs, of="c1", by="digit")
    with pytest.raises(ValueError, match="'c1' does not lead to 'c1'"):
        cj.gradient_between(net, params, state, inputs, of="c1", by="c1")
    with pytest.raises(ValueError, match="steps=0; expected at least 1"):
        cj.integrated_gradients(net, params, state, inputs, of="digit", steps=0)
    with pytest.raises(ValueError, match="a baseline for 'imag'; expected it for"):
        cj.integrated_gradients(
            net, params, state, inputs, of="digit", baseline={"imag": 0}
        )
    with pytest.raises(ValueError, match=r"found shape \(7,\); expected \(5, 6, 6, 1"):
        cj.integrated_gradients(
            net, params, state, inputs, of="digit", baseline={"image": np.zeros(7)}
        )


def test_integers_are_not_differentiated_by():
    token = cj.input("token", (3,), dtype="integer")
    e = cj.capsule("e", cj.embed(token, 7, 2), bias=None)
    flat = cj.capsule("flat", cj.reshape(e, (-1,)), bias=None)
    net = cj.compile(cj.graph(cj.capsule("y", cj.matmul(flat, 1), cap="tanh")))
    params, state = net.init(jax.random.key(0))
    inputs = {"token": jnp.arange(6).reshape(2, 3)}
    with pytest.raises(ValueError, match="the capsule that embeds them"):
        cj.saliency(net, params, state, inputs, of="y")

    @quick
    def both(inputs):
        found = cj.gradient_between(net, params, state, inputs, of="y", by="e")
        return found, net.apply(params, state, inputs)[0]["y"]

    found, y = both(inputs)
    w = net.named(params)["y"]["W"]["flat"].reshape(3, 2)
    close(found, (1 - y[:, :, None] ** 2) * w)
