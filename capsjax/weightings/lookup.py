"""embed: rows of a table, looked up by integers."""

from typing import ClassVar

import jax
import jax.numpy as jnp

from capsjax.graph.declaration import Incoming, Node, edge
from capsjax.graph.kinds import Count, Shape
from capsjax.weightings.base import Weighting, register_weighting


@register_weighting("embed")
class Embed(Weighting):
    """`U[...] = W[Y[...]]`: a row of the table for each integer of Y.

    That is the matrix product of W with one-hot vectors, and so bilinear; each integer
    stands for such a vector. `dL/dW` adds up the error signals of equal integers.

    Shapes:
        integers `Y [...]`, `W [vocabulary, features] -> U [..., features]`.

    Laws:
        Equal to `matmul` with one-hot vectors; integers get no gradient.
    """

    symbol: ClassVar[str] = "\N{DOWNWARDS ARROW WITH TIP RIGHTWARDS}"
    reads_integers: ClassVar[bool] = True

    vocabulary: Count
    features: Count

    def contribution_shape(self, shape: Shape) -> Shape:
        return (*shape, self.features)

    def weight_shape(self, shape: Shape) -> Shape:
        return (self.vocabulary, self.features)

    def weight_axes(self, shape: Shape) -> tuple[str | None, ...]:
        return ("vocabulary", "out")

    def forward(self, w: jax.Array, y: jax.Array) -> jax.Array:
        return w.at[y].get(mode="fill", fill_value=jnp.nan, wrap_negative_indices=False)

    def weight_gradient(
        self, y: jax.Array, delta: jax.Array, w_shape: Shape
    ) -> jax.Array:
        rows = jnp.zeros(w_shape, delta.dtype).at[y]
        return rows.add(delta, mode="drop", wrap_negative_indices=False)

    def input_gradient(
        self, w: jax.Array, delta: jax.Array, y_shape: Shape
    ) -> jax.Array:
        raise TypeError("integers have no gradient")


def embed(source: Node, vocabulary: int, features: int) -> Incoming:
    """Looks up a row of a table for each integer of a source.

    `U[...] = W[Y[...]]`

    Args:
        source: An input with dtype "integer".
        vocabulary: Number of rows. An integer outside of 0 to vocabulary - 1 gives
            NaN.
        features: Numbers in a row.

    Returns:
        The edge. W has shape [vocabulary, features].

    Example:
        >>> import capsjax as cj
        >>> tokens = cj.input("tokens", (1024,), dtype="integer")
        >>> words = cj.capsule("words", cj.embed(tokens, 50257, 768), bias="full")
        >>> cj.compile(cj.graph(words)).shapes["words"].output
        (1024, 768)

    Source: Bengio, Ducharme, Vincent & Jauvin, JMLR 3 (2003), section 2.
    """
    return edge(source, Embed(vocabulary, features))
