"""Which of the networks made so far each connection of a derivation reads from."""

import numpy as np

from capsjax.graph.levels import group


def networks_read(sources: np.ndarray, offsets: np.ndarray, inputs: int) -> np.ndarray:
    """For each connection, the last step of the network that its source lies in.

    Steps add nodes one by one; those that a node reads from become one network with
    it. Weighted by the step that reads, the connections have a minimum spanning tree
    whose edges into a node are as many as the networks it joins (Kruskal's algorithm
    takes them in the order of the steps). So the tree, found by compiled code, leaves
    only the |S| - 1 true unions to be done one by one.

    Args:
        sources: The step that added the node that each connection leaves, [E].
        offsets: Where the connections of each step begin, [N + 1].
        inputs: |S|: the first steps, which read nothing.

    Returns:
        Numbers of steps, [E], each less than the step that reads.
    """
    from scipy import sparse

    count = len(offsets) - 1
    steps = np.arange(count, dtype=np.int32)
    reads = np.repeat(steps, np.diff(offsets))
    # Weight 0 would be no edge, hence + 1; no input reads, so that none is 0 anyway.
    graph = sparse.csr_array((reads + 1.0, sources, offsets), shape=(count, count))
    tree = sparse.csgraph.minimum_spanning_tree(graph).tocsr()

    # One tree edge into each neuron leads to an input from which its network grew;
    # the others join that input's network with another's.
    first = tree.indptr[inputs:-1]
    parent = steps.copy()
    parent[inputs:] = tree.indices[first]
    while not np.array_equal(further := parent[parent], parent):
        parent = further
    joining = np.ones(tree.nnz, bool)
    joining[first] = False
    step = np.repeat(steps, np.diff(tree.indptr))[joining]
    other = parent[tree.indices[joining]]
    joined, when = _unions(parent[step], other, step, inputs)

    network = _find(parent[sources], reads, joined, when)  # before the step
    made = _find(parent, steps + 1, joined, when)  # by the step
    # The network before a step was made by the last step that made it, which is the
    # one before in its group if the step goes on with it, and else the group's last.
    order, start = group(made, inputs)
    before = np.empty(count, np.int32)
    before[order[1:]] = order[:-1]
    last = order[start[1:] - 1]
    return np.where(network == made[reads], before[reads], last[network])


def _unions(
    left: np.ndarray, right: np.ndarray, step: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Joins sets pair by pair, the smaller into the larger, and keeps the history.

    Returns:
        For each of `count` elements, the one it was joined into (itself if none), and
        the step that did it (the largest integer if none).
    """
    joined, size = list(range(count)), [1] * count
    when = np.full(count, np.iinfo(np.int32).max, np.int32)
    for a, b, number in zip(left.tolist(), right.tolist(), step.tolist(), strict=True):
        while joined[a] != a:
            a = joined[a]
        while joined[b] != b:
            b = joined[b]
        if size[a] < size[b]:
            a, b = b, a
        joined[b] = a
        size[a] += size[b]
        when[b] = number
    return np.array(joined, np.int32), when


def _find(
    elements: np.ndarray, time: np.ndarray, joined: np.ndarray, when: np.ndarray
) -> np.ndarray:
    """The set that each element belonged to before a time.

    Sets of n elements are at most log2(n) joins deep: as many rounds are needed.
    """
    found = elements.copy()
    open_ = np.flatnonzero(when[found] < time)
    while open_.size:
        found[open_] = joined[found[open_]]
        open_ = open_[when[found[open_]] < time[open_]]
    return found
