"""Tables of a report: rows of text, no more of them than a page can bear."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from capsjax.graph.errors import brief
from capsjax.view.history import judging_columns
from capsjax.view.labels import shape_words

if TYPE_CHECKING:
    import pandas as pd

_MOST_ROWS = 200
_LONGEST = 300


class Table(NamedTuple):
    """Rows of text, and how many more there were.

    Attributes:
        heads: Names of the columns.
        rows: A cell for each column.
        left_out: The number of rows that are not shown.
        total: A last row, of sums.
    """

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    left_out: int = 0
    total: Sequence[str] = ()


class Metric(NamedTuple):
    """A metric at the end of a run, and at its best."""

    name: str
    last: str
    best: str
    at: str


def facts(net: Any) -> list[str]:
    """A network in a few words."""
    capsules = len(net.typed.unfolded)
    inputs = [f"{name} {shape_words(shape)}" for name, shape in net.typed.inputs[:4]]
    losses = [f"{loss.kind} on {name}" for name, loss in net.graph.losses[:4]]
    return [
        f"{net.parameter_count:,} parameters",
        f"{capsules:,} capsules",
        f"input {', '.join(inputs)}",
        *([f"loss {', '.join(losses)}"] if losses else []),
    ]


def metrics(history: "pd.DataFrame") -> list[Metric]:
    """The last and the best value of each metric; of validation, if there is any."""
    found = []
    for name in judging_columns(history)[:8]:
        values = history[name].to_numpy(float)
        if not np.isfinite(values).any():
            continue
        finite = np.where(np.isfinite(values), values, np.nan)
        share = name.endswith("accuracy")
        at = int(np.nanargmax(finite) if share else np.nanargmin(finite))
        row = history.iloc[at]
        place = next((f"{w} {row[w]:.0f}" for w in ("epoch", "step") if w in row), "")
        last, best = (_measured(values[i], share) for i in (-1, at))
        found.append(Metric(name.replace("_", " "), last, best, place))
    return found


def configuration(values: Mapping[str, Any]) -> Table:
    """What a run was told, a row a setting: `optimizer.learning_rate`."""
    rows = [(name, _cut(text)) for name, text in settings(values)]
    return Table(
        ("setting", "value"), rows[:_MOST_ROWS], max(len(rows) - _MOST_ROWS, 0)
    )


def parameters(net: Any, params: Any) -> Table:
    """Arrays of parameters by capsule, from input to output: shapes, counts, sizes."""
    import jax

    order = {capsule.name: at for at, capsule in enumerate(net.typed.unfolded)}
    leaves = [
        ([str(getattr(key, "key", key)) for key in path], array)
        for path, array in jax.tree_util.tree_leaves_with_path(net.named(params))
    ]
    leaves.sort(key=lambda leaf: order.get(leaf[0][0], len(order)))
    rows = [
        (capsule, " ".join(part), *_size(array))
        for (capsule, *part), array in leaves[:_MOST_ROWS]
    ]
    whole = sum(math.prod(array.shape) for _, array in leaves)
    heads = ("capsule", "array", "shape", "count", "rms", "largest")
    total = ("all", "", "", f"{whole:,}", "", "")
    return Table(heads, rows, len(leaves) - len(rows), total)


def history(table: "pd.DataFrame") -> Table:
    """The history; of a long one, rows at equal distances, the last among them."""
    count = len(table)
    shown = np.unique(np.linspace(0, count - 1, min(count, _MOST_ROWS)).round())
    heads = [str(name) for name in table.columns]
    whole = [table[name].dtype.kind in "iu" for name in table.columns]
    rows = [
        [_number(v, w) for v, w in zip(table.iloc[int(i)], whole, strict=True)]
        for i in shown
    ]
    heads = [name.replace("_", " ") for name in heads]
    return Table(heads, rows, count - len(rows))


def _size(array: Any) -> tuple[str, str, str, str]:
    values = np.asarray(array).astype(np.float64)
    root = math.sqrt(np.mean(values**2)) if values.size else 0.0
    largest = float(np.max(np.abs(values), initial=0))
    shape = shape_words(values.shape)
    return shape, f"{values.size:,}", f"{root:.4g}", f"{largest:.4g}"


def settings(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Settings by their path, as text; lists of plain values are one."""
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from settings(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list) and any(isinstance(x, dict | list) for x in value):
        for at, inner in enumerate(value):
            yield from settings(inner, f"{name}[{at}]")
    elif isinstance(value, Mapping):
        if name:
            yield name, "{}"
    else:
        yield name, value if isinstance(value, str) else _plain(value)


def _plain(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "none", True: "true", False: "false"}[value]
    if isinstance(value, list):
        return ", ".join(x if isinstance(x, str) else _plain(x) for x in value)
    return brief(value)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _measured(value: float, share: bool) -> str:
    return f"{value:.2%}" if share else f"{value:.4g}"


def _number(value: Any, whole: bool) -> str:
    return f"{int(value):,}" if whole else f"{float(value):.5g}"
