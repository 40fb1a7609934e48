"""Convolution kernels against `lax.conv_general_dilated` and its derivative."""

import itertools
import math

import jax
import numpy as np
import pytest

from capsjax.weightings import convolution_choice as choice
from capsjax.weightings import convolution_kernels as kernels
from capsjax.weightings.convolution_choice import Geometry
from tests.weightings.convolution_laws import (
    close,
    example,
    expected,
    ours,
    require_second_derivatives,
    require_vmap,
)

# (spatial sizes, window, channels, features, geometry)
CASES = [
    ((9,), (3,), 2, 3, Geometry((1,), ((1, 1),), (1,))),
    ((9,), (1,), 2, 3, Geometry((1,), ((0, 0),), (1,))),
    ((9,), (1,), 2, 3, Geometry((3,), ((1, 0),), (2,))),
    ((10,), (5,), 9, 3, Geometry((2,), ((2, 1),), (1,))),
    ((12,), (2,), 2, 3, Geometry((5,), ((0, 0),), (1,))),  # unread inputs
    ((11,), (3,), 2, 3, Geometry((2,), ((2, 2),), (2,))),
    ((7, 6), (1, 1), 3, 4, Geometry((1, 1), ((0, 0),) * 2, (1, 1))),
    ((7, 6), (1, 1), 3, 4, Geometry((2, 3), ((0, 0),) * 2, (1, 1))),
    ((8, 8), (5, 5), 1, 2, Geometry((1, 1), ((2, 2),) * 2, (1, 1))),
    ((8, 7), (3, 3), 8, 2, Geometry((1, 1), ((1, 1), (0, 2)), (1, 1))),
    ((9, 8), (5, 4), 2, 3, Geometry((2, 3), ((0, 0),) * 2, (1, 1))),
    ((9, 8), (4, 3), 2, 3, Geometry((3, 1), ((1, 2), (1, 1)), (1, 1))),
    ((9, 8), (2, 2), 2, 3, Geometry((2, 2), ((0, 0),) * 2, (1, 1))),
    ((9, 8), (2, 3), 2, 3, Geometry((4, 3), ((1, 0), (2, 2)), (1, 1))),
    ((9, 8), (3, 2), 2, 3, Geometry((1, 1), ((2, 1), (0, 1)), (2, 3))),
    ((9, 8), (3, 1), 2, 3, Geometry((2, 1), ((2, 2), (0, 0)), (2, 4))),
    ((6, 5), (5, 5), 256, 1, Geometry((1, 1), ((0, 0),) * 2, (1, 1))),
    ((6, 5), (12, 11), 1, 2, Geometry((1, 1), ((6, 6),) * 2, (1, 1))),
    ((6, 5), (3, 3), 4, 4, Geometry((1, 1), ((1, 1),) * 2, (1, 1), 4)),
    ((7, 6), (3, 3), 4, 8, Geometry((2, 2), ((1, 1),) * 2, (1, 1), 4)),
    ((7, 6), (3, 2), 4, 6, Geometry((1, 2), ((1, 1),) * 2, (2, 1), 2)),
    ((7, 6), (1, 1), 12, 4, Geometry((1, 2), ((0, 0),) * 2, (1, 1), 2)),
    ((21, 5), (3, 2), 3, 3, Geometry((2, 1), ((1, 1), (0, 1)), (1, 2), 3)),
    ((12, 5), (4, 3), 3, 6, Geometry((1, 1), ((1, 2), (2, 0)), (2, 1), 3)),
    ((6, 5), (3, 1), 2, 2, Geometry((1, 1), ((4, 0), (0, 0)), (1, 1), 2)),
    ((4, 5, 6), (3, 3, 3), 2, 3, Geometry((1,) * 3, ((1, 1),) * 3, (1,) * 3)),
    ((5, 5, 6), (3, 2, 3), 2, 3, Geometry((2,) * 3, ((0, 1),) * 3, (1,) * 3)),
    ((5, 4, 6), (2, 1, 2), 2, 3, Geometry((2, 1, 3), ((0, 0),) * 3, (1,) * 3)),
    ((56,), (1,), 2, 3, Geometry((1,), ((0, 0),), (1,))),  # a long sum, in parts
]
ROLES = {
    "forward": kernels.FORWARD,
    "input": kernels.INPUT_GRADIENT,
    "weight": kernels.WEIGHT_GRADIENT,
}


