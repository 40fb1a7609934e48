"""Random graphs: their kinds' own laws, connected, the same from the same seed."""

from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsjax.graph.errors import GraphError
from capsjax.neural.random_dags import orient, random_dag
from capsjax.neural.random_edges import connect, scale_free
from tests.helpers_capsjax import examples

small = st.integers(1, 12)
seeds = st.integers(0, 1000)


def graph_of(net) -> nx.DiGraph:
    graph = nx.DiGraph()
    graph.add_nodes_from(range(len(net.inputs) + len(net.neurons)))
    graph.add_edges_from(zip(net.sources.tolist(), net.targets.tolist(), strict=True))
    return graph


def read_by(net) -> list[list[int]]:
    """For each neuron its sources, ascending."""
    graph = graph_of(net)
    return [sorted(graph.predecessors(h)) for h in range(len(net.inputs), len(graph))]


def check(net, inputs: int, neurons: int) -> None:
    """What every random network must be."""
    assert net.inputs.tolist() == list(range(inputs))
    assert net.neurons.tolist() == list(range(inputs, inputs + neurons))
    assert net.weights is None and net.biases is None
    graph = graph_of(net)
    assert graph.number_of_edges() == len(net.sources)
    assert nx.is_weakly_connected(graph)
    assert (net.sources < net.targets).all()
    assert all(read_by(net)) and net.targets.min() >= inputs


@examples(30)
@given(small, small, small, small, seeds)
def test_window_reads_within_the_window(inputs, neurons, in_degree, window, seed):
    settings: dict[str, Any] = {"in_degree": in_degree, "window": window, "seed": seed}
    net = random_dag("window", inputs=inputs, neurons=neurons, **settings)
    check(net, inputs, neurons)
    for h, sources in enumerate(read_by(net), inputs):
        far = [z for z in sources if z < h - window]
        assert all(z < inputs for z in far) and len(far) < len(sources)
    assert len(net.sources) <= in_degree * neurons + inputs - 1  # repairs


def test_window_draws_evenly():
    net = random_dag("window", inputs=5, neurons=6000, in_degree=1, window=3)
    counts = np.bincount(net.targets - net.sources)
    assert np.abs(counts[1:4] / 6000 - 1 / 3).max() < 0.02
    assert counts[4:].sum() <= 4


@examples(30)
@given(small, small, small, small, seeds)
def test_levels_are_as_many_as_asked_for(inputs, neurons, levels, in_degree, seed):
    levels = min(levels, neurons)
    settings: dict[str, Any] = {"levels": levels, "in_degree": in_degree, "seed": seed}
    net = random_dag("levels", inputs=inputs, neurons=neurons, **settings)
    check(net, inputs, neurons)
    widths = np.bincount(net.levels)
    assert widths.tolist()[0] == inputs
    expected = [len(each) for each in np.array_split(np.arange(neurons), levels)]
    assert widths.tolist()[1:] == expected
    assert (np.diff(net.levels) >= 0).all()


@examples(30)
@given(small, small, small, seeds)
def test_scale_free_is_connected(inputs, neurons, in_degree, seed):
    settings: dict[str, Any] = {"in_degree": in_degree, "seed": seed}
    check(
        random_dag("scale_free", inputs=inputs, neurons=neurons, **settings),
        inputs,
        neurons,
    )


def test_scale_free_prefers_what_is_connected():
    """As many hubs as preferential attachment gives, far more than a uniform draw."""
    settings: dict[str, Any] = {"inputs": 3, "neurons": 3000, "in_degree": 3}
    net = random_dag("scale_free", **settings)
    uniform = random_dag("window", window=3003, **settings)
    reference = nx.barabasi_albert_graph(3003, 3, seed=0)

    def tail(degrees) -> float:
        """Share of all connections that the hundred nodes with most have."""
        return np.sort(degrees)[-100:].sum() / np.sum(degrees)

    ours = tail(np.array([d for _, d in graph_of(net).degree()]))
    theirs = tail(np.array([d for _, d in reference.degree()]))
    flat = tail(np.array([d for _, d in graph_of(uniform).degree()]))
    assert abs(ours - theirs) < 0.03
    assert ours > 1.3 * flat


