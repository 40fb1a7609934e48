"""Elementwise capsule functions with finitely many values: step, sign, quantize.

Y is constant between its jumps, so dY/dU, and with it the exact error signal, is 0
wherever it exists; at a jump it is taken as 0, too. Nothing below such a capsule
learns unless its backward rule is another, such as `straight_through`.
"""

from typing import Annotated, Any, ClassVar

import jax
import jax.numpy as jnp
from annotated_types import Ge, Le

from capsjax.caps.base import Cap, Kept, register_cap, wide
from capsjax.graph.kinds import Shape

# Above it, neighboring whole numbers are no longer told apart in float32.
_MOST_LEVELS = 2**24


class _PiecewiseConstant(Cap):
    """`Y[i] = f(U[i])`, and delta = 0."""

    elementwise: ClassVar[bool] = True
    reads: ClassVar[tuple[Kept, ...]] = ()

    def backward(self, u: Any, y: Any, dy: jax.Array, u_shape: Shape) -> jax.Array:
        return jnp.zeros_like(dy)


@register_cap("step")
class Step(_PiecewiseConstant):
    """`Y = 1 where U > 0, else 0`: the threshold unit; at 0 it is 0.

    Shapes:
        `U [...] -> Y [...]`, any shape.

    Laws:
        `cap(cap(U)) = cap(U)`; the slope is 0 wherever there is one.

    Example:
        >>> import capsjax as cj, jax.numpy as jnp
        >>> cj.caps.step().forward(jnp.array([[-1.0, 2.0]])).round(3)
        Array([[0., 1.]], dtype=float32)

    Source: Bengio, Leonard & Courville, arXiv 1308.3432, section 4.
    """

    def forward(self, u: jax.Array) -> jax.Array:
        return (u > 0).astype(u.dtype)


@register_cap("sign")
class Sign(_PiecewiseConstant):
    """`Y = 1 where U >= 0, else -1`; at 0 it is 1, so that Y has two values.

    Shapes:
        `U [...] -> Y [...]`, any shape.

    Laws:
        `cap(cap(U)) = cap(U)`; the slope is 0 wherever there is one.

    Example:
        >>> import capsjax as cj, jax.numpy as jnp
        >>> cj.caps.sign().forward(jnp.array([[-1.0, 2.0]])).round(3)
        Array([[-1.,  1.]], dtype=float32)

    Source: Courbariaux, Hubara, Soudry, El-Yaniv & Bengio, arXiv 1602.02830,
    equation 1.
    """

    def forward(self, u: jax.Array) -> jax.Array:
        return jnp.where(u >= 0, 1, -1).astype(u.dtype)


@register_cap("quantize")
class Quantize(_PiecewiseConstant):
    """`Y = round((levels - 1) clip(U, 0, 1)) / (levels - 1)`; halves go to even.

    Args:
        levels: How many values Y has, evenly spaced from 0 to 1; 2^k for k bits.

    Shapes:
        `U [...] -> Y [...]`, any shape.

    Laws:
        `0 <= Y <= 1`; `cap(cap(U)) = cap(U)`; the slope is 0 wherever there
        is one.

    Example:
        >>> import capsjax as cj, jax.numpy as jnp
        >>> cj.caps.quantize(3).forward(jnp.array([[-1.0, 0.4]])).round(3)
        Array([[0. , 0.5]], dtype=float32)

    Source: Zhou et al., DoReFa-Net, arXiv 1606.06160, equation 5 and section 2.5.
    """

    levels: Annotated[int, Ge(2), Le(_MOST_LEVELS)] = 256

    def forward(self, u: jax.Array) -> jax.Array:
        steps = self.levels - 1
        return (jnp.round(steps * jnp.clip(wide(u), 0, 1)) / steps).astype(u.dtype)
