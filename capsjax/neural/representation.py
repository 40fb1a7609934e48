"""The graph representation G_net = (V, E), and the network that a graph induces."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from capsjax.graph.errors import GraphError, Problem, brief, listing, nearest
from capsjax.graph.kinds import CapKind
from capsjax.neural.names import MOST_NODES, too_many
from capsjax.neural.network import NeuralNetwork, network, require_network

if TYPE_CHECKING:
    import networkx
    from scipy import sparse


class Vertices(NamedTuple):
    """The vertices of G_net by name, each set in the order of the nodes."""

    input: list[Any]
    hidden: list[Any]
    output: list[Any]


def vertices(net: NeuralNetwork) -> Vertices:
    """Input vertices have no IN, output vertices no OUT, hidden ones have both.

    The vertex of a network of a single input is an input, as in the paper; here it is
    the network's output too, because its value is all that the network has.

    Args:
        net: The network.

    Returns:
        The names of the input, hidden and output vertices.

    Example:
        >>> from capsjax.neural import network, vertices
        >>> vertices(network(["x1"], ["h1", "h2"], [0, 1], [1, 2]))
        Vertices(input=['x1'], hidden=['h1'], output=['h2'])

    Source: Li & Shan, arXiv 1805.03551, Section 2.
    """
    require_network("vertices", net)
    hidden, output = net.names[net.hidden_neurons], net.names[net.output_neurons]
    return Vertices(net.inputs.tolist(), hidden.tolist(), output.tolist())


def to_networkx(net: NeuralNetwork) -> "networkx.DiGraph":
    """G_net as a graph of networkx; nothing is lost.

    Args:
        net: The network.

    Returns:
        A graph whose nodes are named as those of the network. A neuron has the
        attributes `activation`, a record, and `bias`, an edge has `weight`; numbers
        that are to be drawn are left out. `induced_network` goes back.

    Example:
        >>> from capsjax.neural import induced_network, neuron, to_networkx
        >>> net = neuron("h", ["x1", "x2"], weights=[1.0, -1.0])
        >>> list(to_networkx(net).edges(data="weight"))
        [('x1', 'h', 1.0), ('x2', 'h', -1.0)]
        >>> induced_network(to_networkx(net)) == net
        True

    Source: Li & Shan, arXiv 1805.03551, Section 2.
    """
    import networkx

    require_network("to_networkx", net)
    graph = networkx.DiGraph()
    graph.add_nodes_from(net.inputs.tolist())
    records = [net.activations[code] for code in net.activation_of.tolist()]
    neurons = net.neurons.tolist()
    graph.add_nodes_from(
        (name, {"activation": record})
        for name, record in zip(neurons, records, strict=True)
    )
    if net.biases is not None:
        values = dict(zip(neurons, net.biases.tolist(), strict=True))
        networkx.set_node_attributes(graph, values, "bias")
    names = net.names
    ends = names[net.sources].tolist(), names[net.targets].tolist()
    if net.weights is None:
        graph.add_edges_from(zip(*ends, strict=True))
    else:
        graph.add_weighted_edges_from(zip(*ends, net.weights.tolist(), strict=True))
    return graph


def to_sparse(net: NeuralNetwork) -> "sparse.coo_array":
    """The matrix of the connections: `A[z, h] = w[z->h]`.

    Args:
        net: The network.

    Returns:
        A matrix with a row and a column for each node, by number. Its entries, the
        connections in their order, are the weights, or True where they are to be
        drawn. A weight of zero is an entry too. Names, activations and biases are not
        in it; `induced_network` goes back without them.

    Example:
        >>> from capsjax.neural import network, to_sparse
        >>> to_sparse(network(1, 2, [0, 1], [1, 2], weights=[0.5, 2.0])).toarray()
        array([[0. , 0.5, 0. ],
               [0. , 0. , 2. ],
               [0. , 0. , 0. ]])

    Source: Li & Shan, arXiv 1805.03551, Section 2.
    """
    from scipy import sparse

    require_network("to_sparse", net)
    entries = np.ones(len(net.sources), bool) if net.weights is None else net.weights
    shape = (len(net.names),) * 2
    return sparse.coo_array((entries, (net.sources, net.targets)), shape=shape)


def induced_network(
    graph: Any,
    activations: str | CapKind | Sequence[str | CapKind] | None = None,
    biases: Any = None,
) -> NeuralNetwork:
    """The network that a connected DAG G = (V, E) induces.

    Vertices with empty IN become inputs, the others neurons, both in the order of V.

    Args:
        graph: One of
            a pair `(V, E)`, where V is a sequence of names, or how many there are, and
            E a sequence of pairs of names; the weights are to be drawn;
            a square matrix of scipy.sparse, where an entry in row z and column h is
            w[z->h], or, if it is a matrix of booleans, a weight to be drawn;
            a `networkx.DiGraph`, with the attributes that `to_networkx` writes, or
            without.
        activations: A capsule function for all neurons, or a sequence, one a neuron;
            None: what the vertices say, or else tanh.
        biases: Of the neurons; None: what the vertices say, or else to be drawn.

    Returns:
        The network.

    Raises:
        GraphError: The graph is not a connected DAG, an edge has an end that is no
            vertex, or only some of the neurons or edges have an attribute.
        TypeError: The graph is none of these.

    Example:
        >>> from capsjax.neural import induced_network
        >>> induced_network((["x1", "x2", "h1"], [("x1", "h1"), ("x2", "h1")]))
        NeuralNetwork(2 inputs, 1 neuron, 2 connections, 2 levels, 1 output)

    Source: Li & Shan, arXiv 1805.03551, Section 2.
    """
    from scipy import sparse

    weights = None
    if isinstance(graph, tuple) and len(graph) == 2:
        names, sources, targets = _from_pair(*graph)
    elif sparse.issparse(graph):
        names, sources, targets, weights = _from_matrix(graph)
    else:
        names, sources, targets, weights, own = _from_networkx(graph)
        activations = own["activation"] if activations is None else activations
        biases = own["bias"] if biases is None else biases
    count = names if isinstance(names, int) else len(names)
    is_neuron = np.zeros(count, bool)
    is_neuron[targets] = True
    order = np.argsort(is_neuron, kind="stable")
    number = np.empty(count, np.int32)
    number[order] = np.arange(count)
    inputs = count - int(is_neuron.sum())
    each: Any = order if isinstance(names, int) else [names[i] for i in order.tolist()]
    return network(
        each[:inputs],
        each[inputs:],
        number[sources],
        number[targets],
        "tanh" if activations is None else activations,
        weights=weights,
        biases=biases,
    )


def _from_pair(vertices: Any, edges: Any) -> tuple[Any, np.ndarray, np.ndarray]:
    """V and E as names and numbers."""
    column = np.asarray(vertices, object)
    counted = isinstance(vertices, int) and not isinstance(vertices, bool)
    if (counted and vertices < 0) or (column.ndim == 0 and not counted):
        cure = "give a list of names, or a count"
        raise _wrong("V", brief(vertices), "names, or how many there are", cure)
    if counted and vertices > MOST_NODES:
        raise GraphError("network", [too_many("V", vertices)])
    if counted:
        names, known = vertices, range(vertices)
    else:
        names = column.tolist()
        known = {name: number for number, name in enumerate(names)}
        if len(known) < len(names):
            again = [name for name, times in Counter(names).items() if times > 1]
            raise _wrong("V", f"{_some(again)} more than once", "a set", "rename some")
    if not isinstance(edges, Iterable) or isinstance(edges, str):
        cure = "give a list, such as [('x1', 'h1')]"
        raise _wrong("E", brief(edges), "pairs of vertices", cure)
    pairs = edges.tolist() if isinstance(edges, np.ndarray) else list(edges)
    odd = [e for e in pairs if not isinstance(e, tuple | list) or len(e) != 2]
    if odd:
        cure = "write an edge as ('x1', 'h1')"
        raise _wrong("E", _some(odd), "pairs of vertices", cure)
    strange = [name for pair in pairs for name in pair if name not in known]
    if strange:
        texts = map(str, known if isinstance(known, dict) else ())
        cure = nearest(strange[0], texts, "add it to V")
        raise _wrong("E", f"{_some(strange)} at an end of an edge", "vertices", cure)
    if isinstance(known, dict):
        pairs = [(known[source], known[target]) for source, target in pairs]
    ends = np.array(pairs, np.int64).reshape(-1, 2)
    return names, ends[:, 0], ends[:, 1]


def _from_matrix(matrix: Any) -> tuple[int, np.ndarray, np.ndarray, np.ndarray | None]:
    """The entries of a sparse matrix as connections."""
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        cure = "give a row and a column for each vertex"
        raise _wrong("matrix", f"shape {matrix.shape}", "a square matrix", cure)
    entries = matrix.tocoo()
    ends = entries.coords if hasattr(entries, "coords") else (entries.row, entries.col)
    weights = None if entries.dtype == bool else entries.data
    return int(matrix.shape[0]), ends[0], ends[1], weights


def _from_networkx(graph: Any) -> tuple[Any, np.ndarray, np.ndarray, Any, dict]:
    """Nodes, edges and attributes of a directed graph."""
    import networkx

    if not isinstance(graph, networkx.DiGraph) or graph.is_multigraph():
        cure = "write it as one of these"
        if isinstance(graph, networkx.Graph):
            cure = "cj.neural.orient makes a network of any graph of networkx"
        elif isinstance(graph, np.ndarray):
            cure = "make a matrix sparse: scipy.sparse.coo_array(matrix)"
        elif isinstance(getattr(graph, "network", graph), NeuralNetwork):
            cure = "a network has a graph already: to_networkx(network)"
        raise TypeError(
            "a graph is a pair (V, E), a scipy.sparse matrix or a networkx.DiGraph, "
            f"not {brief(graph)}; {cure}"
        )
    names = list(graph)
    known = {name: number for number, name in enumerate(names)}
    edges = list(graph.edges(data="weight"))
    sources = np.array([known[edge[0]] for edge in edges], np.int64)
    targets = np.array([known[edge[1]] for edge in edges], np.int64)
    weights = _all_or_none("weight", [edge[2] for edge in edges], "edges")
    neurons = [data for name, data in graph.nodes(data=True) if graph.pred[name]]
    own = {
        attribute: _all_or_none(
            attribute, [data.get(attribute) for data in neurons], "neurons"
        )
        for attribute in ("activation", "bias")
    }
    return names, sources, targets, weights, own


def _all_or_none(attribute: str, values: list[Any], noun: str) -> list[Any] | None:
    """The values of an attribute, or None if nothing has it."""
    missing = sum(value is None for value in values)
    if 0 < missing < len(values):
        raise _wrong(
            f"attribute {attribute!r}",
            f"{len(values) - missing:,} of {len(values):,} {noun} have it",
            f"all {noun} or none",
            f"set it on every one of the {noun}",
        )
    return None if missing else values


def _some(each: Any) -> str:
    return listing(map(brief, each), 8)


def _wrong(place: str, found: str, expected: str, cure: str) -> GraphError:
    return GraphError("network", [Problem((), place, found, expected, cure)])
