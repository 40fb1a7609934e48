"""The four rules, and each of their side conditions by name."""

import numpy as np
import pytest

from capsjax.graph import GraphError
from capsjax.neural import convergence, growth, network, neuron, variable


def refused(text: str, call) -> None:
    with pytest.raises(GraphError) as caught:
        call()
    assert text in str(caught.value)
    assert len(caught.value.problems) == 1


def test_variable():
    net = variable("z")
    assert (net.S, net.H, net.W, net.Y) == ({"z"}, set(), set(), {"z"})
    assert variable("z") == network(["z"], [], [], [])


def test_neuron():
    net = neuron("h", ["x1", "x2"], "relu", [1.0, 2.0], 0.5)
    assert (net.S, net.H) == ({"x1", "x2"}, {"h"})
    assert {("x1", "h", 1.0), ("x2", "h", 2.0)} == net.W
    assert net.biases is not None and net.biases.tolist() == [0.5]
    assert [str(each) for each in net.activations] == ["relu"]


def test_growth_adds_a_neuron_and_its_connections():
    net = neuron("h1", ["x1", "x2"], weights=[1.0, 2.0], bias=0.1)
    grown = growth(net, "h2", ["h1", "x1"], "relu", [3.0, 4.0], 0.2)
    assert grown == network(
        ["x1", "x2"],
        ["h1", "h2"],
        [0, 1, 2, 0],
        [2, 2, 3, 3],
        ["tanh", "relu"],
        weights=[1.0, 2.0, 3.0, 4.0],
        biases=[0.1, 0.2],
    )
    assert len(net.neurons) == 1  # the old network is as it was


def test_convergence_is_the_union_with_a_new_neuron():
    nets = [
        neuron("a", ["x1"], "relu", [1.0], 0.1),
        variable("x2"),
        neuron("b", ["x3", "x4"], "sigmoid", [2.0, 3.0], 0.2),
    ]
    subsets = [["x1", "a"], ["x2"], ["b"]]
    net = convergence(nets, "h", subsets, "tanh", [[4.0, 5.0], [6.0], [7.0]], 0.3)
    assert frozenset.union(*(n.S for n in nets)) == net.S
    assert net.H == {"a", "b", "h"}
    assert net.W == {
        ("x1", "a", 1.0),
        ("x3", "b", 2.0),
        ("x4", "b", 3.0),
        ("x1", "h", 4.0),
        ("a", "h", 5.0),
        ("x2", "h", 6.0),
        ("b", "h", 7.0),
    }
    caps = [str(net.activations[code]) for code in net.activation_of]
    assert dict(zip(net.neurons.tolist(), caps, strict=True)) == {
        "a": "relu",
        "b": "sigmoid",
        "h": "tanh",
    }
    assert net.biases is not None and net.biases.tolist() == [0.1, 0.2, 0.3]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_rule_of_neuron_is_derived_from_variable_and_convergence(count):
    names = [f"x{i}" for i in range(count)]
    weights = np.arange(1.0, count + 1).tolist()
    derived = convergence(
        [variable(name) for name in names],
        "h",
        [[name] for name in names],
        "relu",
        [[weight] for weight in weights],
        0.5,
    )
    assert derived == neuron("h", names, "relu", weights, 0.5)


def test_convergence_of_one_network_is_growth():
    net = neuron(3, [1, 2])
    assert convergence([net], 4, [[1, 3]]) == growth(net, 4, [1, 3])


NET = neuron("h1", ["x1", "x2"])
GIVEN = neuron("h1", ["x1"], weights=[1.0], bias=0.0)


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ("rule of neuron\n    found:    S is empty", lambda: neuron("h", [])),
        (
            "rule of neuron\n    found:    h = 'x' is not new: it is one of the "
            "variables in S\n    expected: h must be a new neuron",
            lambda: neuron("x", ["x", "y"]),
        ),
        ("'x' more than once in S", lambda: neuron("h", ["x", "x"])),
        (
            "rule of growth\n    found:    N is empty\n    expected: N must be a "
            "nonempty subset of S union H",
            lambda: growth(NET, "h2", []),
        ),
        (
            "rule of growth\n    found:    'x3' in N\n    expected: N must be a "
            "nonempty subset of S union H = {'x1', 'x2', 'h1'}",
            lambda: growth(NET, "h2", ["x1", "x3"]),
        ),
        (
            "rule of growth\n    found:    h = 'h1' is not new: it is a node already\n"
            "    expected: h must be a new neuron",
            lambda: growth(NET, "h1", ["x1"]),
        ),
        ("'x1' more than once in N", lambda: growth(NET, "h2", ["x1", "x1"])),
        (
            "rule of growth\n    found:    weights [1.0, 2.0] for a subset of 1 nodes",
            lambda: growth(variable("x"), "h", ["x"], weights=[1.0, 2.0]),
        ),
        (
            "found:    weights 1.0 for a subset of 1 nodes",
            lambda: growth(variable("x"), "h", ["x"], weights=1.0),  # type: ignore
        ),
        (
            "rule of growth\n    found:    bias [1.0]\n    expected: one number",
            lambda: growth(variable("x"), "h", ["x"], bias=[1.0]),  # type: ignore
        ),
        (
            "no weights for the new neuron, but some in the network\n    expected: "
            "weights everywhere, or nowhere: then they are drawn",
            lambda: growth(GIVEN, "h2", ["x1"], bias=0.0),
        ),
        (
            "biases for the new neuron, but none in the network",
            lambda: growth(NET, "h2", ["x1"], bias=0.0),
        ),
        ("found:    'rely'", lambda: growth(NET, "h2", ["x1"], "rely")),
        (
            "rule of convergence\n    found:    no network",
            lambda: convergence([], 1, []),
        ),
        (
            "rule of convergence\n    found:    networks 1 and 3 share node 'x1'\n"
            "    expected: the networks must be pairwise disjoint",
            lambda: convergence(
                [NET, variable("y"), variable("x1")], "h", [["x1"], ["y"], ["x1"]]
            ),
        ),
        (
            "rule of convergence\n    found:    A_2 is empty\n    expected: A_2 must "
            "be a nonempty subset of S_2 union H_2",
            lambda: convergence([NET, variable("y")], "h", [["x1"], []]),
        ),
        (
            "found:    'x1' in A_2",
            lambda: convergence([NET, variable("y")], "h", [["x1"], ["x1"]]),
        ),
        (
            "found:    h = 'y' is not new",
            lambda: convergence([NET, variable("y")], "y", [["x1"], ["y"]]),
        ),
        (
            "found:    1 sources for 2 networks",
            lambda: convergence([NET, variable("y")], "h", [["x1"]]),
        ),
        (
            "found:    1 weights for 2 networks",
            lambda: convergence(
                [variable("x"), variable("y")], "h", [["x"], ["y"]], weights=[[1.0]]
            ),
        ),
        (
            "found:    networks with weights and networks without",
            lambda: convergence(
                [GIVEN, neuron("b", ["y"], bias=0.0)], "h", [["x1"], ["y"]], bias=0.0
            ),
        ),
        (
            "found:    1 among the inputs and 'h' among the neurons",
            lambda: growth(variable(1), "h", [1]),
        ),
    ],
)
def test_side_conditions(text, call):
    refused(text, call)
