"""Tensors by name and layout, against formulas written out; torch is not needed."""

import numpy as np
import pytest
from scipy.special import expit

import capsjax as cj
from capsjax.pretrained import from_keras, from_torch


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def layers():
    """A map, its channels standardized and scaled, flattened, and two matrices."""
    image = cj.input("image", (4, 5, 3))
    conv1 = cj.conv(image, 2, (2, 3))
    conv1 = cj.capsule("stage1/conv1", conv1, cap="standardize", bias=None)
    norm1 = cj.capsule("stage1/norm1", cj.channel_scale(conv1), cap="relu")
    flat = cj.capsule("flat", cj.reshape(norm1, (-1,)), bias=None)
    hidden = cj.capsule("hidden", cj.matmul(flat, 6), cap="sigmoid")
    return cj.compile(cj.graph(cj.capsule("digit", cj.matmul(hidden, 6))))


NAMES = {
    "stage{i}/conv{k}": "features.{i-1}.conv{k}",
    "stage{i}/norm{k}": "features.{i-1}.bn{k}",
    "digit": "classifier",
}


def tensors():
    """As `layers` would stand in PyTorch."""
    return {
        "features.0.conv1.weight": draw(2, 3, 2, 3),
        "features.0.bn1.weight": draw(2, seed=1),
        "features.0.bn1.bias": draw(2, seed=2),
        "features.0.bn1.running_mean": draw(2, seed=3),
        "features.0.bn1.running_var": draw(2, seed=4) ** 2,
        "features.0.bn1.num_batches_tracked": np.array(7),
        "hidden.weight": draw(6, 18, seed=5),
        "hidden.bias": draw(6, seed=6),
        "classifier.weight": draw(6, 6, seed=7),
        "classifier.bias": draw(6, seed=8),
    }


def channels_first(t, x):
    """The network of `layers` as PyTorch computes it: [batch, channels, h, w]."""
    windows = np.lib.stride_tricks.sliding_window_view(x, (2, 3), (2, 3))
    u = np.einsum("bihwkl,oikl->bohw", windows, t["features.0.conv1.weight"])
    of = {
        name: t[f"features.0.bn1.{name}"][:, None, None]
        for name in ("weight", "bias", "running_mean", "running_var")
    }
    y = (u - of["running_mean"]) / np.sqrt(of["running_var"] + 1e-5)
    y = np.maximum(of["weight"] * y + of["bias"], 0).reshape(len(x), -1)
    y = expit(y @ t["hidden.weight"].T + t["hidden.bias"])
    return y @ t["classifier.weight"].T + t["classifier.bias"]


def test_the_network_computes_what_pytorch_does():
    net, given, x = layers(), tensors(), draw(2, 3, 4, 5, seed=9)
    params, state = from_torch(net, given, NAMES)
    outputs, _ = net.apply(params, state, {"image": x.transpose(0, 2, 3, 1)})
    np.testing.assert_allclose(outputs["digit"], channels_first(given, x), rtol=1e-10)


def test_whatever_does_not_match_is_listed():
    given = tensors()
    given["features.0.conv1.weight"] = draw(2, 3, 3, 2)
    given["classifer.weight"] = given.pop("classifier.weight")
    given["extra"] = draw(3)
    with pytest.raises(ValueError) as caught:
        from_torch(layers(), given, {**NAMES, "hiden": "fc"})
    assert str(caught.value).splitlines() == [
        "torch tensors do not fit network 'network' (1 missing, 1 of another form, "
        "2 left over):",
        "    digit:W:hidden: missing; expected 'classifier.weight'; cure: did you mean "
        "'classifer.weight'?",
        "    stage1/conv1:W:image: found 'features.0.conv1.weight' of shape "
        "(3, 2, 3, 2), stored as (2, 3, 3, 2); expected shape (2, 3, 3, 2)",
        "    'classifer.weight' of shape (6, 6): left over; cure: name the capsule "
        "that it belongs to, or leave it out",
        "    'extra' of shape (3,): left over; cure: name the capsule that it belongs "
        "to, or leave it out",
        "    names, 'hiden': unknown; cure: did you mean 'hidden'?",
    ]


