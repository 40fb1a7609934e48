"""Tiles: rows cut into pieces of few kinds, in an order that leaves little padding.

Levels alone make poor tiles: a level's width is no multiple of a tile's, and its rows
differ in their number of sources. Most rows may wait, though, until others of their
kind are ready too. So rows are scheduled from a list (Graham 1969): whichever kind has
a full tile ready is computed; when none has, the most critical row (the one with the
longest path still before it) is, and the tile is filled up with what is ready and has
no more sources than it.
"""

import heapq
from typing import NamedTuple

import numpy as np

from capsjax.compiler.groups.rows import Rows, spread
from capsjax.compiler.groups.schedule import (
    MOST_KINDS,
    MOST_READS,
    ROW_COST,
    TILE_COST,
    TileKind,
)
from capsjax.graph.levels import group, levels

FEW = 50_000
"""Rows that are scheduled in a moment."""


class Cut(NamedTuple):
    """Rows in the order in which they are computed, cut into tiles.

    Attributes:
        size: Rows of a tile.
        order: The rows, in order.
        first: Place in `order` of each tile's first row.
        filled: Rows of each tile that are no padding.
        kinds: The kinds there are.
        kind: Which of them each tile is.
    """

    size: int
    order: np.ndarray
    first: np.ndarray
    filled: np.ndarray
    kinds: tuple[TileKind, ...]
    kind: np.ndarray


def kinds_of(rows: Rows) -> tuple[tuple[TileKind, ...], np.ndarray]:
    """The kinds of tiles for some rows, and the kind of each row.

    Rows that are alike are rounded up to few numbers of sources, chosen so that the
    least is padding.

    Args:
        rows: The rows.

    Returns:
        The kinds, and the number of each row's.
    """
    alike, which = np.unique(
        np.stack([rows.weighted, rows.finish]), axis=1, return_inverse=True
    )
    which = which.ravel()
    counts = [
        np.bincount(rows.degree[which == number], minlength=MOST_READS + 1)
        for number in range(alike.shape[1])
    ]
    reads = [_fewest(each, 1) for each in counts]
    while reads and sum(map(len, reads)) < MOST_KINDS:
        finer = [_fewest(c, len(r) + 1) for c, r in zip(counts, reads, strict=True)]
        gains = [
            _slots(c, r) - _slots(c, f)
            for c, r, f in zip(counts, reads, finer, strict=True)
        ]
        best = int(np.argmax(gains))
        if gains[best] == 0:
            break
        reads[best] = finer[best]
    kinds: list[TileKind] = []
    kind = np.zeros(len(rows.node), np.int32)
    for number, (weighted, finish) in enumerate(alike.T.tolist()):
        mine = which == number
        first = len(kinds)
        kinds += [TileKind(n, bool(weighted), finish) for n in reads[number]]
        kind[mine] = first + np.searchsorted(reads[number], rows.degree[mine])
    return tuple(kinds), kind


def _slots(counts: np.ndarray, reads: list[int]) -> int:
    """Slots that rows take, `counts[d]` of them having d sources."""
    rounded = np.asarray(reads)[np.searchsorted(reads, np.arange(reads[-1] + 1))]
    return int(np.sum(counts[: reads[-1] + 1] * rounded))


def _fewest(counts: np.ndarray, most: int) -> list[int]:
    """Numbers that degrees are rounded up to, at most `most`, ascending.

    Dynamic programming over the last number chosen: padding of the degrees between it
    and the one before.
    """
    last = int(np.flatnonzero(counts).max(initial=0))
    if last == 0:
        return [1]
    ends = range(1, last + 1)
    # best[e]: slots of all degrees up to e if e is chosen, and what was chosen.
    total = np.concatenate([[0], np.cumsum(counts)])
    best = {e: (e * int(total[e + 1]), [e]) for e in ends}
    answer = best[last]
    for _ in range(most - 1):
        best = {
            e: min(
                (best[b][0] + e * int(total[e + 1] - total[b + 1]), [*best[b][1], e])
                for b in best
                if b < e
            )
            for e in ends
            if e > min(best)
        }
        if last not in best:
            break
        answer = min(answer, best[last])
    return answer[1]


