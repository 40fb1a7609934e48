"""adaptive_avg_pool: so many windows along each spatial axis, whatever its size.

Along an axis of n positions, window i of o is [floor(i n / o), ceil((i + 1) n / o)),
and Y[i] is the mean over it. Position t lies in the windows from floor(t o / n) to
before ceil((t + 1) o / n): the same formula with n and o exchanged. So the gradient is
the same sum the other way, of dY divided by the windows' lengths.
"""

from typing import Annotated, Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Len

from capsjax.caps.base import Cap, Kept, register_cap, wide
from capsjax.graph.errors import ShapeError
from capsjax.graph.kinds import Count, Shape


@register_cap("adaptive_avg_pool")
class AdaptiveAvgPool(Cap):
    """`Y[p] = mean of U over window p`, as many windows as asked for.

    Windows overlap where the axis is not a multiple of their number.

    Args:
        windows: Number of windows along each spatial axis, which are all axes of U but
            the last.

    Shapes:
        `U [spatial..., channels] -> Y [windows..., channels]`.

    Laws:
        Linear in U; a constant U gives the same constant.

    Example:
        >>> import capsjax as cj
        >>> x = cj.input("x", (13, 10, 4))
        >>> pool = cj.caps.adaptive_avg_pool((6, 6))
        >>> h = cj.capsule("h", cj.identity(x), cap=pool, bias=None)
        >>> cj.compile(cj.graph(h)).shapes["h"].output
        (6, 6, 4)

    Source: `torch.nn.AdaptiveAvgPool2d`, whose windows these are.
    """

    reads: ClassVar[tuple[Kept, ...]] = ()

    windows: Annotated[tuple[Count, ...], Len(1, 3)]

    def output_shape(self, shape: Shape) -> Shape:
        rank = len(self.windows)
        if len(shape) != rank + 1:
            raise ShapeError(
                f"U of shape {shape} under windows along {rank} axes",
                f"{rank} spatial axes, then channels",
                "give as many numbers of windows as U has axes before its channels",
            )
        return (*self.windows, shape[-1])

    def forward(self, u: jax.Array) -> jax.Array:
        y = wide(u)
        for axis, count in enumerate(self.windows, 1):
            y = _sums(y, axis, count) / _lengths(y, axis, count)
        return y.astype(u.dtype)

    def backward(self, u: Any, y: Any, dy: jax.Array, u_shape: Shape) -> jax.Array:
        delta = wide(dy)
        for axis, size in enumerate(u_shape[1:-1], 1):
            count = delta.shape[axis]
            source = jax.ShapeDtypeStruct(
                (*delta.shape[:axis], size, *delta.shape[axis + 1 :]), delta.dtype
            )
            delta = _sums(delta / _lengths(source, axis, count), axis, size)
        return delta.astype(dy.dtype)


def _bounds(size: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """First position of each window, and the one behind its last."""
    index = np.arange(count)
    return index * size // count, -(-(index + 1) * size // count)


def _lengths(a: Any, axis: int, count: int) -> jax.Array:
    first, end = _bounds(a.shape[axis], count)
    shape = [1] * len(a.shape)
    shape[axis] = count
    return jnp.asarray((end - first).reshape(shape), a.dtype)


def _sums(a: jax.Array, axis: int, count: int) -> jax.Array:
    """Sums over the windows along an axis."""
    size = a.shape[axis]
    if count % size == 0:
        return jnp.repeat(a, count // size, axis)
    before, behind = a.shape[:axis], a.shape[axis + 1 :]
    if size % count == 0:
        return jnp.sum(a.reshape(*before, count, size // count, *behind), axis + 1)
    first, end = _bounds(size, count)
    reach = np.arange((end - first).max())
    at = first[:, None] + reach
    inside = np.expand_dims(at < end[:, None], tuple(range(2, 2 + len(behind))))
    seen = jnp.take(a, np.minimum(at, size - 1), axis)
    return jnp.sum(jnp.where(inside, seen, 0), axis + 1)