def test_scale_free_draws_in_proportion():
    """The second neuron draws of the list: input, first neuron, input."""
    counts = np.zeros(2)
    for seed in range(2000):
        sources, _ = scale_free(np.random.default_rng(seed), 1, 2, in_degree=1)
        counts[sources[1]] += 1
    assert abs(counts[0] / 2000 - 2 / 3) < 0.04


@examples(30)
@given(st.integers(1, 8), st.integers(2, 20), st.integers(1, 3), st.floats(0, 1), seeds)
def test_small_world_is_connected(inputs, neurons, half, rewiring, seed):
    degree = 2 * min(half, (inputs + neurons - 1) // 2)
    settings: dict[str, Any] = {"degree": degree, "rewiring": rewiring, "seed": seed}
    net = random_dag("small_world", inputs=inputs, neurons=neurons, **settings)
    check(net, inputs, neurons)


def test_small_world_without_rewiring_is_the_ring_of_watts_and_strogatz():
    net = random_dag("small_world", inputs=3, neurons=27, degree=6, rewiring=0)
    ring = nx.watts_strogatz_graph(30, 6, 0)
    expected = {tuple(sorted(edge)) for edge in ring.edges}
    assert set(graph_of(net).edges) == {(a, b) for a, b in expected if b >= 3}


def test_small_world_moves_as_many_joints_as_asked_for():
    net = random_dag("small_world", inputs=1, neurons=4999, degree=10, rewiring=0.3)
    span = net.targets - net.sources
    near = np.minimum(span, 5000 - span) <= 5
    assert abs(near.mean() - 0.7) < 0.01
    assert abs(len(span) - 25_000) < 50


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("window", {"in_degree": 3, "window": 9}),
        ("levels", {"in_degree": 3, "levels": 5}),
        ("scale_free", {"in_degree": 3}),
        ("small_world", {"degree": 4, "rewiring": 0.5}),
    ],
)
def test_seeds_activations_and_outputs(kind, settings):
    def draw(**more):
        return random_dag(kind, inputs=4, neurons=60, **settings, **more)

    assert draw() == draw(seed=0) != draw(seed=1)
    assert str(draw().activations[0]) == "tanh"
    assert str(draw(activations="relu").activations[0]) == "relu"
    ten = draw(outputs=10)
    check(ten, 4, 70)
    assert ten.output_neurons.tolist() == list(range(64, 74))
    body = len(draw().sources)
    assert ten.sources[:body].tolist() == draw().sources.tolist()
    assert all(s == draw().output_neurons.tolist() for s in read_by(ten)[60:])


def test_parts_are_joined_by_the_first_neurons_of_the_largest():
    # Inputs 0 to 3; 4, 5 and 6 hang on input 1, 7 on input 3; 0 and 2 are not read.
    sources, targets = np.array([1, 4, 1, 3], "i4"), np.array([4, 5, 6, 7], "i4")
    sources, targets = connect(4, 8, (sources, targets))
    assert sources.tolist() == [1, 4, 1, 3, 0, 2, 3]
    assert targets.tolist() == [4, 5, 6, 7, 4, 5, 6]
    whole = np.array([0, 1], "i4"), np.array([2, 2], "i4")
    assert connect(2, 3, whole) is whole
    one = np.array([0], "i4"), np.array([4], "i4")
    assert connect(4, 5, one)[1].tolist() == [4, 4, 4, 4]


def test_a_hundred_thousand_neurons():
    net = random_dag("window", inputs=16, neurons=100_000, in_degree=4, window=1000)
    assert 399_000 < len(net.sources) <= 400_000
    assert net.sources.dtype == net.targets.dtype == np.int32


