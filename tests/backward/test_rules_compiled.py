"""Rules under what the compiler does: folding, budgets, types, state on disk."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import capsjax as cj
from capsjax.compiler.passes import PIPELINE, Pass, fold_all
from capsjax.training.saved import load_state, save_state
from tests.helpers_capsjax import close, draw, draw_like, quick

BATCH = 3
KEY = jax.random.key(5)
OTHERS = tuple(each for each in PIPELINE if each.name != "fold")
FOLDED = (*OTHERS, Pass(fold_all, observable=True))
COPIES = 3


def on_edges() -> dict[Any, Any]:
    """Rules on edges and functions: what is carried, what draws, what is clipped."""
    rules: dict[Any, Any] = {"*": "feedback_alignment"}
    before = ["first", *(f"y{i}" for i in range(COPIES))]
    for i in range(COPIES):
        rules[before[i], f"a{i}"] = cj.backward.kolen_pollack(0.1)
        rules[f"a{i}", f"b{i}"] = "sign_symmetric"
        rules[f"b{i}"] = "guided"
        rules[before[i], f"y{i}"] = cj.backward.clip(0.02)
        rules[f"b{i}", f"y{i}"] = cj.backward.noise(0.1)
    return rules


def on_capsules() -> dict[Any, Any]:
    """The output's error goes straight to all, or to some capsules of every copy."""
    rules: dict[Any, Any] = {"first": "direct_feedback_alignment"}
    for i in range(COPIES):
        rules[f"a{i}"] = "direct_feedback_alignment"
        rules[f"b{i}"] = "straight_through"
        rules[f"y{i}"] = "direct_feedback_alignment"
    return rules


RULES: dict[str, Any] = {
    "edges": on_edges(),
    "capsules": on_capsules(),
}


def chain(copies: int = COPIES) -> cj.Graph:
    """Residual copies with a convolution's like, dropout, and running statistics."""
    x = cj.input("x", (5,))
    h = cj.capsule("first", cj.matmul(x, 4), cap="relu")
    for number in range(copies):
        norm = cj.caps.standardize(0.8, unbiased=False)
        a = cj.capsule(f"a{number}", cj.matmul(h, 4), cap=norm, bias=None)
        b = cj.capsule(f"b{number}", cj.channel_scale(a), cap="relu")
        drop = cj.caps.dropout(0.4)
        h = cj.capsule(f"y{number}", cj.identity(h), cj.matmul(b, 4), cap=drop)
    y = cj.capsule("y", cj.matmul(h, 3), cap="softmax")
    return cj.graph(y, losses={"y": "cross_entropy"})


def batch() -> dict[str, jax.Array]:
    """Inputs and classes."""
    return {"x": draw((BATCH, 5)), "y": jnp.arange(BATCH) % 3}


def drawn(net: cj.Network) -> Any:
    """Parameters and state in the layout of a program, whatever `init` draws."""
    return draw_like(jax.eval_shape(net.init, jax.random.key(0)))


def step(net: cj.Network, state: Any, observe: bool = True) -> Any:
    """Loss, gradients and new state of a training step; error signals: by name."""
    names = jax.eval_shape(lambda key: net.named(net.init(key)[0]), jax.random.key(0))

    @quick
    def everything(named, state):
        params = net.from_named(named)
        gradient = jax.value_and_grad(net.loss, has_aux=True)
        (loss, (_, new)), slopes = gradient(params, state, batch(), key=KEY)
        deltas = net.deltas(params, state, batch(), key=KEY) if observe else {}
        before = net.named_state(state)
        return loss, net.named(slopes), before, net.named_state(new), deltas

    return everything(draw_like(names, 1), state)


@pytest.mark.parametrize("name", RULES)
def test_folded_and_unfolded_are_equal(name):
    """Feedback weights, and what is drawn, depend on names alone."""
    graph = chain()
    plain = cj.compile(graph, backward=RULES[name], passes=OTHERS)
    folded = cj.compile(graph, backward=RULES[name], passes=FOLDED)
    assert folded.program.typed.runs and not plain.program.typed.runs
    expected, found = (
        step(net, net.init(jax.random.key(0))[1]) for net in (plain, folded)
    )
    close(found, expected)
    deltas = expected[-1]
    assert np.abs(deltas["a0"]).max() > 0


