"""Helpers of several test files: arrays, comparisons, finite differences, networks."""

import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import settings

import capsjax as cj


def quick(f: Callable[..., Any]) -> Callable[..., Any]:
    """`jax.jit` for programs that run once: compiled fast, not well."""
    options = {
        "xla_backend_optimization_level": 0,
        "xla_llvm_disable_expensive_passes": True,
    }
    return jax.jit(f, compiler_options=options)


def examples(count: int) -> settings:
    """So many random examples, each of which compiles; `make test-deep` takes more."""
    return settings(max_examples=count * int(os.environ.get("CAPSJAX_EXAMPLES", "1")))


def draw(shape: tuple[int, ...], seed: int = 0) -> jax.Array:
    """Normal numbers in float64."""
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


def draw_like(tree: Any, seed: int = 0) -> Any:
    """Normal numbers in the shapes of a tree of arrays."""
    leaves, structure = jax.tree.flatten(tree)
    seeds = range(seed, seed + len(leaves))
    drawn = [draw(x.shape, s) for x, s in zip(leaves, seeds, strict=True)]
    return jax.tree.unflatten(structure, drawn)


def inner(a: Any, b: Any) -> float:
    """The inner product of two trees of one structure."""
    return float(sum(jax.tree.leaves(jax.tree.map(np.vdot, a, b))))


def close(found: Any, expected: Any, tolerance: float = 1e-10) -> None:
    """Asserts equality of trees, relative to the largest number of each array."""
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    pairs = zip(
        jax.tree_util.tree_leaves_with_path(found),
        jax.tree.leaves(expected),
        strict=True,
    )
    for (path, a), b in pairs:
        assert jnp.shape(a) == jnp.shape(b), jax.tree_util.keystr(path)
        scale = float(np.max(np.abs(b), initial=0.0))
        np.testing.assert_allclose(
            np.asarray(a),
            np.asarray(b),
            rtol=0,
            atol=tolerance * max(scale, 1e-3),
            err_msg=jax.tree_util.keystr(path),
        )


def difference(f: Callable[[Any], Any], at: Any, along: Any, step: float = 1e-3):
    """The derivative of f along a direction: central, of the fourth order."""

    def moved(by: float) -> Any:
        return f(jax.tree.map(lambda x, d: x + by * d, at, along))

    def combine(a: Any, b: Any, c: Any, d: Any) -> Any:
        return (8 * (a - b) - (c - d)) / (12 * step)

    values = [moved(k * step) for k in (1, -1, 2, -2)]
    return jax.tree.map(combine, *values)


def network(
    weightings: list[Any],
    shape: tuple[int, ...],
    *,
    cap: Any = "tanh",
    bias: Any = "channel",
    loss: Any = "mean_squared_error",
    backward: Any = "exact",
) -> cj.Network:
    """One capsule `h` with edges of the given operations from one input `x`."""
    x = cj.input("x", shape)
    edges = [cj.edge(x, weighting) for weighting in weightings]
    h = cj.capsule("h", *edges, cap=cap, bias=bias)
    losses = None if loss is None else {"h": loss}
    return cj.compile(cj.graph(h, losses=losses), backward=backward)


def both_ways(graph: cj.Graph) -> tuple[cj.Network, cj.Network]:
    """The network with its own backward pass, and the interpreter's."""
    return cj.compile(graph), cj.compile(graph, backward="autodiff")


def squared_gradient(
    net: cj.Network, batch: Any, state: Any = None, key: Any = None
) -> Callable[[Any], jax.Array]:
    """`f(params, inputs)`: sum of squares of all gradients, for second derivatives."""
    names = {name for name, _ in net.typed.inputs}
    targets = {name: a for name, a in batch.items() if name not in names}

    def value(arguments: Any) -> jax.Array:
        def loss(params: Any, inputs: Any) -> jax.Array:
            batch = {**inputs, **targets}
            return net.loss(params, state or {}, batch, key=key)[0]

        gradients = jax.grad(loss, (0, 1))(*arguments)
        squares = [jnp.sum(g**2) for g in jax.tree.leaves(gradients)]
        return jnp.sum(jnp.stack(squares)) / 2

    return value


def built_in(table: Any) -> list[str]:
    """Kinds of the library: not those that a doctest or another test registered."""
    return [
        kind
        for kind in table
        if table[kind].__module__.startswith("capsjax.")
        and not kind.startswith("doctest_")
    ]
