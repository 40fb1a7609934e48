"""Convolution kernels: several algorithms for each role.

For input x, kernel w, stride s, low padding p, dilation e, output position o, tap i:

    y[o, q]    = sum over i, c of  x[o s + i e - p, c] w[i, c, q]
    dx[t, c]   = sum over i, q of  delta[o, q] w[i, c, q]   where  o s + i e - p = t
    dw[i, c, q] = sum over o of    x[o s + i e - p, c] delta[o, q]

Arrays are channels-last: x `[B, spatial..., C]`, w `[window..., C / groups, Q]`. All
three are plain functions, linear in each operand, so they can be jitted, vmapped and
differentiated any number of times.

Which of them when stands in `convolution_algorithms`, what they cost and what was
measured in `convolution_choice`:

* `lax` is a library convolution. XLA puts the operands of a convolution into the
  layout its fast CPU routine needs only at the top level of a program. Inside a loop
  JAX's own derivatives therefore run a naive loop (16 layers of 3x3x32 in a scan: dx
  401 ms, dw 541 ms). Ours are written in that layout already (11 ms and 15 ms).
* `exchanged` is `lax` for dw with x in the place of the kernel: the routine is quick
  where its kernel has many features.
* `patches` is a matrix product with what each window sees; its adjoint adds the
  overlapping windows up. A base-dilated convolution, which autodiff makes of a
  stride, has no fast routine at all.
* `shifts` is a sum over taps of scaled slices, `flipped` the same for dx; they stand
  in `convolution_shifts`.
* `winograd4` and `winograd6` save products by transforms of overlapping tiles of 4 x 4
  and 6 x 6 inputs; they stand in `convolution_winograd`.
* `dense` writes a grouped kernel as a block-diagonal one. It does `groups` times the
  arithmetic, and still wins because grouped derivatives have no fast routine; it
  stands in `convolution_algorithms`, since it chooses again.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace

import jax.numpy as jnp
from jax import Array, lax

from capsjax.materialize import materialize
from capsjax.weightings.convolution_choice import Geometry
from capsjax.weightings.convolution_shifts import adjoint, pad

Shape = tuple[int, ...]

_LAYOUTS = {
    1: ("NWC", "WIO", "NWC"),
    2: ("NHWC", "HWIO", "NHWC"),
    3: ("NDHWC", "DHWIO", "NDHWC"),
}


# ---- lax: library convolutions, their operands in the order of the fast CPU routine


def lax_forward(x: Array, w: Array, geometry: Geometry) -> Array:
    """y by a library convolution."""
    return lax.conv_general_dilated(
        x,
        w,
        geometry.stride,
        geometry.padding,
        rhs_dilation=geometry.dilation,
        dimension_numbers=_LAYOUTS[x.ndim - 2],
        feature_group_count=geometry.groups,
    )


def lax_input_gradient(
    w: Array, delta: Array, x_shape: Shape, geometry: Geometry
) -> Array:
    """A convolution of delta, stretched by s, with the flipped kernel."""
    n = w.ndim - 2
    sizes = zip(x_shape[1:-1], delta.shape[1:-1], w.shape[:-2], strict=True)
    steps = zip(geometry.stride, geometry.dilation, geometry.padding, strict=True)
    pads = [
        ((k - 1) * e - low, h + low - 1 - (o - 1) * s)
        for (h, o, k), (s, e, (low, _)) in zip(sizes, steps, strict=True)
    ]
    return lax.conv_general_dilated(
        delta,
        jnp.flip(w, range(n)).swapaxes(-1, -2),
        (1,) * n,
        pads,
        lhs_dilation=geometry.stride,
        rhs_dilation=geometry.dilation,
        dimension_numbers=_LAYOUTS[n],
    )


def lax_weight_gradient(
    x: Array, delta: Array, w_shape: Shape, geometry: Geometry
) -> Array:
    """A convolution over o: delta is the kernel, batch and channels are exchanged."""
    sizes = zip(x.shape[1:-1], delta.shape[1:-1], w_shape[:-2], strict=True)
    steps = zip(geometry.stride, geometry.dilation, geometry.padding, strict=True)
    pads = tuple(
        (low, (o - 1) * s + (k - 1) * e + 1 - h - low)
        for (h, o, k), (s, e, (low, _)) in zip(sizes, steps, strict=True)
    )
    exchanged = Geometry(geometry.dilation, pads, geometry.stride)
    dw = lax_forward(x.swapaxes(0, -1), jnp.moveaxis(delta, 0, -2), exchanged)
    return jnp.moveaxis(dw, 0, -2)


def exchanged_weight_gradient(
    x: Array, delta: Array, w_shape: Shape, geometry: Geometry
) -> Array:
    """For s = 1 the same with x as the kernel: its C make the wider products."""
    *window, c, q = w_shape
    sides = zip(window, geometry.dilation, geometry.padding, strict=True)
    pads = tuple(((k - 1) * e - low, 0) for k, e, (low, _) in sides)
    back = replace(geometry, padding=pads)
    dw = lax_weight_gradient(delta, x, (*window, q, c), back)
    return jnp.flip(dw, range(len(window))).swapaxes(-1, -2)


# ---- patches: matrix products


def patches_forward(x: Array, w: Array, geometry: Geometry) -> Array:
    """y: what each window sees times the kernel."""
    out = geometry.output(x.shape[1:-1], w.shape[:-2])
    seen = _unfold(x, w.shape[:-2], out, geometry)
    y = seen @ w.reshape(-1, w.shape[-1])
    return y.reshape(x.shape[0], *out, -1)


def patches_input_gradient(
    w: Array, delta: Array, x_shape: Shape, geometry: Geometry
) -> Array:
    """dx: what each window passes back, added up."""
    q = w.shape[-1]
    seen = delta.reshape(-1, q) @ w.reshape(-1, q).T
    seen = seen.reshape(*delta.shape[:-1], *w.shape[:-1])
    return materialize(_fold(seen, x_shape, geometry))


def patches_weight_gradient(
    x: Array, delta: Array, w_shape: Shape, geometry: Geometry
) -> Array:
    """Long sums in four parts, as a batch: XLA computes these in parallel.

    6272 x 256 by 6272 x 32: 4.0 ms in one, 2.5 ms in four parts.
    """
    seen = _unfold(x, w_shape[:-2], delta.shape[1:-1], geometry)
    delta = delta.reshape(-1, w_shape[-1])
    long = len(seen) >= 8 * max(seen.shape[1], w_shape[-1])
    parts = 4 if long and len(seen) % 4 == 0 else 1
    a, b = (each.reshape(parts, -1, each.shape[1]) for each in (seen, delta))
    return jnp.einsum("brk,brq->bkq", a, b).sum(0).reshape(w_shape)


def _unfold(
    x: Array, window: Sequence[int], out: Sequence[int], geometry: Geometry
) -> Array:
    """[B, h..., C] -> [B * o..., k... * C], one dimension after the other.

    The padded size is (o + turns - 1) * s, so tap i = t s + r of output o stands at
    (o + t, r): `turns` slices give all taps, where slicing tap by tap takes k.
    """
    for a, (k, o, s, (low, _)) in enumerate(
        zip(window, out, geometry.stride, geometry.padding, strict=True), 1
    ):
        at, turns = 2 * a - 1, -(-k // s)
        x = pad(x, {at: (low, (o + turns - 1) * s - low - x.shape[at])})
        x = x.reshape(*x.shape[:at], -1, s, *x.shape[at + 1 :])
        taps = [lax.slice_in_dim(x, t, t + o, axis=at) for t in range(turns)]
        x = lax.slice_in_dim(jnp.concatenate(taps, at + 1), 0, k, axis=at + 1)
        x = jnp.moveaxis(x, at, a)  # [B, o..., k..., h..., C]
    return x.reshape(-1, math.prod(window) * x.shape[-1])


def _fold(seen: Array, x_shape: Shape, geometry: Geometry) -> Array:
    """[B, o..., k..., C] -> [B, h..., C]: each input element sums what saw it.

    Phase r of the input (its elements at t s + r) is seen by the taps i = t s + r
    only, and by output o at o + t. Phases are summed densely, then interleaved.
    """
    n, stride = len(geometry.stride), geometry.stride
    out, window = seen.shape[1 : n + 1], seen.shape[n + 1 : -1]
    turns = [-(-k // s) for k, s in zip(window, stride, strict=True)]
    sizes = [o + t - 1 for o, t in zip(out, turns, strict=True)]
    if set(turns) == {1}:
        sides = zip(window, stride, strict=True)
        short = {n + 1 + a: (0, s - k) for a, (k, s) in enumerate(sides)}
        x = pad(seen, short)
    else:
        phases = [
            _phase(seen, phase, sizes, stride)
            for phase in itertools.product(*map(range, stride))
        ]
        x = jnp.stack(phases, n + 1) if len(phases) > 1 else phases[0]
        x = x.reshape(*x.shape[: n + 1], *stride, x.shape[-1])
    order = [axis for a in range(1, n + 1) for axis in (a, a + n)]
    x = x.transpose(0, *order, 2 * n + 1)
    x = x.reshape(
        x.shape[0], *(m * s for m, s in zip(sizes, stride, strict=True)), x.shape[-1]
    )
    crop = zip(x_shape[1:-1], x.shape[1:-1], geometry.padding, strict=True)
    return pad(
        x, {a: (-low, h + low - m) for a, (h, m, (low, _)) in enumerate(crop, 1)}
    )


def _phase(
    seen: Array, phase: Sequence[int], sizes: Sequence[int], stride: Sequence[int]
) -> Array:
    n = len(phase)
    out, window = seen.shape[1 : n + 1], seen.shape[n + 1 : -1]
    total = jnp.zeros((seen.shape[0], *sizes, seen.shape[-1]), seen.dtype)
    for tap in itertools.product(*map(range, phase, window, stride)):
        turn = [i // s for i, s in zip(tap, stride, strict=True)]
        room = zip(turn, out, sizes, strict=True)
        pads = {a: (t, m - o - t) for a, (t, o, m) in enumerate(room, 1)}
        total = total + pad(seen[(..., *tap, slice(None))], pads)
    return total


# ---- jax: its own derivatives


def jax_input_gradient(
    w: Array, delta: Array, x_shape: Shape, geometry: Geometry
) -> Array:
    """dx as JAX derives it from `lax_forward`."""
    return adjoint(lambda x: lax_forward(x, w, geometry), x_shape, delta)


def jax_weight_gradient(
    x: Array, delta: Array, w_shape: Shape, geometry: Geometry
) -> Array:
    """dw as JAX derives it from `lax_forward`."""
    return adjoint(lambda w: lax_forward(x, w, geometry), w_shape, delta)
