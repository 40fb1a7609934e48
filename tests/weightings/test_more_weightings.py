"""Transposed and depthwise convolutions, upsample, flip: equalities and messages."""

import jax
import numpy as np
import pytest

import capsjax as cj
from capsjax import weightings as w
from capsjax.graph import ShapeError, from_document, to_document
from tests.helpers_capsjax import close, draw, inner, quick

# (stride, padding) and the length that 5 positions become under a window of 4
LENGTHS = [
    (1, "VALID", 8),
    (2, "VALID", 12),
    (6, "VALID", 28),
    (2, "SAME", 10),
    (6, "SAME", 30),
    (2, ((1, 0),), 11),  # PyTorch's padding=1, output_padding=1
    (2, ((3, 3),), 6),
]


@pytest.mark.parametrize("stride, padding, length", LENGTHS)
def test_the_length_and_the_convolution_back(stride, padding, length):
    """conv_transpose is the adjoint of conv with the same settings."""
    up = w.ConvTranspose(3, (4,), (stride,), padding)
    down = w.Conv(2, (4,), (stride,), padding)
    assert up.contribution_shape((5, 2)) == (length, 3)
    assert down.contribution_shape((length, 3)) == (5, 2)
    assert up.weight_shape((5, 2)) == down.weight_shape((length, 3))
    kernel, y, x = draw((4, 3, 2)), draw((2, 5, 2), 1), draw((2, length, 3), 2)
    there, back = quick(lambda: (up.forward(kernel, y), down.forward(kernel, x)))()
    assert inner(there, x) == pytest.approx(inner(y, back), rel=1e-12)


def test_upsampling_is_a_transposed_convolution_with_ones():
    y, ones = draw((2, 3, 4, 1)), np.ones((2, 3, 1, 1))
    spread = quick(w.ConvTranspose(1, (2, 3), (2, 3)).forward)(ones, y)
    close(quick(w.Upsample((2, 3)).forward)(None, y), spread, 1e-14)


def test_a_depthwise_convolution_is_one_in_as_many_groups_as_channels():
    settings = dict(stride=(2, 1), padding="SAME", dilation=(1, 2))
    each = w.DepthwiseConv((3, 2), 2, **settings)
    plain = w.Conv(8, (3, 2), **settings, groups=4)
    assert each.weight_shape((5, 6, 4)) == plain.weight_shape((5, 6, 4)) == (3, 2, 1, 8)
    assert each.flops((5, 6, 4)) == plain.flops((5, 6, 4)) == 2 * 3 * 6 * 8 * 6
    kernel, y = draw((3, 2, 1, 8)), draw((2, 5, 6, 4), 1)
    both = quick(lambda: (each.forward(kernel, y), plain.forward(kernel, y)))
    np.testing.assert_array_equal(*both())


def test_a_flip_twice_is_none():
    y = draw((2, 3, 4))
    np.testing.assert_array_equal(w.Flip((0,)).forward(None, y), y[:, ::-1])
    np.testing.assert_array_equal(w.Flip((-1,)).forward(None, y), y[:, :, ::-1])
    both = w.Flip((0, -1))
    np.testing.assert_array_equal(both.forward(None, both.forward(None, y)), y)


def test_they_are_read_from_documents_as_they_were_written():
    x = cj.input("x", (4, 4, 3))
    a = cj.capsule("a", cj.depthwise_conv(x, (3, 3), multiplier=2, padding="SAME"))
    b = cj.capsule("b", cj.flip(cj.capsule("f", cj.upsample(a, (2, 2))), (0, -1)))
    c = cj.capsule("c", cj.conv_transpose(b, 5, (3, 3), stride=(2, 2), padding="SAME"))
    graph = cj.graph(c)
    assert from_document(to_document(graph)) == graph
    net = cj.compile(graph)
    params, state = jax.eval_shape(net.init, jax.random.key(0))
    batch = {"x": jax.ShapeDtypeStruct((1, 4, 4, 3), float)}
    found = jax.eval_shape(net.apply, params, state, batch)[0]["c"]
    assert found.shape == (1, *net.shapes["c"].output) == (1, 16, 16, 5)


UNDER_A_WINDOW = (
    "found shape (4, 3) under a window of 2 axes; expected 2 spatial axes, then "
    "channels; cure: reshape the source, or give the window as many axes as the source "
    "has before its channels"
)
FLIPS = (
    "found axes {} for shape (2, 3); expected some of the axes (0, 1), each at most "
    "once (the batch axis is not counted); cure: correct the axes"
)
ERRORS = [
    (w.ConvTranspose(2, (3, 3)), (4, 3), UNDER_A_WINDOW),
    (w.DepthwiseConv((3, 3)), (4, 3), UNDER_A_WINDOW),
    (
        w.DepthwiseConv((3,)),
        (),
        "found a scalar; expected spatial axes, then channels; cure: reshape the "
        "source",
    ),
    (
        w.ConvTranspose(2, (3,), (1, 2)),
        (4, 3),
        "found stride of 2 axes, window (3,); expected as many as the window has: 1; "
        "cure: correct stride or the window",
    ),
    (
        w.ConvTranspose(2, (3,), padding=((2, 3),)),
        (2, 3),
        "found padding ((2, 3),) with a window of (3,) and stride (1,) on shape "
        "(2, 3); expected padding that leaves at least one position on each axis; "
        "cure: less padding: here it is cut off the result",
    ),
    (
        w.Upsample((2, 2)),
        (4, 3),
        "found shape (4, 3) under factors for 2 axes; expected 2 spatial axes, then "
        "channels; cure: give as many factors as the source has axes before its "
        "channels",
    ),
    (w.Flip((2,)), (2, 3), FLIPS.format("(2,)")),
    (w.Flip((1, -1)), (2, 3), FLIPS.format("(1, -1)")),
]


@pytest.mark.parametrize("weighting, shape, text", ERRORS)
def test_the_message_in_full(weighting, shape, text):
    with pytest.raises(ShapeError) as caught:
        weighting.contribution_shape(shape)
    assert str(caught.value) == text
