"""reshape, transpose, place, cut: the numbers of Y, elsewhere. No weights."""

import itertools
import math
from typing import Annotated, ClassVar

import jax
import jax.numpy as jnp
from annotated_types import Ge, Le, Len

from capsjax.graph.declaration import Incoming, Node, edge
from capsjax.graph.errors import ShapeError, listing
from capsjax.graph.kinds import LARGEST, LARGEST_RANK, Count, NonNegative, Shape
from capsjax.weightings.base import Weighting, register_weighting


def position_of(shape: Shape, axis: int) -> int:
    """The axis counted from the front, without the batch."""
    if not -len(shape) <= axis < len(shape):
        raise ShapeError(
            f"axis {axis} of shape {shape}",
            f"an axis of {len(shape)} (the batch axis is not counted)",
            "correct the axis, or reshape the source",
        )
    return axis % len(shape)


Axis = Annotated[int, Ge(-64), Le(63)]
Size = Annotated[int, Ge(-1), Le(LARGEST)]


@register_weighting("reshape")
class Reshape(Weighting):
    """`U = Y` in another shape of the same size, row-major.

    Shapes:
        `Y [shape] -> U [shape']` of the same size, no W.

    Laws:
        Keeps inner products; its transpose is the reshape back.
    """

    symbol: ClassVar[str] = "\N{WHITE SQUARE}"

    shape: Annotated[tuple[Size, ...], Len(0, LARGEST_RANK)]

    def contribution_shape(self, shape: Shape) -> Shape:
        size, known = math.prod(shape), math.prod(n for n in self.shape if n != -1)
        free = self.shape.count(-1)
        fits = free == 0 and known == size
        fits |= free == 1 and known > 0 and size % known == 0
        if not fits:
            raise ShapeError(
                f"shape {shape}, {size} numbers, to be reshaped to {self.shape}",
                f"a shape of {size} numbers, at most one size -1",
                "correct the sizes, or leave one of them to be found out: -1",
            )
        return tuple(size // known if n == -1 else n for n in self.shape)

    def forward(self, w: None, y: jax.Array) -> jax.Array:
        return y.reshape(y.shape[0], *self.contribution_shape(y.shape[1:]))

    def input_gradient(self, w: None, delta: jax.Array, y_shape: Shape) -> jax.Array:
        return delta.reshape(y_shape)


@register_weighting("transpose")
class Transpose(Weighting):
    """`U` has Y's axes in another order.

    `U[i[axes[0]], i[axes[1]], ...] = Y[i]`.

    Shapes:
        `Y [axes] -> U [the axes in another order]`, no W.

    Laws:
        Keeps inner products; its transpose is the inverse order.
    """

    symbol: ClassVar[str] = "\N{MODIFIER LETTER CAPITAL T}"

    axes: tuple[NonNegative, ...]

    def contribution_shape(self, shape: Shape) -> Shape:
        if sorted(self.axes) != list(range(len(shape))):
            raise ShapeError(
                f"axes {self.axes} for shape {shape}",
                f"each of the axes {tuple(range(len(shape)))} once (the batch axis "
                "is not counted)",
                "correct the axes",
            )
        return tuple(shape[axis] for axis in self.axes)

    def forward(self, w: None, y: jax.Array) -> jax.Array:
        return y.transpose(0, *(axis + 1 for axis in self.axes))

    def input_gradient(self, w: None, delta: jax.Array, y_shape: Shape) -> jax.Array:
        back = sorted(range(len(self.axes)), key=self.axes.__getitem__)
        return delta.transpose(0, *(axis + 1 for axis in back))


@register_weighting("place")
class Place(Weighting):
    """Identity into a slot of U along an axis, zero elsewhere.

    `U[offset + i] = Y[i]` along the axis.

    A sum of such contributions with slots side by side *is* a concatenation. Where
    offset and size are not given, the slots follow each other in the order of the
    edges, and U is as large as all of them together.

    Shapes:
        `Y [..., n, ...] -> U [..., size, ...]`, no W.

    Laws:
        Keeps inner products; `cut` of the same slot gives Y back.
    """

    symbol: ClassVar[str] = "\N{SQUARED PLUS}"

    axis: Axis = -1
    offset: NonNegative | None = None
    size: Count | None = None

    @classmethod
    def resolve(cls, shapes: list[Shape], siblings: "list[Place]") -> "list[Place]":
        """Fills in each offset from the edges before, the size from all of them."""
        given = {(each.offset is None, each.size is None) for each in siblings}
        if given == {(False, False)}:
            return siblings
        axes = {
            position_of(shape, each.axis)
            for shape, each in zip(shapes, siblings, strict=True)
        }
        if given != {(True, True)} or len(axes) > 1:
            raise ShapeError(
                f"place edges {listing(map(str, siblings))}",
                "offset and size on all of them or on none; one axis, if on none",
                "leave out offset and size, and give each edge the same axis",
            )
        axis = axes.pop()
        ends = list(itertools.accumulate(shape[axis] for shape in shapes))
        return [
            Place(each.axis, end - shape[axis], ends[-1])
            for each, shape, end in zip(siblings, shapes, ends, strict=True)
        ]

    def _slot(self, shape: Shape) -> tuple[int, int, int]:
        """Axis counted from the front without batch, offset, size: all known."""
        assert self.offset is not None and self.size is not None
        return position_of(shape, self.axis), self.offset, self.size

    def contribution_shape(self, shape: Shape) -> Shape:
        axis, offset, size = self._slot(shape)
        if offset + shape[axis] > size:
            raise ShapeError(
                f"a slot from {offset} to {offset + shape[axis]} on axis {axis}",
                f"a slot within the size {size}",
                "a smaller offset or a larger size",
            )
        return (*shape[:axis], size, *shape[axis + 1 :])

    def forward(self, w: None, y: jax.Array) -> jax.Array:
        axis, offset, size = self._slot(y.shape[1:])
        widths = [(0, 0, 0)] * y.ndim
        widths[axis + 1] = (offset, size - offset - y.shape[axis + 1], 0)
        return jax.lax.pad(y, jnp.zeros((), y.dtype), widths)

    def input_gradient(self, w: None, delta: jax.Array, y_shape: Shape) -> jax.Array:
        axis, offset, _ = self._slot(y_shape[1:])
        end = offset + y_shape[axis + 1]
        return jax.lax.slice_in_dim(delta, offset, end, axis=axis + 1)


@register_weighting("cut")
class Cut(Weighting):
    """`U` is a piece of Y along an axis: the transpose of `place`.

    `U[i] = Y[start + i]` along the axis.

    Shapes:
        `Y [..., n, ...] -> U [..., size, ...]`, no W.

    Laws:
        `<cut(U), Y> = <U, place(Y)>`.
    """

    symbol: ClassVar[str] = "\N{WHITE SQUARE WITH LOWER LEFT QUADRANT}"

    start: NonNegative
    size: Count
    axis: Axis = -1

    def contribution_shape(self, shape: Shape) -> Shape:
        axis = position_of(shape, self.axis)
        if self.start + self.size > shape[axis]:
            raise ShapeError(
                f"a piece from {self.start} to {self.start + self.size} on axis {axis}",
                f"a piece within the size {shape[axis]}",
                "a smaller start or size",
            )
        return (*shape[:axis], self.size, *shape[axis + 1 :])

    def forward(self, w: None, y: jax.Array) -> jax.Array:
        axis = position_of(y.shape[1:], self.axis) + 1
        return jax.lax.slice_in_dim(y, self.start, self.start + self.size, axis=axis)

    def input_gradient(self, w: None, delta: jax.Array, y_shape: Shape) -> jax.Array:
        axis = position_of(y_shape[1:], self.axis) + 1
        widths = [(0, 0, 0)] * len(y_shape)
        widths[axis] = (self.start, y_shape[axis] - self.start - self.size, 0)
        return jax.lax.pad(delta, jnp.zeros((), delta.dtype), widths)


def reshape(source: Node, shape: tuple[int, ...]) -> Incoming:
    """Reads a source with another shape of the same size, in row-major order.

    Args:
        source: The input or capsule.
        shape: The new shape, without the batch; one size may be -1 and is found out.

    Returns:
        The edge.

    Example:
        >>> import capsjax as cj
        >>> x = cj.input("x", (7, 7, 16))
        >>> h = cj.capsule("flat", cj.reshape(x, (-1,)), bias=None)
        >>> cj.compile(cj.graph(h)).shapes["flat"].output
        (784,)
    """
    return edge(source, Reshape(shape))


def transpose(source: Node, axes: tuple[int, ...]) -> Incoming:
    """Reads a source with its axes in another order.

    Args:
        source: The input or capsule.
        axes: For each axis of the result, the axis of the source; the batch is not
            counted.

    Returns:
        The edge.

    Example:
        >>> import capsjax as cj
        >>> x = cj.input("x", (7, 3))
        >>> h = cj.capsule("turned", cj.transpose(x, (1, 0)), bias=None)
        >>> cj.compile(cj.graph(h)).shapes["turned"].output
        (3, 7)
    """
    return edge(source, Transpose(axes))


def place(
    source: Node, axis: int = -1, offset: int | None = None, size: int | None = None
) -> Incoming:
    """Reads a source into its own slot of U; several of them concatenate.

    Args:
        source: The input or capsule.
        axis: The axis along which the slots lie; the batch is not counted.
        offset: Where the slot begins. Left out, it follows the slot before it.
        size: Size of U along the axis. Left out, all slots together.

    Returns:
        The edge.

    Example:
        >>> import capsjax as cj
        >>> a, b = cj.input("a", (4, 3)), cj.input("b", (4, 5))
        >>> both = cj.capsule("both", cj.place(a), cj.place(b), bias=None)
        >>> cj.compile(cj.graph(both)).shapes["both"].output
        (4, 8)
    """
    return edge(source, Place(axis, offset, size))


def cut(source: Node, start: int, size: int, axis: int = -1) -> Incoming:
    """Reads a piece of a source along an axis.

    Args:
        source: The input or capsule.
        start: Where the piece begins.
        size: How much of the axis it holds.
        axis: The axis; the batch is not counted.

    Returns:
        The edge.

    Example:
        >>> import capsjax as cj
        >>> tokens = cj.input("tokens", (197, 768))
        >>> first = cj.capsule("first", cj.cut(tokens, 0, 1, axis=0), bias=None)
        >>> cj.compile(cj.graph(first)).shapes["first"].output
        (1, 768)
    """
    return edge(source, Cut(start, size, axis))
