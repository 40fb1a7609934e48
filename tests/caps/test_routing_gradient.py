"""Routing by agreement: gradients against differences of a numpy transcription."""

import jax
import numpy as np
import pytest

import capsjax as cj
from tests.caps.test_every_cap import _route as route_in_numpy
from tests.helpers_capsjax import quick

STEP = 1e-5


def differences(function, at):
    """The gradient of a function of one array, by central differences."""
    gradient = np.zeros_like(at)
    for index in np.ndindex(*at.shape):
        step = np.zeros_like(at)
        step[index] = STEP
        gradient[index] = (function(at + step) - function(at - step)) / (2 * STEP)
    return gradient


@pytest.mark.parametrize("iterations", [1, 2, 3, 5])
@pytest.mark.parametrize("shape", [(4, 3, 2), (6, 2, 3), (1, 2, 4)])
def test_the_gradient_by_the_votes(iterations, shape):
    random = np.random.default_rng(iterations)
    cap = cj.caps.route(iterations)
    votes, dy = random.normal(size=(2, *shape)), random.normal(size=(2, *shape[1:]))
    by_rule = quick(lambda votes, dy: cap.backward(votes, None, dy, (2, *shape)))
    found = by_rule(votes, dy)
    expected = differences(lambda u: np.sum(route_in_numpy(cap, u) * dy), votes)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-8)


def test_the_gradients_of_a_small_capsnet():
    """By the matrices W_ij and by the images, from votes to margin loss."""
    lower = cj.input("lower", (4, 2))
    cap = cj.caps.route(3)
    upper = cj.capsule("upper", cj.vote(lower, 3, 2), cap=cap, bias=None)
    digit = cj.capsule("digit", cj.identity(upper), cap="length", bias=None)
    net = cj.compile(cj.graph(digit, losses={"digit": "margin"}))
    params, state = net.init(jax.random.key(0))
    w = np.asarray(net.named(params)["upper"]["W"]["lower"]) * 2
    x = np.random.default_rng(0).normal(size=(2, 4, 2))
    t = np.eye(3)[[1, 2]]

    def in_numpy(w, x):
        votes = np.einsum("luoi,bli->bluo", w, x)
        y = np.linalg.norm(route_in_numpy(cap, votes), axis=-1)
        present, absent = np.maximum(0, 0.9 - y) ** 2, np.maximum(0, y - 0.1) ** 2
        return np.mean(np.sum(t * present + 0.5 * (1 - t) * absent, -1))

    def in_capsules(w, x):
        given = net.from_named({"upper": {"W": {"lower": w}}})
        return net.loss(given, state, {"lower": x, "digit": t})[0]

    loss, found = quick(jax.value_and_grad(in_capsules, (0, 1)))(w, x)
    np.testing.assert_allclose(loss, in_numpy(w, x), rtol=1e-12)
    by_w = differences(lambda w: in_numpy(w, x), w)
    by_x = differences(lambda x: in_numpy(w, x), x)
    assert np.abs(by_w).max() > 1e-3 and np.abs(by_x).max() > 1e-3
    np.testing.assert_allclose(found[0], by_w, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found[1], by_x, rtol=1e-6, atol=1e-9)