def test_parts_and_transposed_tensors():
    x = cj.input("x", (4,))
    value = cj.capsule("value", cj.matmul(x, 4))
    digit = cj.capsule("digit", cj.matmul(value, 2), bias=None)
    net = cj.compile(cj.graph(digit))
    given = {"qkv.weight": draw(4, 12), "qkv.bias": draw(12, seed=1)}
    given["in_proj"] = draw(6, 4, seed=2)
    names = {"value": "qkv.T[3/3]", "digit:W:value": "in_proj[2/3]"}
    params, _ = from_torch(net, given, names)
    named = net.named(params)
    np.testing.assert_array_equal(named["value"]["W"]["x"], given["qkv.weight"][:, 8:])
    np.testing.assert_array_equal(named["value"]["B"], given["qkv.bias"][8:])
    expected = given["in_proj"][2:4].T
    np.testing.assert_array_equal(named["digit"]["W"]["value"], expected)


def test_a_tensor_is_taken_once():
    x, y = cj.input("x", (4,)), cj.input("y", (4,))
    net = cj.compile(cj.graph(cj.capsule("h", cj.matmul(x, 2), cj.matmul(y, 2))))
    given = {"h.weight": draw(2, 4), "h.bias": draw(2), "other": draw(2, 4, seed=1)}
    with pytest.raises(ValueError) as caught:
        from_torch(net, given)
    assert (
        "h:W:y: found 'h.weight', which h:W:x takes; expected a tensor of its own; "
        "cure: list it in names, 'h:W:y': NAME" in str(caught.value)
    )
    params, _ = from_torch(net, given, {"h:W:y": "other"})
    weights = net.named(params)["h"]["W"]
    np.testing.assert_array_equal(weights["y"], given["other"].T)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            {"c{i-1}": "fc"},
            "names: found {i-1} in 'c{i-1}'; expected {i}: only the name on the other "
            "side may shift a number",
        ),
        (
            {"dig{i}": "fc{j}"},
            "names: found the placeholder {j} in 'fc{j}'; expected one of the rule's "
            "own: i",
        ),
        (
            {"dig{i}": "fc{i-1}"},
            "names: found i = 'it' for 'fc{i-1}'; expected a number, which alone can "
            "be shifted",
        ),
        (
            {"digit": "fc[4/3]"},
            "found part 4 of 3 in 'fc[4/3]'; expected a part from 1 to 3",
        ),
        ({"digit": ""}, "found ''; expected a name, such as 'features.0'"),
        (
            {"digit": "fc[1/4]"},
            "digit:W:x: found 'fc.weight' of 6 features; expected a multiple of 4",
        ),
    ],
)
def test_faulty_names_are_refused(names, message):
    x = cj.input("x", (2,))
    net = cj.compile(cj.graph(cj.capsule("digit", cj.matmul(x, 3), bias=None)))
    with pytest.raises(ValueError) as caught:
        from_torch(net, {"fc.weight": draw(6, 2)}, names)
    assert message in str(caught.value)


@pytest.mark.parametrize("first", ["identity", "conv"])
def test_a_sequence_flattens_in_its_own_order(first):
    """[length, channels] is turned around only where a convolution made it."""
    x = cj.input("x", (4, 3))
    edge = cj.conv(x, 3, (1,)) if first == "conv" else cj.matmul(x, 3)
    h = cj.capsule("h", edge, bias=None)
    flat = cj.capsule("flat", cj.reshape(h, (-1,)), bias=None)
    net = cj.compile(cj.graph(cj.capsule("y", cj.matmul(flat, 2), bias=None)))
    w = draw(2, 12)
    h_weight = draw(3, 3, *([1] if first == "conv" else []))
    params, _ = from_torch(net, {"y.weight": w, "h.weight": h_weight})
    order = np.arange(12)
    if first == "conv":
        order = order.reshape(3, 4).T.reshape(-1)
    np.testing.assert_array_equal(net.named(params)["y"]["W"]["flat"], w.T[order])


