"""heat_map: a sweep's metric over two axes."""

from typing import TYPE_CHECKING, Any

import numpy as np

from capsjax.view.picture import Picture
from capsjax.view.style import GRID, INK, RED, color_bar, dress, finish, panels
from capsjax.view.sweep.panels import label_places, loose, note, percent, spread
from capsjax.view.sweep.scores import Scores, figure_of, scores_of
from capsjax.view.sweep.values import FEW, Scale, Swept, axis_names, scale_of_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_NUMBERS = 100
_SPARSE = 0.25
_POINTS = 4.4, 3.4


def heat_map(
    result: Swept,
    x: str,
    y: str,
    metric: str | None = None,
    *,
    ax: "Axes | None" = None,
) -> Picture:
    """Draws the mean of a metric over two axes.

    Args:
        result: What a sweep has returned.
        x: The name of the axis from left to right.
        y: The name of the axis from bottom to top.
        metric: A metric's column in the result's table; without it, the one that
            members are ranked by.
        ax: Axes to draw into; those of a figure of its own, if left out.

    Returns:
        The picture: a cell for each pair of values, the best mean darkest; hatched
        where no member has a value; in red, how many members diverged there. Where the
        values were drawn by chance, a point for each member, and crosses for those
        that diverged. It shows itself in a notebook; has `.axes`, `.figure`, `.svg`,
        `.png` and `.save(path)`.

    Raises:
        ValueError: No such axis or metric; the same axis twice; no members, or none
            with a finite value.

    Example:
        >>> import capsjax as cj, pandas as pd
        >>> from types import SimpleNamespace
        >>> rows = [(1, "relu", 0.7), (2, "relu", 0.8), (1, "tanh", 0.6)]
        >>> table = pd.DataFrame(rows, columns=["depth", "cap", "accuracy"])
        >>> result = SimpleNamespace(
        ...     table=table.assign(seed=0, status="done"),
        ...     axes=("depth", "cap"), metric="accuracy", maximize=True,
        ... )
        >>> cj.view.heat_map(result, "depth", "cap")
        <picture of 4.7 x 3.2 inches>
    """
    found = scores_of(result, metric)
    across, up = scale_of_axis(result, x), scale_of_axis(result, y)
    if x == y:
        others = [name for name in axis_names(result) if name != x]
        raise ValueError(
            f"found the axis {x!r} twice; expected two axes; cure: take for y another "
            f"axis{', e.g. ' + repr(others[0]) if others else ', or draw response'}"
        )
    grid = _is_grid(across, up)
    wide, high = _inches(across, up) if grid else _POINTS
    margin = 0.08 * max(map(len, up.labels))
    size = (wide + 1.4 + margin, high + 1.0)
    (panel,) = panels(size, ax)
    colors = found.colors()
    (_draw_cells if grid else _draw_points)(panel, found, across, up, colors)
    percent(color_bar(panel, colors, found.title).ax.yaxis, found.name)
    panel.set_xlabel(across.title)
    panel.set_ylabel(up.title)
    return finish([panel], ax)


def _is_grid(across: Scale, up: Scale) -> bool:
    """Whether values meet in cells, rather than each drawn by itself."""
    if max(len(across.places), len(up.places)) > FEW:
        return False
    (columns, names), (rows, others) = across.cells(), up.cells()
    filled = len(set(zip(columns.tolist(), rows.tolist(), strict=True)))
    return filled >= _SPARSE * len(names) * len(others)


def _inches(across: Scale, up: Scale) -> tuple[float, float]:
    """How large the cells are together."""
    wide, high = 0.8 * len(across.cells()[1]), 0.5 * len(up.cells()[1])
    return min(max(wide, 3.0), 12.0), min(max(high, 2.2), 9.0)


def _draw_cells(
    panel: Any, found: Scores, across: Scale, up: Scale, colors: Any
) -> None:
    (columns, names), (rows, others) = across.cells(), up.cells()
    shape = (len(others), len(names))
    has = np.isfinite(found.values)
    counts, totals, lost = np.zeros(shape), np.zeros(shape), np.zeros(shape, int)
    np.add.at(counts, (rows[has], columns[has]), 1)
    np.add.at(totals, (rows[has], columns[has]), found.values[has])
    np.add.at(lost, (rows[found.diverged], columns[found.diverged]), 1)
    means = np.divide(totals, counts, out=np.full(shape, np.nan), where=counts > 0)
    edges = np.arange(shape[1] + 1) - 0.5, np.arange(shape[0] + 1) - 0.5
    panel.patch.set(hatch="////", facecolor="white", edgecolor=GRID)
    panel.pcolormesh(
        *edges,
        np.ma.masked_invalid(means),
        cmap=colors.cmap,
        norm=colors.norm,
        edgecolor="white",
        linewidth=1.0,
    )
    for row, column in np.ndindex(*shape):
        if means.size <= _MOST_NUMBERS and counts[row, column]:
            value = float(means[row, column])
            _write(panel, column, row, value, found.name, colors)
        if lost[row, column]:
            corner = bool(counts[row, column])
            _mark(panel, column, row, int(lost[row, column]), corner)
    wide, high = _inches(across, up)
    dress(panel, grid=False)
    label_places(panel, "x", names, wide)
    label_places(panel, "y", others, high)
    panel.tick_params(length=0)
    panel.spines[:].set_visible(False)
    note(panel, *found.counts)


def _write(panel: Any, x: int, y: int, value: float, metric: str, colors: Any) -> None:
    """A cell's number, in black or white, whichever can be read on its color."""
    red, green, blue, _ = colors.to_rgba(value)
    bright = 0.299 * red + 0.587 * green + 0.114 * blue > 0.55
    panel.text(
        *(x, y, figure_of(metric, value)),
        color=INK if bright else "white",
        ha="center",
        va="center",
        fontsize="small",
    )


def _mark(panel: Any, x: int, y: int, count: int, corner: bool) -> None:
    """How many members diverged in a cell: in its corner, or alone in its middle."""
    panel.text(
        *((x + 0.44, y + 0.42) if corner else (x, y)),
        f"{count}×",
        color=RED,
        ha="right" if corner else "center",
        va="top" if corner else "center",
        fontsize="x-small" if corner else "small",
        bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "linewidth": 0},
    )


def _draw_points(
    panel: Any, found: Scores, across: Scale, up: Scale, colors: Any
) -> None:
    """The best on top; where the axes don't apply, there is no place for a point."""
    dress(panel)
    order = found.ranked
    panel.scatter(
        loose(across, order),
        loose(up, order, 0.754878),
        c=found.values[order],
        cmap=colors.cmap,
        norm=colors.norm,
        s=36 if len(order) < 200 else 14,
        edgecolor="white",
        linewidth=0.3,
    )
    lost = found.diverged
    places = loose(across, lost), loose(up, lost, 0.754878)
    panel.plot(*places, "x", color=RED, markersize=4)
    spread(panel, across, "x", _POINTS[0])
    spread(panel, up, "y", _POINTS[1])
    outside = int((across.missing | up.missing).sum())
    note(panel, *found.counts, (outside, "without both axes"))
