"""dot, matmul, vote: contractions of Y's last axis with a dense weight."""

import math
from typing import ClassVar

import jax
import jax.numpy as jnp

from capsjax.graph.declaration import Incoming, Node, edge
from capsjax.graph.errors import ShapeError
from capsjax.graph.kinds import Count, Shape
from capsjax.weightings.base import Weighting, register_weighting, sum_to_last


class _Product(Weighting):
    """Contracts the last axis, which must exist."""

    def fan_in(self, shape: Shape) -> int:
        return shape[-1]

    def _require_axis(self, shape: Shape) -> None:
        if not shape:
            raise ShapeError("a scalar", "at least one axis", "use `scale`")


@register_weighting("dot")
class Dot(_Product):
    """`U[...] = sum_i w[i] Y[..., i]`: the dot product of two vectors.

    Shapes:
        `Y [..., in]`, `W [in] -> U [...]`.

    Laws:
        Equal to `matmul` with one feature, without the last axis.
    """

    symbol: ClassVar[str] = "\N{BULLET}"

    def contribution_shape(self, shape: Shape) -> Shape:
        self._require_axis(shape)
        return shape[:-1]

    def weight_shape(self, shape: Shape) -> Shape:
        return shape[-1:]

    def weight_axes(self, shape: Shape) -> tuple[str | None, ...]:
        return ("in",)

    def forward(self, w: jax.Array, y: jax.Array) -> jax.Array:
        return y @ w

    def weight_gradient(
        self, y: jax.Array, delta: jax.Array, w_shape: Shape
    ) -> jax.Array:
        return sum_to_last(y * delta[..., None])

    def input_gradient(
        self, w: jax.Array, delta: jax.Array, y_shape: Shape
    ) -> jax.Array:
        return delta[..., None] * w

    def flops(self, shape: Shape) -> int:
        return 2 * math.prod(shape)


@register_weighting("matmul")
class Matmul(_Product):
    """`U[..., o] = sum_i Y[..., i] W[i, o]`: a matrix product over the last axis.

    Transposed, W is [o, i]: the layout of a table that `embed` looks up.

    Shapes:
        `Y [..., in]`, `W [in, features] -> U [..., features]`; transposed,
        `W [features, in]`.

    Laws:
        Acts on each vector of the last axis alone.
    """

    symbol: ClassVar[str] = "\N{MULTIPLICATION SIGN}"
    batches: ClassVar[bool] = True

    features: Count
    transposed: bool = False

    def contribution_shape(self, shape: Shape) -> Shape:
        self._require_axis(shape)
        return (*shape[:-1], self.features)

    def weight_shape(self, shape: Shape) -> Shape:
        sizes = shape[-1], self.features
        return sizes[::-1] if self.transposed else sizes

    def weight_axes(self, shape: Shape) -> tuple[str | None, ...]:
        return ("out", "in") if self.transposed else ("in", "out")

    def forward(self, w: jax.Array, y: jax.Array) -> jax.Array:
        return y @ (w.T if self.transposed else w)

    def weight_gradient(
        self, y: jax.Array, delta: jax.Array, w_shape: Shape
    ) -> jax.Array:
        rows = y.reshape(-1, y.shape[-1])
        signals = delta.reshape(-1, self.features)
        return signals.T @ rows if self.transposed else rows.T @ signals

    def input_gradient(
        self, w: jax.Array, delta: jax.Array, y_shape: Shape
    ) -> jax.Array:
        return delta @ (w if self.transposed else w.T)

    def flops(self, shape: Shape) -> int:
        return 2 * math.prod(shape) * self.features


@register_weighting("vote")
class Vote(_Product):
    """`U[l, u, o] = sum_i W[l, u, o, i] Y[l, i]`: what l predicts for u.

    Shapes:
        `Y [lower, in]`, `W [lower, capsules, dimension, in] -> U [lower,
        capsules, dimension]`.

    Laws:
        Each vote reads its own lower capsule alone.
    """

    symbol: ClassVar[str] = "\N{MULTIPLICATION SIGN}\u1d62\u2c7c"

    capsules: Count
    dimension: Count

    def contribution_shape(self, shape: Shape) -> Shape:
        if len(shape) != 2:
            raise ShapeError(
                f"shape {shape}",
                "[lower capsules, dimension], two axes",
                "reshape the source to a list of capsule vectors",
            )
        return (shape[0], self.capsules, self.dimension)

    def weight_shape(self, shape: Shape) -> Shape:
        return (shape[0], self.capsules, self.dimension, shape[1])

    def weight_axes(self, shape: Shape) -> tuple[str | None, ...]:
        return ("lower", "upper", "out", "in")

    def fan_in(self, shape: Shape) -> int:
        """Agreement sums over all lower capsules, so they count too."""
        return math.prod(shape)

    def forward(self, w: jax.Array, y: jax.Array) -> jax.Array:
        return jnp.einsum("luoi,bli->bluo", w, y)

    def weight_gradient(
        self, y: jax.Array, delta: jax.Array, w_shape: Shape
    ) -> jax.Array:
        return jnp.einsum("bli,bluo->luoi", y, delta)

    def input_gradient(
        self, w: jax.Array, delta: jax.Array, y_shape: Shape
    ) -> jax.Array:
        return jnp.einsum("luoi,bluo->bli", w, delta)

    def flops(self, shape: Shape) -> int:
        return 2 * math.prod(shape) * self.capsules * self.dimension


def dot(source: Node) -> Incoming:
    """The dot product with a weight vector: `U[...] = sum_i w[i] Y[..., i]`.

    Args:
        source: The input or capsule; at least one axis. W has shape [size of the last
            axis].

    Returns:
        The edge; its contribution lacks the last axis.

    Example:
        >>> import capsjax as cj
        >>> x = cj.input("x", (5,))
        >>> cj.compile(cj.graph(cj.capsule("h", cj.dot(x)))).shapes["h"].output
        ()

    Source: Li & Shan, arXiv 1805.03551, section 2.
    """
    return edge(source, Dot())


def matmul(source: Node, features: int, *, transposed: bool = False) -> Incoming:
    """The matrix product over the last axis: `U[..., o] = sum_i Y[..., i] W[i, o]`.

    Args:
        source: The input or capsule; at least one axis.
        features: Size of the last axis of the result. W has shape [in, features].
        transposed: Whether W is [features, in], to be shared with `embed`.

    Returns:
        The edge.

    Example:
        >>> import capsjax as cj
        >>> x = cj.input("x", (784,))
        >>> cj.compile(cj.graph(cj.capsule("h", cj.matmul(x, 10)))).parameter_count
        7850
    """
    return edge(source, Matmul(features, transposed))


def vote(source: Node, capsules: int, dimension: int) -> Incoming:
    """Each lower capsule's prediction for each upper one.

    `U[l, u, o] = sum_i W[l, u, o, i] Y[l, i]`; the capsule function `route` then
    finds the agreement.

    Args:
        source: The lower capsules, shape [lower, in].
        capsules: Number of upper capsules.
        dimension: Size of an upper capsule's vector. W has shape
            [lower, upper, dimension, in].

    Returns:
        The edge; its contribution has shape [lower, upper, dimension].

    Example:
        >>> import capsjax as cj
        >>> x = cj.input("primary", (1152, 8))
        >>> votes = cj.vote(x, 10, 16)
        >>> h = cj.capsule("digit", votes, cap=cj.caps.route(3), bias=None)
        >>> cj.compile(cj.graph(h)).parameter_count
        1474560

    Source: Sabour, Frosst & Hinton, arXiv 1710.09829, section 2.
    """
    return edge(source, Vote(capsules, dimension))
