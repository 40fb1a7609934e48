"""Neural networks compiled, against the interpreter's plain autodiff, neuron by neuron.

For each network the outputs, the loss, the gradients by parameters and inputs, the
error signals and the activations must equal those of `backward="autodiff"`.
"""

from collections import Counter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import capsjax as cj
from capsjax.compiler.groups.schedule import Dense
from capsjax.neural import NeuralNetwork, model
from tests.compiler.random_networks import (
    ELEMENTWISE,
    LIMITS,
    PRODUCTS,
    TREES,
    batch_of,
    compiled,
    networks,
    of_shape,
)
from tests.helpers_capsjax import close, difference, draw, examples, inner, quick
from tests.neural.helpers_layers import evaluate, perceptron

every_limit = pytest.mark.parametrize("limit", LIMITS.values(), ids=LIMITS)


def both(net: NeuralNetwork, limit: Any) -> tuple[cj.Network, cj.Network, Any]:
    """The network as it compiles, the interpreter's, and the wiring of both."""
    exact, _, state = compiled(net, limit)
    plain, _, same = compiled(net, limit, "autodiff")
    close(same, state, 0)
    return exact, plain, state


def problem(net: NeuralNetwork, size: int) -> tuple[Any, Any]:
    """Parameters, and a batch."""
    return jax.tree.map(np.asarray, net.named()), batch_of(net, size)


def loss_of(net: cj.Network, state: Any):
    """`f(params, x, y)`, the loss plus a function of the outputs; and the outputs."""

    def value(params: Any, x: jax.Array, y: jax.Array):
        loss, (outputs, _) = net.loss(params, state, {"x": x, "y": y})
        return loss + jnp.sum(jnp.sin(outputs["y"])), (loss, outputs)

    return value


def everything(net: cj.Network, state: Any):
    """`f(params, batch)`: loss, outputs, gradients, error signals, activations."""

    def at(params: Any, batch: Any):
        value = jax.value_and_grad(loss_of(net, state), (0, 1), has_aux=True)
        found = value(params, batch["x"], batch["y"])
        deltas = net.deltas(params, state, batch)
        return found, deltas, net.activations(params, state, {"x": batch["x"]})

    return at


@every_limit
@examples(2)
@given(net=networks(most=10), size=st.sampled_from([1, 3]))
def test_outputs_gradients_and_error_signals(limit, net, size):
    exact, plain, state = both(net, limit)
    found, expected = everything(exact, state), everything(plain, state)
    close(*quick(lambda *at: (found(*at), expected(*at)))(*problem(net, size)))


def test_the_random_networks_hold_everything():
    counts: Counter[str] = Counter()

    @settings(max_examples=200, phases=[Phase.generate])
    @given(networks())
    def count(net):
        counts.update({f"cap {each.kind}" for each in net.activations})
        levels = net.levels[net.output_neurons]
        counts["outputs at several levels"] += len(set(levels.tolist())) > 1
        counts["one input"] += len(net.inputs) == 1
        counts["many activations"] += len(net.activations) > 2
        read = net.sources < len(net.inputs)
        counts["inputs read late"] += int(net.levels[net.targets[read]].max()) > 2
        degree = np.bincount(net.targets)
        counts["more than 16 sources"] += int(degree.max()) > 16

    count()
    wanted = {f"cap {kind}" for kind in ELEMENTWISE} | {
        *("outputs at several levels", "one input", "many activations"),
        *("inputs read late", "more than 16 sources"),
    }
    assert all(counts[each] > 0 for each in wanted), counts


def test_twice_differentiated():
    net = of_shape("layers", 3, 6, ["tanh", "silu"], 3)
    exact, _, state = compiled(net, PRODUCTS)
    assert ways(exact) == {"product", "partial sum", "row"}
    params, batch = problem(net, 2)

    def by_neuron(params, x, y):
        found = dense(net, params, x)[:, net.output_neurons]
        return jnp.mean((found - y) ** 2) + jnp.sum(jnp.sin(found)), None

    def twice(value):
        def squared(params, x):
            found = jax.grad(value, (0, 1), has_aux=True)(params, x, batch["y"])[0]
            return sum(jnp.sum(g**2) for g in jax.tree.leaves(found))

        return jax.grad(squared, (0, 1))

    found, expected = twice(loss_of(exact, state)), twice(by_neuron)
    both_of = quick(lambda *at: (found(*at), expected(*at)))
    close(*both_of(params, batch["x"]), tolerance=1e-9)


