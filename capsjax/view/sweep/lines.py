"""The lines of a sweep's learning curves: means over members, and their range."""

import dataclasses
from typing import Any

import numpy as np

from capsjax.view.sweep.scores import diverged_members, finite
from capsjax.view.sweep.values import Scale, Swept

_BEST = 5


@dataclasses.dataclass(frozen=True, eq=False)
class Line:
    """Members that differ only in their seed, or one that has diverged.

    Attributes:
        rows: Their rows in the result's table.
        members: What the table calls them.
        steps: Of training.
        mean: Over the members that have got there.
        low: The least of them.
        high: The largest.
    """

    rows: np.ndarray
    members: np.ndarray
    steps: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def read_lines(
    result: Swept, metric: str, scales: list[Scale]
) -> tuple[list[Line], list[Line]]:
    """The lines of members that train, and those of members that diverged."""
    table: Any = result.table
    history: Any = result.history
    rows: Any = history[["member", "step"]].assign(
        value=finite(history[metric]), row=table.index.get_indexer(history["member"])
    )
    rows = rows[rows["value"].notna() & (rows["row"] >= 0)]
    if not len(rows):
        raise ValueError(
            f"found no finite {metric} in the history of {len(table)} members; "
            "expected one at least; cure: draw another metric, or sweep where training "
            "is stable, e.g. smaller learning rates"
        )
    places = [scale.cells()[0] for scale in scales] or [np.zeros(len(table), int)]
    _, group = np.unique(np.column_stack(places), axis=0, return_inverse=True)
    diverged = diverged_members(table)[rows["row"]]
    sound, wild = rows[~diverged], rows[diverged]
    return _lines(sound, group[sound["row"]]), _lines(wild, wild["row"].to_numpy())


def _lines(rows: Any, group: np.ndarray) -> list[Line]:
    rows = rows.assign(group=group)
    over = rows.groupby(["group", "step"], sort=True)["value"]
    over = over.agg(["mean", "min", "max"]).reset_index()
    who = rows.drop_duplicates(["group", "row"]).sort_values(["group", "row"])
    columns = [_split(who, "row"), _split(who, "member")]
    columns += [_split(over, name) for name in ("step", "mean", "min", "max")]
    return [Line(*each) for each in zip(*columns, strict=True)]


def _split(rows: Any, column: str) -> list[np.ndarray]:
    """A column's values group by group, of rows in the order of groups."""
    cuts = np.flatnonzero(np.diff(rows["group"])) + 1
    return np.split(rows[column].to_numpy(), cuts) if len(rows) else []


def best_lines(lines: list[Line], maximize: bool, most: int) -> list[tuple[int, int]]:
    """The rank from 1 on, and the line, of those that end best among too many."""
    if len(lines) <= most:
        return []
    ends = np.array([line.mean[-1] for line in lines])
    order = np.argsort(-ends if maximize else ends, kind="stable")
    return list(enumerate(order[:_BEST].tolist(), 1))