class Variable:
    """What `model.weights` of Keras holds."""

    def __init__(self, path, value):
        self.path, self.value = path, value

    def __array__(self, dtype=None, copy=None):
        return self.value


@pytest.mark.parametrize("before", ["", "sequential_2/"])
def test_keras_names_and_layouts(before):
    image = cj.input("image", (4, 4, 3))
    each = cj.depthwise_conv(image, (2, 2), multiplier=2)
    conv1 = cj.capsule("conv1", each, cap="standardize")
    norm1 = cj.capsule("norm1", cj.channel_scale(conv1))
    flat = cj.capsule("flat", cj.reshape(norm1, (-1,)), bias=None)
    net = cj.compile(cj.graph(cj.capsule("digit", cj.matmul(flat, 2))))
    given = {
        "conv1/kernel": draw(2, 2, 3, 2),
        "conv1/bias": draw(6),
        "bn1/gamma": draw(6, seed=1),
        "bn1/beta": draw(6, seed=2),
        "bn1/moving_mean": draw(6, seed=3),
        "bn1/moving_variance": draw(6, seed=4) ** 2,
        "digit/kernel": draw(54, 2, seed=5),
        "digit/bias": draw(2, seed=6),
        "seed_generator/seed_generator_state": np.zeros(2, "uint32"),
    }
    weights = [Variable(before + path, value) for path, value in given.items()]
    params, state = from_keras(net, weights, {"norm{i}": "bn{i}"})
    named = net.named(params)
    kernel = given["conv1/kernel"]
    for channel in range(3):
        for copy in range(2):
            np.testing.assert_array_equal(
                named["conv1"]["W"]["image"][:, :, 0, 2 * channel + copy],
                kernel[:, :, channel, copy],
            )
    np.testing.assert_array_equal(named["norm1"]["W"]["conv1"], given["bn1/gamma"])
    np.testing.assert_array_equal(named["norm1"]["B"], given["bn1/beta"])
    np.testing.assert_array_equal(named["digit"]["W"]["flat"], given["digit/kernel"])
    np.testing.assert_array_equal(state["conv1"]["mean"], given["bn1/moving_mean"])
    expected = given["bn1/moving_variance"]
    np.testing.assert_array_equal(state["conv1"]["variance"], expected)


def test_shared_weights_and_learned_inputs():
    words = cj.input("words", (3,), dtype="integer")
    first = cj.share(cj.embed(words, 5, 4), "table")
    second = cj.share(cj.embed(words, 5, 4), "table")
    places = cj.learned("places", (3, 4))
    x = cj.capsule("x", first, second, cj.identity(places), bias=None)
    net = cj.compile(cj.graph(x))
    given = {"wte.weight": draw(5, 4), "places": draw(1, 3, 4, seed=1)}
    params, _ = from_torch(net, given, {"table": "wte", "places:B": "places"})
    outputs, _ = net.apply(params, {}, {"words": np.array([[0, 4, 1]])})
    expected = 2 * given["wte.weight"][[0, 4, 1]] + given["places"]
    np.testing.assert_allclose(outputs["x"], expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("convert", "given", "text"),
    [
        (
            from_torch,
            ("model.safetensors",),
            "tensors: found a str; expected model.state_dict(), or arrays by name",
        ),
        (
            from_torch,
            ({"state_dict": {}, "epoch": 3},),
            "tensors, 'state_dict': found a dict; expected an array; cure: give what "
            "is under 'state_dict' alone",
        ),
        (
            from_torch,
            ({}, "torchvision"),
            'names: found a str; expected a table {"stem": "features.0"}, as '
            "cj.zoo.names_in makes it",
        ),
        (
            from_keras,
            ("model.keras",),
            "weights: found a str; expected model.weights, or arrays by path",
        ),
    ],
)
def test_what_is_no_table_is_refused(convert, given, text):
    with pytest.raises(TypeError) as error:
        convert(layers(), *given)
    assert str(error.value) == text
