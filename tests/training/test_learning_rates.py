"""Schedules: as optax's own at every step, with constants that may be traced."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import capsjax as cj
from capsjax.training.optimizers import SCHEDULES, optimizer_of
from tests.helpers_capsjax import quick

STEPS = np.arange(-3, 131, dtype=np.int64)
"""Before the beginning, over all borders, beyond the end."""

# Ours, optax's; int64 steps, so that neither computes in float32.
PAIRS = {
    "constant": (cj.schedules.constant(0.3), optax.constant_schedule(0.3)),
    "linear": (
        cj.schedules.linear(0.2, 0.05, steps=100),
        optax.linear_schedule(0.2, 0.05, 100),
    ),
    "linear, later": (
        cj.schedules.linear(0.2, 0.5, steps=40, begin=30),
        optax.linear_schedule(0.2, 0.5, 40, transition_begin=30),
    ),
    "linear, one step": (
        cj.schedules.linear(0.2, 0.5, steps=1),
        optax.linear_schedule(0.2, 0.5, 1),
    ),
    "exponential": (
        cj.schedules.exponential(0.4, 0.9, steps=7),
        optax.exponential_decay(0.4, 7, 0.9),
    ),
    "exponential, bounded below": (
        cj.schedules.exponential(0.4, 0.5, steps=10, begin=5, final=0.01),
        optax.exponential_decay(0.4, 10, 0.5, transition_begin=5, end_value=0.01),
    ),
    "exponential, bounded above": (
        cj.schedules.exponential(0.1, 1.5, steps=10, final=0.7),
        optax.exponential_decay(0.1, 10, 1.5, end_value=0.7),
    ),
    "cosine": (
        cj.schedules.cosine(0.3, steps=100),
        optax.cosine_decay_schedule(0.3, 100),
    ),
    "cosine, to a value": (
        cj.schedules.cosine(0.3, steps=100, final=0.03, exponent=2.0),
        optax.cosine_decay_schedule(0.3, 100, alpha=0.1, exponent=2.0),
    ),
    "cosine, warmed up": (
        cj.schedules.cosine(0.3, steps=120, warmup=20, initial=0.1, final=0.06),
        optax.warmup_cosine_decay_schedule(0.1, 0.3, 20, 120, end_value=0.06),
    ),
    "cosine, warmed up in no step": (
        cj.schedules.cosine(0.3, steps=120, warmup=0, initial=0.1),
        optax.warmup_cosine_decay_schedule(0.1, 0.3, 0, 120),
    ),
}


@pytest.mark.parametrize("case", PAIRS)
def test_equal_to_optax_at_every_step(case):
    own, theirs = PAIRS[case]
    # Before step 0, where no optimizer is, those of optax go their formula's way.
    steps = STEPS if "cosine" not in case else STEPS[STEPS >= 0]

    def both(steps):
        each = jax.vmap(lambda t: (jnp.asarray(own(t)), jnp.asarray(theirs(t))))
        return each(steps)

    found, expected = quick(both)(steps)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    for t in (0, 1, 20, 100, 120, 1000):  # Python's numbers
        assert abs(float(own(t)) - float(jnp.asarray(theirs(t)))) < 1e-12


def test_borders():
    """Where two formulas meet, and where a value must be exact."""
    cosine = cj.schedules.cosine(0.3, steps=50, warmup=10, initial=0.1, final=0.02)
    assert float(cosine(0)) == 0.1
    assert float(cosine(10)) == 0.3
    np.testing.assert_allclose(float(cosine(50)), 0.02, rtol=1e-14)
    assert float(cosine(9)) < float(cosine(10)) > float(cosine(11))
    linear = cj.schedules.linear(0.2, 0.1, steps=5, begin=3)
    assert float(linear(3)) == 0.2 and float(linear(8)) == float(linear(99)) == 0.1


@pytest.mark.parametrize(
    "schedule, values",
    {
        "linear": (cj.schedules.linear(0.2, 0.1, steps=0), [0.2, 0.1, 0.1]),
        "linear, later": (cj.schedules.linear(2, 1, steps=0, begin=1), [2, 2, 1]),
        "all of it up": (cj.schedules.cosine(1.0, 1, warmup=1, final=0.1), [0, 0, 0.1]),
    }.values(),
)
def test_a_way_of_no_steps_is_behind_at_once(schedule, values):
    """Not a number would spoil the parameters without a word."""
    np.testing.assert_allclose([float(schedule(t)) for t in (-1, 0, 1)], values)


@pytest.mark.parametrize("kind", SCHEDULES)
def test_constants_may_be_traced(kind):
    """All of them at once, under vmap, as given one by one."""
    parameters = inspect.signature(SCHEDULES[kind]).parameters
    values = {
        **dict.fromkeys(("value", "initial"), [0.1, 0.4]),
        **dict.fromkeys(("peak", "rate"), [0.5, 1.5]),
        **{"final": [0.02, 0.9], "steps": [20.0, 33.0], "begin": [0.0, 4.0]},
        **{"warmup": [0.0, 6.0], "exponent": [1.0, 1.7]},
        **{"boundaries": [19.0, 5.0], "factors": [0.1, 3.0], "rise": [0.3, 0.75]},
        **{"divisor": [25.0, 3.0], "final_divisor": [1e4, 7.0]},
    }
    columns = {name: jnp.asarray(values[name]) for name in parameters}

    def at(constants, t):
        return jnp.asarray(SCHEDULES[kind](**constants)(t))

    steps = np.asarray([0, 5, 19, 60])
    traced = quick(jax.vmap(jax.vmap(at, (None, 0)), (0, None)))(columns, steps)
    for row in range(2):
        own = {name: values[name][row] for name in parameters}
        expected = [float(at(own, int(t))) for t in steps]
        # Not to the last digit: XLA's powers and cosines are others than in a loop.
        np.testing.assert_allclose(traced[row], expected, rtol=1e-12, atol=1e-15)


def test_one_trace_serves_several_constants():
    rate = {"kind": "cosine", "peak": 0.1, "steps": 10}
    optimizer = optimizer_of({"kind": "sgd", "learning_rate": rate})
    traces = []

    @quick
    def stepped(params, constants):
        traces.append(1)
        made = optimizer(constants)
        state = made.init(params)
        for _ in range(3):
            updates, state = made.update(params, state, params)
            params = optax.apply_updates(params, updates)
        return params

    params = jnp.ones(3)
    for peak, warmup in ((0.1, 0.0), (0.5, 0.0), (0.5, 2.0)):
        given = {"learning_rate.peak": peak, "learning_rate.warmup": warmup}
        given = {name: jnp.asarray(value) for name, value in given.items()}
        schedule = cj.schedules.cosine(peak, 10, warmup=warmup)
        expected = np.prod([1 - float(schedule(t)) for t in range(3)])
        # optax counts steps in int32, from which JAX makes float32.
        np.testing.assert_allclose(stepped(params, given), expected, rtol=1e-6)
    assert len(traces) == 1
