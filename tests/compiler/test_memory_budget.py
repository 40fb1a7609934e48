"""Memory budgets: the same numbers from less memory."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import capsjax as cj
from capsjax.compiler.passes import PIPELINE, Pass
from capsjax.compiler.passes.fold import fold_all
from capsjax.compiler.recomputation import BudgetedProgram
from tests.compiler.random_graphs import graphs
from tests.compiler.test_against_interpreter import BATCH, gradients, problem
from tests.helpers_capsjax import (
    close,
    draw,
    draw_like,
    examples,
    quick,
    squared_gradient,
)

UNFOLDED = tuple(each for each in PIPELINE if each.name != "fold")
FOLDED = (*UNFOLDED, Pass(fold_all, observable=True))


def within(graph, share, batch_size=BATCH, dtype="float64", passes=PIPELINE):
    """The network within a budget between the smallest and the full one."""
    full = cj.compile(graph, passes=passes).memory(batch_size, dtype)
    budget = round(full.smallest + share * (full.full - full.smallest))
    net = cj.compile(graph, memory_budget=budget, passes=passes)
    assert net.memory(batch_size, dtype).peak <= budget
    return net


def mixed():
    """A residual block with batch normalization, dropout, a loss in the middle."""
    x = cj.input("x", (4, 3))
    c1 = cj.capsule("c1", cj.matmul(x, 3), bias=None)
    n1 = cj.capsule("n1", cj.identity(c1), cap="standardize", bias=None)
    a1 = cj.capsule("a1", cj.channel_scale(n1), cap="relu")
    d1 = cj.capsule("d1", cj.identity(a1), cap=cj.caps.dropout(0.4), bias=None)
    c2 = cj.capsule("c2", cj.matmul(d1, 3), cap="tanh")
    add = cj.capsule("add", cj.identity(c2), cj.identity(a1), bias=None)
    flat = cj.capsule("flat", cj.reshape(add, (-1,)), bias=None)
    drop = cj.capsule("drop", cj.identity(flat), cap=cj.caps.dropout(0.4), bias=None)
    early = cj.capsule("early", cj.matmul(flat, 3), cap="softmax")
    head = cj.capsule("head", cj.matmul(drop, 4), cap="softmax")
    losses = {"head": "cross_entropy", "early": "cross_entropy"}
    return cj.graph(head, early, name="mixed", losses=losses)


def mixed_problem(net, batch_size=3):
    params = jax.eval_shape(net.init, jax.random.key(0))[0]
    state = quick(lambda: net.init(jax.random.key(0))[1])()
    batch = {
        "x": draw((batch_size, 4, 3)),
        "head": np.arange(batch_size) % 4,
        "early": np.arange(batch_size) % 3,
    }
    return draw_like(params, 5), state, batch


@examples(2)
@given(graphs(), st.floats(0, 1))
def test_outputs_gradients_and_error_signals(graph, share):
    net, plain = within(graph, share), cj.compile(graph, backward="autodiff")
    params, inputs, targets = problem(graph)
    exact, expected = gradients(net, targets), gradients(plain, targets)
    both = quick(lambda *at: (exact(*at), expected(*at)))
    close(*both(params, inputs))


@examples(1)
@given(graphs())
def test_under_vmap_over_parameters(graph):
    net, plain = within(graph, 0), cj.compile(graph, backward="autodiff")
    params, inputs, targets = problem(graph)
    stacked = jax.tree.map(lambda a: np.stack([a, 0.5 * np.asarray(a)]), params)
    found, expected = (
        quick(jax.vmap(gradients(each, targets), (0, None)))(stacked, inputs)
        for each in (net, plain)
    )
    close(found, expected)


@examples(1)
@given(graphs())
def test_twice_differentiated(graph):
    params, inputs, targets = problem(graph)
    exact, plain = (
        quick(jax.grad(squared_gradient(net, {**inputs, **targets})))((params, inputs))
        for net in (within(graph, 0), cj.compile(graph, backward="autodiff"))
    )
    close(exact, plain, 1e-9)


@pytest.mark.parametrize(
    ("share", "key"),
    [(0.0, jax.random.key(7)), (0.4, jax.random.PRNGKey(7))],
    ids=["smallest", "more, old key"],
)
def test_state_and_draws_are_those_of_the_first_pass(share, key):
    """Batch statistics move once; masks are drawn again from the same keys."""
    graph = mixed()
    net, plain = within(graph, share, 3), cj.compile(graph, backward="autodiff")
    params, state, batch = mixed_problem(net)
    assert any(segment.again for segment in net.memory(3, "float64").choice.segments)

    def step(net, params, key):
        def loss(params):
            return net.loss(params, state, batch, key=key)

        return jax.value_and_grad(loss, has_aux=True)(params)

    both = quick(lambda *at: (step(net, *at), step(plain, *at)))
    close(*both(params, key))


def deep(layers=12, width=8):
    """A residual perceptron of capsules that differ in nothing but their place."""
    h = cj.input("x", (width,))
    for i in range(layers):
        r = cj.capsule(f"r{i}", cj.matmul(h, width), cap="tanh")
        h = cj.capsule(f"h{i}", cj.identity(h), cj.identity(r), bias=None)
    head = cj.capsule("head", cj.matmul(h, 2), cap="softmax")
    return cj.graph(head, name="deep", losses={"head": "cross_entropy"})


def compiled_bytes(net, batch_size, width):
    """Temporaries of the compiled gradient."""
    params, state = jax.eval_shape(net.init, jax.random.key(0))
    batch = {
        "x": jax.ShapeDtypeStruct((batch_size, width), "float64"),
        "head": jax.ShapeDtypeStruct((batch_size,), "int32"),
    }
    gradient = jax.grad(lambda p, b: net.loss(p, state, b)[0])
    compiled = jax.jit(gradient).lower(params, batch).compile()
    analysis = compiled.memory_analysis()
    assert analysis is not None
    return analysis.temp_size_in_bytes


@pytest.mark.parametrize("passes", [FOLDED, UNFOLDED], ids=["folded", "unfolded"])
def test_the_compiled_program_takes_less(passes):
    """What XLA allocates is what the plan says, and a capsule's work."""
    size, width = 256, 16
    net = within(deep(16, width), 0.2, size, passes=passes)
    planned = net.memory(size, "float64").peak
    array = size * width * 8
    assert planned <= 0.6 * net.memory(size, "float64").full
    assert compiled_bytes(net, size, width) <= planned + 4 * array


