"""The batch pass: many small capsules as one group, and nobody can tell."""

import importlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import capsjax as cj
from capsjax.compiler.passes import run_passes
from capsjax.graph.checks import check
from capsjax.graph.typed import TypedGraph
from tests.helpers_capsjax import close, draw, draw_like, examples, quick

PASS: Any = importlib.import_module("capsjax.compiler.passes.batch")

KEY = jax.random.key(0)
OPERATIONS = {
    "matmul": (lambda x: cj.matmul(x, 4), (4,)),
    "channel_scale": (cj.channel_scale, (4,)),
    "scale": (cj.scale, (4,)),
    "identity": (cj.identity, (4,)),
    "matmul of rows": (lambda x: cj.matmul(x, 3), (2, 3)),
    "transpose": (lambda x: cj.transpose(x, (1, 0)), (2, 2)),
    "conv": (lambda x: cj.conv(x, 2, (2, 1), padding="SAME"), (3, 3, 2)),
    "scale of a number": (cj.scale, ()),
}


@contextmanager
def least(members: int, width: int = 1) -> Iterator[None]:
    """Other limits of the pass, so that small graphs meet it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PASS, "LEAST_MEMBERS", members)
        patch.setattr(PASS, "LEAST_WIDTH", width)
        yield


def three_ways(graph: cj.Graph) -> tuple[cj.Network, cj.Network, cj.Network]:
    """Compiled with groups, without the pass, and as the interpreter has it."""
    with least(10**9):
        apart = cj.compile(graph)
        assert not apart._observed.groups
    with least(3):
        found = cj.compile(graph), apart, cj.compile(graph, backward="autodiff")
        assert found[0]._observed is not None
    return found


def layered(
    operation: str, bias: Any, cap: Any, *, levels: int = 2, width: int = 3
) -> cj.Graph:
    """Levels of capsules that are alike, each reading two of the level before."""
    make, shape = OPERATIONS[operation]
    above: list[Any] = [cj.input("x", shape), cj.input("z", shape)]
    for level in range(levels):
        above = [
            cj.capsule(
                f"c{level}.{i}",
                make(above[i % len(above)]),
                make(above[(i + 1) % len(above)]),
                cap=cap if i % 2 else "tanh",
                bias=bias,
            )
            for i in range(width)
        ]
    return ended(above)


def ended(read: list[Any]) -> cj.Graph:
    """A graph whose only output, with a loss, reads all of these."""
    ends = [cj.capsule(f"end{i}", cj.reshape(c, (-1,))) for i, c in enumerate(read)]
    out = cj.capsule("out", *map(cj.dot, ends), bias=None)
    return cj.graph(out, losses={"out": "mean_squared_error"})


def batch_for(graph: cj.Graph, net: cj.Network, size: int = 3) -> dict[str, jax.Array]:
    shapes = {each.name: each.shape for each in graph.inputs}
    shapes |= {name: net.shapes[name].output for name, _ in graph.losses}
    return {
        name: draw((size, *shape), seed)
        for seed, (name, shape) in enumerate(shapes.items())
    }


def everything(net: cj.Network, names: list[str]):
    """`f(params by name, batch)`: loss, outputs, gradients, signals, activations."""

    def at(named: Any, batch: Any):
        def value(named: Any, inputs: Any):
            params = net.from_named(named)
            loss, (outputs, _) = net.loss(params, {}, {**batch, **inputs})
            more = [jnp.sum(jnp.sin(y)) for y in outputs.values()]
            return loss + sum(more), (loss, outputs)

        inputs = {name: batch[name] for name in names}
        found = jax.value_and_grad(value, (0, 1), has_aux=True)(named, inputs)
        params = net.from_named(named)
        deltas = net.deltas(params, {}, batch)
        return found, deltas, net.activations(params, {}, inputs)

    return at


def compare(graph: cj.Graph) -> cj.Network:
    """Asserts that all three agree; returns the one with groups."""
    grouped, apart, plain = three_ways(graph)
    shapes = jax.eval_shape(lambda key: apart.named(apart.init(key)[0]), KEY)
    named = draw_like(shapes)
    names = [each.name for each in graph.inputs]
    f, g = everything(grouped, names), everything(plain, names)
    batch = batch_for(graph, apart)
    close(*quick(lambda *at: (f(*at), g(*at)))(named, batch))
    return grouped


@pytest.mark.parametrize(
    "operation, bias, cap",
    [
        ("matmul", "full", "squash"),
        ("matmul", "channel", "gelu"),
        ("channel_scale", "channel", "softmax"),
        ("scale", None, "silu"),
        ("identity", None, "sigmoid"),
        ("identity", "channel", "relu"),
        ("matmul of rows", "channel", "squash"),
        ("matmul of rows", "full", "tanh"),
        ("transpose", None, "silu"),
        ("conv", "channel", "tanh"),
        ("conv", "full", "silu"),
        ("scale of a number", "full", "softplus"),
    ],
)
def test_every_operation_and_bias(operation, bias, cap):
    grouped = compare(layered(operation, bias, cap))
    groups = grouped.program.typed.groups
    (group,) = [each for each in groups if each.members[0] == "c0.0"]
    # The ends' reshapes to the shape there is are identities, too.
    assert group.size == (9 if (operation, bias) == ("identity", "channel") else 6)


@st.composite
def graphs(draw: Any) -> cj.Graph:
    """Capsules of two kinds and identities in any wiring; outputs among them."""
    nodes: list[Any] = [cj.input("x", (4,)), cj.input("z", (4,))]
    operations = ["matmul", draw(st.sampled_from(["identity", "channel_scale"]))]
    bias = draw(st.sampled_from(["full", None]))
    caps = draw(st.lists(st.sampled_from(["tanh", "squash", "silu"]), min_size=1))
    for i in range(draw(st.integers(4, 14))):
        sources = draw(st.lists(st.sampled_from(nodes), min_size=1, max_size=3))
        if draw(st.integers(0, 5)) == 0:
            made = cj.capsule(f"c{i}", cj.identity(sources[0]), bias=None)
        else:
            make = OPERATIONS[draw(st.sampled_from(operations))][0]
            cap = draw(st.sampled_from(caps))
            made = cj.capsule(f"c{i}", *map(make, sources), cap=cap, bias=bias)
        nodes.append(made)
    capsules = nodes[2:]
    read = {id(edge.source) for node in capsules for edge in node.incoming}
    ends = [node for node in nodes if id(node) not in read]
    out = cj.capsule("out", *(cj.matmul(node, 2) for node in ends))
    more = draw(st.lists(st.sampled_from(capsules), max_size=2, unique_by=id))
    losses = {"out": "mean_squared_error"}
    if more and draw(st.booleans()):
        losses[more[0].name] = "mean_squared_error"
    return cj.graph(out, *more, losses=losses)


@examples(2)
@given(graphs())
def test_random_wirings(graph):
    compare(graph)


def typed_of(graph: cj.Graph) -> TypedGraph:
    typed, problems = check(graph)
    assert not problems
    return typed


def test_what_groups_are():
    """The graph stays in order; every capsule is there once; losses stand alone.

    Some of the graphs leave a group and return, and outputs are among members.
    """
    seen = {"two groups of a kind": 0, "an output inside": 0, "a loss": 0}

    @settings(max_examples=150)
    @given(graphs(), st.booleans())
    def each(graph, observable):
        with least(2):
            stages = run_passes(typed_of(graph), observable=observable, check=True)
        last = stages[-1].typed
        members = [name for group in last.groups for name in group.members]
        check_groups(graph, stages, members)
        kinds = [(g.weighting, g.bias_shape) for g in last.groups]
        seen["two groups of a kind"] += len(set(kinds)) < len(kinds)
        seen["an output inside"] += not set(members).isdisjoint(last.outputs)
        seen["a loss"] += len(graph.losses) > 1

    each()
    assert all(seen.values()), seen


def check_groups(graph: cj.Graph, stages: Any, members: list[str]) -> None:
    last = stages[-1].typed
    before = next(stage for stage in stages if stage.name == "concatenate").typed
    groups = {group.name for group in last.groups}
    names = [c.name for c in last.capsules if c.name not in groups]
    assert sorted(names + members) == sorted(c.name for c in before.capsules)
    assert {name for name, _ in graph.losses} <= set(names)
    assert last.parameter_count == before.parameter_count
    known = {name for name, _ in last.inputs}
    for capsule in last.capsules:
        assert known.issuperset(capsule.sources)
        known.update(capsule.made)
    assert known.issuperset(last.outputs)


def test_a_path_that_leaves_and_returns():
    """What stands behind it is another group, else each would need the other."""
    x = cj.input("x", (4,))
    first = [cj.capsule(f"a{i}", cj.matmul(x, 4), cap="tanh") for i in range(4)]
    side = cj.capsule("side", cj.channel_scale(first[0]), cap="tanh", bias=None)
    more = [
        cj.capsule(f"b{i}", cj.matmul(first[i], 4), cj.matmul(side, 4), cap="tanh")
        for i in range(4)
    ]
    beside = [cj.capsule(f"d{i}", cj.matmul(first[i], 4), cap="tanh") for i in range(3)]
    grouped = compare(ended([*more, *beside]))
    groups = {group.members for group in grouped.program.typed.groups}
    assert ("a0", "a1", "a2", "a3", "d0", "d1", "d2") in groups
    assert ("b0", "b1", "b2", "b3") in groups


def test_identities_between_capsules():
    """Dropped, they join two levels in one group; observed, they part them."""
    x = cj.input("x", (4,))
    first = [cj.capsule(f"a{i}", cj.matmul(x, 4), cap="tanh") for i in range(4)]
    same = [cj.capsule(f"i{i}", cj.identity(c), bias=None) for i, c in enumerate(first)]
    more = [
        cj.capsule(f"b{i}", cj.matmul(c, 4), cap="tanh") for i, c in enumerate(same)
    ]
    grouped = compare(ended(more))
    sizes = [g.size for g in grouped.program.typed.groups if "a0" in g.members]
    observed = [g.size for g in grouped._observed.typed.groups if "a0" in g.members]
    assert (sizes, observed) == ([8], [4])


def test_a_source_that_is_read_twice():
    x, z = cj.input("x", ()), cj.input("z", ())
    nodes: list[Any] = [x, z]
    for i in range(6):
        last = nodes[-2:]
        edges = [cj.scale(last[0]), cj.scale(last[1]), cj.scale(last[0])]
        nodes.append(cj.capsule(f"c{i}", *edges, cap="tanh"))
    out = cj.capsule("out", *(cj.scale(node) for node in nodes[2:]), bias=None)
    grouped = compare(cj.graph(out, losses={"out": "mean_squared_error"}))
    (group,) = grouped.program.typed.groups
    assert group.keys[:3] == ("x", "z", "x#2")


# ---- parameters


GRAPH = layered("matmul", "full", "squash", levels=3, width=5)


def test_parameters_do_not_depend_on_the_pass():
    """Initial values are the same numbers; each net takes the other's by name."""
    grouped, apart, _ = three_ways(GRAPH)
    ours, _ = grouped.init(jax.random.key(3))
    theirs, _ = apart.init(jax.random.key(3))
    assert ours.keys() != theirs.keys()
    named = grouped.named(ours)
    assert set(named) == set(apart.named(theirs))
    close(named, apart.named(theirs), 0)
    close(apart.from_named(named), theirs, 0)
    close(grouped.from_named(apart.named(theirs)), ours, 0)
    assert grouped.parameter_count == apart.parameter_count


