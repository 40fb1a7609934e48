"""Accumulated gradients: as optax's own, as one large batch, with steps given."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from capsjax.training.accumulation import accumulated
from capsjax.training.optimizers import optimizer_of
from tests.helpers_capsjax import close, draw_like, quick

PARAMS = {"W": np.ones((3, 2)), "B": np.ones(2)}


def updated(optimizer, gradients):
    """Parameters after each step, and the last state."""
    params, state, found = PARAMS, optimizer.init(PARAMS), []
    for gradient in gradients:
        updates, state = optimizer.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
        found.append(params)
    return found, state


def drawn(count):
    return [draw_like(PARAMS, 10 * i) for i in range(count)]


def test_the_mean_of_several_is_one_update():
    gradients = drawn(6)
    found, _ = quick(lambda g: updated(accumulated(optax.adam(0.1), 3), g))(gradients)
    means = [jax.tree.map(lambda *x: sum(x) / 3, *gradients[i : i + 3]) for i in (0, 3)]
    expected, _ = quick(lambda g: updated(optax.adam(0.1), g))(means)
    close(found[2::3], expected, 1e-12)
    close(found[:2], [PARAMS] * 2, 0)
    close(found[3:5], [found[2]] * 2, 0)


def test_as_optax_has_it():
    gradients = drawn(5)
    found = quick(lambda g: updated(accumulated(optax.adam(0.1), 2), g))(gradients)
    multi = optax.MultiSteps(optax.adam(0.1), 2, accumulator_dtype=jnp.float64)
    expected = quick(lambda g: updated(multi, g))(gradients)
    close(found, expected, 0)


@pytest.mark.parametrize("steps", [1.0, 2.0, 3.0])
def test_steps_may_be_traced(steps):
    """One program for all; a count that is no number of steps is rounded to one."""
    expected = quick(lambda g: updated(accumulated(optax.sgd(0.1), int(steps)), g))(
        drawn(4)
    )
    found, _ = ACCUMULATING(drawn(4), jnp.asarray(steps))
    close(found, expected[0], 1e-12)


ACCUMULATING = quick(lambda g, steps: updated(accumulated(optax.sgd(0.1), steps), g))


def test_steps_differ_under_vmap():
    made = optimizer_of({"kind": "sgd", "learning_rate": 1.0, "accumulate": 1})

    def last(steps):
        return updated(made({"accumulate": steps}), drawn(2))[0][-1]

    both = quick(jax.vmap(last))(jnp.asarray([1.0, 2.0]))
    close(jax.tree.map(lambda x: x[0], both), updated(optax.sgd(1.0), drawn(2))[0][-1])
    once = accumulated(optax.sgd(1.0), 2)
    close(jax.tree.map(lambda x: x[1], both), updated(once, drawn(2))[0][-1])


@pytest.mark.parametrize(
    "given, kept", [("bfloat16", "float32"), ("float32", "float32"), ("float64",) * 2]
)
def test_gradients_are_kept_in_float32_at_least(given, kept):
    params = jax.tree.map(lambda x: jnp.asarray(x, given), PARAMS)
    optimizer = accumulated(optax.sgd(0.1), 2)
    state = optimizer.init(params)
    updates, after = optimizer.update(params, state, params)
    assert {x.dtype.name for x in jax.tree.leaves(state.acc_grads)} == {kept}
    types = [jax.tree.map(lambda x: (x.dtype, x.weak_type), x) for x in (state, after)]
    assert types[0] == types[1]
    assert {x.dtype.name for x in jax.tree.leaves(updates)} == {given}


@pytest.mark.parametrize("steps", [0, -1, 1.5, True, "2"])
def test_what_is_no_number_of_steps(steps):
    with pytest.raises(ValueError) as caught:
        accumulated(optax.sgd(0.1), steps)
    assert str(caught.value) == (
        f"accumulate: found {steps!r}; expected a whole number, at least 1"
    )
