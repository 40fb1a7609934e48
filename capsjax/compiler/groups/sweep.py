"""One sweep over the rows of a group, as a JAX program of bounded size.

Runs of tiles are one `lax.scan`; its body holds one branch for each kind of tile, so
the program does not grow with the graph. On CPU three things make the loop fast, each
measured (100,000 rows of four sources, batch 64):

* Sources are gathered slot by slot inside the sum, never as one array of all slots:
  XLA fuses these gathers with the products and the capsule function into one
  vectorized loop. 4 ms, against 57 ms for gather and contract.
* Indices are promised to be in bounds and are never negative: no wrapping is computed.
* What a tile computes is the result of a conditional: of the choice of its kind or, if
  there is one kind, of `materialize`. Else XLA fuses it into the in-place update of the
  buffer, where it can't be vectorized since reads and writes may alias. 10 ms, against
  45 ms.
* Branches return rows, all of one size, and never the buffer, which XLA would copy.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from capsjax.compiler.groups.schedule import Dense, Schedule, TileKind, Tiles
from capsjax.materialize import materialize

Buffers = tuple[jax.Array, ...]
Contract = Callable[[Any, jax.Array], jax.Array]
Finish = Callable[[int, jax.Array, Any], Buffers]


class Rule(NamedTuple):
    """What a sweep computes.

    Attributes:
        contract: `(W [n, ...], rows [n, ...]) -> contributions [n, ...]`.
        product: `(W [n, m, ...], rows [m, ...]) -> sums [n, ...]`.
        lookup: What `finish` needs of the labels `[...]` of rows: an array `[...]`.
        finish: `(which, sums [n, ...], looked up [n]) -> a row for every buffer`;
            which is -1 for partial sums, which have no labels.
    """

    contract: Contract
    product: Contract
    lookup: Callable[[jax.Array], jax.Array]
    finish: Finish


def rows_of(buffer: jax.Array, index: jax.Array) -> jax.Array:
    """Rows of a buffer; the index is trusted.

    Args:
        buffer: [rows, ...].
        index: Integers of any shape.

    Returns:
        [*shape of index, ...].
    """
    rest = buffer.shape[1:]
    numbers = lax.GatherDimensionNumbers(
        offset_dims=tuple(range(index.ndim, index.ndim + len(rest))),
        collapsed_slice_dims=(0,),
        start_index_map=(0,),
    )
    return lax.gather(
        buffer, index[..., None], numbers, (1, *rest), mode="promise_in_bounds"
    )


def run(
    schedule: Schedule,
    tables: Sequence[Any],
    buffers: Buffers,
    weights: jax.Array | None,
    rule: Rule,
    *,
    whole: bool = True,
) -> Buffers:
    """Fills the buffers from their given rows downward.

    Args:
        schedule: The sweep.
        tables: Its tables, as arrays.
        buffers: The first is read and written; others are written only. [rows, ...].
        weights: W of every edge, and a last one of zeros, [E + 1, ...]; or None.
        rule: What is computed.
        whole: Run the last stages, too, which not everybody wants.

    Returns:
        The buffers, filled.
    """
    stages = schedule.stages if whole else schedule.stages[: schedule.wanted]
    for stage, table in zip(stages, tables, strict=False):
        if isinstance(stage, Dense):
            w = None if weights is None else rows_of(weights, table["block"])
            sums = rule.product(w, rows_of(buffers[0], table["reads"]))
            found = rule.finish(stage.finish, sums, rule.lookup(table["label"]))
            buffers = _write(buffers, found, jnp.int32(stage.start))
        else:
            buffers = _tiles(stage, table, buffers, weights, rule)
    return buffers


def _tiles(stage: Tiles, table, buffers: Buffers, weights, rule: Rule):
    """A run of tiles: one loop, one branch for each kind."""
    branches = [
        _branch(kind, number, table, weights, rule)
        for number, kind in enumerate(stage.kinds)
    ]

    def body(buffers, tile):
        kind, index, start = tile
        if len(branches) == 1:
            found = tuple(map(materialize, branches[0](buffers[0], index)))
        else:
            found = lax.switch(kind, branches, buffers[0], index)
        return _write(buffers, found, start), None

    which = (table["kind"], table["index"], table["start"])
    return lax.scan(body, buffers, which)[0]


def _branch(kind: TileKind, number: int, table, weights, rule: Rule):
    """One kind of tile: what it computes, from the buffer and the tile's number.

    Weights and labels are looked up for all tiles at once, before the loop: numbers
    gathered one by one inside it would each be a kernel of its own.
    """
    arrays = {"sources": table[f"sources{number}"]}
    if kind.weighted and weights is not None:
        arrays["weights"] = rows_of(weights, table[f"weights{number}"])
    if kind.finish >= 0:
        arrays["labels"] = rule.lookup(table[f"label{number}"])

    def branch(buffer, index):
        own = {
            name: lax.dynamic_index_in_dim(array, index, keepdims=False)
            for name, array in arrays.items()
        }
        terms = []
        for slot in range(kind.reads):
            term = rows_of(buffer, own["sources"][slot])
            if kind.weighted:
                w = own["weights"][slot] if "weights" in own else None
                term = rule.contract(w, term)
            terms.append(term)
        sums = sum(terms[1:], terms[0])
        return rule.finish(kind.finish, sums, own.get("labels"))

    return branch


def _write(buffers: Buffers, rows: Buffers, start: jax.Array) -> Buffers:
    return tuple(
        lax.dynamic_update_slice_in_dim(buffer, each.astype(buffer.dtype), start, 0)
        for buffer, each in zip(buffers, rows, strict=True)
    )
