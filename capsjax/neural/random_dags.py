"""Random connected acyclic graphs of neurons, for experiments: random_dag and orient.

Nodes are numbered, inputs first, and every connection runs from a lower number to a
higher one.
"""

import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from capsjax.graph.errors import nearest
from capsjax.graph.kinds import CapKind
from capsjax.graph.memory import gibibytes
from capsjax.neural import random_edges
from capsjax.neural.names import MOST_NODES
from capsjax.neural.network import NeuralNetwork, network

if TYPE_CHECKING:
    import networkx as nx

_BYTES = 50  # of memory for each draw, until the network is made

Activations = str | CapKind | Sequence[str | CapKind]

_SETTINGS = {
    "window": ("in_degree", "window"),
    "levels": ("levels", "in_degree"),
    "scale_free": ("in_degree",),
    "small_world": ("degree", "rewiring"),
}


def random_dag(
    kind: str,
    *,
    inputs: int,
    neurons: int,
    in_degree: int | None = None,
    window: int | None = None,
    levels: int | None = None,
    degree: int | None = None,
    rewiring: float | None = None,
    activations: Activations = "tanh",
    outputs: int | None = None,
    seed: int = 0,
) -> NeuralNetwork:
    """A random network whose graph is acyclic and connected.

    The kinds and the settings that each requires:

        window       in_degree, window    Each neuron reads `in_degree` draws of the
                                          `window` nodes before it.
        levels       levels, in_degree    Neurons are dealt to levels of equal width.
                                          Each reads one draw of the level before its
                                          own, the rest of all levels before.
        scale_free   in_degree            Preferential attachment: each neuron reads
                                          `in_degree` draws of the nodes before it, a
                                          node in proportion to its connections; an
                                          input counts one more.
        small_world  degree, rewiring     All nodes in a ring, each joined to the
                                          `degree` nearest; each joint is moved to a
                                          random node with probability `rewiring`.

    Equal draws of a neuron count once. In a small world no connection enters an
    input, and a neuron without a source reads the node before it. What is then not
    connected is repaired: the first input of each part apart from the largest is
    read by a neuron of the largest, the first neuron, then the second and so on. That
    changes no neuron's level.

    Args:
        kind: "window", "levels", "scale_free" or "small_world".
        inputs: Number of inputs.
        neurons: Number of neurons, those of `outputs` not counted.
        in_degree: Number of draws of a neuron.
        window: How many nodes back a neuron may read.
        levels: Number of levels, that of the inputs not counted.
        degree: Number of neighbors in the ring, even.
        rewiring: A probability.
        activations: A capsule function for all neurons, or one for each.
        outputs: Adds this many neurons, each of which reads every neuron that nobody
            reads, so that they are the outputs. Without, the outputs are as the
            graph has them.
        seed: The same settings with the same seed give the same network.

    Returns:
        The network; names are node numbers, weights and biases are to be drawn.

    Raises:
        ValueError: An unknown kind, a setting that the kind lacks or has not, a value
            that it cannot have, or more connections than fit into memory.
        GraphError: An activation is none of a neuron.

    Example:
        >>> from capsjax.neural import random_dag
        >>> net = random_dag("window", inputs=4, neurons=50, in_degree=3, window=9)
        >>> len(net.inputs), len(net.neurons)
        (4, 50)
        >>> net = random_dag("levels", inputs=4, neurons=50, levels=7, in_degree=3)
        >>> int(net.levels.max())
        7

    Source: scale-free: Barabasi & Albert (1999), drawn as by Batagelj & Brandes
    (2005); small world: Watts & Strogatz (1998), oriented as in Xie et al. (2019),
    arXiv 1904.01569.
    """
    given = {
        name: value
        for name, value in (
            ("in_degree", in_degree),
            ("window", window),
            ("levels", levels),
            ("degree", degree),
            ("rewiring", rewiring),
        )
        if value is not None
    }
    _check_settings(kind, given)
    inputs = _count(kind, "inputs", inputs)
    neurons = _count(kind, "neurons", neurons)
    rng = np.random.default_rng(_count(kind, "seed", seed, least=0))
    counts = {n: _count(kind, n, v) for n, v in given.items() if n != "rewiring"}
    _check_memory(kind, inputs + neurons, counts.get("in_degree") or counts["degree"])
    if kind == "window":
        edges = random_edges.window(rng, inputs, neurons, **counts)
    elif kind == "levels":
        _check(kind, "levels", levels, counts["levels"] <= neurons, f"1 to {neurons}")
        edges = random_edges.levels(rng, inputs, neurons, **counts)
    elif kind == "scale_free":
        edges = random_edges.scale_free(rng, inputs, neurons, **counts)
    else:
        ring = counts["degree"] % 2 == 0 and counts["degree"] < inputs + neurons
        expected = f"an even number, less than the {inputs + neurons} nodes"
        _check(kind, "degree", degree, ring, expected)
        chance = isinstance(rewiring, int | float) and 0 <= rewiring <= 1
        _check(kind, "rewiring", rewiring, chance, "a probability, 0 to 1")
        edges = random_edges.small_world(
            rng, inputs, neurons, counts["degree"], float(rewiring or 0)
        )
    edges = random_edges.connect(inputs, inputs + neurons, edges)
    more = 0 if outputs is None else _count(kind, "outputs", outputs)
    edges = random_edges.read_sinks(inputs + neurons, more, edges)
    return network(inputs, neurons + more, *edges, activations)


