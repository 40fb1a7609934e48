"""A weighting operation (x): bilinear in (W, Y), with its two transposes.

For each edge Z -> H the compiler needs three functions, and chooses each by itself:

    forward           (W, Y)     -> W (x) Y
    weight_gradient   (Y, delta) -> dL/dW = delta . dU/dW
    input_gradient    (W, delta) -> delta . dU/dY

Since (x) is bilinear, the derivative by one argument does not depend on that argument:
`weight_gradient` never reads W, `input_gradient` never reads Y, and both are linear
transpositions of `forward`. That is the default; a record overrides it where a
faster algorithm is known. Laws, tested for every record in the table:

    bilinearity    forward(a W + W', Y) = a forward(W, Y) + forward(W', Y), same in Y
    adjointness    <W (x) Y, d> = <W, weight_gradient(Y, d)> = <Y, input_gradient(W, d)>

All arrays carry a leading batch axis; shapes in the rules are per example.
"""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from capsjax.algorithms import Choice
from capsjax.graph.kinds import WEIGHTINGS, Registry, Shape, WeightingKind
from capsjax.normal import normal


class Weighting(WeightingKind):
    """Base of every weighting operation: see the module's docstring.

    A record without a weight (reshape, place, ...) leaves `weight_shape` alone and
    is given `w = None`.
    """

    batches: ClassVar[bool] = False
    """Whether `jax.vmap` of the weight gradient is as fast as a loop: in a run, it is
    then taken of all copies at once, where that saves memory traffic."""

    def fan_in(self, shape: Shape) -> int:
        """How many products are summed into one number of U, for the initializer."""
        return 1

    def initial(
        self, key: jax.Array, shape: Shape, gain: float, dtype: Any
    ) -> jax.Array:
        """Draws W: normal with standard deviation `gain / sqrt(fan_in)`.

        Args:
            key: A random key of this weight's own.
            shape: Shape of Y of the source, per example.
            gain: What the capsule function calls for: sqrt(2) for relu (He et al.
                2015), 1 where it keeps the scale (LeCun et al. 1998).
            dtype: Type of the result.

        Returns:
            An array of shape `weight_shape(shape)`.
        """
        weight_shape = self.weight_shape(shape)
        assert weight_shape is not None
        scale = gain / self.fan_in(shape) ** 0.5
        return scale * normal(key, weight_shape, dtype)

    def choices(self, shape: Shape) -> dict[str, Choice]:
        """The roles with a choice of algorithms, for Y of a source of shape
        `[B, ...]`: some of "forward", "input gradient", "weight gradient"."""
        return {}

    def forward(self, w: Any, y: jax.Array) -> jax.Array:
        """`W (x) Y`, batch axis first."""
        raise TypeError(f"{type(self).__name__} declares no forward")

    def weight_gradient(
        self, y: jax.Array, delta: jax.Array, w_shape: Shape
    ) -> jax.Array:
        """`dL/dW` from Y and the error signal."""
        w = jax.ShapeDtypeStruct(w_shape, delta.dtype)
        return jax.linear_transpose(lambda w: self.forward(w, y), w)(delta)[0]

    def input_gradient(self, w: Any, delta: jax.Array, y_shape: Shape) -> jax.Array:
        """`dL/dY` from W and the error signal; `y_shape` has the batch axis."""
        y = jax.ShapeDtypeStruct(y_shape, delta.dtype)
        return jax.linear_transpose(lambda y: self.forward(w, y), y)(delta)[0]


def register_weighting(kind: str):
    """Enters a weighting operation of your own in the table, as a class decorator.

    It is then valid in Python (`cj.edge(source, Outer(...))`) and in documents.

    Args:
        kind: The name in documents, an identifier.

    Returns:
        The decorator, for a subclass of `cj.Weighting` that declares `forward`,
        `contribution_shape` and, if it has a weight, `weight_shape`.

    Raises:
        ValueError: Another record has the name already.

    Example:
        >>> import capsjax as cj, jax.numpy as jnp
        >>> @cj.register_weighting("doctest_outer")
        ... class Outer(cj.Weighting):
        ...     size: int
        ...     def weight_shape(self, shape): return (self.size,)
        ...     def contribution_shape(self, shape): return (*shape, self.size)
        ...     def forward(self, w, y): return y[..., None] * w
        >>> x = cj.input("x", (3,))
        >>> graph = cj.graph(cj.capsule("h", cj.edge(x, Outer(4))))
        >>> cj.compile(graph).shapes["h"].output
        (3, 4)
    """
    table: Registry[Any] = WEIGHTINGS
    return table.register(kind)


def sum_to_last(delta: jax.Array) -> jax.Array:
    """Sums over every axis but the last."""
    return jnp.sum(delta, axis=tuple(range(delta.ndim - 1)))
