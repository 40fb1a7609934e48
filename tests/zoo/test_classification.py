"""Networks that classify images: published sizes and shapes, options, gradients."""

from typing import Any

import jax
import numpy as np
import pytest

import capsjax as cj
from capsjax.zoo.residual import padded_stage

COUNTS = {
    "lenet-5-1998": 60_000,
    "alexnet": 61_100_840,
    "alexnet-original": 60_965_224,
    "vgg-11": 132_863_336,
    "vgg-13": 133_047_848,
    "vgg-16": 138_357_544,
    "vgg-19": 143_667_240,
    "googlenet": 6_624_904,
    "googlenet-original": 6_998_552,
    "resnet-20-cifar": 269_722,
    "resnet-56-cifar": 853_018,
    "resnet-110-cifar": 1_727_962,
    "resnet-18": 11_689_512,
    "resnet-34": 21_797_672,
    "resnet-50": 25_557_032,
    "resnet-101": 44_549_160,
    "resnet-152": 60_192_808,
    "densenet-bc-40-12": 176_122,
    "densenet-bc-100-12": 769_162,
    "densenet-121": 7_978_856,
    "densenet-169": 14_149_480,
    "densenet-201": 20_013_928,
}

# Per-layer shapes as the publications give them.
SHAPES = {
    # LeCun 1998, Figure 2
    "lenet-5-1998": {
        "c1": (28, 28, 6),
        "s2/out": (14, 14, 6),
        "c3": (10, 10, 16),
        "s4/out": (5, 5, 16),
        "c5": (1, 1, 120),
        "f6": (84,),
        "digit": (10,),
    },
    # Krizhevsky 2012, Figure 2 and section 3.5: both devices together
    "alexnet-original": {
        "conv1": (55, 55, 96),
        "pool1": (27, 27, 96),
        "conv2": (27, 27, 256),
        "pool2": (13, 13, 256),
        "conv3": (13, 13, 384),
        "conv4": (13, 13, 384),
        "conv5": (13, 13, 256),
        "pool5": (6, 6, 256),
        "fc6": (4096,),
        "fc7": (4096,),
        "classes": (1000,),
    },
    # Szegedy 2014, Table 1
    "googlenet-original": {
        "conv1": (112, 112, 64),
        "pool1": (56, 56, 64),
        "conv3": (56, 56, 192),
        "pool2": (28, 28, 192),
        "inception3a/out": (28, 28, 256),
        "inception3b/out": (28, 28, 480),
        "pool3": (14, 14, 480),
        "inception4a/out": (14, 14, 512),
        "inception4b/out": (14, 14, 512),
        "inception4c/out": (14, 14, 512),
        "inception4d/out": (14, 14, 528),
        "inception4e/out": (14, 14, 832),
        "pool4": (7, 7, 832),
        "inception5a/out": (7, 7, 832),
        "inception5b/out": (7, 7, 1024),
        "pool": (1024,),
        "classes": (1000,),
    },
    # He 2016, Table 1
    "resnet-50": {
        "conv1": (112, 112, 64),
        "pool1": (56, 56, 64),
        "stage1/block3/norm3": (56, 56, 256),
        "stage2/block4/norm3": (28, 28, 512),
        "stage3/block6/norm3": (14, 14, 1024),
        "stage4/block3/norm3": (7, 7, 2048),
    },
    # He 2016, section 4.2
    "resnet-110-cifar": {
        "stage1/block18/norm2": (32, 32, 16),
        "stage2/block18/norm2": (16, 16, 32),
        "stage3/block18/norm2": (8, 8, 64),
    },
    # Huang 2017, Table 1
    "densenet-121": {
        "conv0": (112, 112, 64),
        "pool0": (56, 56, 64),
        "block1/layer6/out": (56, 56, 256),
        "transition1/pool": (28, 28, 128),
        "block2/layer12/out": (28, 28, 512),
        "transition2/pool": (14, 14, 256),
        "block3/layer24/out": (14, 14, 1024),
        "transition3/pool": (7, 7, 512),
        "block4/layer16/out": (7, 7, 1024),
    },
}


