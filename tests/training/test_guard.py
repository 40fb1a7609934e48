"""The guard: it finds the first bad step and what was bad, and mends as it is told."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import capsjax as cj
from capsjax.training import guard, loop
from capsjax.training.dataset import permutation

STEPS, SIZE = 40, 5


@pytest.fixture(autouse=True, params=[1, 7], ids=["a step a call", "7 steps a call"])
def calls(request, monkeypatch):
    """Calls of so many steps, and a look after each second or so of them."""
    monkeypatch.setattr(loop.Loop, "_count", lambda self: request.param)
    monkeypatch.setattr(guard, "_LOOK_EVERY_S", 0.0 if request.param == 1 else 0.01)


class RootCap(cj.Cap):
    """Y = sqrt(|U|): finite at 0, where its derivative is not."""

    def forward(self, u, state=None, key=None, train=False):
        return jnp.sqrt(jnp.abs(u))


def network(cap: Any = "tanh", first="relu"):
    x = cj.input("x", (4,))
    first = cj.capsule("first", cj.matmul(x, 6), cap=first)
    second = cj.capsule("second", cj.matmul(first, 3), cap=cap)
    y = cj.capsule("y", cj.matmul(second, 2))
    return cj.compile(cj.graph(y, name="net", losses={"y": "mean_squared_error"}))


def examples(spoiled=None):
    numbers = np.random.default_rng(3)
    x = numbers.normal(size=(STEPS * SIZE, 4))
    if spoiled is not None:
        x[spoiled] = 1.7e308  # finite itself, but no product with it
    return {"x": x, "y": numbers.normal(size=(STEPS * SIZE, 2))}


def step_of(row, epoch=1, seed=0):
    """The step, from 1, that sees an example."""
    order = permutation(STEPS * SIZE, SIZE, seed, epoch)
    (found,) = np.nonzero((order == row).any(axis=1))[0]
    return int(found) + 1


def fit(net, data, mode, **more):
    more = {"optimizer": optax.sgd(0.05), "epochs": 1, **more}
    return cj.fit(net, data, batch_size=SIZE, guard=mode, progress=False, **more)


def by_hand(net, data, left_out, rate=0.05):
    """Steps one at a time, without those that are left out."""
    params, state = net.init(jax.random.key(0))
    gradient = jax.jit(jax.value_and_grad(net.loss, has_aux=True))
    for number, rows in enumerate(permutation(STEPS * SIZE, SIZE, 0, 1)):
        if number + 1 in left_out:
            continue
        batch = {name: array[rows] for name, array in data.items()}
        (_, (_, state)), gradients = gradient(params, state, batch)
        params = jax.tree.map(lambda p, g: p - rate * g, params, gradients)
    return params


def close(one, two):
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_stop_names_step_capsule_and_quantity_and_keeps_what_was_learned():
    row = 17
    data = examples(spoiled=row)
    net = network()
    with pytest.raises(cj.NonFinite) as caught:
        fit(net, data, "stop")
    fault, step = caught.value.fault, step_of(row)
    assert (fault.step, fault.place, fault.quantity) == (step, "first", "U")
    assert fault.shape == (SIZE, 6) and 1 <= fault.faulty <= 6
    assert fault.smallest < fault.largest < np.inf
    assert f"step {step}: U of 'first' is not finite" in str(caught.value)
    assert "before it came parameter of" in str(caught.value)
    close(caught.value.run.params, by_hand(net, data, range(step, STEPS + 1)))


def test_an_error_signal_that_is_not_finite_is_told_from_an_output(own_kinds):
    cj.register_cap("root")(RootCap)
    net = network(RootCap(), first="tanh")
    data = examples()
    data["x"][29] = 0.0  # with no biases all U are 0 there
    params, _ = net.init(jax.random.key(0))
    with pytest.raises(cj.NonFinite) as caught:
        fit(net, data, "stop", params=params, optimizer=optax.sgd(0.0))
    fault = caught.value.fault
    assert (fault.step, fault.place, fault.quantity) == (step_of(29), "second", "delta")


def test_skip_leaves_out_the_bad_steps_and_nothing_else():
    first, second = 17, 140
    data = examples(spoiled=[first, second])
    net = network()
    run = fit(net, data, "skip")
    left_out = sorted([step_of(first), step_of(second)])
    assert [fault.step for fault in run.faults] == left_out
    close(run.params, by_hand(net, data, left_out))
    assert np.isfinite(run.history["loss"]).all()


def test_losses_of_an_epoch_are_over_the_steps_that_were_taken():
    row, still = 17, optax.sgd(0.0)
    data, net = examples(spoiled=row), network()
    run = fit(net, data, "skip", optimizer=still)
    order = permutation(STEPS * SIZE, SIZE, 0, 1)
    kept = np.delete(order, step_of(row) - 1, axis=0).ravel()
    params, state = net.init(jax.random.key(0))
    batch = {name: array[kept] for name, array in data.items()}
    np.testing.assert_allclose(
        run.history["loss"].iloc[0], net.loss(params, state, batch)[0], rtol=1e-9
    )


def test_skip_gives_up_where_nothing_helps():
    data = examples(spoiled=slice(None))
    with pytest.raises(cj.NonFinite, match="skip did not help"):
        fit(network(), data, "skip")


def test_roll_back_lowers_the_learning_rate_until_it_learns():
    net, data = network("identity", "identity"), examples()
    wild = optax.sgd(30.0)
    assert not np.isfinite(fit(net, data, "off", optimizer=wild).history["loss"][0])
    run = fit(net, data, "roll back", optimizer=wild, epochs=3)
    assert run.faults and np.isfinite(run.history["loss"]).all()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(run.params))


@pytest.mark.parametrize("mode", ["stop", "skip"])
def test_where_all_is_finite_the_guard_changes_no_bit(mode):
    net, data = network(), examples()
    plain, guarded = fit(net, data, "off", epochs=2), fit(net, data, mode, epochs=2)
    for one, two in zip(
        jax.tree.leaves(plain.params), jax.tree.leaves(guarded.params), strict=True
    ):
        np.testing.assert_array_equal(one, two)
    assert guarded.faults == ()


def test_an_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="guard is 'halt'; expected one of 'off', 'st"):
        fit(network(), examples(), "halt")
