"""The 4-tuple: what it holds, and when two of them are equal."""

import dataclasses

import numpy as np
import pytest
from helpers_neural import networks, shuffled
from hypothesis import given
from hypothesis import strategies as st

import capsjax as cj
from capsjax.neural import network
from tests.helpers_capsjax import examples


def test_the_paper_s_sets():
    net = network(["x1", "x2"], ["h1", "h2"], [0, 1, 2], [2, 3, 3], weights=[1, 2, 3])
    assert {"x1", "x2"} == net.S
    assert {"h1", "h2"} == net.H
    assert {("x1", "h1", 1.0), ("x2", "h2", 2.0), ("h1", "h2", 3.0)} == net.W
    assert {"x1", "x2", "h1", "h2"} == net.Y
    assert net.output_neurons.tolist() == [3]
    assert net.hidden_neurons.tolist() == [2]
    assert net.levels.tolist() == [0, 0, 1, 2]


def test_counted_nodes_are_named_by_their_numbers():
    net = network(2, 2, [0, 1, 2], [2, 3, 3])
    assert {(0, 2, None), (1, 3, None), (2, 3, None)} == net.W


def test_the_single_vertex_is_an_input_and_the_output():
    net = network(["x"], [], [], [])
    assert net.output_neurons.tolist() == [0]
    assert net.hidden_neurons.tolist() == []
    assert repr(net) == (
        "NeuralNetwork(1 input, 0 neurons, 0 connections, 1 level, 1 output)"
    )


def test_repr_counts_in_thousands():
    net = network(1, 1000, np.arange(1000), np.arange(1, 1001))
    assert repr(net) == (
        "NeuralNetwork(1 input, 1,000 neurons, 1,000 connections, 1,001 levels, "
        "1 output)"
    )


def test_arrays_are_copies_that_nobody_can_write_to():
    sources = np.array([0, 1], np.int32)
    weights = np.array([1.0, 2.0])
    net = network(2, 1, sources, [2, 2], weights=weights, biases=[0.5])
    sources[:], weights[:] = 1, 0
    assert net.sources.tolist() == [0, 1] and net.named() == {
        "neurons": {"B": pytest.approx([0.5]), "W": {"edges": pytest.approx([1, 2])}}
    }
    arrays = [v for v in (*vars(net).values(), net.levels) if isinstance(v, np.ndarray)]
    assert len(arrays) == 8
    assert not any(each.flags.writeable for each in arrays)
    with pytest.raises(dataclasses.FrozenInstanceError):
        net.weights = None  # type: ignore


def test_activations_are_records_each_once():
    caps = ["relu", cj.caps.relu(), cj.caps.leaky_relu(0.1), "tanh"]
    net = network(1, 4, [0, 1, 2, 3], [1, 2, 3, 4], caps)
    assert net.activations == (cj.caps.relu(), caps[2], cj.caps.tanh())
    assert net.activation_of.tolist() == [0, 0, 1, 2]


@pytest.mark.parametrize(
    ("given", "drawn"),
    [
        ({}, "weights and biases"),
        ({"weights": [1.0]}, "biases"),
        ({"biases": [1.0]}, "weights"),
    ],
)
def test_parameters_to_be_drawn_are_not_declared(given, drawn):
    with pytest.raises(ValueError, match=f"declares no {drawn}: they are to be drawn"):
        network(1, 1, [0], [1], **given).named()


@examples(30)
@given(networks(), st.integers(0, 9))
def test_equality_does_not_see_the_order_of_declaration(net, seed):
    other = shuffled(net, seed)
    assert net == other and hash(net) == hash(other)


BASE = {
    "inputs": ["x", "y"],
    "neurons": ["h", "k"],
    "sources": [0, 1, 2],
    "targets": [2, 3, 3],
    "activations": ["tanh", "relu"],
    "weights": [1.0, 2.0, 3.0],
    "biases": [0.0, 0.5],
}


@pytest.mark.parametrize(
    "change",
    [
        {"inputs": ["x", "z"]},
        {"inputs": ["x", "h"], "neurons": ["y", "k"]},
        {"neurons": ["h", "l"]},
        {"inputs": [0, 1], "neurons": [2, 3]},
        {"sources": [0, 1, 0]},
        {"activations": ["relu", "tanh"]},
        {"activations": ["tanh", cj.caps.leaky_relu(0.1)]},
        {"weights": [1.0, 3.0, 2.0]},
        {"weights": None},
        {"biases": [0.5, 0.0]},
        {"biases": None},
    ],
    ids=str,
)
def test_networks_that_differ_anywhere_differ(change):
    if change == {"sources": [0, 1, 0]}:
        change = {"sources": [0, 1, 0], "targets": [2, 2, 3]}
    assert network(**BASE) != network(**{**BASE, **change})


def test_equal_numbers_hash_equal():
    nets = [network(**{**BASE, "biases": [zero, 0.5]}) for zero in (0.0, -0.0)]
    assert nets[0] == nets[1] and hash(nets[0]) == hash(nets[1])
    assert network(**BASE) != "a network"


@examples(30)
@given(networks())
def test_parameters_are_replaced_by_name(net):
    given = network(
        net.inputs.tolist(),
        net.neurons.tolist(),
        net.sources,
        net.targets,
        [net.activations[code] for code in net.activation_of.tolist()],
        weights=np.arange(len(net.sources)),
        biases=np.arange(len(net.neurons)) - 0.5,
    )
    replaced = net.with_named(given.named())
    assert replaced == given
    assert not any(a.flags.writeable for a in (replaced.weights, replaced.biases))
    assert replaced.with_named(replaced.named()) == replaced


@pytest.mark.parametrize(
    ("named", "text"),
    [
        (
            {"h": 1},
            """with_named: found {'h': 1}; expected {"neurons": {"B": biases, """
            """"W": {"edges": weights}}}; take them from net.named(params)""",
        ),
        (None, "with_named: found None"),
        (
            {"neurons": {"B": [1.0, 2.0], "W": {"edges": [np.nan]}}},
            "found:    2\n    expected: 1, one for each neuron\n    cure:     give as "
            "many biases as there are neurons\n2. weights (weights[0])\n    found:    "
            "nan for connection 0",
        ),
        ({"neurons": {"B": None, "W": {"edges": [1.0]}}}, "with_named: found"),
    ],
)
def test_parameters_that_do_not_fit_a_network(named, text):
    with pytest.raises(ValueError) as caught:
        network(1, 1, [0], [1]).with_named(named)
    assert text in str(caught.value)
