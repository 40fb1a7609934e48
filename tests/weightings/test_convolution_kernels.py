"""Convolution kernels against `lax.conv_general_dilated` and its derivative."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from capsjax.weightings import convolution_choice as choice
from capsjax.weightings import convolution_kernels as kernels
from capsjax.weightings.convolution_choice import Geometry

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
]
ROLES = {
    "forward": kernels.FORWARD,
    "input": kernels.INPUT_GRADIENT,
    "weight": kernels.WEIGHT_GRADIENT,
}


def plain(x, w, geometry):
    return lax.conv_general_dilated(
        x,
        w,
        geometry.stride,
        geometry.padding,
        rhs_dilation=geometry.dilation,
        dimension_numbers={
            3: ("NWC", "WIO", "NWC"),
            4: ("NHWC", "HWIO", "NHWC"),
            5: ("NDHWC", "DHWIO", "NDHWC"),
        }[x.ndim],
        feature_group_count=geometry.groups,
    )


def example(case, dtype: type = np.float64):
    spatial, window, channels, features, geometry = case
    random = np.random.default_rng(0)
    x = random.normal(size=(2, *spatial, channels))
    w = random.normal(size=(*window, channels // geometry.groups, features))
    out = geometry.output(spatial, window)
    delta = random.normal(size=(2, *out, features))
    return tuple(jnp.asarray(a, dtype) for a in (x, w, delta))


def close(ours, expected, tolerance=1e-12):
    for a, b in zip(ours, expected, strict=True):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        scale = np.max(np.abs(b))
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * scale)


def ours(arrays, geometry):
    x, w, delta = arrays
    return (
        kernels.forward(x, w, geometry),
        kernels.input_gradient(w, delta, x.shape, geometry),
        kernels.weight_gradient(x, delta, w.shape, geometry),
    )


def expected(arrays, geometry):
    x, w, delta = arrays
    y, pull = jax.vjp(lambda x, w: plain(x, w, geometry), x, w)
    return (y, *pull(delta))


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
    """Each of the three is differentiated in each of its operands."""
    geometry = case[-1]
    x, w, delta = example(case)
    weights = [jnp.cos(a) for a in (delta, x, w)]

    def second(three):
        def total(x, w, delta):
            found = three((x, w, delta), geometry)
            return sum(map(jnp.vdot, map(jnp.sin, found), weights))

        return jax.grad(total, (0, 1, 2))

    both = jax.jit(lambda *a: (second(ours)(*a), second(expected)(*a)))
    found, reference = both(x, w, delta)
    close(found, reference)


@pytest.mark.parametrize("case", [CASES[8], CASES[10], CASES[20]])
def test_vmap_over_every_operand(case):
    geometry = case[-1]
    arrays = example(case)
    stacked = [jnp.stack([a, jnp.flip(a), 2 * a]) for a in arrays]
    mapped = jax.jit(jax.vmap(lambda *arrays: ours(arrays, geometry)))(*stacked)
    single = jax.jit(lambda *arrays: expected(arrays, geometry))
    looped = [single(*(a[i] for a in stacked)) for i in range(3)]
    close(mapped, [jnp.stack(parts) for parts in zip(*looped, strict=True)])
