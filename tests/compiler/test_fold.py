"""Runs of equal copies, folded into one loop: found, and equal to the interpreter."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import capsjax as cj
from capsjax.compiler.passes import PIPELINE, Pass, fold_all
from capsjax.graph.typed import TypedRun
from tests.helpers_capsjax import (
    close,
    draw,
    draw_like,
    examples,
    quick,
    squared_gradient,
)

BATCH = 3
KEY = jax.random.key(5)
OTHERS = tuple(each for each in PIPELINE if each.name != "fold")
FOLDED = (*OTHERS, Pass(fold_all, observable=True))


def dense(name: str, x: Any, extra: Any) -> Any:
    """One capsule, which reads the one before."""
    return cj.capsule(f"h{name}", cj.matmul(x, 4), cap="tanh")


def residual(name: str, x: Any, extra: Any) -> Any:
    """State, keys, a scale, a skip: what is handed on is read twice."""
    norm = cj.caps.standardize(0.8, unbiased=False)
    a = cj.capsule(f"a{name}", cj.matmul(x, 4), cap=norm, bias=None)
    b = cj.capsule(f"b{name}", cj.channel_scale(a), cap="relu")
    drop = cj.caps.dropout(0.4)
    return cj.capsule(f"y{name}", cj.identity(x), cj.matmul(b, 4), cap=drop)


def with_constant(name: str, x: Any, extra: Any) -> Any:
    """All copies read one array from outside, by an edge with a weight and without."""
    a = cj.capsule(f"a{name}", cj.matmul(extra, 4), cj.matmul(x, 4), cap="sigmoid")
    return cj.capsule(f"y{name}", cj.identity(a), cj.identity(extra), cap="silu")


def with_shared(name: str, x: Any, extra: Any) -> Any:
    """All copies have one weight in common, which another capsule has, too."""
    weight = cj.share(cj.matmul(x, 4), "common")
    return cj.capsule(f"y{name}", weight, cj.scale(x), cap="tanh")


def with_slots(name: str, x: Any, extra: Any) -> Any:
    """A concatenation, a learned input, and identities that are dropped."""
    query = cj.learned(f"q{name}", (4,))
    same = cj.capsule(f"s{name}", cj.identity(x), bias=None)
    both = cj.capsule(f"c{name}", cj.place(same), cj.place(query), bias=None)
    return cj.capsule(f"y{name}", cj.matmul(both, 4), cap="gelu")


BODIES = [dense, residual, with_constant, with_shared, with_slots]


def chain(body: Any, copies: int, tail: bool = True) -> cj.Graph:
    """Copies of a body between other capsules."""
    x, z = cj.input("x", (5,)), cj.input("z", (4,))
    extra = cj.capsule("extra", cj.matmul(z, 4), cap="tanh")
    h = cj.capsule("first", cj.matmul(x, 4), cap="relu")
    for number in range(copies):
        h = body(str(number), h, extra)
    y = cj.capsule("y", cj.matmul(h, 3), cj.matmul(extra, 3), cap="softmax")
    outputs = (y, h) if tail else (y,)
    return cj.graph(*outputs, name="chain", losses={"y": "cross_entropy"})


def two_carried(copies: int) -> cj.Graph:
    """Two arrays go from copy to copy, one of them also to the end."""
    x = cj.input("x", (4,))
    a, b = x, cj.capsule("b", cj.matmul(x, 4), cap="tanh")
    for number in range(copies):
        a, b = (
            cj.capsule(f"a{number}", cj.matmul(b, 4), cj.identity(a), cap="tanh"),
            cj.capsule(f"b{number}", cj.matmul(a, 4), cap="sigmoid"),
        )
    y = cj.capsule("y", cj.matmul(a, 3), cj.matmul(b, 3), cap="softmax")
    return cj.graph(y, name="two-carried", losses={"y": "cross_entropy"})


def runs(net: cj.Network) -> list[TypedRun]:
    return list(net.program.typed.runs)


def problem(net: cj.Network, seed: int = 0) -> tuple[Any, Any, Any]:
    """Parameters and state by name, and a batch, all drawn; variances are positive."""
    params, state = jax.eval_shape(net.init, KEY)
    named = draw_like(jax.eval_shape(net.named, params), seed)
    state = draw_like(jax.eval_shape(net.named_state, state), seed + 1)
    state = {
        n: own | {"variance": np.square(own["variance"])} for n, own in state.items()
    }
    batch = {
        name: draw((BATCH, *shape), seed + 90 + number)
        for number, (name, shape) in enumerate(net.typed.inputs)
    }
    raised = np.exp(draw((BATCH, 3), seed + 97))
    batch["y"] = raised / raised.sum(-1, keepdims=True)
    return named, state, batch


def everything(net: cj.Network) -> Any:
    """Loss, outputs, new state, gradients, error signals, activations, by name."""
    inputs = [name for name, _ in net.typed.inputs]

    def found(named, named_state, batch):
        params, state = net.from_named(named), net.state_from_named(named_state)

        def loss(params, inputs):
            return net.loss(params, state, batch | inputs, key=KEY)

        given = {name: batch[name] for name in inputs}
        (value, (outputs, new)), (by_params, by_inputs) = jax.value_and_grad(
            loss, (0, 1), has_aux=True
        )(params, given)
        return (
            (value, outputs, net.named_state(new), net.named(by_params), by_inputs),
            net.deltas(params, state, batch, key=KEY),
            net.activations(params, state, given, train=True, key=KEY),
            net.apply(params, state, given)[0],
        )

    return found


def both(graph: cj.Graph) -> tuple[cj.Network, cj.Network]:
    return cj.compile(graph, passes=FOLDED), cj.compile(graph, backward="autodiff")


@pytest.mark.parametrize("body", BODIES)
def test_a_run_equals_its_copies(body):
    folded, plain = both(chain(body, 3))
    assert [run.size for run in runs(folded)] == [3]
    given = problem(folded)
    close(*quick(lambda *at: (everything(folded)(*at), everything(plain)(*at)))(*given))


def test_several_arrays_are_handed_on():
    folded, plain = both(two_carried(4))
    (run,) = runs(folded)
    assert len(run.carried) == 2
    given = problem(folded)
    close(*quick(lambda *at: (everything(folded)(*at), everything(plain)(*at)))(*given))


@examples(2)
@given(st.data())
def test_any_passes_and_any_bodies(data):
    """Two runs of drawn bodies, with a drawn part of the other passes."""
    bodies = data.draw(st.lists(st.sampled_from(BODIES[:4]), min_size=2, max_size=2))
    copies = data.draw(st.lists(st.integers(2, 4), min_size=2, max_size=2))
    chosen = data.draw(st.lists(st.sampled_from(OTHERS), unique=True))
    passes = [each for each in OTHERS if each in chosen]
    x, z = cj.input("x", (4,)), cj.input("z", (4,))
    extra = cj.capsule("extra", cj.matmul(z, 4), cap="tanh")
    h: Any = x
    for part, (body, count) in enumerate(zip(bodies, copies, strict=True)):
        for number in range(count):
            h = body(f"{part}.{number}", h, extra)
    y = cj.capsule("y", cj.matmul(h, 3), cj.matmul(extra, 3), cap="softmax")
    graph = cj.graph(y, losses={"y": "cross_entropy"})
    folded = cj.compile(graph, passes=(*passes, Pass(fold_all, observable=True)))
    plain = cj.compile(graph, backward="autodiff")
    assert runs(folded)
    given = problem(folded)
    close(*quick(lambda *at: (everything(folded)(*at), everything(plain)(*at)))(*given))


def test_under_vmap_over_members():
    folded, plain = both(chain(residual, 3))
    members = [problem(folded, seed)[0] for seed in (0, 1)]
    stacked = jax.tree.map(lambda *parts: np.stack(parts), *members)
    _, state, batch = problem(folded)
    of_one = quick(everything(plain))
    looped = [of_one(named, state, batch) for named in members]
    expected = jax.tree.map(lambda *parts: np.stack(parts), *looped)
    mapped = quick(jax.vmap(everything(folded), (0, None, None)))
    close(mapped(stacked, state, batch), expected)


def test_twice_differentiated():
    folded, plain = both(chain(with_constant, 3))
    named, _, batch = problem(folded)

    def twice(net):
        inputs = {name: batch[name] for name in ("x", "z")}

        def value(named, inputs):
            params = net.from_named(named)
            return squared_gradient(net, batch)((params, inputs))

        return jax.grad(value, (0, 1))(named, inputs)

    found, expected = quick(lambda: (twice(folded), twice(plain)))()
    close(found, expected, 1e-9)


def test_initial_values_are_those_of_the_copies():
    folded, _ = both(chain(residual, 3))
    alone = cj.compile(chain(residual, 3), passes=OTHERS)
    found, expected = (net.init(KEY) for net in (folded, alone))
    close(folded.named(found[0]), expected[0], 1e-15)
    close(folded.named_state(found[1]), expected[1], 0)
    params, state = found
    close(folded.from_named(folded.named(params)), params, 0)
    close(folded.state_from_named(folded.named_state(state)), state, 0)


def equations(graph: cj.Graph) -> int:
    """Lines of the program of a gradient."""
    net = cj.compile(graph, passes=FOLDED)
    given = net.init(KEY)
    batch = {"x": jnp.ones((2, 5)), "z": jnp.ones((2, 4)), "y": jnp.ones((2, 3))}

    def loss(params, state):
        return net.loss(params, state, batch, key=KEY)[0]

    return len(str(jax.make_jaxpr(jax.grad(loss))(*given)).splitlines())


@pytest.mark.parametrize("body", [dense, residual])
def test_the_program_does_not_grow_with_depth(body):
    assert equations(chain(body, 4)) == equations(chain(body, 9))


def found_runs(*outputs: Any) -> list[tuple[str, int]]:
    net = cj.compile(cj.graph(*outputs), passes=FOLDED)
    return [(run.name, run.size) for run in runs(net)]


def layers(first: Any, count: int, name: str = "h", width: int = 4) -> list[Any]:
    found = [first]
    for number in range(count):
        found.append(cj.capsule(f"{name}{number}", cj.matmul(found[-1], width)))
    return found[1:]


def test_what_is_found():
    x = cj.input("x", (4,))
    chained = layers(x, 5)
    assert found_runs(chained[-1]) == [("h0 to h4", 5)]
    # A capsule that is read from outside ends a run: it is the last copy's.
    skip = cj.capsule("y", cj.matmul(chained[-1], 4), cj.identity(chained[1]))
    assert found_runs(skip) == [("h2 to y", 3)] or found_runs(skip) == [
        ("h0 to h1", 2),
        ("h2 to h4", 3),
    ]


def test_what_is_left_alone():
    x = cj.input("x", (4,))
    wide = cj.capsule("b", cj.matmul(cj.capsule("a", cj.matmul(x, 5)), 6))
    assert found_runs(wide) == []
    others = [cj.capsule(f"h{i}", cj.matmul(x, 4), cap="tanh") for i in range(4)]
    assert found_runs(cj.capsule("y", *map(cj.identity, others))) == []
    one = cj.capsule("one", cj.matmul(x, 4), cap="tanh")
    other = cj.capsule("other", cj.matmul(one, 4), cap="relu")
    assert found_runs(other) == []


def test_declared_blocks_and_where_a_copy_begins():
    """Copies begin where the least is handed on, which is where blocks do."""

    @cj.block
    def unit(x, *, width):
        inner = cj.capsule("inner", cj.matmul(x, width), cap="relu")
        return cj.capsule("out", cj.matmul(inner, 4), cj.identity(x))

    x = cj.input("x", (4,))
    y = unit("layer", x, width=9, repeat=6)
    net = cj.compile(cj.graph(y), passes=FOLDED)
    (run,) = runs(net)
    assert (run.name, run.size) == ("layer1 to layer6", 6)
    assert [each.output for each in run.carried] == ["layer1/out+5"]


def test_the_rule_of_cost_leaves_few_copies_alone():
    x = cj.input("x", (4,))
    assert not runs(cj.compile(cj.graph(layers(x, 3)[-1])))
    assert not runs(cj.compile(cj.graph(layers(x, 100)[-1])))
    assert len(runs(cj.compile(cj.graph(layers(x, 101)[-1])))) == 1
    image: Any = cj.input("image", (4, 4, 2))
    for number in range(13):
        convolution = cj.conv(image, 2, (3, 3), padding="SAME")
        image = cj.capsule(f"c{number}", convolution)
    assert len(runs(cj.compile(cj.graph(image)))) == 1


def test_a_run_is_saved_by_name(tmp_path):
    folded, _ = both(chain(residual, 3))
    params, state = folded.init(KEY)
    cj.save_parameters(folded.named(params), tmp_path / "p.safetensors")
    cj.save_state(folded, state, tmp_path / "s.safetensors")
    alone = cj.compile(chain(residual, 3), passes=OTHERS)
    named = alone.named(
        alone.from_named(cj.load_parameters(tmp_path / "p.safetensors"))
    )
    close(named, jax.tree.map(jnp.asarray, folded.named(params)), 0)
    found = cj.load_state(alone, tmp_path / "s.safetensors")
    close(found, folded.named_state(state), 0)


def test_a_state_of_the_wrong_layout_is_refused():
    folded, _ = both(chain(residual, 3))
    params, state = folded.init(KEY)
    batch = {"x": jnp.ones((2, 5)), "z": jnp.ones((2, 4))}
    with pytest.raises(ValueError, match=r"net\.from_named"):
        folded.apply(folded.named(params), state, batch)
    with pytest.raises(ValueError, match=r"net.init\(key\)"):
        folded.apply(params, folded.named_state(state), batch)


def test_it_is_explained():
    text = str(cj.explain(cj.compile(chain(residual, 3), passes=FOLDED)))
    assert "a0 to y2: 3 copies of a0, b0, y0 in one loop; each hands on y0" in text
    assert "  a0 to y2 (3 copies)" in text
