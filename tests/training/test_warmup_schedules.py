"""Schedules that warm up or go in stages: as optax's own at every step."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import capsjax as cj
from capsjax.training.optimizers import optimizer_of
from tests.helpers_capsjax import quick

STEPS = np.arange(0, 131, dtype=np.int64)
"""Over all borders, and beyond the end; int64, so that neither computes in float32."""


def warmed(initial, peak, steps, then):
    return optax.join_schedules(
        [optax.linear_schedule(initial, peak, steps), then], [steps]
    )


PAIRS = {
    "staircase": (
        cj.schedules.staircase(0.4, 0.5, steps=7, begin=5),
        optax.exponential_decay(0.4, 7, 0.5, transition_begin=5, staircase=True),
    ),
    "staircase, bounded below": (
        cj.schedules.staircase(0.4, 0.5, steps=10, final=0.03),
        optax.exponential_decay(0.4, 10, 0.5, end_value=0.03, staircase=True),
    ),
    "staircase, bounded above": (
        cj.schedules.staircase(0.1, 1.5, steps=10, final=0.7),
        optax.exponential_decay(0.1, 10, 1.5, end_value=0.7, staircase=True),
    ),
    "piecewise": (
        cj.schedules.piecewise(0.3, [30, 70, 100], [0.1, 5.0, 0.5]),
        optax.piecewise_constant_schedule(0.3, {30: 0.1, 70: 5.0, 100: 0.5}),
    ),
    "piecewise, one factor": (
        cj.schedules.piecewise(0.3, np.asarray([70, 30]), 0.1),
        optax.piecewise_constant_schedule(0.3, {30: 0.1, 70: 0.1}),
    ),
    "piecewise, warmed up": (
        cj.schedules.piecewise(0.3, [30, 70], 0.1, warmup=12, initial=0.02),
        warmed(
            0.02, 0.3, 12, optax.piecewise_constant_schedule(0.3, {18: 0.1, 58: 0.1})
        ),
    ),
    "linear, warmed up": (
        cj.schedules.warmup_linear(0.3, 120, warmup=20, initial=0.1, final=0.06),
        warmed(0.1, 0.3, 20, optax.linear_schedule(0.3, 0.06, 100)),
    ),
    "linear, warmed up in no step": (
        cj.schedules.warmup_linear(0.3, 120),
        optax.linear_schedule(0.3, 0.0, 120),
    ),
    "one cycle": (
        cj.schedules.one_cycle(0.3, 120),
        optax.cosine_onecycle_schedule(120, 0.3),
    ),
    "one cycle, all settings": (
        cj.schedules.one_cycle(0.3, 77, rise=0.43, divisor=5, final_divisor=30),
        optax.cosine_onecycle_schedule(77, 0.3, 0.43, 5, 30),
    ),
}


@pytest.mark.parametrize("case", PAIRS)
def test_equal_to_optax(case):
    own, theirs = PAIRS[case]

    def both(steps):
        each = jax.vmap(lambda t: (jnp.asarray(own(t)), jnp.asarray(theirs(t))))
        return each(steps)

    found, expected = quick(both)(STEPS)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    for t in (0, 12, 20, 30, 36, 120, 1000):  # Python's numbers
        assert abs(float(own(t)) - float(jnp.asarray(theirs(t)))) < 1e-12


@pytest.mark.parametrize(
    "schedule, values",
    {
        "no steps": (cj.schedules.warmup_linear(1.0, 0, final=0.1), [0.1, 0.1, 0.1]),
        "all of it up": (cj.schedules.warmup_linear(1.0, 2, warmup=2), [0, 0.5, 0]),
        "no way up": (cj.schedules.one_cycle(1.0, 2, rise=0, divisor=1), [1, 0.5, 0]),
        "no way down": (cj.schedules.one_cycle(1.0, 1, rise=1, divisor=2), [0.5, 0, 0]),
        "at once": (cj.schedules.piecewise(1.0, 1, 0.5), [1, 0.5, 0.5]),
    }.values(),
)
def test_a_way_of_no_steps_is_behind(schedule, values):
    """Not a number would spoil the parameters without a word."""
    found = [float(schedule(t)) for t in (0, 1, 2)]
    np.testing.assert_allclose(found, values, atol=1e-3)


def test_as_many_factors_as_boundaries():
    with pytest.raises(ValueError) as caught:
        cj.schedules.piecewise(0.3, [1, 2], [0.1, 0.2, 0.3])
    assert str(caught.value) == (
        "piecewise: found 2 boundaries and 3 factors; expected as many of both, or one "
        "factor for all"
    )


def test_lists_are_declared():
    rate = {
        "kind": "piecewise",
        "value": 1.0,
        "boundaries": [1, 2],
        "factors": [0.5, 2],
    }
    optimizer = optimizer_of({"kind": "sgd", "learning_rate": rate})

    @quick
    def trained(value):
        made, params = optimizer({"learning_rate.value": value}), jnp.ones(())
        state = made.init(params)
        rates = []
        for _ in range(3):
            updates, state = made.update(params, state, params)
            rates.append(-updates)
        return jnp.stack(rates)

    np.testing.assert_allclose(trained(0.1), [0.1, 0.05, 0.1])
