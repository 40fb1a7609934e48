"""Edges of random graphs, drawn in arrays, and what makes them connected.

Every edge runs from a lower node to a higher one; nodes below `inputs` are inputs. A
function draws for all neurons at once, so that millions of edges take a second.
"""

import numpy as np

Edges = tuple[np.ndarray, np.ndarray]
"""Sources and targets, int32, in the order of the targets."""


def window(
    rng: np.random.Generator, inputs: int, neurons: int, in_degree: int, window: int
) -> Edges:
    """Each neuron reads draws of the `window` nodes before it."""
    high = np.arange(inputs, inputs + neurons, dtype=np.int32)
    low = np.maximum(high - min(window, inputs + neurons), 0)
    return _distinct(inputs, _draw(rng, low, high, in_degree))


def levels(
    rng: np.random.Generator, inputs: int, neurons: int, levels: int, in_degree: int
) -> Edges:
    """Each neuron reads a draw of the level before its own, and draws of all before."""
    widths = neurons // levels + (np.arange(levels) < neurons % levels)
    begins = np.concatenate([[0, inputs], inputs + np.cumsum(widths)]).astype(np.int32)
    low, high = np.repeat(begins[:-2], widths), np.repeat(begins[1:-1], widths)
    draws = _draw(rng, np.zeros_like(high), high, in_degree)
    draws[:, 0] = rng.integers(low, high)
    return _distinct(inputs, draws)


def scale_free(
    rng: np.random.Generator, inputs: int, neurons: int, in_degree: int
) -> Edges:
    """Each neuron reads draws of the nodes before it, in proportion to their edges.

    A node stands in a list once for each of its edges, and an input once more; a
    place in the list is drawn. The list: the inputs, then for each draw e the neuron
    that draws, `e // in_degree`, and what it draws, which is the node at another place.
    """
    before = inputs + 2 * in_degree * np.arange(neurons, dtype=np.int64)
    draws = _draw(rng, np.zeros_like(before), before, in_degree).reshape(-1)
    places = draws.copy()
    open_ = np.flatnonzero((places >= inputs) & ((places - inputs) % 2 == 1))
    while len(open_):  # each step closes about half
        found = draws[(places[open_] - inputs) // 2]
        places[open_] = found
        open_ = open_[(found >= inputs) & ((found - inputs) % 2 == 1)]
    nodes = np.where(
        places < inputs, places, inputs + (places - inputs) // 2 // in_degree
    )
    return _distinct(inputs, nodes.astype(np.int32).reshape(neurons, in_degree))


def small_world(
    rng: np.random.Generator, inputs: int, neurons: int, degree: int, rewiring: float
) -> Edges:
    """A ring of all nodes, each joined to its nearest, joints moved at random."""
    count = inputs + neurons
    one = np.repeat(np.arange(count, dtype=np.int64), degree // 2)
    other = (one + np.tile(np.arange(1, degree // 2 + 1), count)) % count
    moved = np.flatnonzero(rng.random(len(one)) < rewiring)
    other[moved] = (one[moved] + rng.integers(1, count, len(moved))) % count
    sources, targets = np.minimum(one, other), np.maximum(one, other)
    reads = np.zeros(count, bool)
    reads[targets] = True
    lonely = inputs + np.flatnonzero(~reads[inputs:])
    sources = np.concatenate([sources, lonely - 1])
    targets = np.concatenate([targets, lonely])
    edges = (targets * count + sources)[targets >= inputs]
    edges.sort()  # much faster here than numpy's unique
    edges = edges[np.diff(edges, prepend=-1) > 0]
    return (edges % count).astype(np.int32), (edges // count).astype(np.int32)


def connect(inputs: int, count: int, edges: Edges) -> Edges:
    """Joins what is apart: the largest part reads the first input of each other part.

    Following first sources leads from every node to an input, its root. So inputs
    stand for all nodes, and the parts are those of the few edges between roots.

    Args:
        inputs: Number of inputs.
        count: Number of nodes.
        edges: In the order of the targets; every neuron has a source.

    Returns:
        The edges, what joins the parts at the end.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    sources, targets = edges
    first = sources[np.flatnonzero(np.diff(targets, prepend=-1))]
    root = np.concatenate([np.arange(inputs, dtype=np.int32), first])
    while not np.array_equal(further := root[root], root):
        root = further
    one, other = root[sources], root[targets]
    apart = one != other
    links = np.unique(one[apart].astype(np.int64) * inputs + other[apart])
    ends = links // inputs, links % inputs
    pairs = coo_array((np.ones(len(links)), ends), shape=(inputs, inputs))
    found, part_of_input = connected_components(pairs, directed=False)
    if found == 1:
        return edges
    part = part_of_input[root]
    largest = np.bincount(part).argmax()
    readers = inputs + np.flatnonzero(part[inputs:] == largest)
    _, read = np.unique(part_of_input, return_index=True)
    read = np.delete(read, largest)
    readers = readers[np.arange(len(read)) % len(readers)]
    return (
        np.concatenate([sources, read.astype(np.int32)]),
        np.concatenate([targets, readers.astype(np.int32)]),
    )


def read_sinks(count: int, outputs: int, edges: Edges) -> Edges:
    """Further neurons, each of which reads every node that nobody reads.

    Args:
        count: Number of nodes so far.
        outputs: Number of neurons to add.
        edges: Edges so far.

    Returns:
        The edges, those of the further neurons at the end.
    """
    sources, targets = edges
    read = np.zeros(count, bool)
    read[sources] = True
    sinks = np.flatnonzero(~read) if outputs else np.array([], np.int64)
    further = np.arange(count, count + outputs).repeat(len(sinks))
    return (
        np.concatenate([sources, np.tile(sinks, outputs).astype(sources.dtype)]),
        np.concatenate([targets, further.astype(targets.dtype)]),
    )


def _draw(
    rng: np.random.Generator, low: np.ndarray, high: np.ndarray, times: int
) -> np.ndarray:
    """For each neuron integers from low to below high, in a row."""
    size = len(low), times
    return rng.integers(low[:, None], high[:, None], size=size, dtype=low.dtype)


def _distinct(inputs: int, draws: np.ndarray) -> Edges:
    """Rows of sources, one a neuron, as edges; equal draws count once."""
    draws.sort(axis=1)
    keep = np.ones(draws.shape, bool)
    np.not_equal(draws[:, 1:], draws[:, :-1], out=keep[:, 1:])
    neurons = np.arange(inputs, inputs + len(draws), dtype=np.int32)
    return draws[keep], neurons.repeat(keep.sum(axis=1))
