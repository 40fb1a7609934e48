"""compared_curves: learning curves of several runs, one beside the other."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from capsjax.view.curves import style_panel
from capsjax.view.history import PREFIX, metric_columns
from capsjax.view.labels import name_words
from capsjax.view.picture import Picture
from capsjax.view.style import DISTINCT, finish, legend_beside, panels

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_COLUMNS = 3


def compared_curves(
    histories: Mapping[str, "pd.DataFrame"], *, ax: "Axes | None" = None
) -> Picture:
    """Draws the metrics of several runs over epochs.

    Args:
        histories: The history of each run, by the name that it is to have.
        ax: Axes to draw into, or in whose place several panels are drawn; those of a
            figure of its own, if left out.

    Returns:
        The picture, one panel a metric, a color a run: a line for validation, and a
        thin dotted one for training; shows itself in a notebook; has `.axes`,
        `.figure`, `.svg`, `.png` and `.save(path)`.

    Raises:
        ValueError: There is no run, or no metric that one of them has; or axes that
            stand in no grid are given for several panels.

    Example:
        >>> import capsjax as cj, pandas as pd
        >>> one = pd.DataFrame({"epoch": [1, 2], "loss": [0.9, 0.5]})
        >>> cj.view.compared_curves({"first": one, "second": one / 2})
        <picture of 6.6 x 3.2 inches>
    """
    tables = {name: own for name, own in histories.items() if "epoch" in own}
    metrics = dict.fromkeys(
        column.removeprefix(PREFIX)
        for own in tables.values()
        for column in metric_columns(own)
    )
    if not metrics:
        raise ValueError(
            "found no history with the column 'epoch' and a metric; expected one or "
            "more, by the names of the runs"
        )
    rows, columns = -(-len(metrics) // _COLUMNS), min(len(metrics), _COLUMNS)
    size = (4.6 * columns + 2.0, 3.2 * rows)
    found = panels(size, ax, len(metrics), columns)
    lines: dict[str, Any] = {}
    for axes, metric in zip(found, metrics, strict=True):
        lines |= _draw(axes, tables, metric)
    entries = [(lines[name], name_words(name)) for name in tables if name in lines]
    legend_beside(found, ax, entries, columns=columns)
    return finish(found, ax)


def _draw(axes: Any, tables: Mapping[str, Any], metric: str) -> dict[str, Any]:
    lines = {}
    for number, (name, table) in enumerate(tables.items()):
        color = DISTINCT[number % len(DISTINCT)]
        held_out = PREFIX + metric in table
        marker = "o" if len(table) < 3 else None
        style: dict[str, Any] = {"color": color, "marker": marker, "markersize": 3}
        if metric in table:
            dotted = {"linestyle": ":", "linewidth": 1} if held_out else {}
            (line,) = axes.plot(table["epoch"], table[metric], **style, **dotted)
            lines[name] = line
        if held_out:
            (lines[name],) = axes.plot(table["epoch"], table[PREFIX + metric], **style)
    style_panel(axes, metric)
    return lines
