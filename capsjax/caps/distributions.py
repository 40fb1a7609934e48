"""softmax and log_softmax over the last axis.

With p = softmax(U), dp_i/dU_j = p_i (1[i = j] - p_j), so

    softmax      delta = p (dY - sum_j dY_j p_j)
    log_softmax  delta = dY - exp(Y) sum_j dY_j
"""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from capsjax.caps.base import Cap, Kept, register_cap, wide
from capsjax.graph.errors import ShapeError
from capsjax.graph.kinds import Shape


class _OverLastAxis(Cap):
    reads: ClassVar[tuple[Kept, ...]] = ("Y",)

    def output_shape(self, shape: Shape) -> Shape:
        if not shape:
            raise ShapeError("a scalar U", "at least one axis", "use `sigmoid`")
        return shape


@register_cap("softmax")
class Softmax(_OverLastAxis):
    """`Y = exp(U) / sum exp(U)` over the last axis."""

    output: ClassVar[str] = "probabilities"

    def forward(self, u: jax.Array) -> jax.Array:
        return jax.nn.softmax(wide(u)).astype(u.dtype)

    def backward(self, u: Any, y: Any, dy: jax.Array, u_shape: Shape) -> jax.Array:
        p, d = wide(y), wide(dy)
        delta = p * (d - jnp.sum(p * d, axis=-1, keepdims=True))
        return delta.astype(dy.dtype)


@register_cap("log_softmax")
class LogSoftmax(_OverLastAxis):
    """`Y = U - log sum exp(U)` over the last axis."""

    output: ClassVar[str] = "log_probabilities"

    def forward(self, u: jax.Array) -> jax.Array:
        return jax.nn.log_softmax(wide(u)).astype(u.dtype)

    def backward(self, u: Any, y: Any, dy: jax.Array, u_shape: Shape) -> jax.Array:
        d = wide(dy)
        delta = d - jnp.exp(wide(y)) * jnp.sum(d, axis=-1, keepdims=True)
        return delta.astype(dy.dtype)
