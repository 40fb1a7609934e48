"""What convolution kernels cost, by role and shape: rules fitted to measurements.

The unit is one multiplication of a matrix product in a large one. With P positions of
the output, T taps, C channels of a group, Q features, W = P T C Q multiplications:

| algorithm | y                      | dx                     | dw                    |
|-----------|------------------------|------------------------|-----------------------|
| lax       | 1.5 W, few channels    | 1.5 W, C <= 4: 15 W,   | 1.5 W, strided        |
|           | + 250 P T C, wide or   | strided 120 W          | volumes 10 W          |
|           | strided volumes 4 W,   |                        |                       |
|           | groups of C <= 4: 60 W |                        |                       |
| patches   | 1.4 W + 80 P T C for   | the same               | the same              |
|           | copies, 600 P T C if   |                        |                       |
|           | they are large, none   |                        |                       |
|           | if windows are apart   |                        |                       |
| shifts    | 2 W, 6 W if T C Q is   | C = 1: 2.9 W,          | C = 1: 3 W            |
|           | large, groups 3 W      | else 1200 W            |                       |
| flipped   |                        | C = 1: 2.5 or 3.2 W    |                       |
| exchanged |                        |                        | C >= 2 Q: 1.45 W      |
| dense     |                        | groups x 1.5 W         | groups x 1.5 W        |
| jax       |                        | 1201 W                 | 1201 W                |
| winograd  | see below              | see below              | see below             |

Few channels: T C <= 32, or C <= 3 and T C Q <= 450. Wide: C >= 256 and T >= 25.

What that comes to, and what was measured (2 cores, float32, XLA's own derivative -> the
algorithm):

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

Winograd's algorithm with tiles of n x n inputs costs, in the same unit:

    n^2 (T C Q + 50 C Q + 9 n T (C + Q))     T tiles: products, and transforms of
                                             the kernel and of the tiles

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

Shape = tuple[int, ...]

_LAX, _PATCHES = 1.5, 1.4  # of a multiplication in a library convolution, in a product
_COPY, _LARGE_COPY = 80, 600  # of an element of patches
_PATCHES_LIMIT = 2**26  # elements; beyond it each call gets fresh pages
_NAIVE = 60  # of a multiplication where the library has no fast routine
_STRETCHED = 120  # the same, most of them with zeros
_GROUPED = 1200  # the same, in a derivative by groups
_WEIGHT_COST, _TILE_COST = 50, 9  # of a transform, in multiplications
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


@dataclass(frozen=True)
class Convolution:
    """A convolution of x, `[B, spatial..., channels]`, with w, `[window..., C, Q]`."""

    x_shape: Shape
    w_shape: Shape
    geometry: Geometry

    @property
    def window(self) -> Shape:
        """Sizes of the window."""
        return self.w_shape[:-2]

    @property
    def taps(self) -> int:
        """Elements of the window."""
        return math.prod(self.window)

    @property
    def channels(self) -> int:
        """Channels of one group."""
        return self.w_shape[-2]

    @property
    def features(self) -> int:
        """Features of all groups."""
        return self.w_shape[-1]

    @property
    def out(self) -> Shape:
        """Spatial sizes of the output."""
        return self.geometry.output(self.x_shape[1:-1], self.window)

    @property
    def seen(self) -> int:
        """P T C: elements of all windows, with one group's channels."""
        return self.x_shape[0] * math.prod(self.out) * self.taps * self.channels

    @property
    def work(self) -> int:
        """W: multiplications."""
        return self.seen * self.features

    @property
    def strided(self) -> bool:
        """Whether windows are further apart than one position."""
        return max(self.geometry.stride) > 1

    @property
    def dilated(self) -> bool:
        """Whether the taps of a window are apart."""
        steps = zip(self.window, self.geometry.dilation, strict=True)
        return any(k > 1 and e > 1 for k, e in steps)

    @property
    def disjoint(self) -> bool:
        """Whether no input element is seen by two windows."""
        sides = zip(self.window, self.geometry.stride, strict=True)
        return not self.dilated and all(k == 1 or k <= s for k, s in sides)

    @property
    def strided_volume(self) -> bool:
        """Whether it has three dimensions and a stride."""
        return len(self.window) == 3 and self.strided


# ---- what can be used


def is_dense(problem: Convolution) -> bool:
    """One group."""
    return problem.geometry.groups == 1


def is_grouped(problem: Convolution) -> bool:
    """Several groups."""
    return problem.geometry.groups > 1


def has_patches(problem: Convolution) -> bool:
    """One group, and windows whose elements are neighbors."""
    return is_dense(problem) and not problem.dilated


