"""The schedule of a group: which rows are computed when, and what each one reads.

A group is many small capsules that are alike. Its tensors stand in one buffer, a row a
capsule; a sweep over the topological levels fills the buffer from the top, each row a
weighted sum of rows above it. The backward pass is such a sweep too, over the
transposed edges, with error signals in the place of outputs. This file says what a
sweep is made of and what a schedule holds; neither knows JAX, or what is summed.

Rows are computed in *tiles*. A tile has `rows` rows of `reads` sources each; what is
missing is padding, which reads a row of zeros. Rows with about as many sources are put
together, as soon as they can be computed (`tiles.py`), so that little is padding. Tiles
that are alike in kind run as the same piece of program: the number of kinds bounds the
size of the program, whatever the size of the graph.

How a row is contracted is chosen by its shape:

    gather     up to `MOST_READS` sources: slot by slot gathered, multiplied, added
    segments   more sources: partial sums of `MOST_READS`, then sums of partial sums
    dense      rows that share most of their sources: a matrix product
"""

import dataclasses
from typing import NamedTuple

import numpy as np

MOST_READS = 16
"""Sources of one row; a tile's kernel holds one gather for each of them."""

MOST_KINDS = 12
"""Kinds of tiles in one program; each costs some 20 ms to compile on CPU."""

MOST_DENSE = 32
"""Matrix products in one program: they stand in it one by one."""

LEAST_DENSE = 2_000
"""Least edges of a matrix product: each cuts a run of tiles in two."""

DENSEST = 0.25
"""Least share of existing edges for a matrix product: below it, gathering is faster.

A missing edge is a weight of zero there: a source that is NaN or infinite makes NaN of
every row of the product.
"""

TILE_COST = 200
"""What starting a tile costs, in gathered rows: 3 us against 15 ns (batch 64, CPU)."""

ROW_COST = 2
"""What a row costs beside its sources, in the same unit: capsule function and store."""


class TileKind(NamedTuple):
    """What a piece of the program is specialized to.

    Attributes:
        reads: Sources of each row.
        weighted: Whether the sources are weighted, or added as they are.
        finish: Which capsule function ends the row; -1 for a partial sum.
    """

    reads: int
    weighted: bool
    finish: int


@dataclasses.dataclass(frozen=True)
class Tiles:
    """A run of tiles, executed one after the other.

    Attributes:
        rows: Rows of each tile.
        kinds: The kinds there are.
        count: How many tiles.
    """

    rows: int
    kinds: tuple[TileKind, ...]
    count: int


@dataclasses.dataclass(frozen=True)
class Dense:
    """Rows that read the same sources: one matrix product.

    Attributes:
        start: First row of the buffer that it fills.
        rows: How many rows.
        reads: How many sources.
        finish: Which capsule function ends the rows.
    """

    start: int
    rows: int
    reads: int
    finish: int


Tables = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True, eq=False)
class Schedule:
    """One sweep.

    Attributes:
        stages: What runs, in order.
        tables: For each stage its tables: integers of 32 bits.
        row_of: Row of the buffer of each node: the given ones, then the computed.
        rows: Rows of the buffer. Row 0 is zero; the given rows follow it.
        edges: How many edges there are.
        slots: How many sources the tables have room for, padding included.
        wanted: How many of the stages everybody wants.
    """

    stages: tuple[Tiles | Dense, ...]
    tables: tuple[Tables, ...]
    row_of: np.ndarray
    rows: int
    edges: int
    slots: int
    wanted: int


@dataclasses.dataclass(frozen=True)
class Sweep:
    """What a schedule is made of; nodes are the given ones, then the computed.

    Attributes:
        given: Number of nodes whose rows are given.
        level: Level of each computed node; reads come from lower levels.
        sources: Node that each edge comes from, [E].
        targets: Computed node that it goes to, counted from 0, [E].
        weights: Which weight it has, [E].
        seeds: Given nodes that are added as they are, [n].
        seeded: Computed nodes that they are added to, [n].
        finish: Which capsule function ends each computed node.
        label: A number that each computed node's capsule function is handed.
        no_label: The same for rows of padding.
        no_weight: The weight of padding, one behind the last: zero.
        last: Level of nodes that only some callers want: they come in the last stages.
        tile_rows: Numbers of rows that tiles are made for, ascending.
        dense: Whether there is a matrix product of the weighting operation.
    """

    given: int
    level: np.ndarray
    sources: np.ndarray
    targets: np.ndarray
    weights: np.ndarray
    seeds: np.ndarray
    seeded: np.ndarray
    finish: np.ndarray
    label: np.ndarray
    no_label: int
    no_weight: int
    last: int
    tile_rows: tuple[int, ...]
    dense: bool
