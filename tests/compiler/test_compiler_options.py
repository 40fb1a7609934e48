"""Options of XLA's compiler: taken where known, nothing elsewhere."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import capsjax as cj
from capsjax.compiler import options


@pytest.fixture(autouse=True)
def _fresh():
    options._is_known.cache_clear()
    yield
    options._is_known.cache_clear()


def test_programs_compile_with_them_to_the_same_numbers():
    x = jnp.linspace(-1.0, 1.0, 40).reshape(8, 5)

    def step(x):
        return (x @ x.T).sum(0), jnp.mean(x, 0)

    plain = jax.jit(step)(x)
    found = jax.jit(step, compiler_options=cj.compiler_options())(x)
    for a, b in zip(found, plain, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


def test_this_version_knows_them():
    assert set(cj.compiler_options()) == {"xla_cpu_experimental_ynn_fusion_type"}


def test_a_version_that_does_not_know_them_gets_none(monkeypatch):
    monkeypatch.setattr(options, "_OPTION", "xla_cpu_of_another_version")
    assert cj.compiler_options() == {}


def test_other_platforms_get_none(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert cj.compiler_options() == {}