def has_folds(problem: Convolution) -> bool:
    """The same, for dx: overlapping windows are added up tap by tap."""
    few = problem.disjoint or problem.taps <= _TAPS_LIMIT
    return has_patches(problem) and few


def has_shifts(problem: Convolution) -> bool:
    """Few taps and channels of a group: each is an operation of the program."""
    return problem.taps * problem.channels <= _TAPS_LIMIT


def has_flips(problem: Convolution) -> bool:
    """The same, without strides."""
    return has_shifts(problem) and not problem.strided


def has_block_shifts(problem: Convolution) -> bool:
    """The same, for dw: each stands there 8 times."""
    return problem.taps * problem.channels <= _TAPS_LIMIT // 2


def is_exchangeable(problem: Convolution) -> bool:
    """One group, no strides."""
    return is_dense(problem) and not problem.strided


def has_tiles(problem: Convolution, tile: int) -> bool:
    """3 x 3 or 5 x 5, without steps, and less than the tile."""
    geometry, window = problem.geometry, problem.window
    square = window in ((3, 3), (5, 5)) and window[0] < tile
    return (
        square and is_dense(problem) and {*geometry.stride, *geometry.dilation} == {1}
    )


# ---- what it costs


def lax_forward(problem: Convolution) -> float:
    """A library convolution."""
    c, taps, work = problem.channels, problem.taps, problem.work
    if is_grouped(problem):
        return (_NAIVE if c <= 4 else _LAX) * work
    if problem.strided_volume or (c >= 256 and taps >= 25):
        return 4 * work
    tiny = c <= 3 and math.prod(problem.w_shape) <= 450
    return _LAX * work + (250 * problem.seen if taps * c <= 32 or tiny else 0)


def lax_input_gradient(problem: Convolution) -> float:
    """A library convolution of delta: naive where it is stretched by a stride."""
    if problem.strided:
        return _STRETCHED * problem.work
    return (_LAX if problem.channels > 4 else 10 * _LAX) * problem.work


def lax_weight_gradient(problem: Convolution) -> float:
    """A library convolution with delta as the kernel."""
    return (10 if problem.strided_volume else _LAX) * problem.work


def exchanged(problem: Convolution) -> float:
    """The same with x as the kernel: where that has more channels."""
    narrow = problem.channels >= 2 * problem.features
    return (1.45 if narrow else 1.9) * problem.work


def patches(problem: Convolution) -> float:
    """A product, and copies of what windows see where they overlap."""
    large = problem.seen > _PATCHES_LIMIT
    copies = 0 if problem.disjoint else (_LARGE_COPY if large else _COPY)
    return _PATCHES * problem.work + copies * problem.seen


def shifts_forward(problem: Convolution) -> float:
    """A sum of scaled slices: in registers while the kernel is small."""
    if is_grouped(problem):
        return 3 * problem.work
    small = problem.channels <= 3 and math.prod(problem.w_shape) <= 450
    return (2 if small else 6) * problem.work


def shifts_input_gradient(problem: Convolution) -> float:
    """Each tap writes a padded array."""
    return (2.9 if _depthwise(problem) else _GROUPED) * problem.work


def flipped(problem: Convolution) -> float:
    """Slices of delta: less to write, more to read."""
    if not _depthwise(problem):
        return _GROUPED * problem.work
    several = problem.features > problem.geometry.groups
    return (2.5 if problem.taps > 9 or several else 3.2) * problem.work


def shifts_weight_gradient(problem: Convolution) -> float:
    """A sum of products for each tap and channel."""
    return (3 if _depthwise(problem) else _GROUPED) * problem.work


def dense(problem: Convolution) -> float:
    """All channels with all features; grouped derivatives have no fast routine."""
    return _LAX * problem.geometry.groups * problem.work


def jax_derivative(problem: Convolution) -> float:
    """What autodiff makes: naive in groups, with strides and inside loops."""
    return (_GROUPED + 1) * problem.work


def winograd(problem: Convolution, tile: int, of_input: bool = False) -> float:
    """Products and transforms of tiles of the output, or of the input for dx."""
    c, q = problem.channels, problem.features
    m = tile - problem.window[0] + 1
    sizes = problem.x_shape[1:-1] if of_input else problem.out
    tiles = problem.x_shape[0] * math.prod(-(-size // m) for size in sizes)
    transforms = _WEIGHT_COST * c * q + _TILE_COST * tile * tiles * (c + q)
    return tile**2 * (tiles * c * q + transforms)


def _depthwise(problem: Convolution) -> bool:
    return is_grouped(problem) and problem.channels == 1
