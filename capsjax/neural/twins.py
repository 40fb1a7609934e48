"""Twins: nodes of a graph that nothing but their names tells apart."""

import numpy as np


def twins(
    sources: np.ndarray, targets: np.ndarray, colors: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The classes of nodes that have one color, the same sources and the same readers.

    Between two classes there is then every edge or none, and there is no coarser
    partition of which that is true and which keeps colors apart: where every edge or
    none runs between classes, the members of each have the same sources and readers.

    Near-linear: a node's set of neighbors is represented by the sum of random 64-bit
    numbers, one for each neighbor. That equal sums are equal sets is verified by
    counting edges: n times m of them between classes of n and m nodes.

    Args:
        sources: Number of the node that each edge leaves, [E]; no edge stands twice.
        targets: Number of the node that each edge enters, [E].
        colors: Integers, [nodes].

    Returns:
        The class of each node, numbered in the order of their first nodes, [nodes];
        and which pairs of classes edges join, two arrays, ascending.
    """
    seed = 0
    while True:
        classes = _classes(sources, targets, colors, np.random.default_rng(seed))
        sizes = np.bincount(classes)
        pairs = classes[sources].astype(np.int64) * len(sizes) + classes[targets]
        joined, counts = np.unique(pairs, return_counts=True)
        above, below = np.divmod(joined, len(sizes))
        if np.array_equal(counts, sizes[above] * sizes[below]):
            return classes, above, below
        seed += 1


def _classes(
    sources: np.ndarray,
    targets: np.ndarray,
    colors: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Classes by sums of random numbers: sets that differ have equal sums by chance."""
    mark = rng.integers(0, 2**64, len(colors), np.uint64)
    keys = [colors.astype(np.uint64)]
    for ends, others in ((targets, sources), (sources, targets)):
        sums = np.zeros(len(colors), np.uint64)
        np.add.at(sums, ends, mark[others])
        keys.append(sums)
    _, first, inverse = np.unique(
        np.stack(keys, 1), axis=0, return_index=True, return_inverse=True
    )
    rank = np.argsort(np.argsort(first))
    return rank[inverse.ravel()]
