"""The algorithms of pooling: a record each, and the four roles.

What the functions do, and what was measured, stands in `pooling_kernels`. Costs are in
elements read or written, for the whole batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
from jax import Array

from capsjax.algorithms import Algorithm, Choice, Role, always
from capsjax.caps import pooling_kernels as kernels

Shape = tuple[int, ...]
Padding = tuple[tuple[int, int], ...]

_TAPS_LIMIT = 127  # bounds the program's length; a position also fits in int8
_LIBRARY = 20  # of an element that `reduce_window` or its derivative handles


@dataclass(frozen=True)
class Pooling:
    """Windows over u, `[B, spatial..., C]`."""

    u_shape: Shape
    window: Shape
    stride: Shape
    padding: Padding

    @property
    def disjoint(self) -> bool:
        """Whether no element is seen by two windows."""
        return all(k <= s for k, s in zip(self.window, self.stride, strict=True))

    @property
    def seen(self) -> int:
        """Elements of all windows, one by one."""
        steps = math.prod(self.stride)
        return math.prod(self.u_shape) * math.prod(self.window) // steps


@partial(jax.custom_jvp, nondiff_argnums=(1, 2, 3, 4))
def max_pool(
    u: Array, window: Shape, stride: Shape, padding: Padding, asked: str | None = None
) -> Array:
    """The maximum of each window of u, `[B, spatial..., C]`."""
    chosen = MAX.choose(Pooling(u.shape, window, stride, padding), asked)
    return chosen.run(u, window, stride, padding)


@max_pool.defjvp
def _max_pool_jvp(window, stride, padding, asked, primals, tangents):
    (u,), (du,) = primals, tangents
    chosen = MAX.choose(Pooling(u.shape, window, stride, padding), asked)
    if chosen.name == "jax":
        pool = partial(chosen.run, window=window, stride=stride, padding=padding)
        return jax.jvp(pool, (u,), (du,))
    y = max_pool(u, window, stride, padding, asked)
    return y, kernels.slices_max_tangent(u, y, du, window, stride, padding)


def max_pool_gradient(
    u: Array,
    y: Array,
    dy: Array,
    window: Shape,
    stride: Shape,
    padding: Padding,
    asked: str | None = None,
) -> Array:
    """du: each window's dy, at its first maximum."""
    problem = Pooling(u.shape, window, stride, padding)
    chosen = MAX_GRADIENT.choose(problem, asked)
    return chosen.run(u, y, dy, window, stride, padding)


def average_pool(
    u: Array, window: Shape, stride: Shape, padding: Padding, asked: str | None = None
) -> Array:
    """The mean of each window of u, `[B, spatial..., C]`, padding not counted."""
    chosen = AVERAGE.choose(Pooling(u.shape, window, stride, padding), asked)
    return chosen.run(u, window, stride, padding)


def average_pool_gradient(
    dy: Array,
    u_shape: Shape,
    window: Shape,
    stride: Shape,
    padding: Padding,
    asked: str | None = None,
) -> Array:
    """du: each window's dy / n, at all its elements."""
    problem = Pooling(u_shape, window, stride, padding)
    chosen = AVERAGE_GRADIENT.choose(problem, asked)
    return chosen.run(dy, u_shape, window, stride, padding)


def _has_taps(problem: Pooling) -> bool:
    """Windows that are written out."""
    return math.prod(problem.window) <= _TAPS_LIMIT


def _is_disjoint(problem: Pooling) -> bool:
    return problem.disjoint


def _has_disjoint_taps(problem: Pooling) -> bool:
    return problem.disjoint and _has_taps(problem)


def _each(cost: float) -> Callable[[Pooling], float]:
    """So much for each element of each window."""
    return lambda problem: cost * problem.seen


MAX = Role(
    "max pooling",
    (
        Algorithm("jax", kernels.jax_max, always, _each(_LIBRARY)),
        Algorithm("slices", kernels.slices_max, _has_taps, _each(1)),
    ),
)
MAX_GRADIENT = Role(
    "max pooling, gradient",
    (
        Algorithm("jax", kernels.jax_max_gradient, always, _each(_LIBRARY)),
        Algorithm("spread", kernels.spread_max_gradient, _has_disjoint_taps, _each(2)),
        Algorithm("shares", kernels.shares_max_gradient, _has_taps, _each(4)),
    ),
)
AVERAGE = Role(
    "average pooling",
    (
        Algorithm("jax", kernels.jax_average, always, _each(_LIBRARY)),
        Algorithm("slices", kernels.slices_average, _has_taps, _each(1)),
    ),
)
AVERAGE_GRADIENT = Role(
    "average pooling, gradient",
    (
        Algorithm("jax", kernels.jax_average_gradient, always, _each(_LIBRARY)),
        Algorithm("spread", kernels.spread_average_gradient, _is_disjoint, _each(1)),
        Algorithm("shares", kernels.shares_average_gradient, _has_taps, _each(3)),
    ),
)


def choices(forward: Role, gradient: Role, problem: Pooling) -> dict[str, Choice]:
    """The two roles of a capsule function that pools."""
    return {
        "forward": Choice(forward, problem),
        "input gradient": Choice(gradient, problem),
    }
