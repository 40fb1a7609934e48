"""Algorithm 1, and the step of any optimizer."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import capsjax as cj
from capsjax.training.step import optimizer_step


@pytest.fixture
def problem():
    x = cj.input("x", (5,))
    h = cj.capsule("h", cj.matmul(x, 7), cap="tanh")
    y = cj.capsule("y", cj.matmul(h, 3), cj.matmul(x, 3), cap="softmax", bias="full")
    net = cj.compile(cj.graph(y, losses={"y": "cross_entropy"}))
    params, state = net.init(jax.random.key(0))
    batch = {
        "x": jax.random.normal(jax.random.key(1), (6, 5)),
        "y": jnp.array([0, 1, 2, 0, 1, 2]),
    }
    return net, params, state, batch


def test_algorithm_1_is_plain_gradient_descent(problem):
    net, params, state, batch = problem
    optimizer = optax.sgd(0.3)
    theirs, inner = params, optimizer.init(params)
    ours, ours_state = params, state
    for _ in range(5):
        ours, ours_state, loss = cj.algorithm_1(net, ours, ours_state, batch, 0.3)
        theirs, state, inner, their_loss, _ = optimizer_step(
            net, optimizer, theirs, state, inner, batch
        )
        np.testing.assert_allclose(loss, their_loss, rtol=1e-12)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14),
        ours,
        theirs,
    )


def test_algorithm_1_updates_by_the_error_signals(problem):
    """`B <- B - eta sum of delta`, `W <- W - eta Y^T delta`, written out by hand."""
    net, params, state, batch = problem
    deltas = net.deltas(params, state, batch)
    new, _, _ = cj.algorithm_1(net, params, state, batch, 0.1)
    bias = params["h"]["B"] - 0.1 * deltas["h"].sum(0)
    weight = params["h"]["W"]["x"] - 0.1 * batch["x"].T @ deltas["h"]
    np.testing.assert_allclose(new["h"]["B"], bias, rtol=1e-12)
    np.testing.assert_allclose(new["h"]["W"]["x"], weight, rtol=1e-12)


def test_the_learning_rate_can_be_swept_in_one_program(problem):
    net, params, state, batch = problem
    traces = []

    def step(rate):
        traces.append(1)
        return cj.algorithm_1(net, params, state, batch, rate)[0]["h"]["B"]

    rates = jnp.array([0.0, 0.1, 0.2])
    swept = jax.jit(jax.vmap(step))(rates)
    assert len(traces) == 1
    for rate, found in zip(rates, swept, strict=True):
        np.testing.assert_allclose(found, step(rate), rtol=1e-12, atol=1e-15)


def test_the_type_of_parameters_is_kept(problem):
    net, params, state, batch = problem
    single = jax.tree.map(lambda a: a.astype(jnp.float32), params)
    new, _, _ = cj.algorithm_1(net, single, state, batch, np.float64(0.1))
    assert {leaf.dtype for leaf in jax.tree.leaves(new)} == {jnp.dtype("float32")}