def small(name: str, **options):
    """A network for few classes and small images, where these are options."""
    if name == "lenet-5-1998":
        return cj.compile(cj.zoo.graph(name), check=False)
    size = {"alexnet": 63, "alexnet-original": 67}.get(name, 32)
    graph = cj.zoo.graph(name, shape=(size, size, 3), classes=7, **options)
    return cj.compile(graph, check=False)


def step_shapes(net: cj.Network):
    """Shapes of a step of training: loss, gradient, parameters, both states."""
    (image,) = net.graph.inputs
    batch = {image.name: jax.ShapeDtypeStruct((2, *image.shape), "float32")}
    for name, _ in net.graph.losses:
        batch[name] = jax.ShapeDtypeStruct((2,), "int32")

    def step(key, batch):
        params, state = net.init(key)
        value_and_grad = jax.value_and_grad(net.loss, has_aux=True)
        (loss, (_, new)), grads = value_and_grad(params, state, batch, key=key)
        return loss, grads, params, new, state

    return jax.eval_shape(step, jax.random.key(0), batch)


@pytest.mark.parametrize(("name", "count"), COUNTS.items())
def test_parameter_count(name, count):
    net = cj.compile(cj.zoo.graph(name), check=False)
    assert net.parameter_count == count


@pytest.mark.parametrize(("name", "shapes"), SHAPES.items())
def test_shapes_of_the_publication(name, shapes):
    found = cj.compile(cj.zoo.graph(name), check=False).shapes
    assert {layer: found[layer].output for layer in shapes} == shapes


# Larger ones of the same blocks as another would take long to trace; that with
# auxiliary heads holds all of googlenet.
LARGER = {
    *("vgg-13", "vgg-16", "vgg-19", "googlenet"),
    *("resnet-56-cifar", "resnet-110-cifar", "resnet-34", "resnet-101", "resnet-152"),
    *("densenet-bc-100-12", "densenet-169", "densenet-201"),
}


@pytest.mark.parametrize("name", [name for name in COUNTS if name not in LARGER])
def test_gradient_and_state_have_the_form_they_should(name):
    loss, grads, params, new, state = step_shapes(small(name))
    assert loss.shape == ()
    assert grads == params and new == state


def test_parameters_of_each_layer_of_lenet():
    net = cj.compile(cj.zoo.graph("lenet-5-1998"))
    named = jax.eval_shape(lambda key: net.named(net.init(key)[0]), jax.random.key(0))
    counts = {
        name: sum(leaf.size for leaf in jax.tree.leaves(part))
        for name, part in named.items()
    }
    third = [counts.pop(f"c3_of_{n}") for n in (3, 4, 6)]
    assert sum(third) == 1516
    assert {name: count for name, count in counts.items() if count} == {
        "c1": 156,
        "s2/out": 12,
        "s4/out": 32,
        "c5": 48_120,
        "f6": 10_164,
    }


def test_table_of_connections_of_lenet():
    """LeCun 1998, Table I: rows are maps of S2, columns maps of C3."""
    table = """
        X...XXX..XXXX.XX
        XX...XXX..XXXX.X
        XXX...XXX..X.XXX
        .XXX..XXXX..X.XX
        ..XXX..XXXX.XX.X
        ...XXX..XXXX.XXX
    """
    graph = cj.zoo.graph("lenet-5-1998")
    edges = {capsule.name: capsule.edges for capsule in graph.capsules}
    columns = []
    for features, maps in ((6, 3), (9, 4)):
        (edge,) = edges[f"c3_of_{maps}"]
        expected = cj.weightings.Conv(features, (5, 5), groups=features)
        assert edge.weighting == expected
        read = [int(each.source[-1]) for each in edges[edge.source]]
        columns += [read[i : i + maps] for i in range(0, len(read), maps)]
    columns.append(list(range(6)))
    assert [edge.source for edge in edges["c3"]] == ["c3_of_3", "c3_of_4", "c3_of_6"]
    for i in range(6):
        (edge,) = edges[f"map{i}"]
        assert edge.weighting == cj.weightings.Cut(i, 1)
    rows = ["".join(".X"[i in column] for column in columns) for i in range(6)]
    assert rows == table.split()


