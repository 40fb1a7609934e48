"""Convolutions by Winograd's minimal filtering: fewer products for stride 1.

A polynomial of degree below n is known by its values at n - 1 points p and its leading
coefficient, "the value at infinity". So the product of polynomials with m and r
coefficients, n = m + r - 1, costs n multiplications in the place of m r:

    evaluate both,                A'[p, a] = p^a,  G[p, i] = p^i,  a < m, i < r
    multiply value by value,
    interpolate,                  V^-1  with  V[p, k] = p^k, k < n

(the rows at infinity are (0, .., 0, 1)). Filtering is the adjoint of it in the first
factor: m outputs of a filter of r taps over n inputs d are

    y = A ((B d) * (G w)),        B = V^-T

Two dimensions nest one in the other: tiles of n x n inputs, m apart, and m x m outputs,

    y  = A ((B d B') * (G w G')) A'            m^2 n^2 -> n^2 products
    dw = G' (sum over tiles of (B d B') * (A' delta A)) G

where each product is one of matrices, [tiles, C] with [C, Q], for every point. dx is y
of delta with the flipped kernel. A tile of 6 does 36 products for 144 if r = 3 and for
100 if r = 5, a tile of 4 does 16 for 36 if r = 3.

The points are 0, +-1 and 0, +-sqrt(1/2), +-sqrt(2): symmetric, and closed under 1 / p,
which keeps the numbers in A, B, G of one size. Error in float32 for normal operands,
||found - exact|| / ||exact||, 64 channels: tile of 4: 3e-7 (y), 5e-7 (dw); tile of 6:
9e-7, 1.4e-6; with the usual points 0, +-1, +-2 instead: 1.7e-6, 2.9e-6. Half precision
is computed in float32. An infinite input makes all outputs of its tiles infinite or
NaN.

Transforms along the second dimension are written out, those along the first are a loop
over the n points of it. So a program has 1 / n of the operations, which take XLA long
to compile, and holds 1 / n of the transformed arrays at a time: beyond 32 MiB XLA gets
fresh pages from the system in each call, which costs more than what is computed. Large
batches are worked off in pieces for the same reason.

Source: Lavin & Gray, CVPR 2016, arXiv:1509.09308; Winograd, Arithmetic Complexity of
Computations, SIAM (1980); the influence of points: Barabasz, Anderson, Soodhalter &
Gregg, ACM Transactions on Mathematical Software 46 (2020), arXiv:1803.10986.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from capsjax.weightings.convolution_choice import Geometry
from capsjax.weightings.convolution_shifts import pad

Shape = tuple[int, ...]

_POINTS = {
    4: (0, 1, -1),
    6: (0, 0.5**0.5, -(0.5**0.5), 2**0.5, -(2**0.5)),
}
_PIECE = 2**20  # elements of the input or the output, whichever has more


class Transforms(NamedTuple):
    """A' [n, m], B [n, n], G [n, r]: one row for each point."""

    outputs: np.ndarray
    inputs: np.ndarray
    weights: np.ndarray

    def cast(self, dtype: np.dtype) -> tuple[Array, Array, Array]:
        """The same as constants of a program, to loop over the points."""
        return (
            jnp.asarray(self.outputs, dtype),
            jnp.asarray(self.inputs, dtype),
            jnp.asarray(self.weights, dtype),
        )


@cache
def transforms(tile: int, taps: int) -> Transforms:
    """The three matrices for tiles of this size and a window of so many taps."""

    def powers(count: int) -> np.ndarray:
        finite = np.vander(_POINTS[tile], count, increasing=True)
        return np.vstack([finite, np.eye(count)[-1:]])

    inputs = np.linalg.inv(powers(tile)).T
    inputs[np.abs(inputs) < 1e-12] = 0
    return Transforms(powers(tile - taps + 1), inputs, powers(taps))


def forward(x: Array, w: Array, geometry: Geometry, tile: int) -> Array:
    """y, for stride and dilation 1, one group and a square window."""
    return _filter(x, w, geometry, transforms(tile, len(w)))


def input_gradient(
    w: Array, delta: Array, x_shape: Shape, geometry: Geometry, tile: int
) -> Array:
    """dx: y of delta with the kernel flipped, so with the columns of G reversed."""
    sides = zip(x_shape[1:-1], delta.shape[1:-1], geometry.padding, strict=True)
    k = len(w) - 1
    pads = tuple((k - low, h + low - o) for h, o, (low, _) in sides)
    a, b, g = transforms(tile, len(w))
    flipped = Transforms(a, b, g[:, ::-1])
    back = Geometry((1, 1), pads, (1, 1))
    return _filter(delta, w, back, flipped, transposed=True)


