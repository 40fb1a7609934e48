"""The passes: printed stages of small graphs, and what every pass must keep."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import pytest
from hypothesis import given

import capsjax as cj
from capsjax.compiler import interpreter
from capsjax.compiler.parameters import by_name, compiled, flatten
from capsjax.compiler.passes import PIPELINE, run_passes
from capsjax.compiler.plan import plan
from capsjax.compiler.program import Program
from capsjax.graph import from_document, to_document
from capsjax.graph.checks import check
from capsjax.graph.typed import Concatenation, TypedCapsule, TypedGraph
from tests.compiler.random_graphs import graphs
from tests.helpers_capsjax import close, draw, draw_like, examples, quick

GOLDEN = Path(__file__).parent / "golden"


def head_left_out():
    """A document that lists one of two heads, and an input only the other reads."""
    x, z = cj.input("x", (4,)), cj.input("z", (2,))
    body = cj.capsule("body", cj.matmul(x, 3), cap="relu")
    kept = cj.capsule("kept", cj.matmul(body, 2), cap="softmax")
    left = cj.capsule("left", cj.matmul(body, 2), cj.identity(z), cap="tanh")
    graph = cj.graph(kept, left, name="head-left-out", losses={"kept": "cross_entropy"})
    return from_document(to_document(graph) | {"outputs": ["kept"]})


def identity_chain():
    """Identities in a row, as an output, with a bias, and beside a weighted edge."""
    x = cj.input("x", (3,))
    a = cj.capsule("a", cj.identity(x), bias=None)
    b = cj.capsule("b", cj.identity(a), bias=None)
    shifted = cj.capsule("shifted", cj.identity(b))
    out = cj.capsule("out", cj.matmul(b, 3), cj.identity(shifted), cj.identity(a))
    copy = cj.capsule("copy", cj.identity(out), bias=None)
    losses = {"copy": "mean_squared_error"}
    return cj.graph(copy, name="identity-chain", losses=losses)


def concatenations():
    """Slots side by side, out of order, overlapping, with a gap, on two axes."""
    x, y = cj.input("x", (2, 3)), cj.input("y", (2, 1))
    side = cj.capsule("side", cj.place(x), cj.place(y), bias=None)
    turned = cj.capsule(
        "turned",
        cj.place(y, -1, 3, 4),
        cj.place(x, 1, 0, 4),
        cj.identity(side),
    )
    overlap = cj.capsule("overlap", cj.place(x, 1, 0, 4), cj.place(x, 1, 1, 4))
    gap = cj.capsule("gap", cj.place(y, 1, 0, 4), cj.place(y, 1, 3, 4))
    both = cj.capsule(
        "both", *(cj.place(each, 0) for each in (turned, overlap, gap)), cap="tanh"
    )
    return cj.graph(both, name="concatenations", losses={"both": "mean_squared_error"})


def pairs():
    """The three pairs, one loss without a pair, and an output that is also read."""
    x = cj.input("x", (3,))
    a = cj.capsule("a", cj.matmul(x, 2), cap="softmax")
    b = cj.capsule("b", cj.matmul(x, 2), cap="log_softmax")
    c = cj.capsule("c", cj.matmul(x, 2), cj.matmul(a, 2), cap="sigmoid")
    d = cj.capsule("d", cj.matmul(x, 2), cap="softmax")
    losses = {
        "a": "cross_entropy",
        "b": cj.losses.cross_entropy(weight=0.5),
        "c": "binary_cross_entropy",
        "d": "mean_squared_error",
    }
    return cj.graph(a, b, c, d, name="pairs", losses=losses)


def image():
    """Convolution, pooling, capsules: every column of the plan."""
    x = cj.input("image", (8, 8, 1))
    conv = cj.capsule("conv", cj.conv(x, 4, (3, 3), stride=(2, 2)), cap="relu")
    pool = cj.capsule("pool", cj.identity(conv), cap=cj.caps.max_pool((2, 2), (1, 1)))
    low = cj.capsule("low", cj.reshape(pool, (-1, 2)), cap="squash", bias=None)
    up = cj.capsule("up", cj.vote(low, 3, 4), cap=cj.caps.route(2), bias=None)
    digit = cj.capsule("digit", cj.identity(up), cap="length", bias=None)
    return cj.graph(digit, name="image", losses={"digit": "margin"})


def small_capsules():
    """Levels of 8-D capsules in a group, one output among them; others stay alone."""
    x = cj.input("x", (8,))
    above: list[Any] = [x]
    for level in range(3):
        above = [
            cj.capsule(
                f"c{level}.{i}",
                *(cj.matmul(above[(i + k) % len(above)], 8) for k in range(1 + i % 2)),
                cap="squash" if i % 3 else "tanh",
            )
            for i in range(12)
        ]
    out = cj.capsule("out", *map(cj.dot, above))
    losses = {"out": "mean_squared_error"}
    return cj.graph(out, above[0], name="small-capsules", losses=losses)


def moved_numbers():
    """Reshapes and transposes in a row, across identities, back again, and to output.

    Some can't be joined: a transpose with a reshape; one that others read, too.
    """
    x = cj.input("x", (2, 6))
    flat = cj.capsule("flat", cj.reshape(x, (-1,)), bias=None)
    same = cj.capsule("same", cj.identity(flat), bias=None)
    cube = cj.capsule("cube", cj.reshape(same, (2, 3, 2)), cap="squash")
    back = cj.capsule("back", cj.reshape(flat, (2, 6)), bias=None)
    turned = cj.capsule("turned", cj.transpose(cube, (2, 0, 1)), bias=None)
    once = cj.capsule("once", cj.transpose(turned, (1, 2, 0)), bias=None)
    row = cj.capsule("row", cj.reshape(turned, (1, 12)), bias=None)
    column = cj.capsule("column", cj.transpose(row, (1, 0)), cap="tanh")
    kept = cj.capsule("kept", cj.reshape(back, (12,)), cj.matmul(flat, 12), bias=None)
    both = cj.capsule("both", cj.matmul(once, 2), cj.reshape(column, (2, 3, 2)))
    whole = cj.capsule("whole", cj.place(kept, 0, 0, 12), cj.cut(kept, 0, 12))
    lone = cj.capsule("lone", cj.transpose(x, (1, 0)), bias=None)
    act = cj.capsule("act", cj.identity(lone), cap="relu")
    losses = {"both": "mean_squared_error"}
    return cj.graph(both, whole, act, name="moved-numbers", losses=losses)


GRAPHS = [
    *(head_left_out, identity_chain, concatenations, pairs, image, small_capsules),
    moved_numbers,
]


@pytest.mark.parametrize("make", GRAPHS)
def test_the_printed_stages(make):
    """On purpose changed: run `python -m tests.compiler.test_passes` and read."""
    file = GOLDEN / f"{make.__name__}.txt"
    assert f"{cj.explain(make())}\n" == file.read_text()


def typed_of(graph: cj.Graph) -> TypedGraph:
    """The typed graph before any pass."""
    typed, problems = check(graph)
    assert not problems
    return typed


def bare(typed: TypedGraph) -> TypedGraph:
    """Without the declaration, which no pass changes."""
    return dataclasses.replace(typed, graph=None)  # pyright: ignore[reportArgumentType]


def done(notes: list[str]) -> list[str]:
    """Notes on what was done, without those on what was left."""
    return [note for note in notes if "stay apart" not in note]


@examples(25)
@given(graphs())
def test_passes_are_idempotent_and_remember_nothing(graph):
    typed = typed_of(graph)
    for each in PIPELINE:
        once, notes = each.run(typed)
        twice, again = each.run(once)
        assert once == twice
        if each.name != "pair_losses":  # which marks, and may mark again
            assert done(again) == []
            assert bool(done(notes)) == (bare(once) != bare(typed))
        typed = once


@examples(3)
@given(graphs())
def test_every_stage_means_the_same(graph):
    """Each stage is run as a program: the outputs and losses are the interpreter's."""
    stages = run_passes(typed_of(graph), observable=False, check=True)
    net = cj.compile(graph)
    shapes = jax.eval_shape(net.init, jax.random.key(0))[0]
    params = draw_like(shapes)
    inputs = {name: draw((2, *shape), 1) for name, shape in stages[0].typed.inputs}
    targets = {
        name: jax.nn.softmax(draw((2, *net.shapes[name].output), 3))
        for name, _ in graph.losses
    }

    @quick
    def run(params, inputs, targets):
        named = by_name(net.program.typed, params)
        found = []
        for typed in [stage.typed for stage in stages[1:]]:
            own = compiled(typed, dict(flatten(named)))
            program = Program(typed, plan(typed))
            found.append(program.forward(own, {}, inputs, targets)[0])
        return found, interpreter.run(stages[0].typed, named, {}, inputs, targets)

    found, expected = run(params, inputs, targets)
    for _, outputs, _ in found:
        close(outputs, expected[1])
    close(found[-1][0], expected[0])
    assert stages[-1].name == PIPELINE[-1].name