def ways(net: cj.Network) -> set[str]:
    """How the network's rows are computed."""
    found = set()
    for stage in net.program.groups["neurons"].forward_sweep.stages:
        if isinstance(stage, Dense):
            found.add("product")
        else:
            found |= {"row" if k.finish >= 0 else "partial sum" for k in stage.kinds}
    return found


@pytest.mark.parametrize(
    "limit, shape, seed, expected",
    [
        ({}, "any", 0, {"row"}),
        (TREES, "funnel", 0, {"partial sum", "row"}),
        (PRODUCTS, "nearly layers", 3, {"product", "partial sum", "row"}),
    ],
)
def test_under_vmap_over_parameters(limit, shape, seed, expected):
    """The wiring is not batched: `in_axes=None`."""
    net = of_shape(shape, 3, 6, ["tanh", "silu"], seed)
    exact, plain, state = both(net, limit)
    assert ways(exact) == expected
    _, batch = problem(net, 3)
    first = problem(net, 1)[0]
    stacked = jax.tree.map(lambda a: np.stack([a, a / 2]), first)

    def total(params, state):
        """Of all members, for the gradient of a vmap."""
        loss = jax.vmap(lambda p, s: exact.loss(p, s, batch)[0], (0, None))
        return jnp.sum(loss(params, state))

    @quick
    def run(stacked, state):
        def gradient(net):
            return jax.grad(lambda p, s: net.loss(p, s, batch)[0])

        mapped = jax.vmap(gradient(exact), (0, None))(stacked, state)
        # Of the one that holds every way.
        summed = jax.grad(total)(stacked, state) if len(expected) == 3 else mapped
        return mapped, summed, jax.lax.map(lambda p: gradient(plain)(p, state), stacked)

    mapped, summed, looped = run(stacked, state)
    close(mapped, looped)
    close(summed, looped)


@examples(2)
@given(net=networks(most=10, records=["tanh", "sigmoid", "gelu", "softplus"]))
def test_directional_differences(net):
    exact, _, state = both(net, TREES)
    params, batch = problem(net, 3)

    def value(at):
        params, x = at
        return loss_of(exact, state)(params, x, batch["y"])[0]

    at = (params, batch["x"])
    along = jax.tree.map(lambda a: draw(a.shape, 7), at)
    gradient = quick(jax.grad(value))(at)
    slope = float(difference(quick(value), at, along))
    assert inner(gradient, along) == pytest.approx(slope, rel=1e-6, abs=1e-7)


def test_without_jit():
    net = of_shape("any", 2, 3, ["tanh"])
    exact, plain, state = both(net, {})
    params, batch = problem(net, 3)
    found = everything(exact, state)(params, batch)
    close(found, quick(everything(plain, state))(params, batch))


@pytest.mark.parametrize("reads", [17, 257])
def test_many_sources_with_the_limits_as_they_are(reads):
    """One neuron reads them all, another some; neither is a matrix product."""
    sources = [*range(reads), *range(0, reads, 2), reads]
    targets = [reads] * reads + [reads + 1] * len(range(0, reads, 2)) + [reads + 2]
    rng = np.random.default_rng(0)
    net = cj.neural.network(
        reads,
        3,
        sources,
        targets,
        ["tanh", "silu", "sigmoid"],
        weights=rng.normal(size=len(sources)) / 10,
        biases=rng.normal(size=3),
    )
    exact = cj.compile(model(net, loss="mean_squared_error"))
    _, state = exact.init(jax.random.key(0))
    params, batch = problem(net, 3)

    def by_neuron(params, x, y):
        found = dense(net, params, x)[:, net.output_neurons]
        return jnp.mean((found - y) ** 2) + jnp.sum(jnp.sin(found))

    @quick
    def run(params, x, y):
        gradient = jax.grad(loss_of(exact, state), (0, 1), has_aux=True)
        return gradient(params, x, y)[0], jax.grad(by_neuron, (0, 1))(params, x, y)

    close(*run(params, batch["x"], batch["y"]))


def dense(net: NeuralNetwork, params: Any, x: jax.Array) -> jax.Array:
    """Values of all nodes, neuron by neuron: the interpreter's program is long."""
    own = params["neurons"]
    size = len(net.inputs)
    place = np.arange(size + len(net.neurons))  # of each node among the values so far
    order = size + np.argsort(net.levels[size:], kind="stable")
    place[order] = np.arange(size, len(place))
    values = x
    for node in order:
        into = np.flatnonzero(net.targets == node)
        u = values[:, place[net.sources[into]]] @ own["W"]["edges"][into]
        cap: Any = net.activations[net.activation_of[node - size]]
        y = cap.forward(u + own["B"][node - size])
        values = jnp.concatenate([values, y[:, None]], axis=1)
    return values[:, place]