ANY = {"inputs": 2, "neurons": 5}


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (
            "windows",
            {"in_degree": 1, "window": 2},
            "random_dag: found the kind 'windows'; expected window, levels, "
            "scale_free, small_world; did you mean 'window'?",
        ),
        (
            "window",
            {"in_degree": 1},
            "random_dag 'window': window is missing; give window=",
        ),
        (
            "scale_free",
            {"in_degree": 1, "levels": 2},
            "random_dag 'scale_free': found levels=2; expected in_degree; "
            "leave levels out",
        ),
        (
            "window",
            {"in_degree": 0, "window": 2},
            "random_dag 'window': found in_degree=0; expected an integer, 1 or more",
        ),
        (
            "window",
            {"in_degree": 2, "window": 0},
            "random_dag 'window': found window=0; expected an integer, 1 or more",
        ),
        (
            "window",
            {"in_degree": 2.5, "window": 1},
            "random_dag 'window': found in_degree=2.5; expected an integer, 1 or more",
        ),
        (
            "window",
            {"in_degree": 2, "window": 1, "seed": -1},
            "random_dag 'window': found seed=-1; expected an integer, 0 or more",
        ),
        (
            "window",
            {"in_degree": 2, "window": 1, "outputs": 0},
            "random_dag 'window': found outputs=0; expected an integer, 1 or more",
        ),
        (
            "window",
            {"in_degree": 2, "window": 1, "inputs": True},
            "random_dag 'window': found inputs=True; expected an integer, 1 or more",
        ),
        (
            "levels",
            {"in_degree": 2, "levels": 6},
            "random_dag 'levels': found levels=6; expected 1 to 5",
        ),
        (
            "small_world",
            {"degree": 3, "rewiring": 0.5},
            "random_dag 'small_world': found degree=3; expected an even number, "
            "less than the 7 nodes",
        ),
        (
            "small_world",
            {"degree": 8, "rewiring": 0.5},
            "random_dag 'small_world': found degree=8; expected an even number, "
            "less than the 7 nodes",
        ),
        (
            "small_world",
            {"degree": 2, "rewiring": 1.5},
            "random_dag 'small_world': found rewiring=1.5; expected a probability, "
            "0 to 1",
        ),
        (
            "small_world",
            {"degree": 2, "rewiring": float("nan")},
            "random_dag 'small_world': found rewiring=nan; expected a probability, "
            "0 to 1",
        ),
    ],
)
def test_wrong_settings(kind, settings, message):
    with pytest.raises(ValueError) as error:
        random_dag(kind, **(ANY | settings))
    assert str(error.value) == message


def test_orient_keeps_names_and_takes_edges_by_the_order_of_nodes():
    graph = nx.MultiDiGraph([("b", "a"), ("a", "b"), ("c", "a"), ("b", "d")])
    graph.add_nodes_from("abcd")
    net = orient(graph)
    assert list(graph.nodes) == ["b", "a", "c", "d"]
    assert net.W == {("b", "a", None), ("a", "c", None), ("b", "d", None)}
    assert net.S == {"b"} and net.neurons.tolist() == ["a", "c", "d"]
    assert orient(graph, outputs=2).W - net.W == {
        *(("c", "y1", None), ("d", "y1", None)),
        *(("c", "y2", None), ("d", "y2", None)),
    }


@examples(30)
@given(st.integers(2, 30), seeds)
def test_orient_of_a_random_graph(count, seed):
    graph = nx.connected_watts_strogatz_graph(count, min(4, count), 0.5, 1000, seed)
    net = orient(graph, "relu", outputs=3)
    assert nx.is_directed_acyclic_graph(graph_of(net))
    inner = {(a, b) for a, b, _ in net.W if b < count}
    assert inner == {tuple(sorted(edge)) for edge in graph.edges}
    assert net.names[net.output_neurons].tolist() == [count, count + 1, count + 2]


def test_orient_names_what_is_no_integer_by_its_text():
    net = orient(nx.grid_2d_graph(2, 2))
    assert net.S == {"(0, 0)"} and "(1, 1)" in net.H


def test_orient_refuses():
    with pytest.raises(
        TypeError, match="^orient takes a graph of networkx; found <class"
    ):
        orient([(0, 1)])  # pyright: ignore[reportArgumentType]
    with pytest.raises(GraphError, match="self-loop|itself"):
        orient(nx.Graph([(0, 1), (1, 1)]))
    with pytest.raises(GraphError, match="connected"):
        orient(nx.Graph([(0, 1), (2, 3)]))
    with pytest.raises(ValueError, match="^orient: found outputs=0; expected an int"):
        orient(nx.path_graph(3), outputs=0)