@examples(25)
@given(graphs())
def test_observable_passes_keep_every_capsule_that_is_needed(graph):
    typed = typed_of(graph)
    stages = run_passes(typed, observable=True, check=True)
    names = {capsule.name for capsule in stages[1].typed.capsules}
    assert stages[1].name == "drop_unneeded"
    found = [name for c in stages[-1].typed.capsules for name in c.stands_for]
    assert set(found) == names
    assert len(found) == len(names)
    assert "drop_identities" not in [stage.name for stage in stages]


def last(graph: cj.Graph) -> TypedGraph:
    return run_passes(typed_of(graph), observable=False, check=True)[-1].typed


def alone(graph: cj.Graph) -> dict[str, TypedCapsule]:
    """The capsules that are in no group, by name."""
    capsules = last(graph).capsules
    return {each.name: each for each in capsules if isinstance(each, TypedCapsule)}


def test_what_is_dropped():
    typed = last(head_left_out())
    assert [c.name for c in typed.capsules] == ["body", "kept"]
    assert [name for name, _ in typed.inputs] == ["x"]
    typed = last(identity_chain())
    assert [c.name for c in typed.capsules] == ["shifted", "out", "copy"]
    out = alone(identity_chain())["out"]
    assert [edge.key for edge in out.edges] == ["b", "shifted", "a"]
    assert [edge.source for edge in out.edges] == ["x", "shifted", "x"]


