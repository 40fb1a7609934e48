"""Winograd's algorithm against `lax.conv_general_dilated` and its derivative."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from capsjax import algorithms
from capsjax.weightings import convolution_algorithms as convolution
from capsjax.weightings import convolution_choice as costs
from capsjax.weightings import convolution_winograd as winograd
from capsjax.weightings.convolution_choice import Convolution, Geometry
from tests.helpers_capsjax import quick
from tests.weightings.convolution_laws import (
    close,
    example,
    expected,
    require_second_derivatives,
    require_vmap,
)

CASE = (8, 7), (3, 3), 8, 2, Geometry((1, 1), ((1, 1), (0, 2)), (1, 1))


@pytest.fixture
def winograd_preferred(monkeypatch):
    """Winograd's algorithm wherever it can be used."""
    monkeypatch.setattr(costs, "_TILE_COST", -1e9)


@pytest.mark.usefixtures("winograd_preferred")
def test_twice_differentiable():
    assert all(name.startswith("winograd") for name in chosen(CASE))
    require_second_derivatives(CASE)


@pytest.mark.usefixtures("winograd_preferred")
def test_vmap_over_every_operand():
    require_vmap(CASE)


def chosen(case, batch=2):
    """The names of the three algorithms."""
    spatial, window, channels, features, geometry = case
    x_shape = (batch, *spatial, channels)
    w_shape = (*window, channels // geometry.groups, features)
    problem = Convolution(x_shape, w_shape, geometry)
    roles = convolution.FORWARD, convolution.INPUT_GRADIENT, convolution.WEIGHT_GRADIENT
    return [role.choose(problem).name for role in roles]


def square(size, channels, features, taps=3, stride=1):
    pads = ((taps // 2, taps // 2),) * 2
    geometry = Geometry((stride,) * 2, pads, (1, 1))
    return (size, size), (taps, taps), channels, features, geometry


@pytest.mark.parametrize(
    ("case", "batch", "name"),
    [
        (square(32, 64, 64), 32, "winograd6"),
        (square(8, 256, 256), 32, "winograd6"),
        (square(4, 512, 512), 32, "winograd4"),  # few tiles for so many weights
        (square(27, 64, 192, 5), 16, "winograd6"),
        (square(32, 16, 16), 32, "lax"),  # few channels for so many transforms
        (square(4, 512, 512), 1, "lax"),
        (square(28, 16, 32, 5), 8, "lax"),
        (square(28, 64, 64, 7), 8, "lax"),
    ],
)
def test_where_it_is_chosen(case, batch, name, monkeypatch):
    assert set(chosen(case, batch)) == {name}
    monkeypatch.setattr(algorithms, "_platform", lambda: "gpu")
    assert chosen(case, batch) == ["lax", "jax", "jax"]


def test_it_is_not_chosen_with_a_stride_or_dilation():
    names = [*chosen(square(32, 64, 64, stride=2), 32)]
    spatial, window, *channels, geometry = square(32, 64, 64)
    dilated = replace(geometry, dilation=(1, 2))
    names += chosen((spatial, window, *channels, dilated), 32)
    assert not any(name.startswith("winograd") for name in names)


def test_random_geometries(monkeypatch):
    """Every tile, window, padding and rest of a tile, the batch in uneven pieces."""
    monkeypatch.setattr(winograd, "_PIECE", 80)
    random = np.random.default_rng(2)
    drawn = []
    for tile, taps in [(4, 3), (6, 3), (6, 5)] * 2:
        a, b, c, d = (int(n) for n in random.integers(0, taps + 1, 4))
        height, width = (int(n) for n in random.integers(taps, 10, 2))
        geometry = Geometry((1, 1), ((a, b), (c, d)), (1, 1))
        case = (height, width), (taps, taps), 2, 3, geometry
        x, w, delta = map(np.asarray, example(case))
        three = np.concatenate([x, 2 * x[:1]]), w, np.concatenate([delta] * 2)[:3]
        drawn.append((jax.tree.map(jnp.asarray, three), geometry, tile))

    @quick
    def both():
        found = [part for each in drawn for part in by_winograd(*each)]
        return found, [part for each in drawn for part in expected(*each[:2])]

    close(*both())


def by_winograd(arrays, geometry, tile):
    x, w, delta = arrays
    return (
        winograd.forward(x, w, geometry, tile),
        winograd.input_gradient(w, delta, x.shape, geometry, tile),
        winograd.weight_gradient(x, delta, w.shape, geometry, tile),
    )


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(jnp.float32, 4e-6), (jnp.bfloat16, 5e-3)]
)
@pytest.mark.parametrize("tile", [4, 6])
def test_error_for_normal_operands(tile, dtype, tolerance):
    """Of the norm of all; half precision is rounded once, at the end."""
    case = square(9, 32, 16)
    geometry = case[-1]

    def both(*arrays):
        exact = tuple(a.astype(jnp.float64) for a in arrays)
        return by_winograd(arrays, geometry, tile), expected(exact, geometry)

    # XLA would leave out roundings within, which are looked for here.
    strict = jax.jit(both, compiler_options={"xla_allow_excess_precision": False})
    for ours, reference in zip(*strict(*example(case, dtype)), strict=True):
        assert ours.dtype == dtype
        error = np.linalg.norm((np.asarray(ours, np.float64) - reference).ravel())
        assert error < tolerance * np.linalg.norm(np.ravel(reference))


def test_transforms_multiply_polynomials():
    """A' and G evaluate the factors, the columns of B interpolate the product."""
    a, b, g = winograd.transforms(6, 3)
    first, second = np.array([1.0, -2, 3, 4]), np.array([5.0, 6, -7])
    product = b.T @ ((a @ first) * (g @ second))
    np.testing.assert_allclose(product, np.convolve(first, second), atol=1e-12)
