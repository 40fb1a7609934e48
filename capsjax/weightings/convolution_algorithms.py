"""The algorithms of convolutions: a record each, and the three roles.

What the functions do stands in `convolution_kernels`, `convolution_shifts` and
`convolution_winograd`; what they cost in `convolution_choice`. The library's own stand
first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import jax.numpy as jnp
from jax import Array

from capsjax.algorithms import Algorithm, Role, always
from capsjax.weightings import convolution_choice as costs
from capsjax.weightings import convolution_kernels as kernels
from capsjax.weightings import convolution_shifts as shifts
from capsjax.weightings import convolution_winograd as winograd
from capsjax.weightings.convolution_choice import Convolution, Geometry

Shape = tuple[int, ...]


def forward(x: Array, w: Array, geometry: Geometry, asked: str | None = None) -> Array:
    """The convolution y of x with w."""
    problem = Convolution(x.shape, w.shape, geometry)
    return FORWARD.choose(problem, asked).run(x, w, geometry)


def input_gradient(
    w: Array,
    delta: Array,
    x_shape: Sequence[int],
    geometry: Geometry,
    asked: str | None = None,
) -> Array:
    """dx: the adjoint of x -> y, applied to delta."""
    problem = Convolution(tuple(x_shape), w.shape, geometry)
    chosen = INPUT_GRADIENT.choose(problem, asked)
    return chosen.run(w, delta, problem.x_shape, geometry)


def weight_gradient(
    x: Array,
    delta: Array,
    w_shape: Sequence[int],
    geometry: Geometry,
    asked: str | None = None,
) -> Array:
    """dw: the adjoint of w -> y, applied to delta."""
    problem = Convolution(x.shape, tuple(w_shape), geometry)
    chosen = WEIGHT_GRADIENT.choose(problem, asked)
    return chosen.run(x, delta, problem.w_shape, geometry)


def dense_input_gradient(
    w: Array, delta: Array, x_shape: Shape, geometry: Geometry
) -> Array:
    """dx of a grouped kernel, as of a block-diagonal one."""
    *window, c, q = w.shape
    groups = geometry.groups
    eye = jnp.eye(groups, dtype=w.dtype)[:, None, :, None]
    blocks = w.reshape(*window, 1, c, groups, q // groups) * eye
    blocks = blocks.reshape(*window, groups * c, q)
    return input_gradient(blocks, delta, x_shape, replace(geometry, groups=1))


def dense_weight_gradient(
    x: Array, delta: Array, w_shape: Shape, geometry: Geometry
) -> Array:
    """dw of a grouped kernel: the blocks of that of a full one."""
    *window, c, q = w_shape
    groups = geometry.groups
    full = (*window, groups * c, q)
    dw = weight_gradient(x, delta, full, replace(geometry, groups=1))
    dw = dw.reshape(*window, groups, c, groups, q // groups)
    dw = jnp.diagonal(dw, axis1=-4, axis2=-2)  # [window..., c, q / groups, groups]
    return dw.swapaxes(-1, -2).reshape(w_shape)


def _tiled(tile: int, run, of_input: bool = False) -> Algorithm:
    return Algorithm(
        f"winograd{tile}",
        partial(run, tile=tile),
        partial(costs.has_tiles, tile=tile),
        partial(costs.winograd, tile=tile, of_input=of_input),
    )


FORWARD = Role(
    "convolution",
    (
        Algorithm("lax", kernels.lax_forward, always, costs.lax_forward),
        Algorithm("patches", kernels.patches_forward, costs.has_patches, costs.patches),
        Algorithm("shifts", shifts.forward, costs.has_shifts, costs.shifts_forward),
        _tiled(4, winograd.forward),
        _tiled(6, winograd.forward),
    ),
)
INPUT_GRADIENT = Role(
    "convolution, input gradient",
    (
        Algorithm("jax", kernels.jax_input_gradient, always, costs.jax_derivative),
        Algorithm(
            "lax", kernels.lax_input_gradient, costs.is_dense, costs.lax_input_gradient
        ),
        Algorithm(
            "patches", kernels.patches_input_gradient, costs.has_folds, costs.patches
        ),
        Algorithm(
            "shifts",
            shifts.input_gradient,
            costs.has_shifts,
            costs.shifts_input_gradient,
        ),
        Algorithm(
            "flipped", shifts.flipped_input_gradient, costs.has_flips, costs.flipped
        ),
        Algorithm("dense", dense_input_gradient, costs.is_grouped, costs.dense),
        _tiled(4, winograd.input_gradient, of_input=True),
        _tiled(6, winograd.input_gradient, of_input=True),
    ),
)
WEIGHT_GRADIENT = Role(
    "convolution, weight gradient",
    (
        Algorithm("jax", kernels.jax_weight_gradient, always, costs.jax_derivative),
        Algorithm(
            "lax",
            kernels.lax_weight_gradient,
            costs.is_dense,
            costs.lax_weight_gradient,
        ),
        Algorithm(
            "exchanged",
            kernels.exchanged_weight_gradient,
            costs.is_exchangeable,
            costs.exchanged,
        ),
        Algorithm(
            "patches", kernels.patches_weight_gradient, costs.has_patches, costs.patches
        ),
        Algorithm(
            "shifts",
            shifts.weight_gradient,
            costs.has_block_shifts,
            costs.shifts_weight_gradient,
        ),
        Algorithm("dense", dense_weight_gradient, costs.is_grouped, costs.dense),
        _tiled(4, winograd.weight_gradient),
        _tiled(6, winograd.weight_gradient),
    ),
)
