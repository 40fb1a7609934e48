"""Products of siblings as one: which are merged, and that nothing else changes."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import pytest

import capsjax as cj
from capsjax.compiler.passes import PIPELINE, Pass
from capsjax.compiler.verify import CompilerError, verify
from capsjax.graph.typed import TypedCapsule
from tests.helpers_capsjax import both_ways, close, draw, quick, squared_gradient

EVERYWHERE = {
    "merge": Pass(cj.passes.merge_all, observable=True),
    "fold": Pass(cj.passes.fold_all, observable=True),
}
EVERY_PASS = tuple(EVERYWHERE.get(each.name, each) for each in PIPELINE)


def branches():
    """Convolutions of two geometries, one of them twice into one capsule, no bias."""
    x = cj.input("x", (4, 4, 2))
    stem = cj.capsule("stem", cj.conv(x, 2, (1, 1)), cap="tanh")
    one = cj.capsule("one", cj.conv(stem, 3, (1, 1)), cap="relu")
    two = cj.capsule("two", cj.conv(stem, 2, (1, 1)), cj.conv(stem, 2, (1, 1)))
    wide = cj.capsule("wide", cj.conv(stem, 2, (1, 2), padding="SAME"), bias=None)
    more = cj.capsule("more", cj.conv(stem, 1, (1, 2), padding="SAME"), cap="gelu")
    out = cj.capsule("out", *map(cj.place, (one, two, wide, more)), bias=None)
    losses = {"out": "mean_squared_error"}
    return cj.graph(out, name="branches", losses=losses)


def attention():
    """Two layers of attention, folded, whose queries, keys and values are merged."""
    x = cj.input("x", (3, 4))
    for n in range(2):
        three = [cj.capsule(f"{name}{n}", cj.matmul(x, 4)) for name in "qkv"]
        slots = cj.capsule(f"s{n}", *(cj.place(each, 0) for each in three), bias=None)
        rows, cap = cj.reshape(slots, (3, 3, 4)), cj.caps.attention(2)
        heads = cj.capsule(f"heads{n}", rows, cap=cap, bias=None)
        x = cj.capsule(f"x{n}", cj.matmul(heads, 4), cj.identity(x))
    losses = {"x1": "mean_squared_error"}
    return cj.graph(x, name="attention", losses=losses)


def lone_signal():
    """Siblings of which one alone has a loss, the others none."""
    x = cj.input("x", (3,))
    y = cj.capsule("y", cj.matmul(x, 2), cap="tanh")
    a = cj.capsule("a", cj.matmul(y, 3), cap="softmax")
    b = cj.capsule("b", cj.matmul(y, 2), cj.matmul(x, 2), cap="tanh")
    c = cj.capsule("c", cj.matmul(y, 1), cap="identity")
    return cj.graph(b, a, c, name="lone-signal", losses={"a": "cross_entropy"})


@pytest.mark.parametrize("make", [branches, attention, lone_signal])
def test_everything_is_the_interpreters(make):
    graph = make()
    net = cj.compile(graph, passes=EVERY_PASS)
    plain = cj.compile(graph, passes=(), backward="autodiff")
    assert any("one product" in n for stage in net.stages for n in stage.notes)
    params, state = quick(net.init)(jax.random.key(0))
    named = quick(plain.init)(jax.random.key(0))[0]
    close(net.named(params), named)
    close(net.from_named(named), params)
    inputs = {name: draw((2, *shape), 1) for name, shape in net.typed.inputs}
    targets = {
        name: jax.nn.softmax(draw((2, *net.shapes[name].output), 2))
        for name, _ in graph.losses
    }

    def everything(net: cj.Network):
        def loss(params: Any, inputs: Any) -> Any:
            return net.loss(params, state, {**inputs, **targets})[0]

        def found(params: Any, inputs: Any) -> Any:
            value, (by_params, by_inputs) = jax.value_and_grad(loss, (0, 1))(
                params, inputs
            )
            deltas = net.deltas(params, state, {**inputs, **targets})
            return value, net.named(by_params), by_inputs, deltas

        return found

    both = quick(lambda a, b, x: (everything(net)(a, x), everything(plain)(b, x)))
    close(*both(params, named, inputs))


def test_members_of_a_sweep_and_second_derivatives():
    graph = lone_signal()
    inputs = {"x": draw((2, 3), 1)}
    batch = inputs | {"a": jax.nn.softmax(draw((2, 3), 2))}
    exact, plain = both_ways(graph)
    params, _ = exact.init(jax.random.key(0))
    members = jax.tree.map(lambda x: jnp.stack([x, 2 * x]), params)

    def found(net: cj.Network, members: Any) -> Any:
        def losses(members: Any) -> Any:
            return jnp.sum(jax.vmap(lambda p: net.loss(p, {}, batch)[0])(members))

        of_one = squared_gradient(net, batch)
        of_all = jax.vmap(jax.grad(lambda p: of_one((p, inputs))))
        return jax.grad(losses)(members), of_all(members)

    both = quick(lambda members: [found(net, members) for net in (exact, plain)])
    first, second = both(members)
    close(first, second, 1e-9)


def notes_of(graph: cj.Graph) -> list[str]:
    stages = {stage.name: stage for stage in cj.compile(graph).stages}
    return list(stages["merge"].notes)


def test_the_rule_of_cost_on_cpu():
    def siblings(inputs: int, *sizes: int) -> list[str]:
        x = cj.input("x", (inputs,))
        made = [cj.capsule(f"h{n}", cj.matmul(x, s)) for n, s in enumerate(sizes)]
        return notes_of(cj.graph(*made))

    assert siblings(128, 128, 128) == ["h0, h1: one product of x"]
    assert siblings(512, 512, 64) == ["h0, h1: one product of x"]
    assert siblings(128, 128, 129) == [
        "h0, h1: products of x stay apart: 32,896 weights, none of 64 features or fewer"
    ]
    assert notes_of(branches()) == [
        "one, two: one product of stem",
        "wide, more: products of stem stay apart: merging pays for windows of one "
        "pixel",
    ]


def test_what_is_no_sibling():
    x, z = cj.input("x", (4,)), cj.input("z", (4,))
    first = cj.capsule("first", cj.matmul(x, 4))
    later = cj.capsule("later", cj.matmul(x, 4), cj.matmul(first, 4))
    other = cj.capsule("other", cj.matmul(z, 4), cj.identity(x))
    turned = cj.capsule("turned", cj.matmul(z, 4, transposed=True))
    twins = [
        cj.capsule(name, cj.share(cj.matmul(z, 3), "w")) for name in ("one", "two")
    ]
    assert notes_of(cj.graph(later, other, turned, *twins)) == []


def test_what_all_layers_read_leaves_them_to_be_folded():
    x = cj.input("x", (4,))
    h = cj.capsule("h0", cj.matmul(x, 4))
    for n in range(1, 10):
        h = cj.capsule(f"h{n}", cj.matmul(h, 4), cj.matmul(x, 4), cap="tanh")
    graph = cj.graph(h)
    stages = {s.name: s.notes for s in cj.compile(graph, passes=EVERY_PASS).stages}
    assert stages["merge_all"] == ()
    assert [note[:18] for note in stages["fold_all"]] == ["h1 to h9: 9 copies"]


def test_parts_that_do_not_fill_the_whole():
    x = cj.input("x", (4,))
    net = cj.compile(cj.graph(*(cj.capsule(n, cj.matmul(x, 2)) for n in "ab")))
    first, second = net.program.typed.alone

    def spoiled(**changes: Any) -> None:
        (edge,) = second.edges
        merged = edge.merged
        assert merged is not None
        own = dataclasses.replace(edge, merged=merged._replace(**changes))
        broken = dataclasses.replace(second, terms=(own,))
        assert isinstance(broken, TypedCapsule)
        capsules = first, broken
        verify(dataclasses.replace(net.program.typed, capsules=capsules), "mine")

    with pytest.raises(CompilerError, match=r"'x\+1' of 'a' leave gaps"):
        spoiled(offset=3)
    with pytest.raises(CompilerError, match=r"'x\+1' of 'a' do not fill it"):
        spoiled(size=5)
