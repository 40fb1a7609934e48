"""Weights of examples: what each counts for in the loss and sends back."""

import functools

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


def problem(net: cj.Network):
    """The same parameters, by name, in each network's layout; state and batch."""
    shapes, state = jax.eval_shape(net.init, jax.random.key(0))
    like = cj.compile(many())
    named = like.named(draw_like(jax.eval_shape(like.init, jax.random.key(0))[0]))
    params = net.from_named(jax.tree.map(lambda a: 0.5 * a, named))
    state = jax.tree.map(lambda a: jnp.ones(a.shape, a.dtype), state)
    batch = {
        "x": draw((SIZE, 6), 1),
        "y": jnp.arange(SIZE) % 3,
        "z": jax.nn.sigmoid(draw((SIZE, 2), 2)),
        "s": draw((SIZE, 2), 3),
        "f": draw((SIZE,), 4),
    }
    return params, state, batch


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


@pytest.mark.parametrize("way", WAYS)
def test_loss_and_gradients_by_definition(way):
    net, oracle = made(way), made("autodiff")
    params, state, batch = problem(net)

    def own(params, x, weights):
        batch_ = {**batch, "x": x}
        return net.loss(params, state, batch_, weights=weights)[0]

    def plain(named, x, weights):
        return by_definition(oracle, named, state, {**batch, "x": x}, weights)

    at = jnp.asarray(WEIGHTS)
    found = quick(jax.value_and_grad(own, (0, 1, 2)))(params, batch["x"], at)
    expected = quick(jax.value_and_grad(plain, (0, 1, 2)))(
        net.named(params), batch["x"], at
    )
    loss, (by_params, *rest) = found
    close((loss, (net.named(by_params), *rest)), expected)


@pytest.mark.parametrize("way", WAYS)
def test_finite_differences(way):
    net = made(way)
    params, state, batch = problem(net)

    def loss(at):
        params, x, weights = at
        return net.loss(params, state, {**batch, "x": x}, weights=weights)[0]

    at = params, batch["x"], jnp.asarray(WEIGHTS)
    along = draw_like(at, 9)
    slope = float(difference(quick(loss), at, along))
    assert inner(quick(jax.grad(loss))(at), along) == pytest.approx(slope, rel=1e-7)


@pytest.mark.parametrize("way", ["compiled", "folded"])
def test_twice_differentiated(way):
    """By parameters, inputs and weights, of the gradient's length."""

    def value(net, given, state, batch):
        def loss(named, x, weights):
            params = net.from_named(named)
            return net.loss(params, state, {**batch, "x": x}, weights=weights)[0]

        found = jax.grad(loss, (0, 1, 2))(*given)
        return sum(jnp.sum(g**2) for g in jax.tree.leaves(found))

    found = []
    for net in (made(way), made("autodiff")):
        params, state, batch = problem(net)
        given = net.named(params), batch["x"], jnp.asarray(WEIGHTS)

        second = jax.grad(functools.partial(value, net))
        found.append(quick(second)(given, state, batch))
    close(found[0], found[1], 1e-9)


@examples(3)
@given(graphs())
def test_random_graphs(graph):
    exact = cj.compile(graph)
    plain = cj.compile(graph, backward="autodiff")
    shapes = jax.eval_shape(exact.init, jax.random.key(0))[0]
    params = jax.tree.map(lambda a: 0.5 * a, draw_like(shapes))
    batch = {x.name: draw((3, *x.shape), i) for i, x in enumerate(graph.inputs)}
    for name, _ in graph.losses:
        batch[name] = jax.nn.sigmoid(draw((3, *exact.shapes[name].output), 7))
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
    net = made(way)
    params, state, batch = problem(net)
    gradient = quick(jax.value_and_grad(net.loss, has_aux=True))
    weights = jnp.full(SIZE, 3.0)
    found = gradient(params, state, batch, weights=weights)
    close(found, gradient(params, state, batch))


def rowwise() -> cj.Graph:
    x = cj.input("x", (4,))
    h = cj.capsule("h", cj.matmul(x, 5), cap="tanh")
    y = cj.capsule("y", cj.matmul(h, 3), cap="softmax")
    return cj.graph(y, name="rowwise", losses={"y": "cross_entropy"})


