"""Topological levels and components of a graph given as arrays of edges."""

import numpy as np


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
    order = np.argsort(sources, kind="stable")
    first = np.zeros(count + 1, np.int64)
    np.cumsum(np.bincount(sources, minlength=count), out=first[1:])
    readers = targets[order]
    front, level = np.flatnonzero(missing == 0), 0
    while front.size:
        found[front] = level
        sizes = first[front + 1] - first[front]
        offsets = np.repeat(first[front] - np.cumsum(sizes) + sizes, sizes)
        reached = readers[offsets + np.arange(sizes.sum())]
        np.subtract.at(missing, reached, 1)
        candidates = np.unique(reached)
        front, level = candidates[missing[candidates] == 0], level + 1
    return found