def test_which_slots_are_concatenated():
    capsules = alone(concatenations())
    kinds = {
        name: [isinstance(term, Concatenation) for term in capsule.terms]
        for name, capsule in capsules.items()
    }
    assert kinds == {
        "side": [True],
        "turned": [False, True],
        "overlap": [False, False],
        "gap": [False, False],
        "both": [True],
    }
    turned = capsules["turned"].terms[1]
    assert isinstance(turned, Concatenation)
    assert ([edge.source for edge in turned.edges], turned.axis) == (["x", "y"], 1)


def test_which_losses_are_paired():
    assert {x.output: x.from_total_input for x in last(pairs()).losses} == {
        "a": True,
        "b": True,
        "c": True,
        "d": False,
    }


def test_explain_takes_a_network_too():
    graph = pairs()
    assert str(cj.explain(cj.compile(graph))) == str(cj.explain(graph))


def test_the_notes_never_change_what_is_compiled():
    document = to_document(pairs()) | {"metadata": {"layout": [1, 2]}}
    with_notes = from_document(json.loads(json.dumps(document)))
    assert str(cj.explain(with_notes)) == str(cj.explain(pairs()))
    assert bare(last(with_notes)) == bare(last(pairs()))


if __name__ == "__main__":
    for make in GRAPHS:
        (GOLDEN / f"{make.__name__}.txt").write_text(f"{cj.explain(make())}\n")
