"""Which convolution kernel when: by role, shape and platform.

On other platforms than CPU each role is JAX's own. On CPU (2 cores, float32, XLA's own
derivative -> this algorithm):

| role   | when                                 | algorithm | measured                 |
|--------|--------------------------------------|-----------|--------------------------|
| y      | window fits in the stride (also 1x1) | patches   | 1x1: 17 -> 11 ms         |
| y      | C >= 256 and 25 taps or more         | patches   | 9x9, s 2: 160 -> 57 ms   |
| y      | C <= 3 and a tiny kernel             | shifts    | 5x5x1x6: 5.9 -> 0.6 ms   |
| y      | C times taps of at most 32           | patches   | 3x3x3x24: 3.5 -> 0.5 ms  |
| y      | groups of at most 4 channels         | shifts    | depthwise: 28 -> 1.4 ms  |
| dx     | stride above 1                       | patches   | 9x9, s 2: 3340 -> 50 ms  |
| dx     | 1x1, or C <= 4                       | patches   | 3x3x4x64: 2.2 -> 0.9 ms  |
| dx     | groups of one channel                | shifts    | depthwise: 28 -> 0.9 ms  |
| dx     | the same, stride 1 and more than     | flipped   | 7x7 depthwise, beside    |
|        | 9 taps or several features a channel |           | shifts: 6.7 -> 1.5 ms    |
| dw     | window fits in the stride (also 1x1) | patches   | 1x1: 48 -> 10 ms         |
| dw     | C >= 2 Q, stride 1                   | exchanged | 3x3x48x12: 1.0 -> 0.6 ms |
| dw     | groups of one channel                | shifts    | depthwise: 75 -> 6.5 ms  |
| y, dw  | three dimensions and a stride        | patches   | dw, 3x3x3: 35 -> 5 ms    |
| dx, dw | other groups                         | dense     | dw, 8: 1460 -> 15 ms     |
| any    | 3x3 or 5x5, stride 1, where the rule | winograd4 | see below                |
|        | of costs says so                     | winograd6 |                          |
| any    | otherwise                            | lax       |                          |

Here y is the output, dx and dw the gradients of input and kernel, C and Q the channels
of input and output, s the stride. The algorithms stand in `convolution_kernels`,
`convolution_shifts` and `convolution_winograd`.

Winograd's algorithm with tiles of n x n inputs is chosen where it costs the least, in
multiplications of a matrix product:

    n^2 (T C Q + 50 C Q + 9 n T (C + Q))     T tiles: products, and transforms of
                                             the kernel and of the tiles
    1.5 r^2 P C Q                            `lax`: P outputs, r x r taps

Milliseconds for y, dx, dw of 3x3 (the last: 5x5) with equal padding, and the choice:

| batch, shape, features | XLA's            | winograd4        | winograd6        |   |
|------------------------|------------------|------------------|------------------|---|
| 32, 32x32x64, 64       | 25, 26, 28       | 14, 16, 28       | 10, 12, 12       | 6 |
| 32, 16x16x128, 128     | 18, 19, 22       | 8, 9, 11         | 8, 8, 7          | 6 |
| 32, 8x8x256, 256       | 20, 20, 22       | 9, 10, 10        | 6, 8, 8          | 6 |
| 32, 4x4x512, 512       | 18, 20, 20       | 10, 8, 11        | 9, 10, 9         | 4 |
| 8, 28x28x96, 128       | 12, 12, 13       | 6, 6, 6          | 5, 5, 4          | 6 |
| 8, 7x7x160, 320        | 3.0, 5.2, 3.8    | 3.0, 2.6, 2.9    | 2.3, 2.6, 2.6    | 6 |
| 32, 32x32x32, 32       | 7, 7, 9          | 6, 6, 10         | 4, 5, 5          | 6 |
| 16, 32x32x200, 12      | 14, 9, 20        | 8, 10, 11        | 9, 8, 12         | 6 |
| 16, 32x32x48, 12       | 2.8, 2.2, 4.9    | 3.1, 2.0, 2.9    | 2.5, 1.9, 2.5    |   |
| 32, 32x32x16, 16       | 3.1, 1.7, 2.7    |                  | 4.0, 4.1, 3.9    |   |
| 1, 8x8x256, 256        | 1.0, 1.4, 1.0    | 0.8, 0.8, 1.0    | 1.2, 1.0, 1.5    |   |
| 16, 27x27x64, 192      | 54, 82, 50       |                  | 32, 38, 44       | 6 |
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from capsjax.platform import platform

Shape = tuple[int, ...]

_PATCHES_LIMIT = 2**26  # elements; beyond it the copies cost more than they save
_WEIGHT_COST, _TILE_COST = 50, 9  # of a transform, in multiplications
_PLAIN_COST = 1.5  # of one in a convolution of XLA, beside its products
_TAPS_LIMIT = 128  # operations in the program, so compile time


@dataclass(frozen=True)
class Geometry:
    """Where the window goes. Padding is explicit: (low, high) for each dimension."""

    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    groups: int = 1

    def output(self, spatial: Sequence[int], window: Sequence[int]) -> Shape:
        """Spatial sizes of the output."""
        return tuple(
            (h + low + high - (k - 1) * e - 1) // s + 1
            for h, k, s, e, (low, high) in zip(
                spatial, window, self.stride, self.dilation, self.padding, strict=True
            )
        )


def forward_algorithm(x_shape: Shape, w_shape: Shape, geometry: Geometry) -> str:
    """The name in FORWARD of the algorithm for these shapes on this platform."""
    (*window, c, _), taps = w_shape, math.prod(w_shape[:-2])
    if _platform() != "cpu":
        return "jax"
    if geometry.groups > 1:
        return "shifts" if c <= 4 and taps * c <= _TAPS_LIMIT else "lax"
    if _is_disjoint(window, geometry):
        return "patches"
    if c <= 3 and math.prod(w_shape) <= 450:
        return "shifts"
    if set(geometry.dilation) != {1}:
        return "lax"
    if taps * c <= 32:
        return "patches"
    out = geometry.output(x_shape[1:-1], window)
    elements = x_shape[0] * math.prod(out) * taps * c
    wide = c >= 256 and taps >= 25 and elements <= _PATCHES_LIMIT
    if winograd := _winograd(x_shape[0], out, w_shape, geometry):
        return winograd
    return "patches" if wide or _is_strided_volume(geometry) else "lax"


def input_gradient_algorithm(x_shape: Shape, w_shape: Shape, geometry: Geometry) -> str:
    """The name in INPUT_GRADIENT of the algorithm for these shapes."""
    (*window, c, q), taps = w_shape, math.prod(w_shape[:-2])
    if _platform() != "cpu":
        return "jax"
    if geometry.groups > 1:
        if c > 1 or taps > _TAPS_LIMIT:
            return "dense"
        flips = taps > 9 or q > geometry.groups
        return "flipped" if flips and max(geometry.stride) == 1 else "shifts"
    if _is_disjoint(window, geometry):
        return "patches"
    if max(geometry.stride) == 1 and c > 4:
        return _winograd(x_shape[0], x_shape[1:-1], w_shape, geometry) or "lax"
    few = taps <= _TAPS_LIMIT and set(geometry.dilation) == {1}
    return "patches" if few else "lax"


def weight_gradient_algorithm(
    x_shape: Shape, w_shape: Shape, geometry: Geometry
) -> str:
    """The name in WEIGHT_GRADIENT of the algorithm for these shapes."""
    if _platform() != "cpu":
        return "jax"
    if geometry.groups > 1:
        if w_shape[-2] > 1:
            return "dense"
        few = math.prod(w_shape[:-2]) <= _TAPS_LIMIT // 2  # each stands there 8 times
        return "shifts" if few else "jax"
    if _is_disjoint(w_shape[:-2], geometry):
        return "patches"
    plain = set(geometry.dilation) == {1}
    if plain and _is_strided_volume(geometry):
        return "patches"
    out = geometry.output(x_shape[1:-1], w_shape[:-2])
    if winograd := _winograd(x_shape[0], out, w_shape, geometry):
        return winograd
    narrow = w_shape[-2] >= 2 * w_shape[-1]
    return "exchanged" if narrow and max(geometry.stride) == 1 else "lax"


def _winograd(
    batch: int, out: Sequence[int], w_shape: Shape, geometry: Geometry
) -> str | None:
    """Winograd's algorithm for these numbers of outputs, where it is the cheapest."""
    *window, c, q = w_shape
    square = len(window) == 2 and window[0] == window[1] and window[0] in (3, 5)
    if not square or {*geometry.stride, *geometry.dilation} != {1}:
        return None
    plain = _PLAIN_COST * batch * math.prod(out) * math.prod(w_shape)
    costs: dict[str | None, float] = {None: plain}
    for tile in (4, 6):
        m = tile - window[0] + 1
        if m > 1:
            tiles = batch * math.prod(-(-o // m) for o in out)
            transforms = _WEIGHT_COST * c * q + _TILE_COST * tile * tiles * (c + q)
            costs[f"winograd{tile}"] = tile**2 * (tiles * c * q + transforms)
    return min(costs, key=lambda name: costs[name])


def _platform() -> str:
    return platform()


def _is_disjoint(window: Sequence[int], geometry: Geometry) -> bool:
    """Whether no input element is seen by two windows."""
    return all(
        k == 1 or (k <= s and e == 1)
        for k, s, e in zip(window, geometry.stride, geometry.dilation, strict=True)
    )


def _is_strided_volume(geometry: Geometry) -> bool:
    return len(geometry.stride) == 3 and max(geometry.stride) > 1
