"""Levels, cycles and components of a graph given as arrays of edges: near-linear."""

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from scipy import sparse

# Below this many nodes a level is walked in Python: the calls of NumPy that a wide
# level needs cost as much as some tens of nodes.
_NARROW = 32


def group(keys: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Sorts edges by one of their ends: a stable counting sort.

    Args:
        keys: Index of the node that each edge belongs to, [E].
        count: Number of nodes.

    Returns:
        The order, numbers of edges [E]; and where each node's begin in it,
        [count + 1].
    """
    from scipy import sparse

    # Edges are the columns of a matrix with one entry each, nodes its rows: to go from
    # columns to rows is a counting sort in compiled code, ten times argsort's speed.
    ends = np.arange(len(keys) + 1, dtype=np.int32 if len(keys) < 2**31 else np.int64)
    entries = np.empty(len(keys), np.int8)
    by_edge = sparse.csc_array((entries, keys, ends), shape=(count, len(keys)))
    by_node = by_edge.tocsr()
    return by_node.indices, by_node.indptr


def adjacency(
    sources: np.ndarray, targets: np.ndarray, count: int
) -> "sparse.csr_array":
    """The edges as a matrix of ones, sources by targets; repeated edges are kept.

    Args:
        sources: Index of the node that each edge leaves, [E].
        targets: Index of the node that each edge enters, [E].
        count: Number of nodes.

    Returns:
        A matrix [count, count], each row in the order of the edges.
    """
    from scipy import sparse

    order, first = group(sources, count)
    entries = np.ones(len(order), np.int8)
    return sparse.csr_array((entries, targets[order], first), shape=(count, count))


def levels(sources: np.ndarray, targets: np.ndarray, count: int) -> np.ndarray:
    """The topological level of every node: the longest path that ends in it.

    Args:
        sources: Index of the node that each edge leaves, [E].
        targets: Index of the node that each edge enters, [E].
        count: Number of nodes.

    Returns:
        Integers [count]; 0 for nodes without a source, -1 for nodes on a cycle or
        behind one.
    """
    found = np.full(count, -1, np.int32)
    missing = np.bincount(targets, minlength=count)
    matrix = adjacency(sources, targets, count)
    first, readers = matrix.indptr, matrix.indices
    views: list[Any] = [each.data for each in (first, readers, missing, found)]
    front, level = np.flatnonzero(missing == 0), 0
    while front.size:
        if front.size < _NARROW:
            nodes, level = _walk(front.tolist(), level, *views)
            front = np.array(nodes, np.int64)
            continue
        found[front] = level
        sizes = first[front + 1] - first[front]
        offsets = np.repeat(first[front] - np.cumsum(sizes) + sizes, sizes)
        reached = readers[offsets + np.arange(len(offsets))]
        np.subtract.at(missing, reached, 1)
        front, level = np.unique(reached[missing[reached] == 0]), level + 1
    return found


def _walk(
    front: list[int],
    level: int,
    first: memoryview,
    readers: memoryview,
    missing: memoryview,
    found: memoryview,
) -> tuple[list[int], int]:
    """Goes on level by level until one is wide or none is left."""
    while 0 < len(front) < _NARROW:
        following = []
        for node in front:
            found[node] = level
            for reader in readers[first[node] : first[node + 1]]:
                missing[reader] -= 1
                if not missing[reader]:
                    following.append(reader)
        front, level = following, level + 1
    return front, level


def cycle(sources: np.ndarray, targets: np.ndarray, found: np.ndarray) -> np.ndarray:
    """One cycle among the nodes that have no level.

    Walks backwards: a node without a level has a source without one, so the walk must
    return to a node it has seen.

    Args:
        sources: Index of the node that each edge leaves, [E].
        targets: Index of the node that each edge enters, [E].
        found: What `levels` returned; -1 somewhere.

    Returns:
        Indices of nodes in the direction of the edges, the first repeated at the end.
    """
    left = np.flatnonzero((found[sources] < 0) & (found[targets] < 0))
    source_of = np.full(len(found), -1)
    source_of[targets[left]] = sources[left]
    step = source_of.data
    seen: dict[int, int] = {}
    node = int(np.argmax(found < 0))
    while node not in seen:
        seen[node] = len(seen)
        node = step[node]
    walk = [*list(seen)[seen[node] :], node]
    return np.array(walk[::-1])


def components(matrix: "sparse.csr_array") -> np.ndarray:
    """The connected part of every node, edges taken without direction.

    Args:
        matrix: The edges as `adjacency` gives them.

    Returns:
        Integers [count]: the number of the part, from 0.
    """
    from scipy.sparse import csgraph

    return csgraph.connected_components(matrix, connection="weak")[1]


def has_duplicates(matrix: "sparse.csr_array") -> bool:
    """Whether an edge comes more than once.

    Args:
        matrix: The edges as `adjacency` gives them.
    """
    by_target = matrix.tocsc()  # a stable sort: within a column, rows ascend
    same = by_target.indices[1:] == by_target.indices[:-1]
    starts = by_target.indptr[1:-1]
    same[starts[(starts > 0) & (starts < matrix.nnz)] - 1] = False
    return bool(same.any())
