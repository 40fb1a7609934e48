"""Pooling kernels against `lax.reduce_window` and its derivative, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from capsjax import algorithms
from capsjax.caps import pooling_algorithms as kernels

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
    return jnp.asarray(u, dtype)


def like(y, seed=1):
    return jnp.asarray(np.random.default_rng(seed).normal(size=y.shape), y.dtype)


def close(a, b):
    assert a.dtype == b.dtype
    tolerance = 1e-12 if a.dtype == np.float64 else 1e-5
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def cases():
    """Every geometry as on CPU, a few in float32 and as on other platforms too."""
    rows = [("cpu", *geometry, np.float64) for geometry in GEOMETRIES]
    rows += [("cpu", *geometry, np.float32) for geometry in GEOMETRIES[4:7]]
    return rows + [("gpu", *geometry, np.float64) for geometry in GEOMETRIES[2::3]]


@pytest.mark.parametrize(
    "platform, spatial, window, stride, padding, dtype", cases(), indirect=["platform"]
)
def test_max_equals_jax_with_ties(platform, spatial, window, stride, padding, dtype):
    geometry = window, stride, padding
    u = example(spatial, dtype)
    dy = like(jax.eval_shape(lambda u: plain_max(u, *geometry), u))

    @jax.jit
    def both(u, dy):
        plain = jax.vjp(lambda u: plain_max(u, *geometry), u)
        y = kernels.max_pool(u, *geometry)
        du = kernels.max_pool_gradient(u, y, dy, *geometry)
        own = jax.vjp(lambda u: kernels.max_pool(u, *geometry), u)[1](dy)[0]
        push = jax.jvp(lambda u: kernels.max_pool(u, *geometry), (u,), (du,))[1]
        return (y, du, own, push), (plain[0], plain[1](dy)[0])

    (y, du, own, push), (plain_y, plain_du) = both(u, dy)
    np.testing.assert_array_equal(y, plain_y)
    close(du, plain_du)
    close(own, plain_du)
    if platform == "cpu":  # JAX's two modes choose different elements of a tie
        close(jnp.vdot(push, dy), jnp.vdot(du, plain_du))


@pytest.mark.parametrize(
    "platform, spatial, window, stride, padding, dtype", cases(), indirect=["platform"]
)
def test_average_equals_jax(platform, spatial, window, stride, padding, dtype):
    geometry = window, stride, padding
    u = example(spatial, dtype)
    dy = like(jax.eval_shape(lambda u: plain_average(u, *geometry), u))

    @jax.jit
    def both(u, dy):
        plain = jax.vjp(lambda u: plain_average(u, *geometry), u)
        own = jax.vjp(lambda u: kernels.average_pool(u, *geometry), u)
        du = kernels.average_pool_gradient(dy, u.shape, *geometry)
        return (own[0], du, own[1](dy)[0]), (plain[0], plain[1](dy)[0])

    (y, du, own), (plain_y, plain_du) = both(u, dy)
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


@pytest.mark.parametrize("spatial, window, stride, padding", GEOMETRIES[3:9])
@pytest.mark.parametrize(
    "ours, plain", [(max_product, plain_max), (average_product, plain_average)]
)
def test_twice_differentiable(spatial, window, stride, padding, ours, plain):
    geometry = window, stride, padding
    u = example(spatial)
    v = like(plain(u, *geometry))

    def reference(u):
        return jax.grad(lambda u: -jnp.sum(jnp.cos(plain(u, *geometry)) * v))(u)

    weight = like(u, seed=2)
    second = jax.jit(jax.grad(lambda u: jnp.vdot(ours(u, v, geometry), weight)))
    expected = jax.jit(jax.grad(lambda u: jnp.vdot(reference(u), weight)))
    close(second(u), expected(u))


@pytest.mark.parametrize("spatial, window, stride, padding", GEOMETRIES[5:9])
@pytest.mark.parametrize("ours", [max_product, average_product])
def test_vmap(spatial, window, stride, padding, ours):
    geometry = window, stride, padding
    us = jnp.stack([example(spatial), example(spatial)[::-1]])
    vs = jnp.stack([like(plain_max(u, *geometry), seed) for seed, u in enumerate(us)])
    single = jax.jit(lambda u, v: ours(u, v, geometry))
    mapped = jax.jit(jax.vmap(single))(us, vs)
    looped = [single(u, v) for u, v in zip(us, vs, strict=True)]
    close(mapped, jnp.stack(looped))
