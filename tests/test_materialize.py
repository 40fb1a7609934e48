"""Materializing changes no value, no derivative, and survives compilation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from capsjax.materialize import materialize


@pytest.mark.parametrize("first", [1.0, -0.0, np.nan, np.inf])
def test_identity(first):
    x = jnp.array([first, -0.0, np.nan, -np.inf, 2.0])
    for f in (materialize, jax.jit(materialize), jax.vmap(materialize)):
        argument = x[None] if f is materialize else x[:, None]
        found = f(argument)
        np.testing.assert_array_equal(found, argument)
        signs = np.signbit(found), np.signbit(argument)
        np.testing.assert_array_equal(*signs)


def test_derivatives():
    x = jnp.arange(3.0)
    cube = jax.grad(lambda x: jnp.sum(materialize(x) ** 3))
    np.testing.assert_array_equal(cube(x), 3 * x**2)
    second = jax.grad(lambda x: jnp.sum(cube(x)))
    np.testing.assert_array_equal(second(x), 6 * x)


def test_nothing_to_do():
    assert materialize(jnp.zeros((0, 3))).shape == (0, 3)
    assert materialize(jnp.arange(3)).dtype == jnp.arange(3).dtype


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="only done on CPU")
def test_compiler_keeps_it():
    f = jax.jit(lambda x: materialize(x * 2) + 1)
    program = f.lower(jnp.zeros(8)).compile().as_text()
    assert program is not None and "conditional" in program