def test_a_memory_budget_changes_nothing():
    """Rules of several places at once, and the least memory there can be."""
    passes = FOLDED
    graph, rules = chain(), {**on_edges(), "a1": "direct_feedback_alignment"}
    free = cj.compile(graph, backward=rules, passes=passes)
    ample: Any = cj.compile(graph, backward=rules, passes=passes, memory_budget=10**6)
    budget = ample.program.problem(BATCH, jnp.dtype(float), True).smallest
    bounded = cj.compile(graph, backward=rules, passes=passes, memory_budget=budget)
    _, state = drawn(free)
    close(step(bounded, state, observe=False), step(free, state, observe=False))


def test_exact_chosen_explicitly_is_the_default_bit_for_bit():
    nets = cj.compile(chain(1)), cj.compile(chain(1), backward="exact")
    _, state = drawn(nets[0])
    found, expected = (step(net, state) for net in nets)
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_state_is_saved_by_name(tmp_path):
    """Read back into a program of another layout, it gives the same gradients."""
    graph, rule = chain(2), cj.backward.kolen_pollack(0.5)
    folded = cj.compile(graph, backward=rule, passes=FOLDED)
    assert folded.program.typed.runs
    plain = cj.compile(graph, backward=rule, passes=OTHERS)
    params, state = drawn(folded)
    save_state(folded, state, tmp_path / "state.safetensors")
    read = load_state(plain, tmp_path / "state.safetensors")
    close(plain.named_state(read), folded.named_state(state), 0)
    named = folded.named(params)
    slopes = []
    for net, own in ((folded, state), (plain, read)):
        gradient = quick(
            jax.grad(lambda p, net=net, own=own: net.loss(p, own, batch(), key=KEY)[0])
        )
        slopes.append(net.named(gradient(net.from_named(named))))
    close(*slopes)


def test_in_bfloat16():
    """Signals in halves; gradients in the type of the parameters."""
    graph, policy = chain(1), cj.Precision("bfloat16")
    rules = {"*": cj.backward.kolen_pollack(), "a0": "direct_feedback_alignment"}
    net = cj.compile(graph, backward=rules, precision=policy)
    params, state = jax.tree.map(lambda a: a / 2, drawn(net))
    wide = cj.compile(graph, backward=rules)
    given = batch()

    @quick
    def both(params, state):
        slopes = [
            jax.grad(lambda p, net=net: net.loss(p, state, given, key=KEY)[0])(params)
            for net in (net, wide)
        ]
        return slopes

    found, expected = both(params, state)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, atol=0.1 * np.abs(b).max() + 1e-3)


def test_modules_of_equinox_hold_feedback():
    x = cj.input("x", (3,))
    h = cj.capsule("h", cj.matmul(x, 4), cap="tanh")
    graph = cj.graph(cj.capsule("y", cj.matmul(h, 2)))
    given = draw((2, 3))

    def module(rule: str) -> Any:
        net = cj.compile(graph, backward=rule)
        return net.bind(*net.init(jax.random.key(0)))

    fixed = module("feedback_alignment")
    gradient = eqx.filter_grad(lambda module: module(given).sum())
    slopes = eqx.filter_jit(gradient)(fixed)
    feedback, own = fixed.state["y"]["feedback"]["h"], fixed.params["h"]
    own, feedback = jax.tree.map(np.asarray, (own, feedback))
    slope = 1 - np.tanh(np.asarray(given) @ own["W"]["x"] + own["B"]) ** 2
    close(slopes.params["h"]["B"], ((np.ones((2, 2)) @ feedback.T) * slope).sum(0))
    with pytest.raises(
        ValueError, match="feedback weights that learn in 'y', whose new"
    ):
        module("kolen_pollack")(given)
