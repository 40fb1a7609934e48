"""Rules in place of a capsule function's derivative."""

from collections.abc import Callable
from typing import ClassVar

import jax
import jax.numpy as jnp

from capsjax.backward.base import BackwardRule, register_backward
from capsjax.graph.errors import ShapeError
from capsjax.graph.kinds import CapKind, Place, Shape


@register_backward("straight_through")
class StraightThrough(BackwardRule):
    """delta = dL/dY, as if the function were the identity: for steps and quantizers.

    Shapes:
        `dL/dY [...] -> delta [...]`, of one shape.

    Laws:
        Linear in dL/dY; does not read U.

    Example:
        >>> import capsjax as cj, jax.numpy as jnp
        >>> dy = jnp.array([[1.0, -2.0]])
        >>> cj.backward.straight_through().through(dy, lambda dy: 0 * dy)
        Array([[ 1., -2.]], dtype=float32)

    Source: Bengio, Léonard & Courville, "Estimating or propagating gradients through
    stochastic neurons for conditional computation", arXiv 1308.3432.
    """

    acts: ClassVar[Place] = "function"
    exact_within: ClassVar[bool] = False

    def check_function(self, cap: CapKind, total: Shape, output: Shape) -> None:
        if total != output:
            raise ShapeError(
                f"{cap.kind}, which makes Y {output} of U {total}",
                "a function whose U and Y have one shape",
                "give the rule to a capsule with a step or a quantizer",
            )

    def through(
        self, dy: jax.Array, exact: Callable[[jax.Array], jax.Array]
    ) -> jax.Array:
        return dy


@register_backward("guided")
class Guided(BackwardRule):
    """delta = max(dL/dY, 0) . dcap/dU: what speaks against Y is held back.

    For functions that rectify: then what passes is positive in U, and positive in
    dL/dY. For pictures of what a network sees, not for learning.

    Shapes:
        `dL/dY` of Y `-> delta` of U.

    Laws:
        Where dL/dY is not negative it is exact.

    Example:
        >>> import capsjax as cj, jax.numpy as jnp
        >>> dy = jnp.array([[1.0, -2.0]])
        >>> cj.backward.guided().through(dy, lambda dy: dy * jnp.array([0.5, 1.0]))
        Array([[0.5, 0. ]], dtype=float32)

    Source: Springenberg, Dosovitskiy, Brox & Riedmiller, "Striving for simplicity: the
    all convolutional net", ICLR workshop 2015, arXiv 1412.6806.
    """

    acts: ClassVar[Place] = "function"

    def check_function(self, cap: CapKind, total: Shape, output: Shape) -> None:
        if cap.kind not in _RECTIFIERS:
            raise ShapeError(
                f"{cap.kind}, which does not rectify",
                f"one of {', '.join(_RECTIFIERS)}",
                "give the rule to a capsule with one of them",
            )

    def through(
        self, dy: jax.Array, exact: Callable[[jax.Array], jax.Array]
    ) -> jax.Array:
        return exact(jnp.maximum(dy, 0))


_RECTIFIERS = ("relu", "leaky_relu", "elu", "selu", "gelu", "silu", "softplus")
