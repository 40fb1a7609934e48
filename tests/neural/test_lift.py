"""Lifting: layers found, parameters carried over, values equal, or a clear refusal."""

import dataclasses

import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import capsjax as cj
import capsjax.neural.twins as twins
from capsjax.neural import NeuralNetwork, lift, model, network, random_dag
from tests.helpers_capsjax import examples
from tests.neural.helpers_layers import (
    evaluate,
    evaluate_lifted,
    joined,
    layered,
    perceptron,
)
from tests.neural.helpers_neural import networks


def groups(net: NeuralNetwork) -> set[frozenset[int]]:
    """Nodes of one kind with the same sources and the same readers, by networkx."""
    graph = nx.DiGraph(zip(net.sources.tolist(), net.targets.tolist(), strict=True))
    size = len(net.inputs)
    found: dict = {}
    for node in range(size + len(net.neurons)):
        kind = -1 if node < size else int(net.activation_of[node - size])
        sources, readers = graph.predecessors(node), graph.successors(node)
        key = kind, frozenset(sources), frozenset(readers)
        found.setdefault(key, set()).add(node)
    return {frozenset(each) for each in found.values()}


def outputs(lifted: cj.neural.Lifted, x: np.ndarray) -> dict[str, np.ndarray]:
    """What the lifted network computes with the parameters carried over."""
    net = cj.compile(lifted.graph)
    assert lifted.named is not None
    params = net.from_named(lifted.named)
    _, state = net.init(jax.random.key(0))
    inputs = {name: jnp.asarray(x[:, of]) for name, of in lifted.inputs.items()}
    return {k: np.asarray(y) for k, y in net.apply(params, state, inputs)[0].items()}


@examples(30)
@given(layered())
def test_a_network_of_layers_computes_what_its_neurons_do(net):
    expected = groups(net)
    of = {node: each for each in expected for node in each}
    edges = zip(net.sources.tolist(), net.targets.tolist(), strict=True)
    products = {(of[source], of[target]) for source, target in edges}
    if 2 * len(products) > len(net.sources):
        with pytest.raises(ValueError, match="^nothing is gained by lifting "):
            lift(net)
        return
    lifted = lift(net)
    members = [*lifted.inputs.values(), *lifted.of.values()]
    assert {frozenset(each.tolist()) for each in members} == expected
    x = np.random.default_rng(0).standard_normal((3, len(net.inputs)))
    values = evaluate(net, x)
    found = evaluate_lifted(lifted, x)
    for name, of in lifted.of.items():
        np.testing.assert_allclose(found[name], values[:, of], rtol=1e-12, atol=1e-12)
    last = [of for name, of in lifted.of.items() if name in lifted.graph.outputs]
    assert sorted(np.concatenate(last)) == net.output_neurons.tolist()


@examples(30)
@given(st.one_of(networks(), layered()))
def test_twins_are_the_nodes_that_only_names_tell_apart(net):
    if not len(net.neurons):
        return
    colors = np.concatenate([np.full(len(net.inputs), -1), net.activation_of])
    classes, above, below = twins.twins(net.sources, net.targets, colors)
    found = {frozenset(np.flatnonzero(classes == c).tolist()) for c in set(classes)}
    assert found == groups(net)
    first = [int(np.argmax(classes == c)) for c in range(classes.max() + 1)]
    assert first == sorted(first)
    pairs = zip(classes[net.sources], classes[net.targets], strict=True)
    assert sorted(set(pairs)) == list(zip(above, below, strict=True))


def test_sums_that_are_equal_by_chance_are_found_out(monkeypatch):
    """A first draw in which all random numbers are zero takes all sets for equal."""
    drawn = np.random.default_rng
    seeds = []

    class Zeros:
        def integers(self, low, high, size, dtype):
            return np.zeros(size, dtype)

    def rng(seed):
        seeds.append(seed)
        return Zeros() if seed == 0 else drawn(seed)

    monkeypatch.setattr(twins.np.random, "default_rng", rng)
    classes, _, _ = twins.twins(np.array([0, 1]), np.array([2, 3]), np.array([0] * 4))
    assert classes.tolist() == [0, 1, 2, 3]
    assert seeds == [0, 1]


def test_figure_1_becomes_figure_10():
    """The paper's MLP, drawn neuron by neuron, as a path of capsules."""
    neurons = perceptron([5, 7, 7, 7, 4], "sigmoid")
    lifted = lift(model(neurons, "softmax", "cross_entropy", name="mlp"))
    assert lifted.graph == cj.zoo.graph("mlp")
    assert {name: len(of) for name, of in lifted.of.items()} == {
        **{"h1": 7, "h2": 7, "h3": 7},
        "y": 4,
    }
    x = np.random.default_rng(1).standard_normal((2, 5))
    logits = evaluate(neurons, x)[:, -4:]
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(outputs(lifted, x)["y"], expected, atol=1e-12)


