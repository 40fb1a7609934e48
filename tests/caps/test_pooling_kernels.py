"""Pooling kernels against `lax.reduce_window` and its derivative, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from capsjax import algorithms
from capsjax.caps import pooling_algorithms as kernels
from tests.helpers_capsjax import quick

# (spatial sizes, window, stride, padding)
GEOMETRIES = [
    ((8,), (2,), (2,), ((0, 0),)),
    ((9,), (2,), (3,), ((0, 0),)),  # gaps between the windows
    ((9,), (3,), (2,), ((1, 1),)),
    ((7,), (7,), (1,), ((0, 0),)),
    ((8, 6), (2, 2), (2, 2), ((0, 0), (0, 0))),
    ((9, 7), (2, 2), (2, 2), ((0, 0), (0, 0))),  # elements that no window sees
    ((9, 7), (2, 3), (2, 3), ((0, 1), (1, 1))),
    ((9, 7), (3, 3), (2, 2), ((1, 1), (0, 1))),
    ((6, 5), (3, 3), (1, 1), ((1, 1), (1, 1))),
    ((9, 7), (3, 1), (1, 2), ((0, 0), (0, 0))),
    ((9, 7), (1, 3), (2, 4), ((0, 0), (2, 0))),
    ((13, 12), (12, 12), (1, 12), ((0, 0), (0, 0))),  # too large to unroll
    ((13, 12), (12, 12), (12, 12), ((0, 0), (0, 0))),
    ((4, 5, 6), (2, 2, 2), (2, 2, 2), ((0, 0), (1, 0), (0, 0))),
    ((4, 5, 6), (3, 2, 3), (1, 2, 2), ((1, 1), (0, 1), (1, 0))),
]


@pytest.fixture(autouse=True)
def platform(request, monkeypatch):
    """The choice of algorithm, whatever the tests run on."""
    name = getattr(request, "param", "cpu")
    monkeypatch.setattr(algorithms, "_platform", lambda: name)
    return name


def reduced(u, init, combine, window, stride, padding):
    sizes = (1, *window, 1), (1, *stride, 1), ((0, 0), *padding, (0, 0))
    return lax.reduce_window(u, np.array(init, u.dtype), combine, *sizes)


def plain_max(u, *geometry):
    return reduced(u, -np.inf, lax.max, *geometry)


def plain_average(u, *geometry):
    count = reduced(jnp.ones_like(u), 0, lax.add, *geometry)
    return reduced(u, 0, lax.add, *geometry) / count


def example(spatial, dtype=np.float64, batch=2):
    """Small whole numbers, many of them zero: most windows have ties."""
    random = np.random.default_rng(0)
    u = random.integers(-3, 3, (batch, *spatial, 3)).clip(0)
    return u.astype(dtype)


def like(y, seed=1):
    return np.random.default_rng(seed).normal(size=y.shape).astype(y.dtype)


def close(a, b):
    assert a.dtype == b.dtype
    tolerance = 1e-12 if a.dtype == np.float64 else 1e-5
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def cases():
    """Every geometry as on CPU, a few in float32 and as on other platforms too."""
    rows = [("cpu", *geometry, np.float64) for geometry in GEOMETRIES]
    rows += [("cpu", *geometry, np.float32) for geometry in GEOMETRIES[4:7]]
    return rows + [("gpu", *geometry, np.float64) for geometry in GEOMETRIES[2::3]]


def both_max(geometry, u, dy):
    """Ours: Y, dL/dU, dL/dU by autodiff, dY along that; and JAX's Y and dL/dU."""
    plain = jax.vjp(lambda u: plain_max(u, *geometry), u)
    y = kernels.max_pool(u, *geometry)
    du = kernels.max_pool_gradient(u, y, dy, *geometry)
    own = jax.vjp(lambda u: kernels.max_pool(u, *geometry), u)[1](dy)[0]
    push = jax.jvp(lambda u: kernels.max_pool(u, *geometry), (u,), (du,))[1]
    return (y, du, own, push), (plain[0], plain[1](dy)[0])


def both_average(geometry, u, dy):
    """Ours: Y, dL/dU, dL/dU by autodiff; and JAX's Y and dL/dU."""
    plain = jax.vjp(lambda u: plain_average(u, *geometry), u)
    own = jax.vjp(lambda u: kernels.average_pool(u, *geometry), u)
    du = kernels.average_pool_gradient(dy, u.shape, *geometry)
    return (own[0], du, own[1](dy)[0]), (plain[0], plain[1](dy)[0])


@pytest.mark.parametrize(
    "platform, spatial, window, stride, padding, dtype", cases(), indirect=["platform"]
)
def test_both_equal_jax_with_ties(platform, spatial, window, stride, padding, dtype):
    geometry = window, stride, padding
    u = example(spatial, dtype)
    dy = like(jax.eval_shape(lambda u: plain_max(u, *geometry), u))

    @quick
    def both(u, dy):
        return both_max(geometry, u, dy), both_average(geometry, u, dy)

    of_max, of_average = jax.tree.map(np.asarray, both(u, dy))
    (y, du, own, push), (plain_y, plain_du) = of_max
    np.testing.assert_array_equal(y, plain_y)
    close(du, plain_du)
    close(own, plain_du)
    if platform == "cpu":  # JAX's two modes choose different elements of a tie
        close(np.vdot(push, dy), np.vdot(du, plain_du))
    (y, du, own), (plain_y, plain_du) = of_average
    close(y, plain_y)
    close(du, plain_du)
    close(own, plain_du)


def max_product(u, v, geometry):
    """A backward pass written by hand: the product with v of the derivative."""
    y = kernels.max_pool(u, *geometry)
    return kernels.max_pool_gradient(u, y, jnp.sin(y) * v, *geometry)


def average_product(u, v, geometry):
    y = kernels.average_pool(u, *geometry)
    return kernels.average_pool_gradient(jnp.sin(y) * v, u.shape, *geometry)


PRODUCTS = {
    "max": (max_product, plain_max),
    "average": (average_product, plain_average),
}


@pytest.mark.parametrize("spatial, window, stride, padding", GEOMETRIES[3:9])
def test_mapped_and_twice_differentiable(spatial, window, stride, padding):
    geometry = window, stride, padding
    us = np.stack([example(spatial), example(spatial)[::-1]])
    y = jax.eval_shape(lambda u: plain_max(u, *geometry), us[0])
    vs = np.stack([like(y, seed) for seed in (1, 2)])
    weight = like(us[0], seed=2)

    def found(us, vs, ours, plain):
        def reference(u):
            return jax.grad(lambda u: -jnp.sum(jnp.cos(plain(u, *geometry)) * vs[0]))(u)

        def single(u, v):
            return ours(u, v, geometry)

        second = jax.grad(lambda u: jnp.vdot(single(u, vs[0]), weight))(us[0])
        expected = jax.grad(lambda u: jnp.vdot(reference(u), weight))(us[0])
        looped = [single(u, v) for u, v in zip(us, vs, strict=True)]
        return second, expected, jax.vmap(single)(us, vs), looped

    @quick
    def both(us, vs):
        return {name: found(us, vs, *each) for name, each in PRODUCTS.items()}

    for second, expected, mapped, looped in both(us, vs).values():
        close(second, expected)
        close(mapped, np.stack(looped))
