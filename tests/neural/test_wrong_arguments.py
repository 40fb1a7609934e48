"""What functions of networks are given instead of one: a clear refusal each."""

# pyright: reportArgumentType=false

from types import SimpleNamespace

import networkx as nx
import numpy as np
import pytest

import capsjax as cj
from capsjax.graph import GraphError
from capsjax.neural import (
    convergence,
    derive,
    enumerate_growth,
    growth,
    induced_network,
    lift,
    model,
    network,
    neuron,
    random_dag,
    read_genome,
    replay,
    to_networkx,
    to_sparse,
    variable,
    vertices,
    write_genome,
)

GENOME = SimpleNamespace(nodes={}, connections={})
CONFIG = SimpleNamespace(input_keys=[-1], output_keys=[0])


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("vertices", vertices),
        ("to_networkx", to_networkx),
        ("to_sparse", to_sparse),
        ("growth", lambda given: growth(given, "h", ["x"])),
        ("convergence", lambda given: convergence([given], "h", [["x"]])),
        ("write_genome", lambda given: write_genome(given, GENOME, CONFIG)),
    ],
)
@pytest.mark.parametrize("given", ["net", model(neuron("h", ["x"]))])
def test_no_network(name, call, given):
    with pytest.raises(TypeError) as caught:
        call(given)
    assert str(caught.value) == (
        f"{name} takes a NeuralNetwork, not {type(given).__name__}; make one with "
        "cj.neural.network(inputs, neurons, sources, targets), or of a model take "
        "model.network"
    )


@pytest.mark.parametrize(
    ("text", "call"),
    [
        (
            "convergence takes a list of networks, not NeuralNetwork",
            lambda: convergence(variable("x"), "h", [["x"]]),
        ),
        (
            "draw_networks takes networks, not NeuralNetwork; one alone is drawn by "
            "draw_network",
            lambda: cj.view.draw_networks(variable("x")),
        ),
        (
            "replay takes a Derivation, not NeuralNetwork; make one with "
            "cj.neural.derive(network)",
            lambda: replay(variable("x")),
        ),
        (
            "a drawing of neurons is made of a NeuralNetwork, not of Model; of a model "
            "take model.network, and draw a graph of capsules by draw",
            lambda: cj.view.draw_network(model(variable("x"))),
        ),
        ("made of a NeuralNetwork, not of str", lambda: cj.view.draw_networks("x")),
        ("cj.neural.orient makes", lambda: induced_network(nx.path_graph(3))),
        ("make a matrix sparse: scipy.", lambda: induced_network(np.eye(3))),
        ("to_networkx(network)", lambda: derive(model(variable("x")))),
        ("write it as one of these", lambda: derive("x")),
        (
            "read_genome takes a neat.DefaultGenome, not str; expected nodes and "
            "connections",
            lambda: read_genome("genome", CONFIG),
        ),
        (
            "read_genome takes the configuration of the genome, not NoneType; of a "
            "neat.Config take config.genome_config",
            lambda: read_genome(GENOME, None),
        ),
        (
            "write_genome takes the configuration of the genome, not NoneType",
            lambda: write_genome(variable("x"), GENOME, None),
        ),
    ],
)
def test_wrong_types(text, call):
    with pytest.raises(TypeError) as caught:
        call()
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("text", "call"),
    [
        (
            "rule of neuron\n    found:    S = 'x1'\n    expected: a list of names: "
            "inputs and weights have an order\n    cure:     write it as a list, such "
            "as ['x1']",
            lambda: neuron("h", "x1"),
        ),
        ("found:    S = {'x1'}", lambda: neuron("h", {"x1"})),
        ("found:    S = None", lambda: neuron("h", None)),
        ("found:    h = ['h']", lambda: neuron(["h"], ["x"])),
        ("found:    h = ['h']", lambda: growth(variable("x"), ["h"], ["x"])),
        ("found:    N = 'x'", lambda: growth(variable("x"), "h", "x")),
        ("found:    ['x'] in N", lambda: growth(variable("x"), "h", [["x"]])),
        (
            "found:    A_1 = 'x'",
            lambda: convergence([variable("x"), variable("z")], "h", ["x", "z"]),
        ),
        (
            "rule of convergence\n    found:    sources 3\n    expected: sources: one "
            "sequence for each network\n    cure:     give a list of lists",
            lambda: convergence([variable("x")], "h", 3),
        ),
        (
            "1. inputs (inputs)\n    found:    1000000000000\n    expected: at most "
            "2,147,483,647 nodes in all\n    cure:     a smaller network",
            lambda: network(10**12, 1, [0], [1]),
        ),
        (
            "1. V (V)\n    found:    1000000000000",
            lambda: induced_network((10**12, [])),
        ),
        (
            "1. E\n    found:    None\n    expected: pairs of vertices\n    cure:     "
            "give a list, such as [('x1', 'h1')]",
            lambda: induced_network((1, None)),
        ),
        (
            "found:    '\\ud800'\n    expected: names of Unicode characters other "
            "than the one of number zero",
            lambda: variable("\ud800"),
        ),
    ],
)
def test_wrong_names(text, call):
    with pytest.raises(GraphError) as caught:
        call()
    assert text in str(caught.value)
    assert len(caught.value.problems) == 1


def test_sizes_are_judged_before_anything_is_drawn():
    with pytest.raises(ValueError, match="random_dag 'window'") as caught:
        random_dag("window", inputs=3, neurons=10**9, in_degree=10**6, window=3)
    assert "found 1,000,000,003 nodes with 1,000,000 draws each, about 46," in str(
        caught.value
    )
    with pytest.raises(ValueError, match="expected at most 2,147,483,647 nodes"):
        random_dag("small_world", inputs=3, neurons=10**10, degree=2, rewiring=0.1)


def test_a_network_that_is_not_enumerated():
    with pytest.raises(IndexError) as caught:
        enumerate_growth(1, 2)[3]
    expected = "network 3 of <3 networks>, which are counted from 0"
    assert str(caught.value) == expected


def test_more_networks_than_a_picture_bears():
    with pytest.raises(ValueError) as caught:
        cj.view.draw_networks(enumerate_growth(2, 40))
    assert str(caught.value) == (
        "draw_networks: found more than 200 networks; expected at most as many; "
        "draw some of them: nets[:200]"
    )


def test_what_was_lifted_prints_short():
    found = lift(
        network(2, 4, [0, 1, 0, 1, 0, 1, 2, 3, 4], [2, 2, 3, 3, 4, 4, 5, 5, 5])
    )
    assert repr(found) == (
        "Lifted(Graph('neurons', 1 inputs, 2 capsules, outputs ['y']), of 4 neurons, "
        "no parameters)"
    )