def orient(
    graph: "nx.Graph", activations: Activations = "tanh", *, outputs: int | None = None
) -> NeuralNetwork:
    """A network from any connected networkx graph, oriented by the order of its nodes.

    Each edge runs from the node that comes first in `graph.nodes` to the other one,
    whatever its direction was; equal edges count once. Nodes that no edge enters are
    the inputs.

    Args:
        graph: Directed or not, several edges between two nodes or not.
        activations: A capsule function for all neurons, or one for each.
        outputs: Adds this many neurons, each of which reads every node that nobody
            reads: y1, y2, ..., or the integers after the greatest name.

    Returns:
        The network; names are those of the nodes, as texts where they are not all
        integers; weights and biases are to be drawn.

    Raises:
        TypeError: Not a graph of networkx.
        ValueError: `outputs` is no positive integer.
        GraphError: The graph is not connected, has a self-loop or has no node; or an
            activation is none of a neuron.

    Example:
        >>> import networkx as nx
        >>> from capsjax.neural import orient
        >>> net = orient(nx.cycle_graph(4))
        >>> net.inputs.tolist(), net.sources.tolist(), net.targets.tolist()
        ([0], [0, 1, 0, 2], [1, 2, 3, 3])

    Source: Xie et al. (2019), arXiv 1904.01569.
    """
    import networkx as nx

    if not isinstance(graph, nx.Graph):
        raise TypeError(f"orient takes a graph of networkx; found {type(graph)}")
    nodes = list(graph.nodes)
    rank = {node: i for i, node in enumerate(nodes)}
    pairs = {tuple(sorted((rank[a], rank[b]))) for a, b in graph.edges()}
    ordered = sorted(pairs, key=operator.itemgetter(1, 0))
    sources, targets = np.array(ordered, np.int64).reshape(-1, 2).T
    more = 0 if outputs is None else _count("orient", "outputs", outputs)
    sources, targets = random_edges.read_sinks(len(nodes), more, (sources, targets))
    names = _names(nodes, more)
    # Inputs get the first numbers; otherwise the order stays.
    reads = np.isin(np.arange(len(names)), targets)
    number = np.where(
        reads, np.cumsum(reads) - 1 + np.sum(~reads), np.cumsum(~reads) - 1
    )
    return network(
        [name for name, reading in zip(names, reads, strict=True) if not reading],
        [name for name, reading in zip(names, reads, strict=True) if reading],
        number[sources],
        number[targets],
        activations,
    )


def _names(nodes: list[Any], more: int) -> list[Any]:
    """Names of a graph's nodes and of so many further ones."""
    if all(type(node) is int for node in nodes):
        after = max(nodes, default=-1) + 1
        return [*nodes, *range(after, after + more)]
    return [*map(str, nodes), *(f"y{i + 1}" for i in range(more))]


def _check_settings(kind: str, given: dict[str, Any]) -> None:
    if kind not in _SETTINGS:
        known = ", ".join(_SETTINGS)
        raise ValueError(
            f"random_dag: found the kind {kind!r}; expected {known}; "
            f"{nearest(kind, _SETTINGS, 'choose one of them')}"
        )
    for name in _SETTINGS[kind]:
        if name not in given:
            raise ValueError(f"random_dag {kind!r}: {name} is missing; give {name}=")
    for name in given:
        if name not in _SETTINGS[kind]:
            takes = " and ".join(_SETTINGS[kind])
            raise ValueError(
                f"random_dag {kind!r}: found {name}={given[name]!r}; expected {takes}; "
                f"leave {name} out"
            )


def _check_memory(kind: str, nodes: int, draws: int) -> None:
    """Refuses what would not fit, before anything is drawn."""
    import psutil  # here: reading the machine's state takes a while

    size, memory = nodes * draws * _BYTES, psutil.virtual_memory().total
    if size > memory or nodes > MOST_NODES:
        raise ValueError(
            f"random_dag {kind!r}: found {nodes:,} nodes with {draws:,} draws each, "
            f"about {gibibytes(size)}; expected at most {MOST_NODES:,} nodes, and the "
            f"{gibibytes(memory)} of this machine's memory; make a smaller network"
        )


def _check(kind: str, name: str, value: Any, holds: bool, expected: str) -> None:
    if not holds:
        raise ValueError(
            f"random_dag {kind!r}: found {name}={value!r}; expected {expected}"
        )


def _count(place: str, name: str, value: Any, least: int = 1) -> int:
    """An integer not below a bound."""
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if number < least or isinstance(value, bool):
        place = place if place == "orient" else f"random_dag {place!r}"
        raise ValueError(
            f"{place}: found {name}={value!r}; expected an integer, {least} or more"
        )
    return number
