"""Pooling over spatial axes, channels last: max_pool, avg_pool, global_avg_pool."""

import math
from typing import Annotated, Any, ClassVar, Literal

import jax
import jax.numpy as jnp
from annotated_types import Len

from capsjax.algorithms import Choice
from capsjax.caps import pooling_algorithms as algorithms
from capsjax.caps.base import Cap, Kept, register_cap, wide
from capsjax.graph.errors import ShapeError
from capsjax.graph.kinds import Count, NonNegative, Shape
from capsjax.graph.windows import Pads, explicit_padding, output_sizes

Sizes = Annotated[tuple[Count, ...], Len(1, 3)]


class _Pool(Cap):
    """A window over the spatial axes; the stride is the window if left out."""

    window: Sizes
    stride: Sizes | None = None
    padding: Literal["SAME", "VALID"] | tuple[tuple[NonNegative, NonNegative], ...] = (
        "VALID"
    )

    def geometry(self, shape: Shape) -> tuple[Shape, Shape, Pads]:
        """Window, stride and explicit padding for a U of this shape."""
        if len(shape) != len(self.window) + 1:
            raise ShapeError(
                f"U of shape {shape} under a window of {len(self.window)} axes",
                f"{len(self.window)} spatial axes, then channels",
                "give the window as many axes as U has before its channels",
            )
        stride = self.stride or self.window
        ones = (1,) * len(self.window)
        pads = explicit_padding(shape[:-1], self.window, stride, self.padding, ones)
        for size, (before, behind) in zip(self.window, pads, strict=True):
            if before >= size or behind >= size:
                raise ShapeError(
                    f"padding ({before}, {behind}) with a window of {size}",
                    "padding smaller than the window: no window of zeros alone",
                    "less padding",
                )
        # A step past the end is a step to the end: it bounds what the rules loop over.
        room = [
            max(n + before + behind - w, 0) + 1
            for n, w, (before, behind) in zip(shape, self.window, pads, strict=False)
        ]
        return self.window, tuple(map(min, stride, room)), pads

    def output_shape(self, shape: Shape) -> Shape:
        window, stride, pads = self.geometry(shape)
        ones = (1,) * len(window)
        return (*output_sizes(shape[:-1], window, stride, pads, ones), shape[-1])

    def flops(self, shape: Shape) -> int:
        return math.prod(self.output_shape(shape)) * math.prod(self.window)


@register_cap("max_pool")
class MaxPool(_Pool):
    """`Y[p] = max of U over the window at p`; the first maximum gets the gradient.

    Shapes:
        `U [spatial..., channels] -> Y [spatial'..., channels]`.

    Laws:
        `cap(a U + c) = a cap(U) + c` for `a > 0`; the gradient goes to one
        number of a window.

    Example:
        >>> import capsjax as cj
        >>> cj.caps.max_pool((2, 2)).output_shape((8, 8, 3))
        (4, 4, 3)
    """

    reads: ClassVar[tuple[Kept, ...]] = ("U", "Y")

    def forward(self, u: jax.Array) -> jax.Array:
        geometry = self.geometry(u.shape[1:])
        return algorithms.max_pool(u, *geometry, self.asked("forward"))

    def backward(self, u: Any, y: Any, dy: jax.Array, u_shape: Shape) -> jax.Array:
        geometry = self.geometry(u_shape[1:])
        asked = self.asked("input gradient")
        du = algorithms.max_pool_gradient(u, y, wide(dy), *geometry, asked)
        return du.astype(dy.dtype)

    def choices(self, shape: Shape) -> dict[str, Choice]:
        problem = algorithms.Pooling(shape, *self.geometry(shape[1:]))
        return algorithms.choices(algorithms.MAX, algorithms.MAX_GRADIENT, problem)


@register_cap("avg_pool")
class AvgPool(_Pool):
    """`Y[p] = mean of U over the window at p`; padding is not counted.

    Shapes:
        `U [spatial..., channels] -> Y [spatial'..., channels]`.

    Laws:
        Linear in U; a constant U gives the same constant.

    Example:
        >>> import capsjax as cj
        >>> cj.caps.avg_pool((2, 2)).output_shape((8, 8, 3))
        (4, 4, 3)
    """

    reads: ClassVar[tuple[Kept, ...]] = ()

    def forward(self, u: jax.Array) -> jax.Array:
        geometry = self.geometry(u.shape[1:])
        y = algorithms.average_pool(wide(u), *geometry, self.asked("forward"))
        return y.astype(u.dtype)

    def backward(self, u: Any, y: Any, dy: jax.Array, u_shape: Shape) -> jax.Array:
        geometry = self.geometry(u_shape[1:])
        asked = self.asked("input gradient")
        delta = algorithms.average_pool_gradient(wide(dy), u_shape, *geometry, asked)
        return delta.astype(dy.dtype)

    def choices(self, shape: Shape) -> dict[str, Choice]:
        problem = algorithms.Pooling(shape, *self.geometry(shape[1:]))
        roles = algorithms.AVERAGE, algorithms.AVERAGE_GRADIENT
        return algorithms.choices(*roles, problem)


@register_cap("global_avg_pool")
class GlobalAvgPool(Cap):
    """`Y[c] = mean of U[..., c]` over all axes but the last.

    Shapes:
        `U [spatial..., channels] -> Y [channels]`.

    Laws:
        Linear in U; a constant U gives the same constant.

    Example:
        >>> import capsjax as cj
        >>> cj.caps.global_avg_pool().output_shape((8, 8, 3))
        (3,)
    """

    reads: ClassVar[tuple[Kept, ...]] = ()

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) < 2:
            raise ShapeError(
                f"U of shape {shape}",
                "at least one spatial axis, then channels",
                "leave the pooling out",
            )
        return shape[-1:]

    def forward(self, u: jax.Array) -> jax.Array:
        return jnp.mean(wide(u), axis=tuple(range(1, u.ndim - 1))).astype(u.dtype)

    def backward(self, u: Any, y: Any, dy: jax.Array, u_shape: Shape) -> jax.Array:
        spatial = u_shape[1:-1]
        dy = dy.reshape(dy.shape[0], *(1 for _ in spatial), dy.shape[-1])
        return jnp.broadcast_to(dy / math.prod(spatial), u_shape)
