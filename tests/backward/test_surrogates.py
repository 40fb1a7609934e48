"""Rules on random graphs: the compiled program against autodiff of surrogates."""

from typing import Any

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given

import capsjax as cj
from tests.backward.oracle import Oracle
from tests.compiler.random_graphs import graphs
from tests.helpers_capsjax import close, difference, draw, draw_like, examples, quick

BATCH = 2
ON_EDGES = [
    *(cj.backward.stop(), cj.backward.scale(-0.5), cj.backward.clip(0.05)),
    cj.backward.exact(),
]
ON_WEIGHTS = [
    cj.backward.feedback_alignment(),
    cj.backward.sign_symmetric(),
    cj.backward.kolen_pollack(0.1),
]
RECTIFIERS = ("relu", "leaky_relu", "elu", "selu", "gelu", "silu", "softplus")


def leading_to(typed: Any, losses: list[str]) -> dict[str, set[str]]:
    """By capsule, the outputs with a loss that it leads to; itself among them."""
    found: dict[str, set[str]] = {c.name: set() for c in typed.alone}
    for capsule in reversed(typed.alone):
        found[capsule.name] |= {capsule.name} & set(losses)
        for source in capsule.sources:
            if source in found:
                found[source] |= found[capsule.name]
    return found


def rules_for(choose: Any, graph: cj.Graph) -> dict[Any, Any]:
    """Rules by capsule and by edge, each of which fits."""
    typed: Any = cj.compile(graph, backward="autodiff").typed
    losses = [name for name, _ in graph.losses]
    reached = leading_to(typed, losses)
    rules: dict[Any, Any] = {}
    for capsule in typed.alone:
        for edge in capsule.edges:
            options = [None, *ON_EDGES] + ON_WEIGHTS * 3 * (
                edge.weight_shape is not None
            )
            rule = choose(options)
            if rule is not None:
                rules[edge.key, capsule.name] = rule
        options: list[Any] = [None]
        if capsule.total_input == capsule.output:
            options.append(cj.backward.straight_through())
        if capsule.cap.kind in RECTIFIERS:
            options.append(cj.backward.guided())
        if capsule.name in losses:
            options.append(cj.backward.local())
        elif reached[capsule.name]:
            options += [cj.backward.direct_feedback_alignment()] * 2
        rule = choose(options)
        if rule is not None:
            rules[capsule.name] = rule
    return rules


@st.composite
def ruled(draw_one: Any, kinked: bool = True) -> Any:
    """A graph, and rules that fit it."""
    graph = draw_one(graphs(kinked))
    return graph, rules_for(lambda options: draw_one(st.sampled_from(options)), graph)


def problem(graph: cj.Graph, rules: Any, seed: int = 0) -> Any:
    """The network, its parameters and state, inputs and targets."""
    net = cj.compile(graph, backward=rules)
    params, state = draw_like(jax.eval_shape(net.init, jax.random.key(0)), seed)
    params = jax.tree.map(lambda x: 0.5 * np.asarray(x), params)
    batch: dict[str, Any] = {
        each.name: draw((BATCH, *each.shape), seed + 100 + i)
        for i, each in enumerate(graph.inputs)
    }
    for name, _ in graph.losses:
        shape = (BATCH, *net.shapes[name].output)
        batch[name] = 1 / (1 + np.exp(-np.asarray(draw(shape, seed + 200))))
    return net, params, state, batch


def found_by(net: cj.Network, params: Any, state: Any, batch: Any) -> Any:
    """Loss; gradients by parameters and inputs, error signals: by name."""
    names = [name for name, _ in net.typed.inputs]

    def loss(params: Any, inputs: Any) -> Any:
        return net.loss(params, state, {**batch, **inputs})[0]

    inputs = {name: batch[name] for name in names}
    value, slopes = jax.value_and_grad(loss, (0, 1))(params, inputs)
    return value, slopes[0], slopes[1], net.deltas(params, state, batch)