def test_a_large_perceptron_of_neurons_lifts_to_that_of_capsules():
    sizes = (784, 512, 512, 10)
    neurons = perceptron(list(sizes), "relu")
    assert len(neurons.sources) == 668_672
    lifted = lift(model(neurons, "softmax", "cross_entropy", name="mlp"))
    assert lifted.graph == cj.zoo.graph("mlp", sizes=sizes, cap="relu")
    assert lifted.named is not None and neurons.weights is not None
    first = lifted.named["h1"]["W"]["x"]
    np.testing.assert_array_equal(first, neurons.weights[: 784 * 512].reshape(784, -1))


def test_layers_read_in_part_are_divided():
    """h is read by y1 as a whole and by y2 in part: two capsules stand for it."""
    net = network(
        4,
        8,
        [0, 1, 2, 3] * 4 + [4, 5, 6, 7] * 2 + [4, 5] * 2,
        np.repeat(np.arange(4, 12), [4] * 6 + [2] * 2),
        weights=np.arange(28),
        biases=np.zeros(8),
    )
    lifted = lift(net)
    assert {name: of.tolist() for name, of in lifted.of.items()} == {
        "h1": [4, 5],
        "h2": [6, 7],
        "y1": [8, 9],
        "y2": [10, 11],
    }
    assert lifted.graph.outputs == ("y1", "y2")


def test_inputs_read_in_part_are_several():
    net = joined([2, 3, 4], [(0, 2), (1, 2)], ["tanh"] * 3, 0)
    assert len(lift(net).inputs) == 1  # one layer reads them all
    net = joined([2, 3, 4, 2], [(0, 2), (1, 3), (2, 3)], ["tanh"] * 4, 0)
    lifted = lift(net)
    assert [each.name for each in lifted.graph.inputs] == ["x1", "x2"]
    columns = np.concatenate(list(lifted.inputs.values()))
    assert sorted(columns) == [0, 1, 2, 3, 4]


def test_parameters_are_carried_over_where_there_are_any():
    net = perceptron([3, 2, 2])
    assert lift(dataclasses.replace(net, weights=None)).named is None
    named = lift(dataclasses.replace(net, biases=None)).named
    assert named is not None and named["y"]["B"].tolist() == [0, 0]


READOUTS = {
    # The output neurons' activation, cap; and where cap went.
    "in place of identity": ("identity", "softmax", {"y": "softmax"}),
    "nothing to add": ("tanh", "identity", {"y": "tanh"}),
    "apart": ("tanh", "softmax", {"h2": "tanh", "y": "softmax"}),
}


@pytest.mark.parametrize("activation, cap, caps", READOUTS.values(), ids=READOUTS)
def test_where_the_readout_goes(activation, cap, caps):
    net = perceptron([3, 4, 2], "relu", activation)
    graph = lift(model(net, cap, "mean_squared_error")).graph
    found = {capsule.name: capsule.cap.kind for capsule in graph.capsules}
    assert found == {"h1": "relu", **caps}
    assert dict(graph.losses) == {"y": cj.losses.mean_squared_error()}


def several(order: list[str]) -> NeuralNetwork:
    """Output neurons with these activations, all reading three inputs."""
    count = len(order)
    return network(
        3,
        count,
        [0, 1, 2] * count,
        np.repeat(np.arange(3, 3 + count), 3),
        order,
        weights=np.linspace(-1, 1, 3 * count),
        biases=np.linspace(0, 1, count),
    )


def test_a_readout_of_several_capsules_concatenates_them():
    net = several(["relu", "relu", "tanh", "sigmoid", "sigmoid"])
    lifted = lift(model(net, "softmax", "cross_entropy"))
    assert list(lifted.of) == ["h1", "h2", "h3"]
    assert lifted.graph.outputs == ("y",)
    x = np.random.default_rng(2).standard_normal((4, 3))
    values = np.exp(evaluate(net, x)[:, 3:])
    expected = values / values.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(outputs(lifted, x)["y"], expected, atol=1e-12)


def test_a_readout_that_no_concatenation_has():
    net = several(["relu", "tanh", "relu"])
    assert lift(net).graph.outputs == ("y1", "y2")
    with pytest.raises(ValueError) as raised:
        lift(model(net, "softmax"))
    assert str(raised.value) == (
        "the output neurons of NeuralNetwork(3 inputs, 3 neurons, 9 connections, "
        "2 levels, 3 outputs) fall into 2 capsules that take turns in their order, so "
        "that no concatenation has it; number output neurons that read the same nodes "
        "one after the other, or lift the network without a readout, model.network"
    )


def test_no_network_of_layers():
    net = random_dag("window", inputs=8, neurons=500, in_degree=4, window=40)
    with pytest.raises(ValueError) as raised:
        lift(net)
    assert str(raised.value).startswith(f"nothing is gained by lifting {net}: its 500 ")
    assert str(raised.value).endswith(
        "expected at least two connections a product. It is no network of layers: "
        "compile it as it is, cj.compile(network)"
    )
    with pytest.raises(ValueError, match="its 0 neurons make 0 capsules, joined by 0"):
        lift(network(1, 0, [], []))


def test_no_network():
    with pytest.raises(TypeError) as raised:
        lift(cj.zoo.graph("mlp"))  # pyright: ignore
    assert (
        str(raised.value) == "lift takes a NeuralNetwork or a Model of one, not Graph"
    )
