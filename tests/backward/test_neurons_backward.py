"""Backward rules on networks of neurons, against loops over neurons in numpy."""

import re

import jax
import numpy as np
import pytest

import capsjax as cj
from tests.helpers_capsjax import close, draw, quick

INPUTS, OUTPUTS, BATCH = 4, 3, 5


def wired() -> cj.neural.Model:
    net = cj.neural.random_dag(
        "window",
        inputs=INPUTS,
        neurons=20,
        in_degree=3,
        window=6,
        outputs=OUTPUTS,
        seed=0,
    )
    return cj.neural.model(net, cap="softmax", loss="cross_entropy", name="wired")


def batch() -> dict:
    return {"x": draw((BATCH, INPUTS), 1), "y": jax.numpy.arange(BATCH) % OUTPUTS}


def by_loops(group, weights, biases, feedback):
    """Gradients of weights and biases: `Y = tanh(U)`, one neuron after the other."""
    data = batch()
    size = group.size
    rows = np.zeros((INPUTS + size, BATCH))
    rows[:INPUTS] = np.asarray(data["x"]).T
    into = [np.flatnonzero(group.edge_targets == n) for n in range(size)]
    for n in range(size):
        u = sum(weights[e] * rows[group.edge_sources[e]] for e in into[n])
        rows[INPUTS + n] = np.tanh(u + biases[n])
    logits = rows[INPUTS + size - OUTPUTS :].T
    softmax = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    error = (softmax - np.eye(OUTPUTS)[np.asarray(data["y"])]) / BATCH
    back = np.zeros_like(rows)
    back[INPUTS + size - OUTPUTS :] = error.T
    delta = np.zeros((size, BATCH))
    for n in reversed(range(size)):
        delta[n] = back[INPUTS + n] * (1 - rows[INPUTS + n] ** 2)
        for e in into[n]:
            back[group.edge_sources[e]] += feedback[e] * delta[n]
    edges = (rows[group.edge_sources] * delta[group.edge_targets]).sum(1)
    return edges, delta.sum(1)


def feedback_of(rule: str, net, weights, state):
    """B of the publications."""
    targets = net.typed.groups[0].edge_targets
    if rule == "sign_symmetric":
        return np.sign(weights) / np.sqrt(np.bincount(targets)[targets])
    carried = np.asarray(state["neurons"]["feedback"]["edges"])
    return carried + weights if rule == "kolen_pollack" else carried


@pytest.mark.parametrize(
    "rule", ["feedback_alignment", "sign_symmetric", "kolen_pollack"]
)
def test_rules_on_neurons_are_those_of_the_publications(rule, tmp_path):
    net = cj.compile(wired(), backward=rule)
    params, state = net.init(jax.random.key(0))
    group = net.typed.groups[0]
    weights, biases = params["neurons"]["W"]["edges"], params["neurons"]["B"]
    feedback = feedback_of(rule, net, np.asarray(weights), state)
    assert abs(feedback - np.asarray(weights)).min() > 0
    edges, own = by_loops(group, np.asarray(weights), np.asarray(biases), feedback)
    loss = quick(jax.value_and_grad(net.loss, has_aux=True))
    (_, (_, new)), found = loss(params, state, batch())
    close(found["neurons"]["W"]["edges"], edges)
    close(found["neurons"]["B"], own)
    if rule == "kolen_pollack":
        was, now = (s["neurons"]["feedback"]["edges"] for s in (state, new))
        close(now, was * 0.999)
    cj.save_state(net, new, tmp_path / "state.safetensors")
    again = cj.load_state(net, tmp_path / "state.safetensors")
    assert jax.tree.all(jax.tree.map(np.array_equal, again, dict(new)))


def test_members_of_a_sweep_have_feedback_of_their_own():
    net = cj.compile(wired(), backward="feedback_alignment")
    keys = jax.random.split(jax.random.key(0), 2)
    wiring = net.init(keys[0])[1]["neurons"]

    def gradient(key):
        params, state = net.init(key)
        state = {"neurons": {**wiring, "feedback": state["neurons"]["feedback"]}}
        return jax.grad(lambda p: net.loss(p, state, batch())[0])(params)

    @quick
    def mapped_and_second(keys):
        return jax.vmap(gradient)(keys), gradient(keys[1])

    both, second = jax.tree.map(np.asarray, mapped_and_second(keys))
    close(jax.tree.map(lambda a: a[1], both), second)


def test_rules_that_neurons_do_not_take_are_refused():
    text = (
        "backward rule stop, for the whole graph\n"
        "    found:    a network of neurons\n"
        "    expected: a graph of capsules; for neurons one of feedback_alignment, "
        "kolen_pollack, sign_symmetric\n"
        "    cure:     declare the layers as capsules (cj.neural.lift finds them)"
    )
    with pytest.raises(cj.GraphError, match=re.escape(text)):
        cj.compile(wired(), backward="stop")