def test_layers_with_the_limits_as_they_are():
    """Matrix products between layers, against NumPy's."""
    net = perceptron([50, 45, 60, 7])
    exact = cj.compile(model(net))
    params, state = exact.init(jax.random.key(0))
    stages = exact.program.groups["neurons"].forward_sweep.stages
    assert sum(isinstance(stage, Dense) for stage in stages) >= 2
    x = draw((3, 50))
    found = quick(exact.apply)(params, state, {"x": x})[0]["y"]
    np.testing.assert_allclose(found, evaluate(net, np.asarray(x))[:, -7:], atol=1e-12)


def test_a_layer_that_is_one_matrix_product():
    """No row is left to tiles."""
    net = perceptron([50, 50])
    exact = cj.compile(model(net, loss="mean_squared_error"))
    params, state = exact.init(jax.random.key(0))
    x = draw((3, 50))
    batch = {"x": x, "y": np.zeros((3, 50))}
    loss = jax.grad(lambda p: exact.loss(p, state, batch), has_aux=True)
    d, (outputs, _) = quick(loss)(params)
    y = outputs["y"]
    np.testing.assert_allclose(y, evaluate(net, np.asarray(x))[:, -50:], atol=1e-12)
    delta = 2 * np.asarray(y) / y.size
    np.testing.assert_allclose(d["neurons"]["B"], delta.sum(0), atol=1e-12)
    dense = np.zeros((50, 50))
    dense[net.sources, net.targets - 50] = d["neurons"]["W"]["edges"]
    np.testing.assert_allclose(dense, np.asarray(x).T @ delta, atol=1e-12)


# ---- what is initial


def test_initial_values():
    """As declared; else drawn with deviation `gain / sqrt(fan-in)`, biases zero."""
    net = of_shape("any", 3, 8, ["tanh"])
    params, _ = cj.compile(net).init(jax.random.key(0))
    close(params, jax.tree.map(np.asarray, net.named()), 0)
    reads, count = 4, 3000
    sources = np.tile(np.arange(reads), count)
    targets = reads + np.repeat(np.arange(count), reads)
    drawn = cj.compile(cj.neural.network(reads, count, sources, targets, "relu"))
    params, _ = drawn.init(jax.random.key(0))
    np.testing.assert_array_equal(params["neurons"]["B"], 0)
    deviation = float(np.std(params["neurons"]["W"]["edges"]))
    assert deviation == pytest.approx(np.sqrt(2 / reads), rel=0.05)
    close(drawn.init(jax.random.key(0))[0], params, 0)
    other = drawn.init(jax.random.key(1))[0]["neurons"]["W"]["edges"]
    assert not np.allclose(other, params["neurons"]["W"]["edges"])


def test_parameters_by_name_are_those_of_the_layout():
    net = cj.compile(of_shape("any", 3, 8, ["tanh"]))
    params, _ = net.init(jax.random.key(0))
    close(net.named(params), params, 0)
    close(net.from_named(net.named(params)), params, 0)


# ---- the smallest


def test_a_network_of_one_input():
    """Its output is the input; it has neither parameters nor wiring."""
    net = cj.compile(model(cj.neural.network(1, 0, [], []), loss="mean_squared_error"))
    params, state = net.init(jax.random.key(0))
    assert (params, state) == ({}, {})
    batch = {"x": draw((3, 1)), "y": draw((3, 1), 1)}
    loss, (outputs, _) = net.loss(params, state, batch)
    close(outputs["y"], batch["x"], 0)
    close(loss, jnp.mean((batch["x"] - batch["y"]) ** 2))
    deltas = net.deltas(params, state, batch)
    close(deltas, {"y": 2 * (batch["x"] - batch["y"]) / 3})


def test_no_examples():
    """A batch of none gives none, and gradients of zero."""
    net = cj.compile(of_shape("any", 3, 8, ["tanh", "silu"]))
    params, state = net.init(jax.random.key(0))
    x = draw((0, 3))

    def total(params, x):
        return jnp.sum(net.apply(params, state, {"x": x})[0]["y"])

    y = jax.eval_shape(net.apply, params, state, {"x": x})[0]["y"]
    assert y.shape[0] == 0
    gradients = quick(jax.grad(total, (0, 1)))(params, x)
    close(gradients, jax.tree.map(np.zeros_like, (params, x)), 0)