def expected_by(net: cj.Network, rules: Any, params: Any, state: Any, batch: Any):
    """The same by the oracle; gradients of parameters in the network's layout."""
    oracle = Oracle(net.graph, rules)
    named, carried = net.named(params), net.named_state(state)
    loss, by_params, by_inputs, deltas = oracle.everything(named, carried, batch)
    zeros = {name: jnp.zeros_like(batch[name]) for name in oracle.names}
    return loss, net.from_named(by_params), {**zeros, **by_inputs}, deltas


@examples(2)
@given(ruled())
def test_gradients_and_error_signals(case):
    graph, rules = case
    net, *arguments = problem(graph, rules)
    both = quick(lambda *at: (found_by(net, *at), expected_by(net, rules, *at)))
    found, expected = both(*arguments)
    close(found, expected)


@examples(1)
@given(ruled())
def test_under_vmap_over_members(case):
    """Parameters and state differ from member to member: vmap of grad, grad of vmap."""
    graph, rules = case
    net, _, _, batch = problem(graph, rules)
    members = [problem(graph, rules, seed)[1:3] for seed in (1, 2)]
    stacked = jax.tree.map(lambda *parts: np.stack(parts), *members)

    @quick
    def mapped_and_looped(stacked, members):
        found = jax.vmap(lambda p, s: found_by(net, p, s, batch))(*stacked)
        looped = [expected_by(net, rules, p, s, batch) for p, s in members]

        def total(params):
            losses = jax.vmap(lambda p, s: net.loss(p, s, batch)[0])(params, stacked[1])
            return losses.sum()

        outer = jax.grad(total)(stacked[0])
        return found, outer, jax.tree.map(lambda *parts: jnp.stack(parts), *looped)

    found, outer, expected = mapped_and_looped(stacked, members)
    close(found, expected)
    close(outer, expected[1])


def moved(net: cj.Network, rules: Any, state: Any, along: Any, by: Any) -> Any:
    """State with B of Kolen-Pollack where it was, when W moves: D = B - W."""
    carried = jax.tree.map(lambda x: x, state)  # containers of its own
    for capsule in net.typed.alone:
        for edge in capsule.edges:
            rule = rules.get((edge.key, capsule.name))
            if (
                rule is None
                or rule.kind != "kolen_pollack"
                or capsule.name not in carried
            ):
                continue
            w = along[edge.weight or capsule.name]["W"]
            w = w if edge.weight else w[edge.key]
            feedback = carried[capsule.name]["feedback"]
            feedback[edge.key] = feedback[edge.key] - by * w
    return carried


@examples(1)
@given(ruled(kinked=False))
def test_twice_differentiated(case):
    """The rule's gradient, differentiated: B is a constant, all else is not."""
    graph, rules = case
    rules = {
        place: rule
        for place, rule in rules.items()
        if rule.kind not in ("guided", "clip")  # which have kinks
    }
    net, params, state, batch = problem(graph, rules)

    def gradient(params, by=0.0, along=None):
        carried = state if along is None else moved(net, rules, state, along, by)
        return jax.grad(lambda p: net.loss(p, carried, batch)[0])(params)

    weights, along = draw_like(params, 3), draw_like(params, 4)

    @quick
    def slope(params):
        value = lambda p: inner_of(gradient(p), weights)  # noqa: E731
        return inner_of(jax.grad(value)(params), along)

    def at(by):
        params_there = jax.tree.map(lambda p, d: p + by * d, params, along)
        return inner_of(gradient(params_there, by, along), weights)

    expected = difference(quick(at), 0.0, 1.0)
    found = float(slope(params))
    assert found == pytest.approx(float(expected), rel=1e-6, abs=1e-7)


def inner_of(a: Any, b: Any) -> jax.Array:
    """The inner product of two trees."""
    return sum(jax.tree.leaves(jax.tree.map(jnp.vdot, a, b)), jnp.zeros(()))