def test_bytes_saved_for_the_backward_pass():
    """The residuals of `jax.vjp` are what the choice keeps, no more."""
    size, width = 32, 8
    net = within(deep(12, width), 0.2, size, passes=UNFOLDED)
    params, state = jax.jit(net.init)(jax.random.key(0))
    batch = {"x": draw((size, width)), "head": jnp.zeros(size, int)}
    pull = jax.vjp(lambda p: net.loss(p, state, batch)[0], params)[1]
    given = {id(leaf) for leaf in jax.tree.leaves((params, batch))}
    held = {id(leaf): leaf for leaf in jax.tree.leaves(pull) if id(leaf) not in given}
    arrays = sum(a.nbytes for a in held.values() if a.shape == (size, width))
    kept = [array for array in net.memory(size, "float64").choice.kept]
    wide = [name for name, _ in kept if name != "head"]
    assert arrays == len(wide) * size * width * 8
    assert len(wide) < 24 / 2


def drawing(layers=8, width=4):
    """Equal layers that carry statistics, draw, and read one array alike."""
    x = cj.input("x", (width,))
    both = cj.capsule("both", cj.matmul(x, width), cap="tanh")
    h = both
    for i in range(layers):
        a = cj.capsule(f"a{i}", cj.matmul(h, width), cj.scale(both), bias=None)
        n = cj.capsule(f"n{i}", cj.identity(a), cap="standardize", bias=None)
        g = cj.capsule(f"g{i}", cj.channel_scale(n), cap="relu")
        drop = cj.caps.dropout(0.3)
        h = cj.capsule(f"h{i}", cj.identity(g), cj.identity(h), cap=drop, bias=None)
    head = cj.capsule("head", cj.matmul(h, 2), cap="softmax")
    return cj.graph(head, name="drawing", losses={"head": "cross_entropy"})


