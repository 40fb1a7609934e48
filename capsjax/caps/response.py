"""local_response_norm: each channel over the squares of its neighbors.

With D = k + alpha / size * (sum of U^2 over the window of channels around c),

    Y     = U D^-beta
    delta = dY D^-beta - 2 alpha beta / size U (sum of dY U D^(-beta - 1) over the
            channels whose window holds c)
"""

import math
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge, Gt

from capsjax.caps.base import Cap, register_cap, wide
from capsjax.graph.errors import ShapeError
from capsjax.graph.kinds import Count, Shape


@register_cap("local_response_norm")
class LocalResponseNorm(Cap):
    """`Y[c] = U[c] / (k + alpha / size * sum of U^2 near c)^beta`, channels last.

    The window is the channels c - floor(size / 2) to c + floor((size - 1) / 2); beyond
    the first and the last there are zeros, which count in size. This is the convention
    of Caffe and PyTorch, in which alpha is divided by size. Krizhevsky et al. do not
    divide: their n = 5, k = 2, alpha = 1e-4, beta = 0.75 is
    `local_response_norm(5, 5e-4, 0.75, 2.0)` here.

    Args:
        size: Number of channels in a window.
        alpha: Weight of the mean square.
        beta: Exponent.
        k: What is added to it.

    Shapes:
        `U [..., channels] -> Y [..., channels]`.

    Laws:
        `cap(-U) = -cap(U)`.

    Example:
        >>> import capsjax as cj
        >>> x = cj.input("x", (27, 27, 96))
        >>> norm = cj.caps.local_response_norm(5, alpha=5e-4, k=2.0)
        >>> h = cj.capsule("h", cj.identity(x), cap=norm, bias=None)
        >>> cj.compile(cj.graph(h)).shapes["h"].output
        (27, 27, 96)

    Source: Krizhevsky, Sutskever & Hinton, NeurIPS 2012, section 3.3.
    """

    size: Count
    alpha: Annotated[float, Ge(0)] = 1e-4
    beta: Annotated[float, Gt(0)] = 0.75
    k: Annotated[float, Gt(0)] = 1.0

    def output_shape(self, shape: Shape) -> Shape:
        if not shape:
            raise ShapeError(
                "a scalar U", "channels along the last axis", "leave the norm out"
            )
        return shape

    def forward(self, u: jax.Array) -> jax.Array:
        x = wide(u)
        return (x * self._power(self._denominator(x))).astype(u.dtype)

    def backward(self, u: Any, y: Any, dy: jax.Array, u_shape: Shape) -> jax.Array:
        x, dy = wide(u), wide(dy)
        d = self._denominator(x)
        through = dy * self._power(d)
        back = self._window_sums(through * x / d, -1)
        delta = through - (2 * self.alpha * self.beta / self.size) * x * back
        return delta.astype(u.dtype)

    def _denominator(self, u: jax.Array) -> jax.Array:
        return self.k + self.alpha / self.size * self._window_sums(u * u, 1)

    def _power(self, d: jax.Array) -> jax.Array:
        """`d^-beta`; everybody's beta by two roots, a twelfth of the time on CPU."""
        if isinstance(self.beta, jax.Array) or self.beta != 0.75:  # traced, or another
            return d**-self.beta
        root = jax.lax.rsqrt(d)
        return root * jnp.sqrt(root)

    def _window_sums(self, a: jax.Array, direction: int) -> jax.Array:
        """Sums over the window, or (direction -1) over the window turned around."""
        low, high = (min(n // 2, a.shape[-1]) for n in (self.size, self.size - 1))
        reach = (low, high) if direction == 1 else (high, low)
        ones = (1,) * (a.ndim - 1)
        return jax.lax.reduce_window(
            a,
            np.array(0, a.dtype),
            jax.lax.add,
            (*ones, low + high + 1),
            (*ones, 1),
            [(0, 0)] * (a.ndim - 1) + [reach],
        )

    def flops(self, shape: Shape) -> int:
        return (min(self.size, 2 * shape[-1]) + 4) * math.prod(shape)
