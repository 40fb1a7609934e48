"""The tables of a sweep: a row for each member, and for each row of its training."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from capsjax.sweep.roles import shown

if TYPE_CHECKING:
    import pandas as pd

    from capsjax.sweep.session import Learning, Session

Record = dict[str, Any]


def tables_of(session: Session) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A row for each member; and a row for each member and row of its training.

    Where a search changes numbers, the second table holds those of every row.
    """
    import pandas as pd

    rows, history = [], []
    changing = any(
        values is not each.chosen.values
        for each in session.members.values()
        for values in each.settings
    )
    for number in sorted(session.members):
        each = session.members[number]
        own = rows_of(session, number)
        rows.append(_row(session, each, own))
        for record, values in zip(own, each.settings, strict=True):
            more = plain(values) if changing else {}
            history.append({"member": number, **record, **more})
    table = pd.DataFrame(rows, index=pd.RangeIndex(len(rows), name="member"))
    return table, pd.DataFrame(history)


def rows_of(session: Session, number: int) -> list[Record]:
    """The history of a member: a record for each row."""
    each, lengths = session.members[number], session.lengths(number)
    metrics = {name: np.concatenate(own) for name, own in each.table.items()}
    return [
        {
            "epoch": lengths.epochs_after(row + 1),
            "step": (row + 1) * lengths.every,
            **{name: float(own[row]) for name, own in metrics.items()},
        }
        for row in range(len(each.settings))
    ]


def _row(session: Session, each: Learning, history: list[Record]) -> Record:
    values = plain(each.member.values)
    last = history[-1] if history else {"epoch": 0, "step": 0}
    metrics = {} if each.faulty else last
    names = session.programs[each.group].metric_names
    return {
        **{name: values.get(name) for name in session.names},
        "seed": each.member.seed,
        "status": each.status,
        "epoch": last["epoch"],
        "step": last["step"],
        **{name: metrics.get(name, math.nan) for name in names},
        "diverged_at": each.faulty or None,
        "group": each.group,
    }


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values by axis as plain data."""
    found = {}
    for name, value in values.items():
        try:
            json.dumps(value)
            found[name] = value
        except TypeError:
            found[name] = shown(value)
    return found
