"""softmax and log_softmax over the last axis.

With p = softmax(V) of V = U / temperature, dp_i/dV_j = p_i (1[i = j] - p_j) and
dV/dU = 1 / temperature, so

    softmax      delta = p (dY - sum_j dY_j p_j) / temperature
    log_softmax  delta = (dY - exp(Y) sum_j dY_j) / temperature

A temperature above 1 makes p more even, one below 1 makes it sharper.

Source: Hinton, Vinyals & Dean, arXiv 1503.02531, equation 1 (temperature).
"""

from typing import Annotated, Any, ClassVar

import jax
import jax.numpy as jnp
from annotated_types import Gt

from capsjax.caps.base import Cap, Kept, register_cap, wide
from capsjax.graph.errors import ShapeError
from capsjax.graph.kinds import Shape


class _OverLastAxis(Cap):
    reads: ClassVar[tuple[Kept, ...]] = ("Y",)

    temperature: Annotated[float, Gt(0)] = 1.0

    def output_shape(self, shape: Shape) -> Shape:
        if not shape:
            raise ShapeError("a scalar U", "at least one axis", "use `sigmoid`")
        return shape


@register_cap("softmax")
class Softmax(_OverLastAxis):
    """`Y = exp(V) / sum exp(V)` over the last axis, with `V = U / temperature`.

    Args:
        temperature: What U is divided by, above 0.

    Shapes:
        `U [..., n] -> Y [..., n]`.

    Laws:
        `Y > 0`; the last axis sums to 1; `cap(U + c) = cap(U)` for a number
        c.

    Example:
        >>> import capsjax as cj, jax.numpy as jnp
        >>> cj.caps.softmax().forward(jnp.array([[-1.0, 2.0]])).round(3)
        Array([[0.047     , 0.95300007]], dtype=float32)

    Source: Hinton, Vinyals & Dean, arXiv 1503.02531, equation 1.
    """

    output: ClassVar[str] = "probabilities"

    def forward(self, u: jax.Array) -> jax.Array:
        return jax.nn.softmax(wide(u) / self.temperature).astype(u.dtype)

    def backward(self, u: Any, y: Any, dy: jax.Array, u_shape: Shape) -> jax.Array:
        p, d = wide(y), wide(dy)
        delta = p * (d - jnp.sum(p * d, axis=-1, keepdims=True))
        return (delta / self.temperature).astype(dy.dtype)


@register_cap("log_softmax")
class LogSoftmax(_OverLastAxis):
    """`Y = V - log sum exp(V)` over the last axis, with `V = U / temperature`.

    Args:
        temperature: What U is divided by, above 0.

    Shapes:
        `U [..., n] -> Y [..., n]`.

    Laws:
        `exp(Y)` sums to 1; `cap(U + c) = cap(U)` for a number c.

    Example:
        >>> import capsjax as cj, jax.numpy as jnp
        >>> cj.caps.log_softmax().forward(jnp.array([[-1.0, 2.0]])).round(3)
        Array([[-3.0490003, -0.049    ]], dtype=float32)

    Source: Hinton, Vinyals & Dean, arXiv 1503.02531, equation 1.
    """

    output: ClassVar[str] = "log_probabilities"

    def forward(self, u: jax.Array) -> jax.Array:
        return jax.nn.log_softmax(wide(u) / self.temperature).astype(u.dtype)

    def backward(self, u: Any, y: Any, dy: jax.Array, u_shape: Shape) -> jax.Array:
        d = wide(dy)
        delta = d - jnp.exp(wide(y)) * jnp.sum(d, axis=-1, keepdims=True)
        return (delta / self.temperature).astype(dy.dtype)