def test_bitmaps_of_lenet_are_far_apart():
    capsules = cj.zoo.graph("lenet-5-1998").capsules
    caps: dict[str, Any] = {capsule.name: capsule.cap for capsule in capsules}
    centers = caps["distances"].centers
    assert {len(center) for center in centers} == {7 * 12}
    differing = [
        sum(a != b for a, b in zip(x, y, strict=True))
        for i, x in enumerate(centers)
        for y in centers[:i]
    ]
    assert len(differing) == 45 and min(differing) >= 3


@pytest.mark.parametrize(
    "name, count", [("googlenet", 13_004_888), ("googlenet-original", 13_378_280)]
)
def test_auxiliary_heads(name, count):
    net = cj.compile(cj.zoo.graph(name, auxiliary=True), check=False)
    assert net.parameter_count == count
    assert [(head, loss.weight) for head, loss in net.graph.losses] == [
        ("classes", 1.0),
        ("aux1/classes", 0.3),
        ("aux2/classes", 0.3),
    ]
    assert net.shapes["aux1/pool"].output == (4, 4, 512)
    assert net.shapes["aux2/pool"].output == (4, 4, 528)


def test_gradient_with_auxiliary_heads():
    loss, grads, params, new, state = step_shapes(small("googlenet", auxiliary=True))
    assert loss.shape == ()
    assert grads == params and new == state


@pytest.mark.parametrize("size", range(33, 65))
def test_pooling_of_googlenet_reaches_over_the_end(size):
    """As with `ceil_mode`: the last window holds one position at least."""
    graph = cj.zoo.graph("googlenet", shape=(size, size, 3))
    shapes = cj.compile(graph, check=False).shapes

    def ceil(n, window):
        return -((window - n) // 2) + 1

    n, expected = (size - 1) // 2 + 1, []
    for window in (3, 3, 3, 2):
        n = ceil(n, window)
        expected.append(n)
    assert [shapes[f"pool{i}"].output[0] for i in (1, 2, 3, 4)] == expected


@pytest.mark.parametrize("name", ["alexnet", "vgg-16", "googlenet"])
def test_dropout_is_an_option(name):
    capsules = cj.zoo.graph(name, dropout=0.25).capsules
    drops = {c.cap for c in capsules if c.cap.kind == "dropout"}
    assert drops == {cj.caps.dropout(0.25)}


def test_shortcut_without_parameters():
    """Every other position; what is missing of the features is zero."""
    image = cj.input("image", (5, 4, 3))
    stage = padded_stage("stage", image, features=8, repeats=1)
    net = cj.compile(cj.graph(stage), check=False)
    params, state = jax.tree.map(
        lambda x: np.ones(x.shape), jax.eval_shape(net.init, jax.random.key(0))
    )
    x = np.random.default_rng(1).normal(size=(2, 5, 4, 3))
    activations = jax.jit(net.activations)(params, state, {"image": x})
    found = activations["stage/shortcut"]["Y"]
    np.testing.assert_array_equal(found[..., :3], x[:, ::2, ::2])
    np.testing.assert_array_equal(found[..., 3:], np.zeros((2, 3, 2, 5)))


def test_a_dense_layer_passes_on_what_it_reads():
    shapes = cj.compile(cj.zoo.graph("densenet-bc-40-12"), check=False).shapes
    for i in range(1, 7):
        assert shapes[f"block1/layer{i}/out"].output == (32, 32, 24 + 12 * i)


def test_sizes_and_sources():
    rows = {row.name: row for row in cj.zoo.overview()}
    assert tuple(rows) == cj.zoo.names()
    assert rows["densenet-121"].statistics == 83_648
    assert rows["mlp"].statistics == 0
    assert rows["figure-12"].inputs == ((16, 16, 3), (12,))
    for name, count in COUNTS.items():
        assert rows[name].parameters == count
    # A multiplication and an addition are two; torchvision counts them as one.
    assert rows["resnet-50"].flops == pytest.approx(2 * 4.09e9, rel=0.02)
    assert rows["vgg-16"].flops == pytest.approx(2 * 15.47e9, rel=0.02)
    for row in rows.values():
        assert row.source.endswith(".") and row.flops > 0
