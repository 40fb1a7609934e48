"""Weights of examples: what each counts for in the loss and sends back."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given

import capsjax as cj
from capsjax.compiler.passes import Pass, fold_all
from tests.compiler.random_graphs import graphs
from tests.helpers_capsjax import (
    close,
    difference,
    draw,
    draw_like,
    examples,
    inner,
    quick,
)

FOLDED = (*cj.passes.PIPELINE[:-1], Pass(fold_all, observable=True))
SIZE = 5
WEIGHTS = np.array([0.5, 0.0, 2.0, 1.0, 0.25])
WAYS = {
    "compiled": {},
    "autodiff": {"backward": "autodiff"},
    "folded": {"passes": FOLDED},
    "budget": {"memory_budget": True},
    "segments": {"passes": FOLDED, "memory_budget": True},
}


def many() -> cj.Graph:
    """Several outputs and losses, paired or not; equal layers in a row; a state."""
    x = cj.input("x", (6,))
    h = cj.capsule("h0", cj.matmul(x, 6), cap="tanh")
    for number in range(1, 5):
        h = cj.capsule(f"h{number}", cj.matmul(h, 6), cap="tanh")
    n = cj.capsule("n", cj.identity(h), cap="standardize", bias=None)
    y = cj.capsule("y", cj.matmul(h, 3), cap="softmax")
    z = cj.capsule("z", cj.matmul(n, 2), cap="sigmoid")
    s = cj.capsule("s", cj.matmul(h, 2), cap="tanh")
    f = cj.capsule("f", cj.dot(h), cap="tanh")
    losses = {
        "y": cj.losses.cross_entropy(smoothing=0.1, weight=0.7),
        "z": "binary_cross_entropy",
        "s": cj.losses.sum_squared_error(weight=0.3),
        "f": "mean_squared_error",
    }
    return cj.graph(y, z, s, f, name="many", losses=losses)


@functools.cache
def made(way: str) -> cj.Network:
    options = dict(WAYS[way])
    if options.get("memory_budget"):
        plain = cj.compile(many(), passes=options.get("passes", cj.passes.PIPELINE))
        options["memory_budget"] = plain.memory(SIZE, "float64").smallest
    return cj.compile(many(), **options)


@functools.cache
def problem(way: str):
    """The same parameters, by name, in each network's layout; state and batch."""
    net, like = made(way), made("compiled")
    state = jax.eval_shape(net.init, jax.random.key(0))[1]
    drawn = draw_like(jax.eval_shape(like.init, jax.random.key(0))[0])
    named = like.named(jax.tree.map(lambda a: 0.5 * np.asarray(a), drawn))
    params = net.from_named(named)
    state = jax.tree.map(lambda a: np.ones(a.shape, a.dtype), state)
    batch = {
        "x": draw((SIZE, 6), 1),
        "y": np.arange(SIZE) % 3,
        "z": 1 / (1 + np.exp(-np.asarray(draw((SIZE, 2), 2)))),
        "s": draw((SIZE, 2), 3),
        "f": draw((SIZE,), 4),
    }
    return params, state, batch


@functools.cache
def step(way: str):
    """`f(params, x, weights)`: loss, outputs and state; gradients by all three."""
    net, (_, state, batch) = made(way), problem(way)

    def loss(params, x, weights):
        return net.loss(params, state, {**batch, "x": x}, weights=weights)

    return quick(jax.value_and_grad(loss, (0, 1, 2), has_aux=True))


def by_definition(net, params, state, batch, weights):
    """Sum over outputs of weight * sum w L / sum w, of the interpreter's losses."""
    from capsjax.compiler import interpreter
    from capsjax.compiler.batch import take_batch
    from capsjax.compiler.mode import Mode

    inputs, targets = take_batch(net.typed, batch)
    total, output, *_ = interpreter.evaluate(
        net.typed, params, state, inputs, Mode(True)
    )
    losses = cj.compile(net.graph).program.losses(total, output, targets)
    terms = [
        loss.weight * jnp.sum(weights * losses[name]) / jnp.sum(weights)
        for name, loss in net.graph.losses
    ]
    return sum(terms)


@functools.cache
def defined():
    """Loss and gradients by definition, of the interpreter; parameters by name."""
    oracle = made("autodiff")
    params, state, batch = problem("autodiff")

    def plain(named, x, weights):
        return by_definition(oracle, named, state, {**batch, "x": x}, weights)

    gradient = quick(jax.value_and_grad(plain, (0, 1, 2)))
    return gradient(oracle.named(params), batch["x"], WEIGHTS)


