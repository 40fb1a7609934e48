"""Bad settings and shapes of weighting operations: every message in full."""

import jax
import pytest

import capsjax as cj
from capsjax import weightings as w
from capsjax.graph import ShapeError
from tests.helpers_capsjax import draw

A_SCALAR = "found a scalar; expected at least one axis; cure: use `scale`"
ERRORS = [
    (w.ChannelScale(), (), A_SCALAR),
    (w.Dot(), (), A_SCALAR),
    (w.Matmul(3), (), A_SCALAR),
    (
        w.Vote(3, 2),
        (4,),
        "found shape (4,); expected [lower capsules, dimension], two axes; cure: "
        "reshape the source to a list of capsule vectors",
    ),
    (
        w.Reshape((4, 2)),
        (2, 3),
        "found shape (2, 3), 6 numbers, to be reshaped to (4, 2); expected a shape of "
        "6 numbers, at most one size -1; cure: correct the sizes, or leave one of "
        "them to be found out: -1",
    ),
    (
        w.Reshape((-1, -1)),
        (2, 3),
        "found shape (2, 3), 6 numbers, to be reshaped to (-1, -1); expected a shape "
        "of 6 numbers, at most one size -1; cure: correct the sizes, or leave one of "
        "them to be found out: -1",
    ),
    (
        w.Reshape((-1, 0)),
        (2,),
        "found shape (2,), 2 numbers, to be reshaped to (-1, 0); expected a shape "
        "of 2 numbers, at most one size -1; cure: correct the sizes, or leave one of "
        "them to be found out: -1",
    ),
    (
        w.Transpose((1, 1)),
        (2, 3),
        "found axes (1, 1) for shape (2, 3); expected each of the axes (0, 1) once "
        "(the batch axis is not counted); cure: correct the axes",
    ),
    (
        w.Place(2, 0, 3),
        (2, 3),
        "found axis 2 of shape (2, 3); expected an axis of 2 (the batch axis is not "
        "counted); cure: correct the axis, or reshape the source",
    ),
    (
        w.Place(0, 2, 3),
        (2, 3),
        "found a slot from 2 to 4 on axis 0; expected a slot within the size 3; cure: "
        "a smaller offset or a larger size",
    ),
    (
        w.Conv(2, (3, 3)),
        (4, 3),
        "found shape (4, 3) under a window of 2 axes; expected 2 spatial axes, then "
        "channels; cure: reshape the source, or give the window as many axes as the "
        "source has before its channels",
    ),
    (
        w.Conv(3, (3,), groups=2),
        (4, 4),
        "found 4 channels to 3 features in 2 groups; expected channels and features "
        "that are multiples of groups; cure: correct groups or features",
    ),
    (
        w.Conv(4, (3,), groups=2),
        (4, 3),
        "found 3 channels to 4 features in 2 groups; expected channels and features "
        "that are multiples of groups; cure: correct groups or features",
    ),
    (
        w.Conv(2, (3,), (1, 2)),
        (4, 3),
        "found stride of 2 axes, window (3,); expected as many as the window has: 1; "
        "cure: correct stride or the window",
    ),
    (
        w.Conv(2, (3,), dilation=(1, 2)),
        (4, 3),
        "found dilation of 2 axes, window (3,); expected as many as the window has: "
        "1; cure: correct dilation or the window",
    ),
    (
        w.Conv(2, (3,), padding=((1, 1), (0, 0))),
        (4, 3),
        "found padding of 2 axes, window (3,); expected as many as the window has: 1; "
        "cure: correct padding or the window",
    ),
    (
        w.Conv(2, (3, 2), padding=((0, 0), (1, 0)), dilation=(2, 1)),
        (4, 3, 1),
        "found a window of 5 on axis 0 of size 4 with padding (0, 0); expected a "
        'window of at most 4; cure: a smaller window, or padding="SAME"',
    ),
]


@pytest.mark.parametrize("weighting, shape, text", ERRORS)
def test_the_message_in_full(weighting, shape, text):
    with pytest.raises(ShapeError) as caught:
        weighting.contribution_shape(shape)
    assert str(caught.value) == text


MIXED = (
    "found place edges {}; expected offset and size on all of them or on none; one "
    "axis, if on none; cure: leave out offset and size, and give each edge the same "
    "axis"
)


@pytest.mark.parametrize(
    "places, shown",
    [
        ([w.Place(), w.Place(-1, 0, 6)], "place, place(offset=0, size=6)"),
        ([w.Place(0), w.Place(1)], "place(axis=0), place(axis=1)"),
        ([w.Place(offset=0)], "place(offset=0)"),
    ],
)
def test_slots_that_do_not_go_together(places, shown):
    with pytest.raises(ShapeError) as caught:
        w.Place.resolve([(2, 3)] * len(places), places)
    assert str(caught.value) == MIXED.format(shown)


def test_the_axis_of_a_slot_is_checked_when_slots_are_laid_out():
    with pytest.raises(ShapeError, match="found axis 1 of shape "):
        w.Place.resolve([(2,)], [w.Place(1)])


@pytest.mark.parametrize(
    "make, text",
    [
        (
            lambda: cj.matmul("x", 3),  # pyright: ignore[reportArgumentType]
            "an edge's source is what cj.input or cj.capsule returned, not str: 'x'",
        ),
        (
            lambda: cj.edge(cj.input("x", (2,)), "matmul"),  # pyright: ignore[reportArgumentType]
            "an edge's operation is a record, such as cj.weightings.Matmul(10), not "
            "'matmul'",
        ),
        (
            lambda: cj.capsule("h", cj.input("x", (2,))),  # pyright: ignore[reportArgumentType]
            "capsule 'h' takes edges, such as cj.matmul(source, 10) or "
            "cj.identity(source), not <input 'x'>",
        ),
    ],
)
def test_edges_of_the_wrong_type(make, text):
    with pytest.raises(TypeError) as caught:
        make()
    assert str(caught.value) == text


def test_a_record_without_rules_says_so():
    class Bare(cj.Weighting):
        pass

    with pytest.raises(TypeError, match="^Bare declares no forward$"):
        Bare().forward(None, draw((2, 3)))
    with pytest.raises(TypeError, match="^Bare declares no contribution_shape$"):
        Bare().contribution_shape((3,))


def test_default_rules_are_transpositions(own_kinds):
    """A record that declares a forward alone has all the laws."""

    @cj.register_weighting("outer_by_default")
    class Outer(cj.Weighting):
        def weight_shape(self, shape):
            return (4,)

        def contribution_shape(self, shape):
            return (*shape, 4)

        def forward(self, w, y):
            return y[..., None] * w

    y, weight, delta = draw((2, 3)), draw((4,), 1), draw((2, 3, 4), 2)
    dw, dy = jax.vjp(Outer().forward, weight, y)[1](delta)
    assert jax.numpy.allclose(Outer().weight_gradient(y, delta, (4,)), dw, 1e-14)
    assert jax.numpy.allclose(Outer().input_gradient(weight, delta, y.shape), dy)
