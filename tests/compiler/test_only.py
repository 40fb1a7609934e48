"""Error signals and activations of some capsules: those of all, but cheaper."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers_capsjax import close, draw_like, quick

import capsjax as cj
from capsjax.compiler.passes import PIPELINE, Pass, fold_all

FOLDED = (*(p for p in PIPELINE if p.name != "fold"), Pass(fold_all, observable=True))
DEPTH, WIDTH = 4, 5
BATCH = {"x": np.random.default_rng(0).normal(size=(3, WIDTH)), "y": np.arange(3)}


def residual() -> cj.Graph:
    """Two products a layer; a second output that no loss is on."""
    h = cj.input("x", (WIDTH,))
    for i in range(1, DEPTH + 1):
        a = cj.capsule(f"a{i}", cj.matmul(h, WIDTH), cap="tanh")
        b = cj.capsule(f"b{i}", cj.matmul(a, WIDTH), cap="tanh")
        h = cj.capsule(f"h{i}", cj.identity(h), cj.identity(b), bias=None)
    y = cj.capsule("y", cj.matmul(h, 3), cap="softmax")
    side = cj.capsule("side", cj.matmul(h, 2))
    return cj.graph(y, side, name="residual", losses={"y": "cross_entropy"})


NETWORKS: dict[str, dict[str, Any]] = {
    "unrolled": {},
    "feedback, folded": {"passes": FOLDED, "backward": "feedback_alignment"},
}


@pytest.mark.parametrize("name", NETWORKS)
def test_some_are_those_of_all(name):
    net = cj.compile(residual(), **NETWORKS[name])
    params, state = draw_like(jax.eval_shape(net.init, jax.random.key(0)))
    inputs, only = {"x": BATCH["x"]}, ["b2", "y", "side", "h1"]

    def both(params: Any) -> Any:
        given = params, state
        every = net.deltas(*given, BATCH), net.activations(*given, inputs)
        some = (
            net.deltas(*given, BATCH, only=only),
            net.activations(*given, inputs, only=only),
        )
        return some, [{name: each[name] for name in only} for each in every]

    (deltas, outputs), expected = quick(both)(params)
    close([deltas, outputs], expected)
    one = jax.eval_shape(lambda: net.deltas(params, state, BATCH, only=("y",)))
    assert list(one) == ["y"]


def products(net: cj.Network, method: str, only: list[str] | None) -> int:
    """How many products of matrices the program has that JAX hands to XLA."""
    batch = BATCH if method == "deltas" else {"x": BATCH["x"]}

    def tell(params: Any) -> Any:
        return getattr(net, method)(params, {}, batch, only=only)

    params, _ = jax.eval_shape(net.init, jax.random.key(0))
    return jax.jit(tell).lower(params).as_text().count("stablehlo.dot_general")


def test_the_walk_visits_what_leads_to_the_asked_and_no_gradient_of_a_weight():
    net = cj.compile(residual())
    forward = 2 * DEPTH + 1  # the loss reads no more
    assert products(net, "deltas", ["y"]) == forward
    assert products(net, "deltas", ["side"]) == 0  # no error reaches it
    assert products(net, "deltas", ["h4", "b4"]) == forward + 1
    assert products(net, "deltas", ["a4"]) == forward + 2
    assert products(net, "deltas", ["h1"]) == forward + 1 + 2 * (DEPTH - 1)


def test_only_what_stands_before_the_asked_is_evaluated():
    net = cj.compile(residual())
    every = 2 * DEPTH + 1  # the two outputs' products are one
    assert products(net, "activations", None) == every
    assert products(net, "activations", ["a1"]) == 1
    assert products(net, "activations", ["h2", "a2"]) == 4
    assert products(net, "activations", ["side"]) == every


def test_of_a_run_only_what_is_asked_for_is_stacked():
    """The loop holds stacks of what is given out, [copies, batch, width], no others."""
    net = cj.compile(residual(), passes=FOLDED)
    assert net.program.typed.runs
    params, _ = jax.eval_shape(net.init, jax.random.key(0))

    def written(only: list[str] | None) -> int:
        def tell(params: Any) -> Any:
            return net.activations(params, {}, {"x": BATCH["x"]}, only=only)

        lines = jax.jit(tell).lower(params).as_text().splitlines()
        (loop,) = (line for line in lines if "stablehlo.while" in line)
        return loop.count(f"tensor<{DEPTH}x3x{WIDTH}xf64>")

    # U and Y of a, b and h; of h, U is Y. Of side alone, none is given out.
    assert written(["side"]) == 0
    assert written(["a2"]) == 2
    assert written(["a2", "b3"]) == 4
    assert written(None) == 6


def test_a_program_of_some_moves_fewer_bytes():
    net = cj.compile(residual())
    params, _ = jax.eval_shape(net.init, jax.random.key(0))

    def cost(only: list[str] | None) -> Any:
        def tell(params: Any) -> Any:
            return net.deltas(params, {}, BATCH, only=only)

        compiled: Any = jax.jit(tell).lower(params).compile()
        size = compiled.memory_analysis().output_size_in_bytes
        return compiled.cost_analysis()["flops"], size

    some, every = cost(["h4"]), cost(None)
    assert some[0] < 0.7 * every[0]
    assert some[1] == 8 * 3 * WIDTH < every[1]


def test_members_and_derivatives():
    net = cj.compile(residual(), passes=FOLDED)
    shapes, _ = jax.eval_shape(net.init, jax.random.key(0))
    params = jax.tree.map(lambda a: np.stack([a, a / 2]), draw_like(shapes))

    def size(params: Any, only: Any) -> jax.Array:
        return jnp.sum(net.deltas(params, {}, BATCH, only=only)["b2"] ** 2)

    def both(params: Any) -> Any:
        return [
            jax.vmap(jax.grad(lambda p, only=only: size(p, only)))(params)
            for only in (["b2"], None)
        ]

    close(*quick(both)(params))


def test_what_is_wrong_is_said():
    net = cj.compile(residual())
    params, state = jax.eval_shape(net.init, jax.random.key(0))
    with pytest.raises(
        ValueError, match="found only= with 'a22', no such capsule; did"
    ):
        net.deltas(params, state, BATCH, only=["y", "a22"])
    with pytest.raises(
        ValueError, match=r"only='a1'; expected names, such as \['a1'\]"
    ):
        net.activations(params, state, {"x": BATCH["x"]}, only="a1")
    unread = dataclasses.replace(residual(), outputs=("y",))
    net = cj.compile(unread)
    params, state = net.init(jax.random.key(0))
    with pytest.raises(
        ValueError, match="'side', which no output needs; expected a ca"
    ):
        net.activations(params, state, {"x": BATCH["x"]}, only=["side"])
    assert not net.deltas(params, state, BATCH, only=["side"])["side"].any()
