"""Which error signals are computed where rules cut the chain, or jump over it."""

from typing import Any

import jax
import numpy as np
import pytest

import capsjax as cj
from tests.backward.oracle import Oracle
from tests.helpers_capsjax import close, draw, draw_like, quick

BATCH = 2
DIRECT = cj.backward.direct_feedback_alignment()


def equal_to_oracle(graph: cj.Graph, rules: Any) -> None:
    """Gradients by parameters, by inputs, and all error signals."""
    net = cj.compile(graph, backward=rules)
    params, state = draw_like(jax.eval_shape(net.init, jax.random.key(0)))
    names = [each.name for each in graph.inputs]
    batch: Any = {x.name: draw((BATCH, *x.shape), 1) for x in graph.inputs}
    for name, _ in graph.losses:
        drawn = np.asarray(draw((BATCH, *net.shapes[name].output), 2))
        batch[name] = 1 / (1 + np.exp(-drawn))
    named = {"params": net.named(params), "state": net.named_state(state)}

    @quick
    def both(params, state, named, batch):
        def loss(params, inputs):
            return net.loss(params, state, batch | inputs)[0]

        inputs = {name: batch[name] for name in names}
        slopes = jax.grad(loss, (0, 1))(params, inputs)
        alone = jax.grad(loss)(params, inputs)
        found = alone, *slopes, net.deltas(params, state, batch)
        _, *expected = Oracle(graph, rules).everything(batch=batch, **named)
        by_params = net.from_named(expected[0])
        return found, (by_params, by_params, *expected[1:])

    found, expected = both(params, state, named, batch)
    close(found, expected)


def test_signals_above_a_stop_are_still_given():
    """Nothing below has need of them; `net.deltas` is asked for them."""
    x = cj.input("x", (3,))
    a = cj.capsule("a", cj.identity(x), cap="tanh", bias=None)
    b = cj.capsule("b", cj.identity(a), cap="sigmoid", bias=None)
    y = cj.capsule("y", cj.matmul(b, 2))
    graph = cj.graph(y, losses={"y": "mean_squared_error"})
    equal_to_oracle(graph, {("x", "a"): cj.backward.stop()})
    equal_to_oracle(graph, {("a", "b"): cj.backward.stop()})


def test_an_output_without_parameters_sends_its_error_straight():
    """Nobody on the way learns: the output's error is needed all the same."""
    x = cj.input("x", (3,))
    h = cj.capsule("h", cj.matmul(x, 4), cap="tanh")
    k = cj.capsule("k", cj.identity(h), cap="sigmoid", bias=None)
    y = cj.capsule("y", cj.identity(k), cap="softmax", bias=None)
    z = cj.capsule("z", cj.dot(h), bias=None)
    losses = {"y": "cross_entropy", "z": "mean_squared_error"}
    equal_to_oracle(cj.graph(y, z, losses=losses), {"h": DIRECT})
    equal_to_oracle(cj.graph(y, losses={"y": "cross_entropy"}), {"h": DIRECT})


def test_several_losses_on_one_chain():
    """An output that others read; signals reach below it from above, and pass it."""
    x = cj.input("x", (3,))
    h = cj.capsule("h", cj.matmul(x, 4), cap="tanh")
    mid = cj.capsule("mid", cj.matmul(h, 3), cap="softmax")
    k = cj.capsule("k", cj.matmul(mid, 4), cj.identity(h), cap="tanh")
    y = cj.capsule("y", cj.matmul(k, 2))
    losses = {"mid": "cross_entropy", "y": "mean_squared_error"}
    graph = cj.graph(y, mid, losses=losses)
    equal_to_oracle(graph, {"h": DIRECT, "k": DIRECT})
    equal_to_oracle(graph, {"h": DIRECT, "mid": cj.backward.local()})
    equal_to_oracle(graph, {"mid": cj.backward.local(), "k": cj.backward.clip(0.01)})


def test_a_learned_input_receives_directly():
    token = cj.learned("token", (4,))
    x = cj.input("x", (4,))
    h = cj.capsule("h", cj.matmul(x, 4), cj.scale(token), cap="tanh")
    y = cj.capsule("y", cj.matmul(h, 2))
    graph = cj.graph(y, losses={"y": "mean_squared_error"})
    net = cj.compile(graph, backward={"token": DIRECT})
    params, state = draw_like(jax.eval_shape(net.init, jax.random.key(0)))
    batch = {"x": draw((BATCH, 4)), "y": draw((BATCH, 2), 1)}

    @quick
    def both(params, state):
        slopes = jax.grad(lambda p: net.loss(p, state, batch)[0])(params)
        return slopes["token"]["B"], net.deltas(params, state, batch)["y"]

    found, delta = both(params, state)
    matrix = net.named_state(state)["token"]["feedback"]["y"]
    close(found, (np.asarray(delta) @ np.asarray(matrix)).sum(0))


