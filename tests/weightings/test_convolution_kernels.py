"""Convolution kernels against `lax.conv_general_dilated` and its derivative."""

import itertools

import numpy as np
import pytest

from capsjax import algorithms
from capsjax.weightings import convolution_algorithms as convolution
from capsjax.weightings.convolution_choice import Convolution, Geometry
from tests.helpers_capsjax import quick
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
    ((4, 5, 4), (2, 3, 2), 2, 3, Geometry((1,) * 3, ((1, 1),) * 3, (1,) * 3)),
    ((5, 5, 6), (3, 2, 3), 2, 3, Geometry((2,) * 3, ((0, 1),) * 3, (1,) * 3)),
    ((5, 4, 6), (2, 1, 2), 2, 3, Geometry((2, 1, 3), ((0, 0),) * 3, (1,) * 3)),
    ((56,), (1,), 2, 3, Geometry((1,), ((0, 0),), (1,))),  # a long sum, in parts
]
ROLES = {
    "forward": convolution.FORWARD,
    "input": convolution.INPUT_GRADIENT,
    "weight": convolution.WEIGHT_GRADIENT,
}


@pytest.mark.parametrize("case", CASES)
def test_every_algorithm_equals_jax(case):
    """Those that are chosen, on any platform, and those that could be."""
    geometry = case[-1]
    x, w, delta = example(case)
    problem = Convolution(x.shape, w.shape, geometry)
    arguments = {
        "forward": (x, w, geometry),
        "input": (w, delta, x.shape, geometry),
        "weight": (x, delta, w.shape, geometry),
    }
    records = [
        (role, each) for role, of in ROLES.items() for each in of.applicable(problem)
    ]

    @quick
    def everything():
        found = [each.run(*arguments[role]) for role, each in records]
        return found, expected((x, w, delta), geometry)

    found, reference = everything()
    reference = dict(zip(ROLES, reference, strict=True))
    close(found, [reference[role] for role, _ in records])


def test_float32():
    geometry = CASES[10][-1]
    arrays = example(CASES[10], np.float32)
    both = quick(lambda a: (ours(a, geometry), expected(a, geometry)))
    found, reference = both(arrays)
    close(found, reference, 1e-5)


@pytest.mark.parametrize("platform", ["cpu", "gpu"])
def test_random_geometries(platform, monkeypatch):
    """Two dimensions, each of a random kind, all in one program; by choice."""
    monkeypatch.setattr(algorithms, "_platform", lambda: platform)
    random = np.random.default_rng(1)
    pairs = []
    for _ in range(8):
        spatial = tuple(int(n) for n in random.integers(6, 10, 2))
        window = tuple(int(n) for n in random.integers(1, 5, 2))
        stride = tuple(int(n) for n in random.integers(1, 5, 2))
        a, b, c, d = (int(n) for n in random.integers(0, 3, 4))
        geometry = Geometry(stride, ((a, b), (c, d)), (1, 1))
        pairs.append((example((spatial, window, 2, 3, geometry)), geometry))
    found, reference = quick(
        lambda: (
            [ours(arrays, geometry) for arrays, geometry in pairs],
            [expected(arrays, geometry) for arrays, geometry in pairs],
        )
    )()
    close(itertools.chain(*found), itertools.chain(*reference))


@pytest.mark.parametrize("case", [CASES[8], CASES[12], CASES[20], CASES[22], CASES[23]])
def test_twice_differentiable(case):
    require_second_derivatives(case)


@pytest.mark.parametrize("case", [CASES[8], CASES[10], CASES[20]])
def test_vmap_over_every_operand(case):
    require_vmap(case)
