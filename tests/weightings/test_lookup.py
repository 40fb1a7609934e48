"""embed: the matrix product with one-hot vectors, without the vectors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from capsjax import weightings as w
from tests.helpers_capsjax import close, draw

EMBED = w.Embed(7, 3)
TOKENS = np.array([[0, 6, 3, 3, 1], [2, 2, 2, 5, 4]])


@pytest.fixture
def table():
    return draw((7, 3))


def test_it_equals_the_product_with_one_hot_vectors(table):
    vectors = jax.nn.one_hot(TOKENS, 7, dtype=table.dtype)
    u = EMBED.forward(table, TOKENS)
    assert u.shape == (2, *EMBED.contribution_shape((5,)))
    assert table.shape == EMBED.weight_shape((5,))
    close(u, vectors @ table, 1e-12)
    delta = draw(u.shape, 2)
    found = EMBED.weight_gradient(TOKENS, delta, table.shape)
    close(found, jnp.einsum("bti,bto->io", vectors, delta), 1e-12)
    close(found, jax.vjp(lambda w: EMBED.forward(w, TOKENS), table)[1](delta)[0], 1e-12)


def test_integers_outside_of_the_table_give_nan_and_no_gradient(table):
    tokens = jnp.array([[0, -1, 7, 6]])
    u = EMBED.forward(table, tokens)
    nan = np.isnan(np.asarray(u)).all(axis=-1)
    np.testing.assert_array_equal(nan, [[False, True, True, False]])
    gradient = EMBED.weight_gradient(tokens, jnp.ones((1, 4, 3)), table.shape)
    np.testing.assert_array_equal(gradient.sum(axis=1), [3, 0, 0, 0, 0, 0, 3])


def test_cut_is_the_transpose_of_place():
    cut, place = w.Cut(2, 3), w.Place(-1, 2, 6)
    y, part = draw((2, 4, 6), 1), draw((2, 4, 3), 2)
    left = jnp.vdot(cut.forward(None, y), part)
    close(left, jnp.vdot(y, place.forward(None, part)), 1e-12)
    close(cut.input_gradient(None, part, y.shape), place.forward(None, part), 1e-12)
