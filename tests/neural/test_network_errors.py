"""Arrays that are no neural network, each refused with one clear message."""

import pytest

import capsjax as cj
from capsjax.graph import GraphError
from capsjax.neural import network

NAN, INF = float("nan"), float("inf")

CASES = {
    "cycle": (
        dict(inputs=["x"], neurons=["a", "b", "c"], sources=[0, 1, 2, 3],
             targets=[1, 2, 3, 1]),
        """1. a cycle
    found:    'a' -> 'b' -> 'c' -> 'a'
    expected: a graph without cycles
    cure:     remove one of these connections, such as 'c' -> 'a'""",
    ),
    "long cycle": (
        dict(inputs=1, neurons=99, sources=[*range(100)], targets=[*range(1, 100), 1]),
        "1 -> 2 -> 3 -> 4 -> 5 -> 6 -> 7 -> 8 -> 9 -> ... 88 more ... -> 98 -> 99 -> 1",
    ),
    "disconnected": (
        dict(inputs=["x", "y"], neurons=["h", "k"], sources=[0, 1], targets=[2, 3]),
        """1. the graph is not connected
    found:    2 components: {'x', 'h'}; {'y', 'k'}
    expected: one connected graph
    cure:     join the components by a connection, or make each a network of its own""",
    ),
    "many components": (
        dict(inputs=30, neurons=19, sources=range(19), targets=range(30, 49)),
        "30 components: {0, 30}; {1, 31}; {2, 32}; {3, 33}; {4, 34}; {5, 35}; {6, 36}; "
        "{7, 37}; and 22 more",
    ),
    "input that nobody reads": (
        dict(inputs=["x", "y"], neurons=["h"], sources=[0], targets=[2]),
        "2 components: {'x', 'h'}; {'y'}",
    ),
    "duplicate": (
        dict(inputs=["x", "y"], neurons=["h"], sources=[0, 1, 0], targets=[2, 2, 2]),
        """1. duplicate connections (sources[2])
    found:    'x' -> 'h'
    expected: at most one connection from a node to a node: W is a set
    cure:     remove the repetitions, or add their weights up""",
    ),
    "self loop": (
        dict(inputs=["x"], neurons=["h"], sources=[0, 1], targets=[1, 1]),
        """1. self loops (sources[1])
    found:    'h' -> 'h'
    expected: connections between two nodes
    cure:     remove them: a neuron that reads itself is a cycle""",
    ),
    "edge into an input": (
        dict(inputs=["x", "y"], neurons=["h"], sources=[0, 2], targets=[2, 1]),
        """1. connections that enter an input (targets[1])
    found:    'h' -> 'y'
    expected: connections that enter neurons: an input's value is given
    cure:     declare that node as a neuron, or turn the connection round""",
    ),
    "neuron that reads nothing": (
        dict(inputs=["x"], neurons=["h", "k"], sources=[0, 2], targets=[1, 1]),
        """1. neurons that read nothing (neurons[1])
    found:    'k'
    expected: at least one incoming connection for every neuron
    cure:     connect them, or declare them as inputs""",
    ),
    "NaN weight": (
        dict(inputs=1, neurons=2, sources=[0, 1], targets=[1, 2],
             weights=[INF, NAN]),
        """1. weights (weights[0])
    found:    inf for connection 0, and 1 more such
    expected: finite numbers""",
    ),
    "infinite bias": (
        dict(inputs=1, neurons=1, sources=[0], targets=[1], biases=[-INF]),
        "biases (biases[0])\n    found:    -inf for neuron 0",
    ),
    "weights of another length": (
        dict(inputs=1, neurons=1, sources=[0], targets=[1], weights=[1, 2]),
        "weights (weights)\n    found:    2\n    expected: 1, one for each connection",
    ),
    "biases of another length": (
        dict(inputs=1, neurons=1, sources=[0], targets=[1], biases=[1, 2]),
        "biases (biases)\n    found:    2\n    expected: 1, one for each neuron",
    ),
    "weights that are no numbers": (
        dict(inputs=1, neurons=1, sources=[0], targets=[1], weights=["w"]),
        "found:    an array of <U1, shape (1,)\n    expected: numbers, shape (1,)",
    ),
    "out of range": (
        dict(inputs=2, neurons=2, sources=[0, 4], targets=[2, 3]),
        """1. sources (sources[1])
    found:    node 4 in connection 1
    expected: numbers from 0 to 3, for |S| + |H| = 2 + 2 nodes""",
    ),
    "negative": (
        dict(inputs=2, neurons=1, sources=[0, 1], targets=[2, -1]),
        "targets (targets[1])\n    found:    node -1 in connection 1",
    ),
    "far out of range": (
        dict(inputs=1, neurons=1, sources=[2**32], targets=[1]),
        "found:    node 4294967296 in connection 0",
    ),
    "fractions": (
        dict(inputs=1, neurons=1, sources=[0], targets=[1.0]),
        """1. targets (targets)
    found:    an array of float64, shape (1,)
    expected: integers in one row""",
    ),
    "a matrix of sources": (
        dict(inputs=1, neurons=1, sources=[[0]], targets=[1]),
        "found:    an array of int64, shape (1, 1)",
    ),
    "ragged lists": (
        dict(inputs=1, neurons=1, sources=[0], targets=[[1], 1]),
        "targets (targets)\n    found:    [[1], 1]\n    expected: integers in one row",
    ),
    "a set of names, which has no order": (
        dict(inputs={"x"}, neurons=["h"], sources=[0], targets=[1]),
        "inputs (inputs)\n    found:    {'x'}\n    expected: how many there are, or",
    ),
    "ends of unequal length": (
        dict(inputs=1, neurons=1, sources=[0, 0], targets=[1]),
        "found:    2 sources and 1 targets",
    ),
    "duplicate names": (
        dict(inputs=["x", "a"], neurons=["a"], sources=[0, 1], targets=[2, 2]),
        """1. names
    found:    'a' more than once
    expected: a name of its own for every node: S and H are disjoint sets
    cure:     rename one of the nodes""",
    ),
    "numbers that are names already": (
        dict(inputs=[1], neurons=1, sources=[0], targets=[1]),
        "found:    1 more than once",
    ),
    "names of two types": (
        dict(inputs=["x", 1], neurons=["h"], sources=[0, 1], targets=[2, 2]),
        """1. names of inputs (inputs)
    found:    1 and 'x'
    expected: names that are all strings, or all integers of 64 bits""",
    ),
    "inputs and neurons of two types": (
        dict(inputs=["x"], neurons=1, sources=[0], targets=[1]),
        "found:    'x' among the inputs and 1 among the neurons",
    ),
    "names that are neither": (
        dict(inputs=[1.5], neurons=["h"], sources=[0], targets=[1]),
        "names of inputs (inputs)\n    found:    1.5",
    ),
    "names too big": (
        dict(inputs=[2**63], neurons=1, sources=[0], targets=[1]),
        "found:    9223372036854775808",
    ),
    "names with zeros": (
        dict(inputs=["x\0"], neurons=["x"], sources=[0], targets=[1]),
        r"found:    'x\x00'",
    ),
    "a name for the list of names": (
        dict(inputs="x", neurons=["h"], sources=[0], targets=[1]),
        """1. inputs (inputs)
    found:    'x'
    expected: how many there are, or their names""",
    ),
    "a negative count": (
        dict(inputs=1, neurons=-1, sources=[], targets=[]),
        "1. neurons (neurons)\n    found:    -1",
    ),
    "no inputs": (
        dict(inputs=0, neurons=0, sources=[], targets=[]),
        """1. inputs (inputs)
    found:    none
    expected: at least one input: S is not empty""",
    ),
    "unknown activation": (
        dict(inputs=1, neurons=1, sources=[0], targets=[1], activations="rely"),
        """1. activations (activations)
    found:    'rely'
    expected: an elementwise capsule function: a neuron holds one number
    cure:     did you mean 'relu'?""",
    ),
    "activation of vectors": (
        dict(inputs=["x"], neurons=["h"], sources=[0], targets=[1],
             activations=[cj.caps.softmax()]),
        """1. activation of neuron 'h' (activations)
    found:    the capsule function softmax
    expected: an elementwise capsule function: a neuron holds one number
    cure:     take one of elu, gelu""",
    ),
    "activation with settings, without them": (
        dict(inputs=1, neurons=1, sources=[0], targets=[1], activations="max_pool"),
        "found:    'max_pool'\n    expected: an elementwise capsule function",
    ),
    "class for a record": (
        dict(inputs=1, neurons=1, sources=[0], targets=[1], activations=cj.caps.relu),
        "found:    the class Relu\n    expected: an elementwise capsule function: a "
        "neuron holds one number\n    cure:     make a record of it: Relu()",
    ),
    "no activation": (
        dict(inputs=1, neurons=1, sources=[0], targets=[1], activations=[3]),
        "activation of neuron 1 (activations)\n    found:    3",
    ),
    "activations of another length": (
        dict(inputs=1, neurons=1, sources=[0], targets=[1], activations=["relu"] * 2),
        "activations (activations)\n    found:    2\n    expected: 1, one for each",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_one_clear_error(case):
    declared, text = CASES[case]
    with pytest.raises(GraphError) as caught:
        network(**declared)
    assert text in str(caught.value)
    assert len(caught.value.problems) == 1


def test_problems_are_collected():
    with pytest.raises(GraphError) as caught:
        network(1, 2, [0, 1, 0], [1, 1, 1], "rely", weights=[NAN, 1, 2])
    assert [problem.place for problem in caught.value.problems] == [
        "activations",
        "weights",
        "self loops",
        "duplicate connections",
        "the graph is not connected",
        "neurons that read nothing",
    ]
