"""Moving averages of parameters: the two equations, and the types."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from capsjax.training.averaging import average_start, average_update
from tests.helpers_capsjax import close, quick

_RNG = np.random.default_rng(0)
VALUES = [{"W": _RNG.normal(size=3), "B": _RNG.normal(size=())} for _ in range(6)]
DECAY = 0.8


def averaged(values, decay, counted):
    average = average_start(values[0])
    for count, params in enumerate(values[1:], 1):
        number = count if counted else None
        average = average_update(average, params, decay, number)
    return average


def test_the_plain_average_remembers_the_first_parameters():
    weights = [DECAY**5, *((1 - DECAY) * DECAY ** (5 - i) for i in range(1, 6))]
    expected = jax.tree.map(lambda *x: np.dot(weights, x), *VALUES)
    close(averaged(VALUES, DECAY, False), expected, 1e-12)


def test_the_debiased_average_is_that_of_optax():
    """Which corrects a sum that begins with zero."""
    debiased = optax.ema(DECAY, debias=True)
    state, expected = debiased.init(VALUES[0]), None
    for params in VALUES[1:]:
        expected, state = debiased.update(params, state)
    # optax keeps the correction in float32.
    close(averaged(VALUES, DECAY, True), expected, 1e-6)
    weights = np.asarray([DECAY ** (5 - i) for i in range(1, 6)])
    weights /= weights.sum()
    mean = jax.tree.map(lambda *x: np.dot(weights, x), *VALUES[1:])
    close(averaged(VALUES, DECAY, True), mean, 1e-12)


@pytest.mark.parametrize("counted", [False, True])
def test_a_decay_may_be_traced(counted):
    found = quick(lambda decay: averaged(VALUES, decay, counted))(DECAY)
    close(found, averaged(VALUES, DECAY, counted), 1e-12)


def test_a_count_may_be_traced():
    def step(average, count):
        return average_update(average, VALUES[1], DECAY, count), None

    first = average_start(VALUES[0])
    found, _ = quick(lambda: jax.lax.scan(step, first, jnp.arange(1, 4)))()
    close(found, VALUES[1], 1e-12)  # nothing else was there


def test_no_decay_is_the_last():
    close(averaged(VALUES, 0.0, False), VALUES[-1], 0)
    close(averaged(VALUES, 0.0, True), VALUES[-1], 0)


def test_the_average_is_a_copy():
    """Steps donate the buffers of both."""
    params = {"W": jnp.ones(3)}
    start = average_start(params)
    pointers = [x["W"].unsafe_buffer_pointer() for x in (params, start)]
    assert pointers[0] != pointers[1]


@pytest.mark.parametrize("count", [None, 3])
def test_an_average_of_bfloat16_moves(count):
    params = {"W": jnp.ones(3, jnp.bfloat16)}
    average = average_start(jax.tree.map(jnp.zeros_like, params))
    assert average["W"].dtype == jnp.float32
    decay = jnp.asarray(0.9999, jnp.float32)
    moved = average_update(average, params, decay, count)
    assert moved["W"].dtype == jnp.float32 and (moved["W"] > 0).all()
