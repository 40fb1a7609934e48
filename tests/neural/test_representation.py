"""G_net to networkx and scipy.sparse and back, and the networks that graphs induce."""

import networkx as nx
import numpy as np
import pytest
from helpers_neural import networks
from hypothesis import given
from scipy import sparse

import capsjax as cj
from capsjax.graph import GraphError
from capsjax.neural import (
    induced_network,
    network,
    neuron,
    to_networkx,
    to_sparse,
    variable,
    vertices,
)
from tests.helpers_capsjax import examples


@examples(30)
@given(networks())
def test_nothing_is_lost_in_networkx(net):
    assert induced_network(to_networkx(net)) == net


@examples(30)
@given(networks())
def test_vertices_are_told_by_their_degrees(net):
    graph = to_networkx(net)
    found = vertices(net)
    assert set(found.input) == {v for v in graph if not graph.pred[v]}
    if len(graph) > 1:
        assert set(found.output) == {v for v in graph if not graph.succ[v]}
        assert set(found.hidden) == set(graph).difference(found.input, found.output)


def test_the_single_vertex_is_input_and_output():
    assert vertices(variable("x")) == (["x"], [], ["x"])


@examples(30)
@given(networks())
def test_a_sparse_matrix_keeps_connections_and_weights(net):
    plain = network(
        len(net.inputs), len(net.neurons), net.sources, net.targets, weights=net.weights
    )
    for matrix in (to_sparse(net), to_sparse(net).tocsr(), to_sparse(net).tocsc()):
        assert induced_network(matrix) == plain


def test_a_matrix_has_sources_for_rows_and_keeps_zeros():
    net = network(1, 2, [0, 0, 1], [1, 2, 2], weights=[0.0, 2.0, 3.0])
    matrix = to_sparse(net)
    assert matrix.nnz == 3
    assert matrix.toarray().tolist() == [[0, 0, 2], [0, 0, 3], [0, 0, 0]]
    assert to_sparse(network(1, 1, [0], [1])).toarray().tolist() == [
        [False, True],
        [False, False],
    ]


def test_one_graph_in_all_forms_induces_one_network():
    """Its vertices are in no order: 2 and 4 are the inputs."""
    edges = [(4, 0), (2, 3), (0, 1), (3, 1), (4, 1)]
    ends = np.array(edges).T
    entries = np.ones(len(edges), bool)
    forms = [
        (5, edges),
        (range(5), edges),
        (5, np.array(edges)),
        sparse.csr_array((entries, tuple(ends)), shape=(5, 5)),
        sparse.csr_matrix((entries, tuple(ends)), shape=(5, 5)),
        nx.DiGraph(edges),
    ]
    expected = network(
        [2, 4], [0, 1, 3], [1, 0, 2, 4, 1], [2, 4, 3, 3, 3], ["relu", "tanh", "relu"]
    )
    for form in forms[:-1]:
        assert induced_network(form, ["relu", "tanh", "relu"]) == expected
    # networkx has the vertices in the order of the edges: neurons 0, 3, 1.
    assert induced_network(forms[-1], ["relu", "relu", "tanh"]) == expected


def test_inputs_are_the_vertices_with_empty_in_in_the_order_of_v():
    net = induced_network((["h", "y", "x"], [("y", "h"), ("x", "h")]), "relu", [0.5])
    assert net.inputs.tolist() == ["y", "x"]
    assert net == neuron("h", ["x", "y"], "relu", bias=0.5)


def test_arguments_stand_before_attributes():
    graph = nx.DiGraph()
    graph.add_node("h", activation="relu", bias=1.0)
    graph.add_edge("x", "h", weight=2.0)
    assert induced_network(graph) == neuron("h", ["x"], "relu", [2.0], 1.0)
    other = induced_network(graph, cj.caps.leaky_relu(0.1), [3.0])
    assert other == neuron("h", ["x"], cj.caps.leaky_relu(0.1), [2.0], 3.0)


def test_a_single_vertex_induces_a_variable():
    graph = nx.DiGraph()
    graph.add_node("x")
    for form in ((["x"], []), graph):
        assert induced_network(form) == variable("x")
    assert induced_network((1, [])) == variable(0)


def partly(attribute: str) -> nx.DiGraph:
    graph = nx.DiGraph([("x", "h"), ("h", "k")])
    if attribute == "weight":
        graph.edges["x", "h"][attribute] = 1.0
    else:
        graph.nodes["h"][attribute] = "relu"
    return graph


@pytest.mark.parametrize(
    ("text", "graph"),
    [
        ("found:    'a' -> 'b' -> 'a'", (["a", "b"], [("a", "b"), ("b", "a")])),
        ("2 components: {'x', 'h'}; {'y'}", (["x", "h", "y"], [("x", "h")])),
        (
            "E\n    found:    'inpt' at an end of an edge\n    expected: vertices\n"
            "    cure:     did you mean 'input'?",
            (["input", "h"], [("inpt", "h")]),
        ),
        ("found:    2 at an end of an edge", (2, [(0, 2)])),
        ("E\n    found:    'xh'\n    expected: pairs of vertices", (["x"], ["xh"])),
        ("V\n    found:    'x' more than once", (["x", "x"], [])),
        ("V\n    found:    -1", (-1, [])),
        ("V\n    found:    {'x'}", ({"x"}, [])),
        ("inputs (inputs)\n    found:    none", (0, [])),
        (
            "matrix\n    found:    shape (2, 3)\n    expected: a square matrix",
            sparse.coo_array((2, 3)),
        ),
        ("duplicate connections", (2, [(0, 1), (0, 1)])),
        (
            "attribute 'weight'\n    found:    1 of 2 edges have it\n    expected: all "
            "edges or none",
            partly("weight"),
        ),
        ("attribute 'activation'\n    found:    1 of 2 neurons", partly("activation")),
        ("attribute 'bias'\n    found:    1 of 2 neurons", partly("bias")),
        ("names of inputs", nx.DiGraph([((0, 0), "h")])),
    ],
)
def test_graphs_that_induce_nothing(text, graph):
    with pytest.raises(GraphError) as caught:
        induced_network(graph)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    "graph", [nx.Graph([(0, 1)]), nx.MultiDiGraph([(0, 1)]), [(0, 1)], np.eye(2), None]
)
def test_what_is_no_directed_graph(graph):
    with pytest.raises(TypeError, match="a scipy.sparse matrix or a networkx.DiGraph"):
        induced_network(graph)