@pytest.mark.parametrize("backward", [None, "autodiff"])
def test_rows_of_weight_zero_do_nothing(backward):
    """A short batch, filled up with copies, is the short batch."""
    net = cj.compile(rowwise(), backward=backward)
    params = draw_like(net.init(jax.random.key(0))[0])
    short = {"x": draw((3, 4)), "y": jnp.array([0, 2, 1])}
    filled = jax.tree.map(lambda a: jnp.concatenate([a, a[:2]]), short)
    mask = jnp.array([True, True, True, False, False])
    gradient = jax.value_and_grad(lambda p, b, w: net.loss(p, {}, b, weights=w)[0])
    close(gradient(params, filled, mask), gradient(params, short, None))
    by_x = jax.grad(
        lambda x: net.loss(params, {}, {**filled, "x": x}, weights=mask)[0]
    )(filled["x"])
    assert not by_x[3:].any() and by_x[:3].any()
    deltas = net.deltas(params, {}, filled, weights=mask)
    expected = net.deltas(params, {}, short)
    close({name: d[:3] for name, d in deltas.items()}, expected)
    assert not any(d[3:].any() for d in deltas.values())
    only = net.deltas(params, {}, filled, only=["h"], weights=mask)
    close(only, {"h": deltas["h"]})


@pytest.mark.parametrize("way", ["compiled", "autodiff", "segments"])
@pytest.mark.parametrize("weights", [np.zeros(SIZE), np.array([1, -1, 0, 0, 0.0])])
def test_a_sum_of_zero_gives_zero(way, weights):
    net = made(way)
    params, state, batch = problem(net)

    def loss(params, weights):
        return net.loss(params, state, batch, weights=weights)[0]

    value, found = quick(jax.value_and_grad(loss, (0, 1)))(params, jnp.asarray(weights))
    assert value == 0
    assert all(not leaf.any() for leaf in jax.tree.leaves(found))


@pytest.mark.parametrize("way", ["compiled", "autodiff", "segments"])
def test_members_of_a_vmap_have_their_own(way):
    """vmap of grad, and grad of vmap, equal a loop."""
    net = made(way)
    params, state, batch = problem(net)
    stacked = jnp.stack([jnp.asarray(WEIGHTS), jnp.ones(SIZE), jnp.arange(5.0)])

    def loss(params, weights):
        return net.loss(params, state, batch, weights=weights)[0]

    gradient = jax.grad(loss, (0, 1))
    mapped = quick(jax.vmap(gradient, (None, 0)))(params, stacked)
    looped = [quick(gradient)(params, weights) for weights in stacked]
    close(mapped, jax.tree.map(lambda *parts: jnp.stack(parts), *looped))

    def total(params, stacked):
        return jnp.sum(jax.vmap(loss, (None, 0))(params, stacked))

    by_params, by_weights = quick(jax.grad(total, (0, 1)))(params, stacked)
    close(by_weights, mapped[1])
    close(by_params, jax.tree.map(lambda g: jnp.sum(g, 0), mapped[0]))


@pytest.mark.parametrize("way", WAYS)
def test_without_weights_the_program_is_as_before(way):
    net = made(way)
    params, state, batch = problem(net)

    def text(**more):
        def gradient(params, state, batch):
            return jax.value_and_grad(net.loss, has_aux=True)(
                params, state, batch, **more
            )

        return jax.jit(gradient).lower(params, state, batch).as_text()

    assert text() == text(weights=None)
    assert text() != text(weights=jnp.ones(SIZE))


def test_the_loss_keeps_its_type():
    with jax.enable_x64(True):
        net = cj.compile(rowwise())
        params, _ = net.init(jax.random.key(0))
        params = jax.tree.map(lambda a: a.astype("float32"), params)
        batch = {"x": jnp.ones((2, 4), "float32"), "y": jnp.array([0, 1])}
        for weights in (np.ones(2), np.ones(2, "float16"), np.ones(2, "int32")):
            loss = functools.partial(net.loss, weights=weights)
            (value, _), found = jax.value_and_grad(loss, has_aux=True)(
                params, {}, batch
            )
            leaves = [value, *jax.tree.leaves(found)]
            assert {leaf.dtype.name for leaf in leaves} == {"float32"}


@pytest.mark.parametrize("backward", [None, "autodiff"])
def test_statistics_are_those_of_all_rows(backward):
    net = made("compiled" if backward is None else "autodiff")
    params, state, batch = problem(net)
    found = net.loss(params, state, batch, weights=jnp.asarray(WEIGHTS))[1]
    expected = net.loss(params, state, batch)[1]
    close(found, expected, 0)


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
    net = made("compiled")
    params, state, batch = problem(net)
    with pytest.raises(ValueError) as error:
        getattr(net, method)(params, state, batch, weights=weights)
    text = str(error.value)
    assert text.startswith("network 'many', weights of examples: found ")
    assert found in text
    assert text.endswith("expected one real number for each example, shape (5,)")