def fits(role, name, window, channels, geometry):
    """Whether an algorithm covers a geometry, in a program of bearable length."""
    dilated = any(
        k > 1 and e > 1 for k, e in zip(window, geometry.dilation, strict=True)
    )
    if name == "patches":
        return geometry.groups == 1 and not dilated
    if name == "shifts":
        return math.prod(window) * channels <= 128
    if name == "flipped":
        strided = max(geometry.stride) > 1
        return not strided and math.prod(window) * channels <= 128
    if name.startswith("winograd"):
        square = window in [(3, 3), (5, 5)] and int(name[-1]) > window[0]
        steps = {*geometry.stride, *geometry.dilation}
        return square and steps == {1} and geometry.groups == 1
    if name == "exchanged":
        return geometry.groups == 1 and max(geometry.stride) == 1
    return name != "lax" or role == "forward" or geometry.groups == 1


@pytest.mark.parametrize("case", CASES)
def test_every_algorithm_equals_jax(case):
    """Also those that would not be chosen, where they can be used at all."""
    _, window, channels, _, geometry = case
    x, w, delta = example(case)
    arguments = {
        "forward": (x, w, geometry),
        "input": (w, delta, x.shape, geometry),
        "weight": (x, delta, w.shape, geometry),
    }
    names = [
        (role, name)
        for role, algorithms in ROLES.items()
        for name in algorithms
        if fits(role, name, window, channels, geometry)
    ]

    @jax.jit
    def everything():
        found = [ROLES[role][name](*arguments[role]) for role, name in names]
        return found, expected((x, w, delta), geometry)

    found, reference = everything()
    reference = dict(zip(ROLES, reference, strict=True))
    close(found, [reference[role] for role, _ in names])


@pytest.mark.parametrize("platform", ["cpu", "gpu"])
@pytest.mark.parametrize("case", CASES)
def test_the_choice_equals_jax(case, platform, monkeypatch):
    monkeypatch.setattr(choice, "_platform", lambda: platform)
    geometry = case[-1]
    arrays = example(case)
    both = jax.jit(lambda a: (ours(a, geometry), expected(a, geometry)))
    found, reference = both(arrays)
    close(found, reference)


def test_float32():
    geometry = CASES[10][-1]
    arrays = example(CASES[10], np.float32)
    both = jax.jit(lambda a: (ours(a, geometry), expected(a, geometry)))
    found, reference = both(arrays)
    close(found, reference, 1e-5)


def test_random_geometries():
    """Two dimensions, each of a random kind, all in one program."""
    random = np.random.default_rng(1)
    pairs = []
    for _ in range(8):
        spatial = tuple(int(n) for n in random.integers(6, 10, 2))
        window = tuple(int(n) for n in random.integers(1, 5, 2))
        stride = tuple(int(n) for n in random.integers(1, 5, 2))
        a, b, c, d = (int(n) for n in random.integers(0, 3, 4))
        geometry = Geometry(stride, ((a, b), (c, d)), (1, 1))
        pairs.append((example((spatial, window, 2, 3, geometry)), geometry))
    found, reference = jax.jit(
        lambda: (
            [ours(arrays, geometry) for arrays, geometry in pairs],
            [expected(arrays, geometry) for arrays, geometry in pairs],
        )
    )()
    close(itertools.chain(*found), itertools.chain(*reference))


@pytest.mark.parametrize(
    "case", [CASES[8], CASES[10], CASES[12], CASES[20], CASES[22], CASES[23]]
)
def test_twice_differentiable(case):
    require_second_derivatives(case)


@pytest.mark.parametrize("case", [CASES[8], CASES[10], CASES[20]])
def test_vmap_over_every_operand(case):
    require_vmap(case)