def test_no_two_weights_of_a_group_are_alike():
    ours = three_ways(GRAPH)[0].init(jax.random.key(3))[0]["c0.0+14"]["W"]["edges"]
    rows = np.asarray(ours).reshape(len(ours), -1)
    assert len(np.unique(rows, axis=0)) == len(rows)


def faults_of(call: Any) -> list[str]:
    with pytest.raises(ValueError) as raised:
        call()
    return str(raised.value).split("\n    ")


def test_parameters_that_do_not_fit():
    grouped, _, _ = three_ways(GRAPH)
    params, state = grouped.init(jax.random.key(0))
    inputs = {"x": draw((2, 4)), "z": draw((2, 4), 1)}
    named = grouped.named(params)
    del named["c1.2"]["W"]["c0.2"]
    named["c1.3"]["B"] = jnp.ones(3)
    head = "parameters do not fit network 'network':"
    assert faults_of(lambda: grouped.from_named(named)) == [
        head,
        "c1.2:W:c0.2: missing; expected shape (4, 4)",
        "c1.3:B: found shape (3,); expected (4,)",
    ]
    assert faults_of(lambda: grouped.apply(grouped.named(params), state, inputs)) == [
        head,
        "found parameters by name; cure: net.from_named(parameters)",
    ]
    short = {**params, "c0.0+14": {**params["c0.0+14"], "B": jnp.ones((14, 4))}}
    assert faults_of(lambda: grouped.apply(short, state, inputs)) == [
        head,
        "c0.0+14:B: found shape (14, 4); expected (15, 4)",
    ]
    many = faults_of(lambda: grouped.from_named({}))
    assert len(many) == 22
    assert re.fullmatch(r"\.\.\. and \d+ more", many[-1])


