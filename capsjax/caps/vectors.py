"""Capsule functions on vectors along the last axis: squash and length.

squash (Sabour et al. 2017, equation 1), with q = |U|^2:

    Y = f(q) U,   f(q) = sqrt(q) / (1 + q)
    delta = f dY + 2 f'(q) (U . dY) U,   2 f'(q) = (1 - q) / (sqrt(q) (1 + q)^2)
          = f (dY + (U . dY) (1 - q) / (q (1 + q)) U)

At U = 0 both terms vanish (the second is of the order of |U|), though f' itself is
infinite there; the rule, and the forward under autodiff, give 0 and not NaN.
"""

import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from capsjax.caps.base import Cap, Kept, register_cap, wide
from capsjax.graph.errors import ShapeError
from capsjax.graph.kinds import Shape


def _root(q: jax.Array) -> jax.Array:
    """Square root with derivative 0 at 0."""
    positive = q > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, q, 1)), 0)


def squash(u: jax.Array) -> jax.Array:
    """`|u|^2 / (1 + |u|^2) * u / |u|` along the last axis; 0 at 0.

    Args:
        u: Vectors, shape [..., dimension].

    Returns:
        Vectors of the same directions, of lengths below 1.

    Source: Sabour, Frosst & Hinton, arXiv 1710.09829, equation 1.
    """
    f, _ = _factor(u)
    return f[..., None] * u


def squash_gradient(u: jax.Array, dy: jax.Array) -> jax.Array:
    """`dL/du` of `squash`: the rule at the head of this file."""
    f, q = _factor(u)
    ordinary = q > jnp.finfo(q.dtype).tiny  # 1 / q is finite
    along = jnp.sum(u * dy, axis=-1) * (1 - q)
    along = jnp.where(ordinary, along / (jnp.where(ordinary, q, 1) * (1 + q)), 0)
    return f[..., None] * (dy + along[..., None] * u)


def _factor(u: jax.Array) -> tuple[jax.Array, jax.Array]:
    """f(q) and q: one number a vector, so that little is computed for each."""
    q = jnp.sum(u * u, axis=-1)
    return _root(q) / (1 + q), q


class _OfVectors(Cap):
    def output_shape(self, shape: Shape) -> Shape:
        if not shape:
            raise ShapeError(
                "a scalar U", "vectors along the last axis", "reshape the source"
            )
        return shape


@register_cap("squash")
class Squash(_OfVectors):
    """`Y = |U|^2 / (1 + |U|^2) * U / |U|` along the last axis.

    Shapes:
        `U [..., dimension] -> Y [..., dimension]`.

    Laws:
        `|Y| < 1`; Y has the direction of U; turning U turns Y.

    Example:
        >>> import capsjax as cj, jax.numpy as jnp
        >>> cj.caps.squash().forward(jnp.array([[-1.0, 2.0]])).round(3)
        Array([[-0.37300003,  0.74500006]], dtype=float32)
    """

    def forward(self, u: jax.Array) -> jax.Array:
        return squash(wide(u)).astype(u.dtype)

    def backward(self, u: Any, y: Any, dy: jax.Array, u_shape: Shape) -> jax.Array:
        return squash_gradient(wide(u), wide(dy)).astype(dy.dtype)

    def flops(self, shape: Shape) -> int:
        return 3 * math.prod(shape)


@register_cap("length")
class Length(_OfVectors):
    """`Y = |U|`, the norm along the last axis; its slope at 0 is 0.

    Shapes:
        `U [..., dimension] -> Y [...]`.

    Laws:
        `Y >= 0`; `cap(a U) = |a| cap(U)`.

    Example:
        >>> import capsjax as cj, jax.numpy as jnp
        >>> cj.caps.length().forward(jnp.array([[-1.0, 2.0]])).round(3)
        Array([2.236], dtype=float32)
    """

    reads: ClassVar[tuple[Kept, ...]] = ("U", "Y")

    def output_shape(self, shape: Shape) -> Shape:
        return super().output_shape(shape)[:-1]

    def forward(self, u: jax.Array) -> jax.Array:
        x = wide(u)
        return _root(jnp.sum(x * x, axis=-1)).astype(u.dtype)

    def backward(self, u: Any, y: Any, dy: jax.Array, u_shape: Shape) -> jax.Array:
        norm, d = wide(y), wide(dy)
        positive = norm > 0
        factor = jnp.where(positive, d / jnp.where(positive, norm, 1), 0)
        return (factor[..., None] * wide(u)).astype(dy.dtype)

    def flops(self, shape: Shape) -> int:
        return 2 * math.prod(shape)
