"""Rows: what each node of a sweep is computed from, as dense blocks, rows and sums."""

from typing import NamedTuple

import numpy as np

from capsjax.compiler.groups.schedule import (
    DENSEST,
    LEAST_DENSE,
    MOST_DENSE,
    MOST_READS,
    Sweep,
)

DEPTHS = 16
"""Steps that a level is given for partial sums; 16**14 sources are enough."""


class Block(NamedTuple):
    """Nodes that read the same sources, for a matrix product."""

    key: int
    finish: int
    nodes: np.ndarray  # computed nodes, counted from 0
    sources: np.ndarray
    weights: np.ndarray  # which weight, [nodes, sources]


class Rows(NamedTuple):
    """Rows to be cut into tiles, their sources one row after the other."""

    node: np.ndarray  # the node that the row is; partial sums are nodes, too
    key: np.ndarray  # when: level * DEPTHS + step within the level
    weighted: np.ndarray
    finish: np.ndarray
    label: np.ndarray
    degree: np.ndarray
    sources: np.ndarray
    weights: np.ndarray


def dense_blocks(
    sweep: Sweep, order: np.ndarray, degree: np.ndarray
) -> tuple[list[Block], np.ndarray]:
    """Finds the nodes that a matrix product computes.

    Args:
        sweep: The sweep.
        order: Its edges by target.
        degree: Number of edges into each node.

    Returns:
        The blocks, and which nodes are in none.
    """
    left = np.ones(len(degree), bool)
    wide = degree >= MOST_READS
    wide[sweep.seeded] = False
    nodes = np.flatnonzero(wide)
    if not len(nodes) or not sweep.dense:
        return [], left
    first = np.cumsum(degree) - degree
    marks = np.random.default_rng(0).integers(1, 2**63, sweep_size(sweep), np.uint64)
    sums = np.zeros(len(degree), np.uint64)
    np.add.at(sums, sweep.targets, marks[sweep.sources])
    found: list[Block] = []
    for alike in _groups(nodes, degree, sweep.level, sweep.finish):
        block = _block(sweep, order, first, degree, alike)
        if block is not None:
            found.append(block)
            continue
        for same in _groups(alike, degree, sums):
            block = _block(sweep, order, first, degree, same)
            found += [] if block is None else [block]
    found.sort(key=lambda block: -block.weights.size)
    for block in found[:MOST_DENSE]:
        left[block.nodes] = False
    return found[:MOST_DENSE], left


def sweep_size(sweep: Sweep) -> int:
    """Number of nodes, given and computed."""
    return sweep.given + len(sweep.level)


def _groups(
    nodes: np.ndarray, degree: np.ndarray, *keys: np.ndarray
) -> list[np.ndarray]:
    """Nodes that agree in all keys, if they have edges enough for a product."""
    values = [key[nodes] for key in keys]
    nodes = nodes[np.lexsort(values)]
    changes = np.zeros(len(nodes), bool)
    changes[0] = True
    for key in keys:
        changes[1:] |= key[nodes][1:] != key[nodes][:-1]
    starts = np.flatnonzero(changes)
    ends = np.append(starts[1:], len(nodes))
    enough = np.add.reduceat(degree[nodes], starts) >= LEAST_DENSE
    spans = zip(starts[enough].tolist(), ends[enough].tolist(), strict=True)
    return [nodes[start:end] for start, end in spans]


def _block(sweep, order, first, degree, nodes) -> Block | None:
    """One matrix product for all nodes, if they share enough of their sources."""
    edges = order[spread(first[nodes], degree[nodes])]
    sources, column = np.unique(sweep.sources[edges], return_inverse=True)
    if len(edges) < DENSEST * len(nodes) * len(sources):
        return None
    weights = np.full((len(nodes), len(sources)), sweep.no_weight, np.int32)
    weights[np.repeat(np.arange(len(nodes)), degree[nodes]), column] = sweep.weights[
        edges
    ]
    if np.count_nonzero(weights != sweep.no_weight) < len(edges):
        return None  # a source that is read twice has two weights, an entry has one
    key = int(sweep.level[nodes[0]]) * DEPTHS
    return Block(key, int(sweep.finish[nodes[0]]), nodes, sources, weights)