# ---- as the limits are


def test_few_capsules_and_narrow_ones_stay_alone():
    few = cj.compile(layered("matmul", "full", "squash", levels=3, width=10))
    assert not few.program.typed.groups
    narrow = cj.compile(layered("matmul", "full", "squash", levels=10, width=7))
    assert not narrow.program.typed.groups
    enough = cj.compile(layered("matmul", "full", "squash", levels=4, width=8))
    assert [g.size for g in enough.program.typed.groups] == [32]


def test_large_capsules_stay_alone():
    x = cj.input("x", (65,))
    many = [cj.capsule(f"c{i}", cj.channel_scale(x), bias=None) for i in range(40)]
    assert not cj.compile(ended(many)).program.typed.groups


def test_under_vmap_and_twice_differentiated():
    grouped, apart, _ = three_ways(layered("matmul", "channel", "silu"))
    batch = batch_for(apart.graph, apart, 2)
    shapes = jax.eval_shape(lambda key: apart.named(apart.init(key)[0]), KEY)
    members = [draw_like(shapes, seed) for seed in (0, 50)]
    stacked = jax.tree.map(lambda *parts: np.stack(parts), *members)

    def squared(net):
        def value(named):
            params = net.from_named(named)
            found = jax.grad(lambda p: net.loss(p, {}, batch)[0])(params)
            return sum(jnp.sum(g**2) for g in jax.tree.leaves(found))

        return jax.grad(value)

    found, of_one = jax.vmap(squared(grouped)), quick(squared(apart))
    expected = [of_one(each) for each in members]
    expected = jax.tree.map(lambda *parts: np.stack(parts), *expected)
    close(quick(found)(stacked), expected, 1e-9)