def _filter(
    x: Array,
    w: Array,
    geometry: Geometry,
    matrices: Transforms,
    transposed: bool = False,
) -> Array:
    a, b, g = matrices
    m, taps = a.shape[1], len(w)
    q = w.shape[2 if transposed else 3]
    out = geometry.output(x.shape[1:-1], w.shape[:-2])
    th, tw = _tiles(out, m)
    dtype = jnp.promote_types(x.dtype, jnp.float32)
    weights = _apply(g, [w[:, i].astype(dtype) for i in range(taps)])

    def piece(x: Array) -> Array:
        columns = _input_columns(x.astype(dtype), (th, tw), geometry, matrices)

        def product(d: Array, w: Array) -> Array:
            y = d.reshape(-1, d.shape[-1]) @ (w.T if transposed else w)
            return y.reshape(-1, th, tw, q)

        def point(y: Array, row: tuple[Array, Array, Array]) -> tuple[Array, None]:
            of_output, of_input, of_weight = row
            products = [
                product(
                    _combine(of_input, _every(d, 1, m, th)),
                    _combine(of_weight, list(u)),
                )
                for d, u in zip(columns, weights, strict=True)
            ]
            across = jnp.stack(_apply(a.T, products), 3)
            return y + across[:, :, None] * of_output.reshape(m, 1, 1, 1), None

        zero = lax.full_like(x, 0, dtype, (len(x), th, m, tw, m, q))
        y, _ = lax.scan(point, zero, matrices.cast(dtype))
        y = y.reshape(-1, th * m, tw * m, q)
        return y[:, : out[0], : out[1]].astype(x.dtype)

    pieces = _pieces(x, max(math.prod(x.shape[1:]), math.prod(out) * q))
    y = piece(pieces[0]) if len(pieces) == 1 else lax.map(piece, pieces)
    return y.reshape(-1, *out, q)[: len(x)]


def weight_gradient(
    x: Array, delta: Array, w_shape: Shape, geometry: Geometry, tile: int
) -> Array:
    """dw, for stride and dilation 1, one group and a square window."""
    taps, (c, q) = w_shape[0], w_shape[2:]
    matrices = transforms(tile, taps)
    a, _, g = matrices
    m, (th, tw) = a.shape[1], _tiles(delta.shape[1:-1], a.shape[1])
    dtype = jnp.promote_types(x.dtype, jnp.float32)

    def piece(dw: Array, operands: tuple[Array, Array]) -> tuple[Array, None]:
        x, delta = (operand.astype(dtype) for operand in operands)
        columns = _input_columns(x, (th, tw), geometry, matrices)
        short = (th * m - delta.shape[1], tw * m - delta.shape[2])
        delta = pad(delta, {axis: (0, n) for axis, n in enumerate(short, 1)})
        errors = _apply(a, _every(delta, 2, m, tw))

        def point(dw: Array, row: tuple[Array, Array, Array]) -> tuple[Array, None]:
            of_output, of_input, of_weight = row
            products = [
                _combine(of_input, _every(d, 1, m, th)).reshape(-1, c).T
                @ _combine(of_output, _every(e, 1, m, th)).reshape(-1, q)
                for d, e in zip(columns, errors, strict=True)
            ]
            across = jnp.stack(_apply(g.T, products))
            return dw + across * of_weight.reshape(taps, 1, 1, 1), None

        return lax.scan(point, dw, matrices.cast(dtype))

    size = max(math.prod(x.shape[1:]), math.prod(delta.shape[1:]))
    xs, deltas = _pieces(x, size), _pieces(delta, size)
    dw = lax.full_like(x, 0, dtype, w_shape)
    if len(xs) == 1:
        dw, _ = piece(dw, (xs[0], deltas[0]))
    else:
        dw, _ = lax.scan(piece, dw, (xs, deltas))
    return dw.astype(x.dtype)


def _tiles(out: Sequence[int], m: int) -> tuple[int, int]:
    """Numbers of tiles along both dimensions; the last may stand out."""
    height, width = (-(-o // m) for o in out)
    return height, width


def _input_columns(
    x: Array, tiles: tuple[int, int], geometry: Geometry, matrices: Transforms
) -> list[Array]:
    """d B' for the tiles along the second dimension: n arrays [N, H, tiles, C]."""
    b, (n, m) = matrices.inputs, matrices.outputs.shape
    sides = zip(x.shape[1:-1], tiles, geometry.padding, strict=True)
    pads = [(low, (count - 1) * m + n - low - h) for h, count, (low, _) in sides]
    x = pad(x, dict(enumerate(pads, 1)))
    return _apply(b, _every(x, 2, m, tiles[1]))


def _every(x: Array, axis: int, step: int, count: int) -> list[Array]:
    """x from 0, from 1, ..: `count` elements along the axis, `step` apart."""
    reach = (count - 1) * step + 1
    starts = range(x.shape[axis] - reach + 1)
    return [lax.slice_in_dim(x, i, i + reach, step, axis) for i in starts]


def _apply(matrix: np.ndarray, arrays: list[Array]) -> list[Array]:
    """The products of a constant matrix with a column of arrays."""
    return [_combine([float(c) for c in row], arrays) for row in matrix]


def _combine(coefficients: Sequence[float] | Array, arrays: list[Array]) -> Array:
    """sum of c[k] arrays[k], without the terms that are known to be zero."""
    pairs = zip(coefficients, arrays, strict=True)
    terms = [x * c for c, x in pairs if not (isinstance(c, float) and c == 0)]
    return sum(terms[1:], terms[0])


def _pieces(x: Array, size: int) -> Array:
    """[pieces, batch of a piece, ...]; zeros fill up the last."""
    count = max(1, -(-len(x) * size // _PIECE))
    height = max(1, -(-len(x) // count))
    count = max(1, -(-len(x) // height))
    x = pad(x, {0: (0, count * height - len(x))})
    return x.reshape(count, height, *x.shape[1:])
