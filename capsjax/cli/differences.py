"""In what runs differ: settings, capsules, metrics; rows of text, a column a run."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import capsjax as cj
from capsjax.cli.listed import best_of, metrics_of
from capsjax.view.report.tables import settings
from capsjax.view.table import capsule_cells

Rows = list[tuple[str, ...]]
NOTHING = "-"


def of_configurations(found: Sequence[Mapping[str, Any] | None]) -> Rows:
    """Settings that are not the same in all configurations."""
    return _differing([dict(settings(each or {})) for each in found])


def of_networks(nets: Sequence[cj.Network]) -> Rows:
    """Inputs, capsules and losses that are not the same in all networks."""
    return _differing([dict(_parts(net)) for net in nets])


def of_metrics(runs: Sequence[cj.Run]) -> Rows:
    """The last value of each metric, and the best one."""
    names = dict.fromkeys(name for run in runs for name in metrics_of(run.history))
    rows: Rows = [("epochs", *(str(len(run.history)) for run in runs))]
    for name in names:
        words = name.replace("_", " ")
        has = [name in run.history and len(run.history) > 0 for run in runs]
        last = [
            float(r.history[name].iloc[-1]) if h else None
            for r, h in zip(runs, has, strict=True)
        ]
        best = [
            best_of(r.history, name) if h else None
            for r, h in zip(runs, has, strict=True)
        ]
        rows.append((f"{words}, last", *(measured(name, v) for v in last)))
        rows.append((f"{words}, best", *(measured(name, v) for v in best)))
    return rows


def measured(name: str, value: float | None) -> str:
    """A metric in a table."""
    if value is None:
        return NOTHING
    return f"{value:.2%}" if name.endswith("accuracy") else f"{value:.4g}"


def _differing(tables: Sequence[Mapping[str, str]]) -> Rows:
    names = dict.fromkeys(name for table in tables for name in table)
    rows = [(name, *(t.get(name, NOTHING) for t in tables)) for name in names]
    return [row for row in rows if len(set(row[1:])) > 1]


def _parts(net: cj.Network) -> Iterator[tuple[str, str]]:
    for name, shape in net.typed.inputs:
        yield name, f"input {shape}"
    losses = {each.output: str(each.loss) for each in net.typed.losses}
    for capsule in net.typed.unfolded:
        name, reads, _, function, output, count, *_ = capsule_cells(capsule)
        loss = f"\nloss {losses[name]}" if name in losses else ""
        yield name, f"{reads}\n{function} {output}, {count} parameters{loss}"