@pytest.mark.parametrize("way", WAYS)
def test_loss_and_gradients_by_definition(way):
    params, _, batch = problem(way)
    (loss, _), (by_params, *rest) = step(way)(params, batch["x"], WEIGHTS)
    close((loss, (made(way).named(by_params), *rest)), defined())


@pytest.mark.parametrize("way", WAYS)
def test_finite_differences(way):
    params, _, batch = problem(way)
    at = jax.tree.map(np.asarray, (params, batch["x"], WEIGHTS))
    along = jax.tree.map(np.asarray, draw_like(at, 9))
    slope = difference(lambda at: float(step(way)(*at)[0][0]), at, along)
    found = step(way)(*at)[1]
    assert inner(found, along) == pytest.approx(slope, rel=1e-7)


@functools.cache
def second(way: str):
    """The gradient of the gradient's length, by parameters by name, x and weights."""
    net, (params, state, batch) = made(way), problem(way)

    def value(*given):
        def loss(named, x, weights):
            params = net.from_named(named)
            return net.loss(params, state, {**batch, "x": x}, weights=weights)[0]

        found = jax.grad(loss, (0, 1, 2))(*given)
        return sum(jnp.sum(g**2) for g in jax.tree.leaves(found))

    return quick(jax.grad(value, (0, 1, 2)))(net.named(params), batch["x"], WEIGHTS)


@pytest.mark.parametrize("way", ["compiled", "folded"])
def test_twice_differentiated(way):
    close(second(way), second("autodiff"), 1e-9)


@examples(2)
@given(graphs())
def test_random_graphs(graph):
    exact = cj.compile(graph)
    plain = cj.compile(graph, backward="autodiff")
    shapes = jax.eval_shape(exact.init, jax.random.key(0))[0]
    params = jax.tree.map(lambda a: 0.5 * np.asarray(a), draw_like(shapes))
    batch: dict[str, Any] = {
        x.name: draw((3, *x.shape), i) for i, x in enumerate(graph.inputs)
    }
    for name, _ in graph.losses:
        drawn = np.asarray(draw((3, *exact.shapes[name].output), 7))
        batch[name] = 1 / (1 + np.exp(-drawn))
    weights = jnp.array([0.5, 0.0, 2.0])

    def both(params):
        def one(net):
            def loss(params):
                return net.loss(params, {}, batch, weights=weights)[0]

            deltas = net.deltas(params, {}, batch, weights=weights)
            return jax.value_and_grad(loss)(params), deltas

        return one(exact), one(plain)

    close(*quick(both)(params))


@pytest.mark.parametrize("way", ["compiled", "autodiff"])
def test_equal_weights_are_none(way):
    params, state, batch = problem(way)
    (loss, more), (by_params, *_) = step(way)(params, batch["x"], np.full(SIZE, 3.0))
    gradient = quick(jax.value_and_grad(made(way).loss, has_aux=True))
    close(((loss, more), by_params), gradient(params, state, batch))


@pytest.mark.parametrize("way", ["compiled", "autodiff"])
def test_statistics_are_those_of_all_rows(way):
    params, _, batch = problem(way)
    (_, found), _ = step(way)(params, batch["x"], WEIGHTS)
    (_, expected), _ = step(way)(params, batch["x"], np.full(SIZE, 3.0))
    close(found, expected, 0)


def rowwise() -> cj.Graph:
    x = cj.input("x", (4,))
    h = cj.capsule("h", cj.matmul(x, 5), cap="tanh")
    y = cj.capsule("y", cj.matmul(h, 3), cap="softmax")
    return cj.graph(y, name="rowwise", losses={"y": "cross_entropy"})


