"""Layout: which row of the buffer each node has, and the tables that a sweep reads."""

import numpy as np

from capsjax.compiler.groups.rows import (
    DEPTHS,
    Block,
    Rows,
    dense_blocks,
    make_rows,
    spread,
    sweep_size,
)
from capsjax.compiler.groups.schedule import (
    Dense,
    Schedule,
    Sweep,
    Tables,
    Tiles,
)
from capsjax.compiler.groups.tiles import Cut, cut, kinds_of
from capsjax.graph.levels import group


def schedule(sweep: Sweep) -> Schedule:
    """Lays out one sweep.

    Args:
        sweep: The edges, their levels, and what ends each row.

    Returns:
        The schedule.
    """
    order, _ = group(sweep.targets, len(sweep.level))
    degree = np.bincount(sweep.targets, minlength=len(sweep.level))
    blocks, left = dense_blocks(sweep, order, degree)
    rows = make_rows(sweep, order, degree, left)
    runs, wanted = _runs(sweep, rows, blocks)
    row_of, starts, total = _number(sweep, runs, rows)
    stages: list[Tiles | Dense] = []
    tables: list[Tables] = []
    for run, start in zip(runs, starts, strict=True):
        if isinstance(run, Block):
            stage, table = _dense(sweep, run, row_of, start)
        else:
            stage, table = _tiles(sweep, run, rows, row_of, start)
        stages.append(stage)
        tables.append(table)
    slots = sum(
        table[name].size
        for table in tables
        for name in table
        if name.startswith(("sources", "block"))
    )
    kept = row_of[: sweep_size(sweep)].astype(np.int32)
    edges = len(sweep.sources) + len(sweep.seeds)
    return Schedule(tuple(stages), tuple(tables), kept, total, edges, slots, wanted)


def _runs(
    sweep: Sweep, rows: Rows, blocks: list[Block]
) -> tuple[list[Cut | Block], int]:
    """What is executed, in order: the blocks, and between them tiles.

    Returns:
        The runs; how many of them come before the sweep's last level.
    """
    kinds, kind = kinds_of(rows)
    made_by = np.full(max(sweep_size(sweep), int(rows.node.max(initial=0)) + 1), -1)
    made_by[rows.node] = np.arange(len(rows.node))
    blocks = sorted(blocks, key=lambda block: block.key)
    begins = np.array([block.key for block in blocks], np.int64)
    last = sweep.last * DEPTHS
    # Before block 0, before block 1, ...; those of the last level are kept apart.
    place = np.searchsorted(begins, rows.key, side="right")
    runs: list[Cut | Block] = []
    wanted = 0
    for late in (False, True):
        for number, block in enumerate([None, *blocks]):
            if block is not None and (block.key >= last) == late:
                runs.append(block)
            chosen = np.flatnonzero((place == number) & ((rows.key >= last) == late))
            if len(chosen):
                runs.append(cut(rows, chosen, kinds, kind, made_by, sweep.tile_rows))
        wanted = wanted if late else len(runs)
    return runs, wanted


def _number(sweep: Sweep, runs: list[Cut | Block], rows: Rows):
    """The row of each node, the first row of each run, and how many rows there are."""
    count = max(sweep_size(sweep), int(rows.node.max(initial=0)) + 1)
    row_of = np.zeros(count, np.int64)
    row_of[: sweep.given] = 1 + np.arange(sweep.given)
    starts = []
    total = 1 + sweep.given
    for run in runs:
        starts.append(total)
        if isinstance(run, Block):
            row_of[sweep.given + run.nodes] = total + np.arange(len(run.nodes))
            total += len(run.nodes)
            continue
        tile = total + run.size * np.arange(len(run.filled))
        row_of[rows.node[run.order]] = spread(tile, run.filled)
        total += run.size * len(run.filled)
    return row_of, starts, total


def _dense(sweep: Sweep, block: Block, row_of, start: int) -> tuple[Dense, Tables]:
    rows, reads = block.weights.shape
    tables = {
        "block": block.weights,
        "reads": row_of[block.sources].astype(np.int32),
        "label": sweep.label[block.nodes].astype(np.int32),
    }
    return Dense(start, rows, reads, block.finish), tables


def _tiles(sweep: Sweep, run: Cut, rows: Rows, row_of, start: int):
    """The tables of one run of tiles."""
    first_edge = np.cumsum(rows.degree) - rows.degree
    present = np.unique(run.kind)
    index = np.zeros(len(run.kind), np.int32)
    tables: Tables = {}
    for number, kind in enumerate(present.tolist()):
        reads, weighted, finish = run.kinds[kind]
        here = run.kind == kind
        count = run.filled[here]
        tiles = len(count)
        index[here] = np.arange(tiles)
        row = run.order[spread(run.first[here], count)]
        tile = np.repeat(np.arange(tiles), count)
        place = spread(np.zeros(tiles, np.int64), count)
        degree = rows.degree[row]
        edge = spread(first_edge[row], degree)
        slot = spread(np.zeros(len(row), np.int64), degree)
        at = (np.repeat(tile, degree), slot, np.repeat(place, degree))
        shape = (tiles, reads, run.size)
        sources = np.zeros(shape, np.int32)
        sources[at] = row_of[rows.sources[edge]]
        tables[f"sources{number}"] = sources
        if weighted:
            weights = np.full(shape, sweep.no_weight, np.int32)
            weights[at] = rows.weights[edge]
            tables[f"weights{number}"] = weights
        if finish >= 0:
            label = np.full((tiles, run.size), sweep.no_label, np.int32)
            label[tile, place] = rows.label[row]
            tables[f"label{number}"] = label
    tables["kind"] = np.searchsorted(present, run.kind).astype(np.int32)
    tables["index"] = index
    tables["start"] = (start + run.size * np.arange(len(run.kind))).astype(np.int32)
    kinds = tuple(run.kinds[kind] for kind in present.tolist())
    return Tiles(run.size, kinds, len(run.kind)), tables
