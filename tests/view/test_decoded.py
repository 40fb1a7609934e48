"""reconstructions and perturbations: which images stand where, and what is refused."""

import re

import jax
import numpy as np
import pytest

import capsjax as cj
from capsjax.view import decoded

SHAPE = (18, 18, 1)
NET = cj.compile(
    cj.zoo.graph("capsnet", shape=SHAPE, classes=3, features=4, maps=1, decoder=True)
)
PARAMS, STATE = jax.jit(NET.init)(jax.random.key(0))
PARAMS = jax.tree.map(lambda leaf: np.asarray(leaf) + np.float32(0.02), PARAMS)
APPLY = jax.jit(NET.apply)
IMAGES = np.random.default_rng(0).random((4, *SHAPE)).astype(np.float32)
INPUTS = {"image": IMAGES, "label": np.eye(3, dtype=np.float32)[[0, 1, 2, 0]]}
ONE = {name: array[1:2] for name, array in INPUTS.items()}


def tile(picture, row, column):
    """One image of a picture, with its first color."""
    (drawn,) = picture.figure.axes[0].get_images()
    top, left = row * 20, column * 20  # 18 pixels, and 2 between
    return np.asarray(drawn.get_array())[top : top + 18, left : left + 18, 0]


def ticks(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def test_reconstructions_stand_below_their_images():
    picture = cj.view.reconstructions(NET, PARAMS, STATE, INPUTS)
    outputs, _ = APPLY(PARAMS, STATE, INPUTS)
    for i in range(4):
        np.testing.assert_array_equal(tile(picture, 0, i), IMAGES[i, ..., 0])
        expected = outputs["reconstruction"][i, ..., 0]
        np.testing.assert_allclose(tile(picture, 1, i), expected, rtol=1e-6)
    assert ticks(picture.figure.axes[0].yaxis) == ["image", "reconstruction"]
    assert picture.png.startswith(b"\x89PNG") and picture.svg == picture.svg


def test_perturbations_decode_changed_vectors():
    """Against a change made in the decoder's own first product."""
    picture = cj.view.perturbations(
        NET, PARAMS, STATE, ONE, dimensions=[0, 5], span=0.5, steps=3
    )
    outputs, _ = APPLY(PARAMS, STATE, ONE)
    plain = outputs["reconstruction"][0, ..., 0]
    for row, dimension in enumerate([0, 5]):
        np.testing.assert_allclose(tile(picture, row, 1), plain, rtol=1e-6)
        for column, amount in [(0, -0.5), (2, 0.5)]:
            named = NET.named(PARAMS)
            first = named["decoder1"]
            moved = amount * first["W"]["flat"][16 + dimension]  # of class 1
            named["decoder1"] = first | {"B": first["B"] + moved}
            outputs, _ = APPLY(NET.from_named(named), STATE, ONE)
            expected = outputs["reconstruction"][0, ..., 0]
            assert np.abs(expected - plain).max() > 1e-4
            found = tile(picture, row, column)
            np.testing.assert_allclose(found, expected, rtol=1e-5)
    axes = picture.figure.axes[0]
    assert ticks(axes.yaxis) == ["dimension 0", "dimension 5"]
    assert ticks(axes.xaxis) == ["-0.50", "+0.00", "+0.50"]


def test_all_dimensions_if_none_are_chosen():
    picture = cj.view.perturbations(NET, PARAMS, STATE, ONE, steps=2)
    assert len(ticks(picture.figure.axes[0].yaxis)) == 16


def test_what_lies_behind_a_capsule():
    behind = decoded._behind(NET, "vectors", "reconstruction")
    assert {each.name: each.shape for each in behind.inputs} == {
        "label": (3,),
        "vectors": (3, 16),
    }
    assert [each.name for each in behind.capsules][-1] == "reconstruction"
    assert "digit" not in [each.name for each in behind.capsules]


def test_colors_are_kept_and_shared_weights_and_learned_inputs_go_along():
    image = cj.input("image", (4, 4, 3))
    flat = cj.capsule("flat", cj.reshape(image, (-1,)), bias=None)
    code = cj.capsule("code", cj.share(cj.matmul(flat, 48), "both"))
    again = cj.share(cj.matmul(code, 48), "both"), cj.identity(cj.learned("c", (48,)))
    row = cj.capsule("row", *again, cap="sigmoid")
    back = cj.capsule("back", cj.reshape(row, (4, 4, 3)), bias=None)
    net = cj.compile(cj.graph(back))
    params, state = jax.jit(net.init)(jax.random.key(1))
    images = {"image": IMAGES[:1, :4, :4].repeat(3, -1) * [1.0, 0.5, 0.0]}
    images = {name: array.astype(np.float32) for name, array in images.items()}
    made = cj.view.perturbations(
        net, params, state, images, capsule="code", output="back", steps=3
    )
    expected = jax.jit(net.apply)(params, state, images)[0]["back"][0]
    (drawn,) = made.figure.axes[0].get_images()
    found = np.asarray(drawn.get_array())[:4, 6:10]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            {"output": "digit"},
            "output 'digit' of network 'capsnet': found shape (3,); expected an image, "
            "[height, width, channels] with 1 or 3 channels; it has 'digit' (3,), "
            "'reconstruction' (18, 18, 1)",
        ),
        (
            {"output": "picture"},
            "output 'picture' of network 'capsnet': found none of that name; expected "
            "an image, [height, width, channels] with 1 or 3 channels; it has 'digit' "
            "(3,), 'reconstruction' (18, 18, 1)",
        ),
        (
            {"capsule": "vector"},
            "network 'capsnet' has no capsule 'vector'; it has 'conv1', 'maps', "
            "'primary', 'vectors', 'digit', 'chosen', 'masked', 'flat', 'decoder1', "
            "'decoder2', 'pixels', 'reconstruction'",
        ),
        (
            {"capsule": "digit"},
            "output 'reconstruction' does not read capsule 'digit'",
        ),
        (
            {"dimensions": [3, 16]},
            "found dimensions [3, 16] and 11 steps; expected dimensions from 0 to 15, "
            "and 2 steps or more",
        ),
        (
            {"steps": 1, "dimensions": [0]},
            "found dimensions [0] and 1 steps; expected dimensions from 0 to 15, and "
            "2 steps or more",
        ),
        (
            {"inputs": INPUTS},
            "found 'vectors' of shape (4, 3, 16); expected one example, and vectors "
            "along the last axis",
        ),
    ],
)
def test_perturbations_that_can_not_be_drawn(change, text):
    given = {"inputs": ONE} | change
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        cj.view.perturbations(NET, PARAMS, STATE, **given)


def test_inputs_that_are_no_images():
    text = (
        "input 'label' of network 'capsnet': found shape (3,); expected an image, "
        "[height, width, channels] with 1 or 3 channels; it has 'image' (18, 18, 1), "
        "'label' (3,)"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        cj.view.reconstructions(NET, PARAMS, STATE, INPUTS, image="label")