def spread(first: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """`first[i], first[i] + 1, ...`, `sizes[i]` of them, for every i."""
    starts = np.cumsum(sizes) - sizes
    return np.repeat(first - starts, sizes) + np.arange(int(sizes.sum()))


def make_rows(
    sweep: Sweep, order: np.ndarray, degree: np.ndarray, left: np.ndarray
) -> Rows:
    """The rows of all nodes that no block computes.

    A node of at most `MOST_READS` sources is one row. One of more is a tree: rows of
    partial sums, then rows that add them up; seeds join the sum as they are.

    Args:
        sweep: The sweep.
        order: Its edges by target.
        degree: Number of edges into each node.
        left: The nodes to make rows of.

    Returns:
        The rows.
    """
    seeds = np.bincount(sweep.seeded, minlength=len(degree))
    first = np.cumsum(degree) - degree
    whole = left & (degree <= MOST_READS) & (seeds == 0)
    nodes = np.flatnonzero(whole)
    edges = order[spread(first[nodes], degree[nodes])]
    parts = [
        _part(sweep, nodes, 0, True, degree[nodes], sweep.sources[edges])
        | {"weights": sweep.weights[edges]}
    ]
    parts += _trees(sweep, order, first, degree, np.flatnonzero(left & ~whole))
    joined = {
        name: np.concatenate([part[name] for part in parts]) for name in Rows._fields
    }
    return Rows(**joined)


def _part(sweep: Sweep, nodes, step: int, weighted: bool, degree, sources):
    """Rows that end nodes."""
    return {
        "node": sweep.given + nodes,
        "key": sweep.level[nodes] * DEPTHS + step,
        "weighted": np.full(len(nodes), weighted),
        "finish": sweep.finish[nodes],
        "label": sweep.label[nodes],
        "degree": degree,
        "sources": sources,
        "weights": np.full(len(sources), sweep.no_weight, np.int32),
    }


def _trees(sweep: Sweep, order, first, degree, nodes) -> list[dict[str, np.ndarray]]:
    """Rows of nodes with many sources, or with seeds: sums of sums."""
    if not len(nodes):
        return []
    parts = []
    next_node = sweep_size(sweep)

    def partial(owner, step, weighted, sources, weights):
        """Rows of partial sums; returns the node that each owner has got by each."""
        nonlocal next_node
        start, sizes = _chunks(owner)
        owners = owner[start]
        made = next_node + np.arange(len(start))
        next_node += len(start)
        parts.append(
            {
                "node": made,
                "key": sweep.level[owners] * DEPTHS + step,
                "weighted": np.full(len(start), weighted),
                "finish": np.full(len(start), -1, sweep.finish.dtype),
                "label": np.full(len(start), sweep.no_label, sweep.label.dtype),
                "degree": sizes,
                "sources": sources,
                "weights": weights,
            }
        )
        return owners, made

    edges = order[spread(first[nodes], degree[nodes])]
    owner = np.repeat(nodes, degree[nodes])
    owner, items = partial(owner, 0, True, sweep.sources[edges], sweep.weights[edges])
    ours = np.isin(sweep.seeded, nodes)
    owner = np.concatenate([owner, sweep.seeded[ours]])
    items = np.concatenate([items, sweep.seeds[ours]])
    for step in range(1, DEPTHS):
        by_owner = np.argsort(owner, kind="stable")
        owner, items = owner[by_owner], items[by_owner]
        count = np.bincount(owner, minlength=len(degree))
        ready = count[owner] <= MOST_READS
        last = nodes[(count[nodes] > 0) & (count[nodes] <= MOST_READS)]
        part = _part(sweep, last, step, False, count[last], items[ready])
        parts.append(part)
        owner, items = owner[~ready], items[~ready]
        if not len(owner):
            break
        none = np.full(len(items), sweep.no_weight, np.int32)
        owner, items = partial(owner, step, False, items, none)
    return parts


def _chunks(owner: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cuts items, sorted by owner, into chunks of `MOST_READS` of one owner."""
    new = np.ones(len(owner), bool)
    new[1:] = owner[1:] != owner[:-1]
    begin = np.flatnonzero(new)
    sizes = np.diff(np.append(begin, len(owner)))
    place = spread(np.zeros(len(begin), np.int64), sizes)
    start = np.flatnonzero(place % MOST_READS == 0)
    return start, np.diff(np.append(start, len(owner)))
