"""upsample and flip: the numbers of Y more than once, or backwards. No weights."""

from typing import Annotated, ClassVar

import jax
import jax.numpy as jnp
from annotated_types import Len

from capsjax.graph.declaration import Incoming, Node, edge
from capsjax.graph.errors import ShapeError
from capsjax.graph.kinds import LARGEST_RANK, Shape
from capsjax.weightings.base import Weighting, register_weighting
from capsjax.weightings.convolution import Sizes
from capsjax.weightings.structure import Axis


@register_weighting("upsample")
class Upsample(Weighting):
    """`U[p] = Y[floor(p / factor)]` along the spatial axes: the nearest number.

    Shapes:
        `Y [spatial..., channels] -> U [spatial factor..., channels]`, no W.

    Laws:
        Its transpose sums over each window of `factor` numbers.
    """

    symbol: ClassVar[str] = "\N{UPWARDS ARROW}"

    factors: Sizes

    def contribution_shape(self, shape: Shape) -> Shape:
        rank = len(self.factors)
        if len(shape) != rank + 1:
            raise ShapeError(
                f"shape {shape} under factors for {rank} axes",
                f"{rank} spatial axes, then channels",
                "give as many factors as the source has axes before its channels",
            )
        sizes = zip(shape, self.factors, strict=False)
        return (*(n * factor for n, factor in sizes), shape[-1])

    def forward(self, w: None, y: jax.Array) -> jax.Array:
        axes = tuple(range(2, 2 * y.ndim - 2, 2))
        target = (y.shape[0], *self._split(y.shape), y.shape[-1])
        u = jnp.broadcast_to(jnp.expand_dims(y, axes), target)
        return u.reshape(y.shape[0], *self.contribution_shape(y.shape[1:]))

    def input_gradient(self, w: None, delta: jax.Array, y_shape: Shape) -> jax.Array:
        axes = tuple(range(2, 2 * len(y_shape) - 2, 2))
        split = (y_shape[0], *self._split(y_shape), y_shape[-1])
        return jnp.sum(delta.reshape(split), axes)

    def _split(self, y_shape: Shape) -> Shape:
        """For each spatial axis its size and its factor."""
        pairs = zip(y_shape[1:], self.factors, strict=False)
        return tuple(n for pair in pairs for n in pair)


@register_weighting("flip")
class Flip(Weighting):
    """`U` is Y, read backwards along the axes.

    `U[i] = Y[n - 1 - i]` along each of them.

    Shapes:
        `Y [...] -> U [...]`, no W.

    Laws:
        Keeps inner products; twice is the identity.
    """

    symbol: ClassVar[str] = "\N{LEFT RIGHT ARROW}"

    axes: Annotated[tuple[Axis, ...], Len(1, LARGEST_RANK)]

    def contribution_shape(self, shape: Shape) -> Shape:
        rank = len(shape)
        known = [axis % rank for axis in self.axes if -rank <= axis < rank]
        if len(known) < len(self.axes) or len(set(known)) < len(known):
            raise ShapeError(
                f"axes {self.axes} for shape {shape}",
                f"some of the axes {tuple(range(rank))}, each at most once (the batch "
                "axis is not counted)",
                "correct the axes",
            )
        return shape

    def forward(self, w: None, y: jax.Array) -> jax.Array:
        return jnp.flip(y, [axis % (y.ndim - 1) + 1 for axis in self.axes])

    def input_gradient(self, w: None, delta: jax.Array, y_shape: Shape) -> jax.Array:
        return self.forward(w, delta)


def upsample(source: Node, factors: tuple[int, ...]) -> Incoming:
    """Repeats each position of a source: `U[p] = Y[floor(p / factor)]`, no weight.

    Args:
        source: The input or capsule, shape [spatial..., channels].
        factors: How often each position is repeated, along each spatial axis.

    Returns:
        The edge.

    Example:
        >>> import capsjax as cj
        >>> x = cj.input("x", (7, 7, 16))
        >>> h = cj.capsule("h", cj.upsample(x, (2, 2)), bias=None)
        >>> cj.compile(cj.graph(h)).shapes["h"].output
        (14, 14, 16)

    Source: Odena, Dumoulin & Olah, "Deconvolution and Checkerboard Artifacts", Distill
    2016.
    """
    return edge(source, Upsample(factors))


def flip(source: Node, axes: tuple[int, ...]) -> Incoming:
    """Reads a source backwards along some axes; no weight.

    Args:
        source: The input or capsule.
        axes: The axes that are turned around; the batch is not counted, -1 is the last.

    Returns:
        The edge; its contribution has the source's shape.

    Example:
        >>> import capsjax as cj, jax
        >>> x = cj.input("x", (3,))
        >>> net = cj.compile(cj.graph(cj.capsule("h", cj.flip(x, (0,)), bias=None)))
        >>> params, state = net.init(jax.random.key(0))
        >>> net.apply(params, state, {"x": jax.numpy.array([[1.0, 2.0, 3.0]])})[0]["h"]
        Array([[3., 2., 1.]], dtype=float32)
    """
    return edge(source, Flip(axes))