def cut(
    rows: Rows,
    chosen: np.ndarray,
    kinds: tuple[TileKind, ...],
    kind: np.ndarray,
    made_by: np.ndarray,
    sizes: tuple[int, ...],
) -> Cut:
    """Cuts rows that stand between two products into tiles.

    Args:
        rows: All rows.
        chosen: Those to cut.
        kinds: The kinds of tiles.
        kind: The kind of each row.
        made_by: The row that makes each node, -1 if none does.
        sizes: Numbers of rows that a tile may have, ascending.

    Returns:
        The tiles.
    """
    place = np.full(len(rows.node), -1)
    place[chosen] = np.arange(len(chosen))
    degree = rows.degree[chosen]
    first = (np.cumsum(rows.degree) - rows.degree)[chosen]
    maker = made_by[rows.sources[spread(first, degree)]]
    source = np.where(maker >= 0, place[maker], -1)
    target = np.repeat(np.arange(len(chosen)), degree)
    source, target = source[source >= 0], target[source >= 0]
    # How many levels are still to come behind each row: its urgency.
    height = levels(target, source, len(chosen))
    width = len(chosen) / (int(height.max(initial=0)) + 1)
    least = sum(n <= width for n in sizes[1:])
    reads = np.array([kind.reads for kind in kinds])
    best = None
    more = 2 if len(chosen) < FEW else 1  # each try takes time
    for size in sizes[max(least - 1, 0) : least + more]:  # about a level
        found = _list_schedule(source, target, height, kind[chosen], kinds, size)
        cost = np.sum(TILE_COST + size * (reads[found[2]] + ROW_COST))
        if best is None or cost < best[0]:
            best = cost, size, found
    assert best is not None
    _, size, (order, counts, which) = best
    ends = np.cumsum(counts)
    return Cut(size, chosen[order], ends - counts, counts, kinds, which)


def _list_schedule(source, target, height, kind, kinds, size):
    """Rows in order, rows of each tile, and kind of each tile."""
    count = len(height)
    waits = np.bincount(target, minlength=count)
    by_source, first = group(source, count)
    readers = target[by_source]
    many = np.diff(first)
    first = first[:-1]
    # Kinds that may fill up a tile: alike, with no more sources.
    fills = [
        [j for j, b in enumerate(kinds) if b[1:] == a[1:] and b.reads <= a.reads]
        for a in kinds
    ]
    fills = [sorted(f, key=lambda j: -kinds[j].reads) for f in fills]
    queues: list[list[tuple[int, int]]] = [[] for _ in kinds]

    def enter(nodes: np.ndarray) -> None:
        for urgency, node, which in zip(
            (-height[nodes]).tolist(), nodes.tolist(), kind[nodes].tolist(), strict=True
        ):
            heapq.heappush(queues[which], (urgency, node))

    enter(np.flatnonzero(waits == 0))
    order: list[int] = []
    counts: list[int] = []
    which: list[int] = []
    while len(order) < count:
        full = [j for j, queue in enumerate(queues) if len(queue) >= size]
        some = full or [j for j, queue in enumerate(queues) if queue]
        best = min(some, key=lambda j: queues[j][0])
        tile: list[int] = []
        for j in fills[best]:
            while queues[j] and len(tile) < size:
                tile.append(heapq.heappop(queues[j])[1])
        order += tile
        counts.append(len(tile))
        which.append(best)
        done = np.array(tile)
        reached = readers[spread(first[done], many[done])]
        if len(reached):
            nodes, times = np.unique(reached, return_counts=True)
            waits[nodes] -= times
            enter(nodes[waits[nodes] == 0])
    return (
        np.array(order, np.int64),
        np.array(counts, np.int64),
        np.array(which, np.int32),
    )
