"""Every network of the zoo compiles, has its published size, and learns."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import capsjax as cj

COUNTS = {
    "mlp": 186,
    "cnn": 54_314,
    "figure-12": 12_763,
    "lenet-5": 61_706,
    "capsnet": 6_804_224,
    "capsnet-digits": 74_656,
}
SHAPES = {
    "mlp": {"h1": (7,), "h2": (7,), "h3": (7,), "y": (4,)},
    "cnn": {
        "h1": (28, 28, 8),
        "h2": (14, 14, 8),
        "h3": (14, 14, 16),
        "h4": (7, 7, 16),
        "flat": (784,),
        "h5": (64,),
        "digit": (10,),
    },
    "lenet-5": {
        "c1": (28, 28, 6),
        "s2": (14, 14, 6),
        "c3": (10, 10, 16),
        "s4": (5, 5, 16),
        "flat": (400,),
        "c5": (120,),
        "f6": (84,),
        "digit": (10,),
    },
    "capsnet": {
        "conv1": (20, 20, 256),
        "maps": (6, 6, 256),
        "primary": (1152, 8),
        "vectors": (10, 16),
        "digit": (10,),
    },
}


def batch_of(net: cj.Network, size: int, seed: int = 0) -> dict[str, jax.Array]:
    """Inputs in [0, 1), and targets that suit each output's loss."""
    random = np.random.default_rng(seed)
    batch = {}
    for each in net.graph.inputs:
        batch[each.name] = jnp.asarray(random.random((size, *each.shape)))
    for name, loss in net.graph.losses:
        shape = net.shapes[name].output
        high = shape[-1] if getattr(loss, "classes", False) else 2
        label_shape = (size, *shape[:-1]) if shape else (size,)
        labels = random.integers(0, high, label_shape)
        batch[name] = jnp.asarray(labels, jnp.int32 if shape else float)
    return batch


@pytest.mark.parametrize(("name", "count"), COUNTS.items())
def test_parameter_count(name, count):
    assert cj.compile(cj.zoo.graph(name)).parameter_count == count


@pytest.mark.parametrize(("name", "shapes"), SHAPES.items())
def test_shape_of_every_layer(name, shapes):
    found = cj.compile(cj.zoo.graph(name)).shapes
    assert {layer: each.output for layer, each in found.items()} == shapes


@pytest.mark.parametrize("name", [n for n in COUNTS if n != "capsnet"])
def test_small_steps_lower_the_loss(name):
    net = cj.compile(cj.zoo.graph(name))
    params, state = net.init(jax.random.key(0))
    batch = batch_of(net, 8)

    @jax.jit
    def step(params):
        value_and_grad = jax.value_and_grad(net.loss, has_aux=True)
        (loss, _), grads = value_and_grad(params, state, batch)
        return loss, jax.tree.map(lambda p, g: p - 0.01 * g, params, grads)

    losses = []
    for _ in range(4):
        loss, params = step(params)
        losses.append(float(loss))
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0]


def test_capsnet_gradient_on_small_images():
    net = cj.compile(cj.zoo.graph("capsnet", shape=(18, 18, 1), classes=3))
    assert net.shapes["primary"].output == (32, 8)
    params, state = net.init(jax.random.key(0))
    grads = jax.jit(jax.grad(lambda p: net.loss(p, state, batch_of(net, 2))[0]))(params)
    assert all(bool(jnp.any(leaf)) for leaf in jax.tree.leaves(grads))


def convolve(x, w):
    layout = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=layout)


def down(x):
    batch, height, width, channels = x.shape
    return x.reshape(batch, height // 2, 2, width // 2, 2, channels).max((2, 4))


def test_cnn_is_equation_2():
    net = cj.compile(cj.zoo.graph("cnn", cap="tanh"))
    params, state = jax.jit(net.init)(jax.random.key(3))
    params = jax.tree.map(lambda p: np.asarray(p) + 0.01, params)
    x = batch_of(net, 2)["image"]

    weights = {
        name: (*part["W"].values(), part["B"])
        for name, part in net.named(params).items()
        if "B" in part
    }
    (w1, b1), (w3, b3) = weights["h1"], weights["h3"]
    (w5, b5), (w, b) = weights["h5"], weights["digit"]

    @jax.jit
    def both(params, x):
        y1 = jnp.tanh(convolve(x, w1) + b1)
        y2 = down(y1)
        y3 = jnp.tanh(convolve(y2, w3) + b3)
        y4 = down(y3)
        y5 = jnp.tanh(y4.reshape(2, -1) @ w5 + b5)
        y = jax.nn.softmax(y5 @ w + b)
        outputs, _ = net.apply(params, state, {"image": x})
        middle = net.activations(params, state, {"image": x})
        return (y, y4), (outputs["digit"], middle["h4"]["Y"])

    for expected, found in zip(*both(params, x), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_figure_12_has_what_the_figure_has():
    graph = cj.zoo.graph("figure-12")
    assert len(graph.inputs) == 2 and len(graph.outputs) == 3
    kinds = {edge.weighting.kind for c in graph.capsules for edge in c.edges}
    assert kinds == {
        "channel_scale",
        "conv",
        "dot",
        "identity",
        "matmul",
        "place",
        "reshape",
        "vote",
    }
    assert max(len(c.edges) for c in graph.capsules) > 1


def test_options_reach_the_network():
    graph = cj.zoo.graph("mlp", sizes=(64, 10), output="sigmoid", loss="margin")
    assert [c.name for c in graph.capsules] == ["y"]
    net = cj.compile(cj.zoo.graph("lenet-5", cap="tanh", classes=4))
    assert net.shapes["digit"].output == (4,)
    assert net.graph.capsules[0].cap.kind == "tanh"
    routed = cj.zoo.graph("capsnet-digits", iterations=1)
    assert routed != cj.zoo.graph("capsnet-digits")


def test_unknown_name_offers_the_nearest():
    with pytest.raises(ValueError) as raised:
        cj.zoo.graph("lenet5")
    assert str(raised.value) == (
        "no network 'lenet5' in the zoo; did you mean 'lenet-5'?"
    )
    with pytest.raises(ValueError) as raised:
        cj.zoo.graph("xyz")
    assert str(raised.value) == (
        "no network 'xyz' in the zoo; known: " + ", ".join(cj.zoo.names())
    )


def test_unknown_option_names_the_valid_ones():
    with pytest.raises(TypeError) as raised:
        cj.zoo.graph("lenet-5", kap="tanh")
    assert str(raised.value) == (
        "network 'lenet-5' has no option 'kap'; it has cap='relu', classes=10"
    )


def test_an_mlp_has_two_layers():
    with pytest.raises(ValueError) as raised:
        cj.zoo.graph("mlp", sizes=(5,))
    assert str(raised.value) == (
        "an MLP has two layers or more, input and output; sizes is (5,)"
    )
