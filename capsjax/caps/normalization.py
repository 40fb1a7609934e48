"""layer_norm, group_norm, rms_norm: U over its own spread; nothing is learned.

The scale gamma of these normalizations is a `channel_scale` edge behind the capsule,
the shift beta that edge's bias. With means over the numbers that are normalized
together, C = U - mean(U) and n = 1 / sqrt(mean(C^2) + epsilon),

    Y     = n C
    delta = n (dY - mean(dY) - n^2 mean(dY C) C)

In rms_norm nothing is centered: C = U, and there is no mean(dY).

The gradient reads U alone: its means are cheaper to take again than to keep. Means are
taken in float32 at least, whatever the type of U.
"""

import dataclasses
import math
from typing import Annotated, Any, ClassVar

import jax
import jax.numpy as jnp
from annotated_types import Gt

from capsjax.caps.base import Cap, register_cap, wide
from capsjax.graph.errors import ShapeError
from capsjax.graph.kinds import Count, Shape

Epsilon = Annotated[float, Gt(0)]


class _Norm(Cap):
    """`Y` has the shape of U; a subclass says what is normalized together."""

    centered: ClassVar[bool] = True

    epsilon: Epsilon = dataclasses.field(default=1e-5, kw_only=True)

    def output_shape(self, shape: Shape) -> Shape:
        if not shape:
            raise ShapeError(
                "a scalar U", "features along the last axis", "leave the norm out"
            )
        return shape

    def mean(self, a: jax.Array) -> jax.Array:
        """The mean of the numbers normalized together; broadcasts against a."""
        return jnp.mean(a, -1, keepdims=True)

    def forward(self, u: jax.Array) -> jax.Array:
        c, n = self._center(wide(u))
        return (n * c).astype(u.dtype)

    def backward(self, u: Any, y: Any, dy: jax.Array, u_shape: Shape) -> jax.Array:
        c, n = self._center(wide(u))
        dy = wide(dy)
        along = n * n * self.mean(dy * c)
        if self.centered:
            dy = dy - self.mean(dy)
        return (n * (dy - along * c)).astype(u.dtype)

    def _center(self, u: jax.Array) -> tuple[jax.Array, jax.Array]:
        """C and n."""
        c = u - self.mean(u) if self.centered else u
        return c, jax.lax.rsqrt(self.mean(c * c) + self.epsilon)

    def flops(self, shape: Shape) -> int:
        return (5 if self.centered else 3) * math.prod(shape)


@register_cap("layer_norm")
class LayerNorm(_Norm):
    """`Y = (U - mean) / sqrt(variance + epsilon)` over the last axis.

    The variance is the mean of squares (not the unbiased estimate). Scale and shift
    are the next edge and its bias.

    Args:
        epsilon: Added to the variance: 1e-5 in GPT-2, 1e-6 in Vision Transformers.

    Shapes:
        `U [..., n] -> Y [..., n]`.

    Laws:
        Y has mean 0; `cap(a U + c) = cap(U)` for `a > 0`, up to epsilon.

    Example:
        >>> import capsjax as cj
        >>> x = cj.input("x", (5, 8))
        >>> norm = cj.capsule("norm", cj.identity(x), cap="layer_norm", bias=None)
        >>> h = cj.capsule("h", cj.channel_scale(norm))
        >>> cj.compile(cj.graph(h)).parameter_count
        16

    Source: Ba, Kiros & Hinton, arXiv 1607.06450, equation 4.
    """


@register_cap("group_norm")
class GroupNorm(_Norm):
    """`Y = (U - mean) / sqrt(variance + epsilon)` in each group of channels.

    Channels are the last axis and are cut into groups of neighbors; mean and variance
    are over all other axes and the channels of the group. One channel in each group is
    instance normalization; one group, layer normalization over all axes.

    Args:
        groups: Number of groups; the channels must be a multiple of it.
        epsilon: Added to the variance.

    Shapes:
        `U [spatial..., channels] -> Y [spatial..., channels]`.

    Laws:
        Each group has mean 0; `cap(a U + c) = cap(U)` for `a > 0`, up to
        epsilon.

    Example:
        >>> import capsjax as cj
        >>> x = cj.input("x", (14, 14, 64))
        >>> norm = cj.caps.group_norm(8)
        >>> h = cj.capsule("h", cj.identity(x), cap=norm, bias=None)
        >>> cj.compile(cj.graph(h)).shapes["h"].output
        (14, 14, 64)

    Source: Wu & He, arXiv 1803.08494, equations 1, 2 and 7.
    """

    groups: Count = 32

    def output_shape(self, shape: Shape) -> Shape:
        super().output_shape(shape)
        if shape[-1] % self.groups:
            raise ShapeError(
                f"{shape[-1]} channels in {self.groups} groups",
                "channels that are a multiple of groups",
                "correct groups, or the channels of the capsule",
            )
        return shape

    def mean(self, a: jax.Array) -> jax.Array:
        """Over space first, then over the group: XLA on CPU is slow at both at once.

        Gradient for 56 x 56 x 64, batch 8, 2 cores: 15.3 -> 3.4 ms.
        """
        batch, *spatial, channels = a.shape
        a = jnp.mean(a, tuple(range(1, 1 + len(spatial)))).reshape(
            batch, self.groups, -1
        )
        a = jnp.repeat(jnp.mean(a, 2), channels // self.groups, 1)
        return a.reshape(batch, *(1 for _ in spatial), channels)


@register_cap("rms_norm")
class RmsNorm(_Norm):
    """`Y = U / sqrt(mean(U^2) + epsilon)` over the last axis.

    Args:
        epsilon: Added to the mean square.

    Shapes:
        `U [..., n] -> Y [..., n]`.

    Laws:
        `cap(a U) = cap(U)` for `a > 0`, up to epsilon.

    Example:
        >>> import capsjax as cj, jax.numpy as jnp
        >>> cj.caps.rms_norm().forward(jnp.array([[3.0, -3.0]])).round(4)
        Array([[ 1., -1.]], dtype=float32)

    Source: Zhang & Sennrich, arXiv 1910.07467, equation 4.
    """

    centered: ClassVar[bool] = False

    epsilon: Epsilon = dataclasses.field(default=1e-6, kw_only=True)