def test_runs_of_copies():
    """Gradients, deltas, state and draws of a run, a part of it computed again."""
    graph = drawing()
    plain = cj.compile(graph, backward="autodiff")
    net = within(graph, 0.5, 3, passes=FOLDED)
    options = [s.option for s in net.memory(3, "float64").choice.segments]
    ((group, segments),) = [option for option in options if option is not None]
    assert 1 < segments <= group * segments < 8
    params = jax.eval_shape(plain.init, jax.random.key(0))[0]
    state = quick(lambda: plain.init(jax.random.key(0))[1])()
    named = plain.named(draw_like(params, 5))
    batch = {"x": draw((3, 4)), "head": np.arange(3) % 2}

    def step(net, named, key):
        def loss(inputs):
            params = net.from_named(inputs[0])
            own = net.state_from_named(plain.named_state(state))
            value, (outputs, new) = net.loss(
                params, own, {**batch, "x": inputs[1]}, key=key
            )
            return value, (outputs, net.named_state(new))

        found = jax.value_and_grad(loss, has_aux=True)((named, batch["x"]))
        return found

    both = quick(lambda *at: (step(net, *at), step(plain, *at)))
    close(*both(named, jax.random.key(3)))


def test_no_budget_changes_nothing():
    graph = deep(3)
    params, state = jax.eval_shape(cj.compile(graph).init, jax.random.key(0))
    batch = {"x": draw((2, 8)), "head": np.zeros(2, int)}

    def program(net):
        return str(
            jax.make_jaxpr(jax.grad(lambda p: net.loss(p, state, batch)[0]))(params)
        )

    plain = program(cj.compile(graph))
    ample = program(cj.compile(graph, memory_budget="1GiB"))
    assert plain.count("dot_general") == ample.count("dot_general")
    assert "is_finite" not in ample


def test_an_impossible_budget_names_the_smallest():
    graph = deep(4)
    least = cj.compile(graph, memory_budget="1GiB").memory(4, "float64").smallest
    net = cj.compile(graph, memory_budget=least - 1)
    params, state = jax.eval_shape(net.init, jax.random.key(0))
    batch = {"x": draw((4, 8)), "head": np.zeros(4, int)}
    text = (
        r"network 'deep': found a memory budget of .* at batch size 4 in float64; "
        rf"expected at least .* cure: memory_budget={least}, or a smaller batch"
    )
    with pytest.raises(ValueError, match=text):
        jax.make_jaxpr(jax.grad(lambda p: net.loss(p, state, batch)[0]))(params)
    with pytest.raises(ValueError, match=text):
        net.memory(4, "float64")
    outputs, _ = jax.eval_shape(net.apply, params, state, {"x": batch["x"]})
    assert outputs["head"].shape == (4, 2)
    assert cj.compile(graph, memory_budget=least).memory(4, "float64").peak == least


@pytest.mark.parametrize("budget", ["2 gigabytes", -1, "", "-1GiB", True, 1.5])
def test_what_is_no_budget(budget):
    with pytest.raises(
        ValueError, match=f"memory_budget: found {re.escape(repr(budget))}"
    ):
        cj.compile(deep(1), memory_budget=budget)


@pytest.mark.parametrize(
    ("text", "size"), [("2GiB", 2**31), ("1.5 MiB", 3 * 2**19), ("7B", 7)]
)
def test_budgets_as_text(text, size):
    program = cj.compile(deep(1), memory_budget=text).program
    assert isinstance(program, BudgetedProgram)
    assert program.budget == size


def test_a_budget_needs_the_own_backward_pass():
    with pytest.raises(ValueError, match="memory_budget needs a backward pass"):
        cj.compile(deep(1), memory_budget="1GiB", backward="autodiff")


def test_the_table():
    """What is kept of a perceptron of two layers, by hand: 8 examples, float64."""
    x = cj.input("x", (4,))
    h = cj.capsule("h", cj.matmul(x, 16), cap="tanh")
    g = cj.capsule("g", cj.matmul(h, 2), cap="tanh")
    y = cj.capsule("y", cj.matmul(g, 3), cap="softmax")
    graph = cj.graph(y, losses={"y": "cross_entropy"})
    net = cj.compile(graph, memory_budget=1200)
    memory = net.memory(8)
    assert memory.full == 8 * 8 * (16 + 2 + 3 + 3)
    assert memory.peak == memory.smallest == 8 * 8 * (16 + 2)
    lines = str(cj.explain(net, batch_size=8)).splitlines()
    table = [line.split() for line in lines[lines.index(str(memory).splitlines()[0]) :]]
    assert ["h", "recomputed", "1,024", "1,280"] in table