@pytest.mark.parametrize("backward", [None, "autodiff"])
def test_rows_of_weight_zero_do_nothing(backward):
    """A short batch, filled up with copies, is the short batch."""
    net = cj.compile(rowwise(), backward=backward)
    params = draw_like(jax.eval_shape(net.init, jax.random.key(0))[0])
    short = {"x": np.asarray(draw((3, 4))), "y": np.array([0, 2, 1])}
    filled = {name: np.concatenate([a, a[:2]]) for name, a in short.items()}
    mask = np.array([True, True, True, False, False])

    @quick
    def run(params, filled, short, mask):
        def loss(params, x):
            return net.loss(params, {}, {**filled, "x": x}, weights=mask)[0]

        def plain(params):
            return net.loss(params, {}, short, weights=None)[0]

        value, (by_params, by_x) = jax.value_and_grad(loss, (0, 1))(params, filled["x"])
        deltas = net.deltas(params, {}, filled, weights=mask)
        only = net.deltas(params, {}, filled, only=["h"], weights=mask)
        expected = jax.value_and_grad(plain)(params), net.deltas(params, {}, short)
        return ((value, by_params), deltas), expected, by_x, only

    (found, deltas), (loss, signals), by_x, only = run(params, filled, short, mask)
    close(found, loss)
    by_x, deltas = jax.tree.map(np.asarray, (by_x, deltas))
    assert not by_x[3:].any() and by_x[:3].any()
    close({name: d[:3] for name, d in deltas.items()}, signals)
    assert not any(d[3:].any() for d in deltas.values())
    close(only, {"h": deltas["h"]})


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("weights", [np.zeros(SIZE), np.array([1, -1, 0, 0, 0.0])])
def test_a_sum_of_zero_gives_zero(way, weights):
    params, _, batch = problem(way)
    (value, _), found = step(way)(params, batch["x"], weights)
    assert value == 0
    assert all(not np.asarray(leaf).any() for leaf in jax.tree.leaves(found))


@pytest.mark.parametrize("way", ["compiled", "autodiff", "segments"])
def test_members_of_a_vmap_have_their_own(way):
    """vmap of grad, and grad of vmap, equal a loop."""
    net, (params, state, batch) = made(way), problem(way)
    stacked = np.stack([WEIGHTS, np.ones(SIZE), np.arange(5.0)])

    def loss(params, weights):
        return net.loss(params, state, batch, weights=weights)[0]

    def total(params, stacked):
        return jnp.sum(jax.vmap(loss, (None, 0))(params, stacked))

    @quick
    def run(params, stacked):
        mapped = jax.vmap(jax.grad(loss, (0, 1)), (None, 0))(params, stacked)
        return mapped, jax.grad(total, (0, 1))(params, stacked)

    mapped, (by_params, by_weights) = run(params, stacked)
    looped = [step(way)(params, batch["x"], weights)[1] for weights in stacked]
    looped = [(of_params, of_weights) for of_params, _, of_weights in looped]
    close(mapped, jax.tree.map(lambda *parts: np.stack(parts), *looped))
    close(by_weights, mapped[1])
    close(by_params, jax.tree.map(lambda g: np.sum(g, 0), mapped[0]))


def test_without_weights_the_program_is_as_before():
    net, (params, state, batch) = made("compiled"), problem("compiled")

    def text(**more):
        def gradient(params, state, batch):
            return jax.value_and_grad(net.loss, has_aux=True)(
                params, state, batch, **more
            )

        return jax.jit(gradient).lower(params, state, batch).as_text()

    assert text() == text(weights=None)
    assert text() != text(weights=jnp.ones(SIZE))


def test_the_loss_keeps_its_type():
    net = cj.compile(rowwise())
    params = jax.eval_shape(net.init, jax.random.key(0))[0]
    params = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, "float32"), params)
    batch = {"x": jnp.ones((2, 4), "float32"), "y": jnp.array([0, 1])}
    for weights in (np.ones(2), np.ones(2, "float16"), np.ones(2, "int32")):
        loss = functools.partial(net.loss, weights=weights)
        gradient = jax.value_and_grad(loss, has_aux=True)
        (value, _), found = jax.eval_shape(gradient, params, {}, batch)
        leaves = [value, *jax.tree.leaves(found)]
        assert {leaf.dtype.name for leaf in leaves} == {"float32"}


@pytest.mark.parametrize(
    "weights, found",
    [
        (np.ones(4), "shape (4,)"),
        (np.ones((5, 1)), "shape (5, 1)"),
        (2.0, "shape ()"),
        (np.ones(5, "complex64"), "complex"),
        ("heavy", "'heavy'"),
    ],
)
@pytest.mark.parametrize("method", ["loss", "deltas"])
def test_weights_that_do_not_fit(weights, found, method):
    net, (params, state, batch) = made("compiled"), problem("compiled")
    with pytest.raises(ValueError) as error:
        getattr(net, method)(params, state, batch, weights=weights)
    text = str(error.value)
    assert text.startswith("network 'many', weights of examples: found ")
    assert found in text
    assert text.endswith("expected one real number for each example, shape (5,)")
