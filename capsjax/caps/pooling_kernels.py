"""Pooling kernels, channels-last, for any number of spatial dimensions.

For window tap i, stride s, low padding p and output position o:

    maximum   y[o] = max over i of u[o s + i - p]
              du[t] = sum of dy[o] over the windows o whose *first* maximum, in
              row-major order, is t
    average   y[o] = sum over i of u[o s + i - p] / n[o]
              du[t] = sum of dy[o] / n[o] over the windows o that see t
              where n[o] counts the elements of window o that are not padding

The gradient of the maximum is that of `lax.reduce_window`, also where elements tie
(after a relu many do, at zero). A window that holds a NaN passes no gradient on.

For the gradient of the maximum XLA expands JAX's own rule, on CPU, to a variadic
reduce-window and a scatter. Here the position of the first maximum in its window is
found by elementwise comparisons, and each input element compares its own with it.
Measured on 2 cores, float32 (XLA's own -> here):

| input       | window        | gradient of max | forward max    |
|-------------|---------------|-----------------|----------------|
| 128x28x28x6 | 2x2, stride 2 | 4.0 -> 0.6 ms   | 0.7 -> 0.25 ms |
| 32x32x32x64 | 2x2, stride 2 | 35 -> 1.5 ms    | 0.3 -> 0.2 ms  |
| 8x56x56x64  | 3x3, stride 2 | 21 -> 1.9 ms    | 1.1 -> 0.6 ms  |
| 8x28x28x64  | 3x3, stride 1 | 12 -> 4.0 ms    | 1.8 -> 0.4 ms  |

Which of the functions when stands in `pooling_algorithms`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from capsjax.materialize import materialize

Shape = tuple[int, ...]
Padding = tuple[tuple[int, int], ...]


def slices_max(u: Array, window: Shape, stride: Shape, padding: Padding) -> Array:
    """The maximum of slices."""
    u = materialize(u)  # read once for every element of the window
    return _reduce(jnp.maximum, -jnp.inf, u, window, stride, padding)


def slices_max_tangent(
    u: Array, y: Array, du: Array, window: Shape, stride: Shape, padding: Padding
) -> Array:
    """dy: that of u at the first maximum; linear, so transposable."""
    first = _first_maximum(u, y, window, stride, padding)
    du = _pad(du, padding, 0)
    dy = jnp.zeros_like(y)
    for position, tap in enumerate(np.ndindex(*window)):
        dy = dy + jnp.where(first == position, _tap(du, tap, stride, y.shape), 0)
    return dy


def spread_max_gradient(
    u: Array, y: Array, dy: Array, window: Shape, stride: Shape, padding: Padding
) -> Array:
    """du where windows are apart: each element compares its own position."""
    first = _first_maximum(materialize(u), y, window, stride, padding)
    du = jnp.where(_spread(first) == _positions(window), _spread(dy), 0)
    return _assemble(du, u.shape, stride, padding)


def shares_max_gradient(
    u: Array, y: Array, dy: Array, window: Shape, stride: Shape, padding: Padding
) -> Array:
    """du: for each element, the sum over the windows that see it."""
    first = _first_maximum(materialize(u), y, window, stride, padding)

    def share(tap: Sequence[int], arrays: Sequence[Array]) -> Array:
        first, dy = arrays
        position = int(np.ravel_multi_index(tuple(tap), window))
        return jnp.where(first == position, dy, 0)

    return _sum_shares(share, (first, dy), u.shape, window, stride, padding)


def slices_average(u: Array, window: Shape, stride: Shape, padding: Padding) -> Array:
    """The sum of slices, divided."""
    counts = _counts(u.shape, window, stride, padding, u.dtype)
    return _reduce(jnp.add, 0, u, window, stride, padding) / counts


def spread_average_gradient(
    dy: Array, u_shape: Shape, window: Shape, stride: Shape, padding: Padding
) -> Array:
    """du where windows are apart: copies."""
    du = _spread(dy / _counts(u_shape, window, stride, padding, dy.dtype))
    shape = np.broadcast_shapes(du.shape, _window_axes(window))
    return _assemble(jnp.broadcast_to(du, shape), u_shape, stride, padding)


def shares_average_gradient(
    dy: Array, u_shape: Shape, window: Shape, stride: Shape, padding: Padding
) -> Array:
    """du: for each element, the sum over the windows that see it."""
    dy = dy / _counts(u_shape, window, stride, padding, dy.dtype)

    def share(tap: Sequence[int], arrays: Sequence[Array]) -> Array:
        return arrays[0]

    return _sum_shares(share, (dy,), u_shape, window, stride, padding)


# ---- JAX's own


def jax_max(u: Array, window: Shape, stride: Shape, padding: Padding) -> Array:
    """The maximum of each window."""
    init = np.array(-np.inf, u.dtype)
    return lax.reduce_window(u, init, lax.max, *_full(window, stride, padding))


def jax_max_gradient(
    u: Array, y: Array, dy: Array, window: Shape, stride: Shape, padding: Padding
) -> Array:
    """du by `jax.vjp`."""
    pool = partial(jax_max, window=window, stride=stride, padding=padding)
    return jax.vjp(pool, u.astype(dy.dtype))[1](dy)[0]


def jax_average(u: Array, window: Shape, stride: Shape, padding: Padding) -> Array:
    """The sum of each window, divided."""
    counts = _counts(u.shape, window, stride, padding, u.dtype)
    return _reduce_sum(u, window, stride, padding) / counts


def jax_average_gradient(
    dy: Array, u_shape: Shape, window: Shape, stride: Shape, padding: Padding
) -> Array:
    """du by `jax.linear_transpose`."""
    dy = dy / _counts(u_shape, window, stride, padding, dy.dtype)
    pool = partial(_reduce_sum, window=window, stride=stride, padding=padding)
    u = jax.ShapeDtypeStruct(u_shape, dy.dtype)
    return jax.linear_transpose(pool, u)(dy)[0]


def _reduce_sum(u: Array, window: Shape, stride: Shape, padding: Padding) -> Array:
    init = np.array(0, u.dtype)
    return lax.reduce_window(u, init, lax.add, *_full(window, stride, padding))


def _full(window: Shape, stride: Shape, padding: Padding) -> tuple:
    return (1, *window, 1), (1, *stride, 1), ((0, 0), *padding, (0, 0))


# ---- reading windows


def _outputs(u_shape: Shape, window: Shape, stride: Shape, padding: Padding) -> Shape:
    sizes = zip(u_shape[1:-1], window, stride, padding, strict=True)
    return tuple((h + low + high - k) // s + 1 for h, k, s, (low, high) in sizes)


def _pad(u: Array, padding: Padding, value: float) -> Array:
    if not any(itertools.chain(*padding)):
        return u
    config = [(0, 0, 0), *((low, high, 0) for low, high in padding), (0, 0, 0)]
    return lax.pad(u, jnp.array(value, u.dtype), config)


def _reduce(
    combine: Callable[[Array, Array], Array],
    identity: float,
    u: Array,
    window: Shape,
    stride: Shape,
    padding: Padding,
) -> Array:
    """Combines the elements of each window, one dimension after the other."""
    outputs = _outputs(u.shape, window, stride, padding)
    y = _pad(u, padding, identity)
    for axis, (k, s, o) in enumerate(zip(window, stride, outputs, strict=True), 1):
        taps = [lax.slice_in_dim(y, i, i + (o - 1) * s + 1, s, axis) for i in range(k)]
        y = taps[0]
        for tap in taps[1:]:
            y = combine(y, tap)
    return y


def _tap(u: Array, tap: Sequence[int], stride: Shape, y_shape: Shape) -> Array:
    """The element at one place in every window of the padded u."""
    reach = zip(tap, stride, y_shape[1:-1], strict=True)
    at = (slice(i, i + (o - 1) * s + 1, s) for i, s, o in reach)
    return u[(slice(None), *at)]


def _first_maximum(
    u: Array, y: Array, window: Shape, stride: Shape, padding: Padding
) -> Array:
    """Position of the first maximum in each window, row-major; -1 beside a NaN."""
    u = _pad(u, padding, -jnp.inf)
    first = jnp.full(y.shape, -1, jnp.int8)
    for position, tap in reversed(list(enumerate(np.ndindex(*window)))):
        found = _tap(u, tap, stride, y.shape) == y
        first = jnp.where(found, jnp.int8(position), first)
    return first


def _counts(
    u_shape: Shape, window: Shape, stride: Shape, padding: Padding, dtype
) -> Array:
    """How many real elements each window has: a product over the dimensions.

    Nothing of the input's size is made before the program runs.
    """
    if not any(itertools.chain(*padding)):
        return jnp.asarray(math.prod(window), dtype)
    counts = jnp.ones((1,) * len(u_shape), dtype)
    outputs = _outputs(u_shape, window, stride, padding)
    for axis, (o, k, s, (low, _)) in enumerate(
        zip(outputs, window, stride, padding, strict=True), 1
    ):
        start = lax.iota(jnp.int32, o) * s - low
        inside = jnp.minimum(start + k, u_shape[axis]) - jnp.maximum(start, 0)
        shape = [1] * len(u_shape)
        shape[axis] = o
        counts = counts * jnp.maximum(inside, 1).reshape(shape).astype(dtype)
    return counts


# ---- writing windows


def _positions(window: Shape) -> Array:
    """The position of each element in its window, for arrays [B, (o, k)..., C].

    Made of iotas, because XLA does not vectorize reads of a small constant table.
    """
    shape = _window_axes(window)
    position = jnp.zeros(shape, jnp.int8)
    for a, k in enumerate(window):
        i = lax.broadcasted_iota(jnp.int8, shape, 2 * a + 2)
        position = position * np.int8(k) + i
    return position


def _window_axes(window: Shape) -> Shape:
    return (1, *itertools.chain(*((1, k) for k in window)), 1)


def _spread(a: Array) -> Array:
    """[B, o..., C] -> [B, (o, 1)..., C]: room for the elements of each window."""
    return jnp.expand_dims(a, tuple(range(2, 2 * a.ndim - 3, 2)))


def _assemble(du: Array, u_shape: Shape, stride: Shape, padding: Padding) -> Array:
    """[B, (o, k)..., C] -> [B, h..., C]: joins the windows, cuts the padding off."""
    gaps = ((0, s - k) for s, k in zip(stride, du.shape[2:-1:2], strict=True))
    du = _pad(du, tuple(itertools.chain(*(((0, 0), gap) for gap in gaps))), 0)
    sizes = [o * s for o, s in zip(du.shape[1:-1:2], stride, strict=True)]
    du = du.reshape(du.shape[0], *sizes, du.shape[-1])
    ends = zip(u_shape[1:-1], sizes, padding, strict=True)
    return _pad(du, tuple((-low, h + low - m) for h, m, (low, _) in ends), 0)


def _sum_shares(
    share: Callable[[Sequence[int], Sequence[Array]], Array],
    arrays: Sequence[Array],
    u_shape: Shape,
    window: Shape,
    stride: Shape,
    padding: Padding,
) -> Array:
    """du from what each tap of the windows gets; the arrays are like y.

    Elements at t s + r of the padded input (phase r) are seen by the taps i = j s + r,
    from output o = t - j. The phases are summed one by one, then interleaved. The
    arrays are padded once before, since XLA vectorizes slices but not padding.
    """
    n = len(stride)
    reach = [(k - 1) // s for k, s in zip(window, stride, strict=True)]
    sizes = [o + j for o, j in zip(arrays[0].shape[1:-1], reach, strict=True)]
    room = tuple((j, j) for j in reach)
    arrays = [materialize(_pad(a, room, 0)) for a in arrays]
    phases = []
    for phase in np.ndindex(*stride):
        shares = []
        for tap in itertools.product(*map(range, phase, window, stride)):
            starts = [j - i // s for j, i, s in zip(reach, tap, stride, strict=True)]
            at = [slice(b, b + m) for b, m in zip(starts, sizes, strict=True)]
            shares.append(share(tap, [a[(slice(None), *at)] for a in arrays]))
        none = jnp.zeros_like(arrays[-1], shape=(len(arrays[0]), *sizes, u_shape[-1]))
        phases.append(sum(shares[1:], shares[0]) if shares else none)
    du = jnp.stack(phases, n + 1).reshape(-1, *sizes, *stride, u_shape[-1])
    order = [axis for a in range(1, n + 1) for axis in (a, a + n)]
    du = du.transpose(0, *order, 2 * n + 1)
    return _assemble(du, u_shape, stride, padding)
