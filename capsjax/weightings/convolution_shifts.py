"""Convolutions as sums of scaled slices: for groups of few channels, and for tiny ones.

In the notation of `convolution_kernels`, for all positions at once and tap by tap:

    y            adds   x[o s + i e - p] w[i]
    dw[i]        sums   x[o s + i e - p] delta[o]
    dx, flipped  adds   delta[t + p - i e] w[i], for s = 1: y of the flipped kernel
    dx, shifts   is what `jax.linear_transpose` makes of y

Results are materialized: XLA would otherwise sum again in every consumer. In dw it also
would not vectorize a sum over positions, which leaves the last axis alone. So the rows
of the output are cut into a few blocks that are added up elementwise, vectorized, and
only what remains is summed over positions.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import jax
import jax.numpy as jnp
from jax import Array, lax

from capsjax.materialize import materialize
from capsjax.weightings.convolution_choice import Geometry

Shape = tuple[int, ...]

_BLOCKS = 8


def forward(x: Array, w: Array, geometry: Geometry) -> Array:
    """y."""
    return materialize(_sum_of_shifts(x, w, geometry))


def input_gradient(w: Array, delta: Array, x_shape: Shape, geometry: Geometry) -> Array:
    """dx, transposed by JAX: each tap writes a padded array."""
    return adjoint(lambda x: _sum_of_shifts(x, w, geometry), x_shape, delta)


def flipped_input_gradient(
    w: Array, delta: Array, x_shape: Shape, geometry: Geometry
) -> Array:
    """dx for stride 1: slices of delta, so nothing is written but the sum."""
    *window, channels, features = w.shape
    repeats = features // geometry.groups
    sizes = zip(x_shape[1:-1], delta.shape[1:-1], window, strict=True)
    steps = zip(geometry.dilation, geometry.padding, strict=True)
    pads = tuple(
        ((k - 1) * e - low, h + low - o)
        for (h, o, k), (e, (low, _)) in zip(sizes, steps, strict=True)
    )
    back = replace(geometry, padding=pads)
    w = jnp.flip(w, range(len(window)))

    def one(channel: int) -> Array:
        """dx of one channel of every group."""
        parts = [
            _sum_of_shifts(
                delta[..., j::repeats], w[..., channel : channel + 1, j::repeats], back
            )
            for j in range(repeats)
        ]
        return sum(parts[1:], parts[0])

    dx = jnp.stack([one(channel) for channel in range(channels)], -1)
    return materialize(dx.reshape(x_shape))


def weight_gradient(
    x: Array, delta: Array, w_shape: Shape, geometry: Geometry
) -> Array:
    """dw: one sum of products for each tap and channel of a group."""
    *window, channels, features = w_shape
    repeats = features // geometry.groups
    rows, *rest = delta.shape[1:-1]
    height = -(-rows // _BLOCKS)
    blocks = -(-rows // height)
    extra = blocks * height - rows
    delta = pad(delta, {1: (0, extra)})
    (low, high), *others = geometry.padding
    pads = [(low, high + extra * geometry.stride[0]), *others]
    x = pad(x, dict(enumerate(pads, 1)))
    if repeats > 1:
        x = jnp.repeat(x.reshape(*x.shape[:-1], -1, channels), repeats, -2)
        x = x.reshape(*x.shape[:-2], -1)
    x = materialize(x)
    block = replace(geometry, padding=((0, 0),) * len(window))

    def one(tap: Sequence[int], channel: int) -> Array:
        total = jnp.zeros((), x.dtype)
        for start in range(0, rows + extra, height):
            at = _slices(tap, (height, *rest), block)
            first = start * geometry.stride[0]
            at[0] = slice(at[0].start + first, at[0].stop + first, at[0].step)
            seen = x[(slice(None), *at, slice(channel, None, channels))]
            total = total + seen * delta[:, start : start + height]
        return jnp.sum(materialize(total), tuple(range(total.ndim - 1)))

    each = itertools.product(_taps(window), range(channels))
    return jnp.stack([one(*where) for where in each]).reshape(w_shape)


def pad(x: Array, pads: dict[int, tuple[int, int]]) -> Array:
    """Zeros at both ends of the given dimensions; negative numbers crop."""
    config = [(*pads.get(axis, (0, 0)), 0) for axis in range(x.ndim)]
    return lax.pad(x, jnp.zeros((), x.dtype), config)


def adjoint(f: Callable[[Array], Array], shape: Shape, delta: Array) -> Array:
    """The adjoint of the linear function f of one array, applied to delta."""
    return jax.linear_transpose(f, jax.ShapeDtypeStruct(shape, delta.dtype))(delta)[0]


def _sum_of_shifts(x: Array, w: Array, geometry: Geometry) -> Array:
    c, repeats = w.shape[-2], w.shape[-1] // geometry.groups
    out = geometry.output(x.shape[1:-1], w.shape[:-2])
    x = pad(x, dict(enumerate(geometry.padding, 1)))
    y = jnp.zeros((), x.dtype)
    for tap in _taps(w.shape[:-2]):
        at = _slices(tap, out, geometry)
        for channel in range(c):  # of every group at once
            shifted = x[(slice(None), *at, slice(channel, None, c))]
            if geometry.groups > 1 and repeats > 1:
                shifted = jnp.repeat(shifted, repeats, -1)
            y = y + shifted * w[tap][channel]
    return y


def _taps(window: Sequence[int]) -> Iterator[tuple[int, ...]]:
    return itertools.product(*map(range, window))


def _slices(tap: Sequence[int], out: Sequence[int], geometry: Geometry) -> list[slice]:
    """What a tap sees of the padded input from all output positions."""
    start = [i * e for i, e in zip(tap, geometry.dilation, strict=True)]
    reach = zip(start, out, geometry.stride, strict=True)
    return [slice(b, b + (o - 1) * s + 1, s) for b, o, s in reach]
