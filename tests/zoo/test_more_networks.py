"""Autoencoder, players, transformers, CapsNet's decoder: sizes, shapes, gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import capsjax as cj

COUNTS = [
    ("capsnet", {"decoder": True}, 8_215_568),
    ("autoencoder", {}, 2_837_314),
    ("dqn", {"actions": 4}, 1_686_180),
    ("dqn", {"actions": 6}, 1_687_206),
    ("dqn", {}, 1_693_362),
    ("alphago-policy", {}, 3_882_793),
    ("alphago-value", {}, 3_980_162),
    ("alphago-zero", {}, 22_837_864),
    ("alphago-zero", {"conv_bias": False}, 22_827_877),
    ("vit-b-16", {}, 86_567_656),
    ("gpt-2", {}, 124_439_808),
]
BOARD = (19, 19, 192)
SHAPES = [
    ("alphago-policy", {f"layer{i}/conv": BOARD for i in range(1, 13)}),
    ("alphago-policy", {"points": (19, 19, 1), "move": (361,)}),
    ("alphago-value", {f"layer{i}/conv": BOARD for i in range(1, 13)}),
    ("alphago-value", {"points": (19, 19, 1), "hidden": (256,), "value": ()}),
    ("alphago-zero", {f"block{i}/norm2": (19, 19, 256) for i in range(1, 20)}),
    ("alphago-zero", {"norm": (19, 19, 256), "move": (362,), "value": ()}),
    ("alphago-zero", {"policy-norm": (19, 19, 2), "value-norm": (19, 19, 1)}),
    ("dqn", {"conv1": (20, 20, 32), "conv2": (9, 9, 64), "conv3": (7, 7, 64)}),
    ("autoencoder", {"encoder3": (250,), "code": (30,), "decoder1": (250,)}),
    ("autoencoder", {"decoder3": (1000,), "reconstruction": (28, 28, 1)}),
    ("vit-b-16", {"patches": (14, 14, 768), "tokens": (197, 768)}),
    ("vit-b-16", {"block12/hidden": (197, 3072), "class": (1000,)}),
    ("gpt-2", {"embedding": (1024, 768), "block1/attention": (1024, 768)}),
    ("gpt-2", {"block12/hidden": (1024, 3072), "next": (1024, 50257)}),
]
SMALL = [
    ("capsnet", {"shape": (18, 18, 1), "features": 4, "maps": 1, "decoder": True}),
    ("autoencoder", {"shape": (4, 4, 1), "sizes": (8, 3)}),
    ("dqn", {"actions": 4}),
    ("alphago-policy", {"size": 5, "filters": 4, "layers": 3}),
    ("alphago-policy", {"size": 5, "filters": 4, "layers": 1}),
    ("alphago-value", {"size": 5, "filters": 4, "layers": 3}),
    ("alphago-zero", {"size": 5, "filters": 4, "blocks": 2}),
    (
        "vit-b-16",
        {
            "shape": (8, 8, 3),
            "patch": 4,
            "width": 8,
            "hidden": 16,
            "layers": 2,
            "heads": 2,
            "classes": 5,
        },
    ),
    (
        "gpt-2",
        {
            "vocabulary": 11,
            "length": 6,
            "width": 8,
            "layers": 2,
            "heads": 2,
            "dropout": 0.1,
        },
    ),
]


@pytest.mark.parametrize(("name", "options", "count"), COUNTS)
def test_parameter_count(name, options, count):
    assert cj.compile(cj.zoo.graph(name, **options)).parameter_count == count


@pytest.mark.parametrize(("name", "expected"), SHAPES)
def test_shapes_are_the_published_ones(name, expected):
    shapes = cj.compile(cj.zoo.graph(name)).shapes
    assert {layer: shapes[layer].output for layer in expected} == expected


def batch_of(net, size=2):
    """Numbers, and integers where a network reads them; targets of any kind."""
    random = np.random.default_rng(0)
    batch = {}
    for each in net.graph.inputs:
        drawn = random.random((size, *each.shape))
        if each.dtype == "integer":
            drawn = (drawn * 11).astype(np.int32)
        if not each.learned:
            batch[each.name] = jnp.asarray(drawn)
    for name, loss in net.graph.losses:
        shape = (size, *net.shapes[name].output)
        target = random.random(shape)
        batch[name] = jnp.asarray(np.argmax(target, -1) if loss.classes else target)
    return batch


@pytest.mark.parametrize(("name", "options"), SMALL)
def test_every_parameter_has_a_gradient(name, options):
    net = cj.compile(cj.zoo.graph(name, **options))
    params, state = jax.eval_shape(net.init, jax.random.key(0))

    def loss(params, state, batch):
        return net.loss(params, state, batch, key=jax.random.key(1))[0]

    shapes = jax.eval_shape(jax.grad(loss), params, state, batch_of(net))
    found = jax.tree.map(lambda leaf: leaf.shape, shapes)
    assert found == jax.tree.map(lambda leaf: leaf.shape, params)


def test_gpt_2_sees_no_token_that_comes_later():
    options = SMALL[-1][1] | {"layers": 1}
    net = cj.compile(cj.zoo.graph("gpt-2", **options))
    params, state = net.init(jax.random.key(0))
    tokens = jnp.asarray([[1, 2, 3, 4, 5, 6], [1, 2, 3, 9, 5, 6]])
    found = jax.jit(net.apply)(params, state, {"tokens": tokens})[0]["next"]
    np.testing.assert_allclose(found[0, :3], found[1, :3], rtol=1e-12)
    assert float(jnp.abs(found[0, 3:] - found[1, 3:]).max()) > 1e-3
    np.testing.assert_allclose(found.sum(-1), 1, rtol=1e-12)


def test_gpt_2_has_one_table():
    net = cj.compile(cj.zoo.graph("gpt-2", **SMALL[-1][1]))
    named = net.named(net.init(jax.random.key(0))[0])
    assert named["words"]["W"].shape == (11, 8)
    assert "W" not in named["embedding"] and "next" not in named


def test_the_decoder_reads_the_labels_capsule_alone():
    net = cj.compile(cj.zoo.graph("capsnet", **SMALL[0][1]))
    params, state = net.init(jax.random.key(0))
    image = jnp.asarray(np.random.default_rng(0).random((2, 18, 18, 1)))
    label = jax.nn.one_hot(jnp.asarray([3, 7]), 10)
    found = jax.jit(net.activations)(params, state, {"image": image, "label": label})
    vectors = found["vectors"]["Y"]
    expected = jnp.where(label[..., None] == 1, vectors, 0)
    np.testing.assert_array_equal(found["masked"]["Y"], expected)
    assert float(jnp.abs(vectors[0, 3]).max()) > 0


def test_dqn_leaves_actions_without_an_error_alone_and_clips_the_others():
    net = cj.compile(cj.zoo.graph("dqn", actions=3))
    loss = dict(net.graph.losses)["values"]
    y = jnp.asarray([[1.0, 2.0, 3.0]])
    target = jnp.asarray([[1.0, 7.0, 2.5]])
    np.testing.assert_allclose(loss.gradient(y, target), [[0, -1, 0.5]])


def test_an_autoencoder_has_a_code():
    with pytest.raises(ValueError) as raised:
        cj.zoo.graph("autoencoder", sizes=())
    assert str(raised.value) == (
        "an autoencoder has a code; sizes is (): give one or more"
    )
