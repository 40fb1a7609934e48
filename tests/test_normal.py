"""Normal numbers drawn by quick programs are JAX's, bit by bit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from capsjax.normal import normal

AS_USERS = {
    "xla_backend_optimization_level": 3,
    "xla_llvm_disable_expensive_passes": False,
}
"""XLA's defaults, which tests otherwise do without."""


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("shape", [(), (64, 10)])
def test_the_same_bits(shape, dtype):
    key = jax.random.key(3)
    draw = jax.jit(jax.random.normal, static_argnums=(1, 2), compiler_options=AS_USERS)
    found, expected = normal(key, shape, dtype), draw(key, shape, dtype)
    assert found.dtype == expected.dtype and found.shape == shape
    np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))


def test_under_transformations_it_is_jax_s_own():
    keys = jax.random.split(jax.random.key(0), 3)
    found = jax.vmap(lambda key: normal(key, (4,), "float32"))(keys)
    expected = jax.vmap(lambda key: jax.random.normal(key, (4,), "float32"))(keys)
    np.testing.assert_array_equal(found, expected)
    text = str(jax.make_jaxpr(lambda key: normal(key, (4,), jnp.float32))(keys[0]))
    assert text == str(
        jax.make_jaxpr(lambda key: jax.random.normal(key, (4,), jnp.float32))(keys[0])
    )
