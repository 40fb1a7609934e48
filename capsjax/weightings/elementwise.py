"""identity, scale, channel_scale: U keeps the shape of Y."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from capsjax.graph.declaration import Incoming, Node, edge
from capsjax.graph.errors import ShapeError
from capsjax.graph.kinds import Shape
from capsjax.weightings.base import Weighting, register_weighting, sum_to_last


@register_weighting("identity")
class Identity(Weighting):
    """`U = Y`: a residual connection, or the edge into a pooling capsule.

    Shapes:
        `Y [...] -> U [...]`, no W.

    Laws:
        Its input gradient is the error signal itself.
    """

    symbol: ClassVar[str] = ""

    def contribution_shape(self, shape: Shape) -> Shape:
        return shape

    def forward(self, w: None, y: jax.Array) -> jax.Array:
        return y

    def input_gradient(self, w: None, delta: jax.Array, y_shape: Shape) -> jax.Array:
        return delta


class _Scaling(Weighting):
    """Weights that start at one and multiply Y."""

    def contribution_shape(self, shape: Shape) -> Shape:
        return shape

    def initial(
        self, key: jax.Array, shape: Shape, gain: float, dtype: Any
    ) -> jax.Array:
        weight_shape = self.weight_shape(shape)
        assert weight_shape is not None
        return jnp.ones(weight_shape, dtype)

    def forward(self, w: jax.Array, y: jax.Array) -> jax.Array:
        return w * y

    def input_gradient(
        self, w: jax.Array, delta: jax.Array, y_shape: Shape
    ) -> jax.Array:
        return w * delta

    def flops(self, shape: Shape) -> int:
        size = 1
        for n in shape:
            size *= n
        return size


@register_weighting("scale")
class Scale(_Scaling):
    """`U = w Y` with one scalar w.

    Shapes:
        `Y [...]`, `W [] -> U [...]`.

    Laws:
        `w = 1` is `identity`.
    """

    symbol: ClassVar[str] = "\N{DOT OPERATOR}"

    def weight_shape(self, shape: Shape) -> Shape:
        return ()

    def weight_gradient(
        self, y: jax.Array, delta: jax.Array, w_shape: Shape
    ) -> jax.Array:
        return jnp.sum(y * delta)


@register_weighting("channel_scale")
class ChannelScale(_Scaling):
    """`U[..., c] = w[c] Y[..., c]`: one weight per entry of the last axis.

    Shapes:
        `Y [..., channels]`, `W [channels] -> U [..., channels]`.

    Laws:
        W of ones is `identity`.
    """

    symbol: ClassVar[str] = "\N{CIRCLED DOT OPERATOR}"

    def contribution_shape(self, shape: Shape) -> Shape:
        if not shape:
            raise ShapeError("a scalar", "at least one axis", "use `scale`")
        return shape

    def weight_shape(self, shape: Shape) -> Shape:
        return shape[-1:]

    def weight_axes(self, shape: Shape) -> tuple[str | None, ...]:
        return ("out",)

    def weight_gradient(
        self, y: jax.Array, delta: jax.Array, w_shape: Shape
    ) -> jax.Array:
        return sum_to_last(y * delta)


def identity(source: Node) -> Incoming:
    """Reads a source as it is: `U = Y`, no weight.

    Beside a weighted edge this is a residual connection.

    Args:
        source: The input or capsule; any shape.

    Returns:
        The edge; its contribution has the source's shape.

    Example:
        >>> import capsjax as cj
        >>> x = cj.input("x", (8,))
        >>> h = cj.capsule("h", cj.matmul(x, 8), cj.identity(x), cap="relu")
        >>> cj.compile(cj.graph(h)).parameter_count
        72
    """
    return edge(source, Identity())


def scale(source: Node) -> Incoming:
    """Multiplies a source by one scalar weight: `U = w Y`, w starts at 1.

    Args:
        source: The input or capsule; any shape.

    Returns:
        The edge; its contribution has the source's shape.

    Example:
        >>> import capsjax as cj
        >>> x = cj.input("x", (8,))
        >>> h = cj.capsule("h", cj.scale(x), bias=None)
        >>> cj.compile(cj.graph(h)).parameter_count
        1
    """
    return edge(source, Scale())


def channel_scale(source: Node) -> Incoming:
    """Multiplies each channel by its own weight: `U[..., c] = w[c] Y[..., c]`.

    Args:
        source: The input or capsule; at least one axis, channels last. W has shape
            [channels] and starts at 1.

    Returns:
        The edge; its contribution has the source's shape.

    Example:
        >>> import capsjax as cj
        >>> x = cj.input("x", (5, 8))
        >>> h = cj.capsule("h", cj.channel_scale(x), bias=None)
        >>> cj.compile(cj.graph(h)).parameter_count
        8
    """
    return edge(source, ChannelScale())