@pytest.mark.parametrize("rule", ["feedback_alignment", "kolen_pollack", "stop"])
def test_a_scale_after_batch_normalization(rule):
    """The pair that the program takes at once is taken apart by a rule between."""
    x = cj.input("x", (3,))
    norm = cj.capsule("norm", cj.matmul(x, 4), cap="standardize", bias=None)
    h = cj.capsule("h", cj.channel_scale(norm), cap="relu")
    y = cj.capsule("y", cj.matmul(h, 2))
    graph = cj.graph(y, losses={"y": "mean_squared_error"})
    record = getattr(cj.backward, rule)()
    equal_to_oracle(graph, {("norm", "h"): record})
    equal_to_oracle(graph, {("x", "norm"): record, ("h", "y"): record})


def test_concatenations_and_siblings():
    """Placed edges are one sum, products of one source one product; rules part them."""
    x = cj.input("x", (3,))
    h = cj.capsule("h", cj.matmul(x, 4), cap="tanh")
    a = cj.capsule("a", cj.matmul(h, 3), cap="tanh")
    b = cj.capsule("b", cj.matmul(h, 3), cap="sigmoid")
    c = cj.capsule("c", cj.place(a), cj.place(b), cj.place(h), bias=None)
    y = cj.capsule("y", cj.matmul(c, 2))
    graph = cj.graph(y, losses={"y": "mean_squared_error"})
    rules = cj.backward.scale(-2.0), cj.backward.clip(0.1), cj.backward.stop()
    equal_to_oracle(graph, {("a", "c"): rules[0], ("h", "c"): rules[1]})
    equal_to_oracle(graph, {("b", "c"): rules[2], ("h", "b"): rules[0]})
    aligned = cj.backward.feedback_alignment()
    equal_to_oracle(graph, {"a": aligned, "b": cj.backward.sign_symmetric()})
    equal_to_oracle(graph, {"a": aligned, "b": aligned, "c": rules[0]})


def test_a_shared_weight_and_the_feedback_to_it_are_drawn_alike():
    """B = W + D is at first what it is under feedback alignment, whoever reads it."""
    x = cj.input("x", (3,))
    h = cj.capsule("h", cj.share(cj.matmul(x, 4), "w"), cap="relu")
    back = cj.share(cj.matmul(h, 3, transposed=True), "w")
    k = cj.capsule("k", back, cap="tanh")
    y = cj.capsule("y", cj.share(cj.matmul(k, 4), "w"))
    graph = cj.graph(y, losses={"y": "mean_squared_error"})
    equal_to_oracle(graph, {("h", "k"): cj.backward.kolen_pollack(0.1), "h": DIRECT})
    pollack, aligned = (
        cj.compile(graph, backward=rule)
        for rule in ("kolen_pollack", "feedback_alignment")
    )
    params, state = pollack.init(jax.random.key(0))
    fixed = aligned.named_state(aligned.init(jax.random.key(0))[1])
    w = pollack.named(params)["w"]["W"]
    for name, source in (("k", "h"), ("y", "k")):
        difference = pollack.named_state(state)[name]["feedback"][source]
        close(w + difference, fixed[name]["feedback"][source])


def test_a_pair_means_all_edges_from_a_source():
    x = cj.input("x", (4,))
    h = cj.capsule("h", cj.matmul(x, 4), cap="tanh")
    y = cj.capsule("y", cj.matmul(h, 4), cj.identity(h), cj.matmul(h, 4))
    graph = cj.graph(y)

    def rules(place: str, rule: str) -> list[str]:
        (_, last) = cj.compile(graph, backward={(place, "y"): rule}).typed.alone
        return [str(edge.backward) for edge in last.edges]

    assert rules("h", "stop") == ["stop"] * 3
    assert rules("h#3", "stop") == ["None", "None", "stop"]
    assert rules("h", "sign_symmetric") == ["sign_symmetric", "None", "sign_symmetric"]
