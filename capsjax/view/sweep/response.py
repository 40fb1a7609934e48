"""response: a sweep's metric over the values of an axis."""

from typing import TYPE_CHECKING, Any

import numpy as np

from capsjax.view.picture import Picture
from capsjax.view.style import BLUE, INK, RED, dress, finish, panels
from capsjax.view.sweep.panels import loose, note, percent, spread
from capsjax.view.sweep.scores import Scores, scores_of
from capsjax.view.sweep.values import FEW, Scale, Swept, axis_names, scale_of_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PALE = "#616e7c"
_COLUMNS = 4
_MANY = 100
_MOST_GROUPS, _LEAST_IN_GROUP = 12, 5


def response(
    result: Swept,
    axis: str | None = None,
    metric: str | None = None,
    *,
    ax: "Axes | None" = None,
) -> Picture:
    """Draws how a metric responds to the values of an axis, over all other axes.

    Args:
        result: What a sweep has returned.
        axis: The name of an axis; without it, a panel for each.
        metric: A metric's column in the result's table; without it, the one that
            members are ranked by.
        ax: Axes to draw into, or in whose place several panels are drawn; those of a
            figure of its own, if left out.

    Returns:
        The picture: a point a member, a line through the medians, a band from the lower
        to the upper quartile. Where an axis has very many values, these are of groups
        of neighbors. Members that diverged are crosses at the edge. It shows itself in
        a notebook; has `.axes`, `.figure`, `.svg`, `.png` and
        `.save(path)`.

    Raises:
        ValueError: No such axis or metric; no members, or none with a finite value;
            or axes that stand in no grid are given for several panels.

    Example:
        >>> import capsjax as cj, pandas as pd
        >>> from types import SimpleNamespace
        >>> rates, status = [1e-3, 1e-2, 1e-1], ["done", "done", "diverged"]
        >>> table = pd.DataFrame({"rate": rates, "seed": 0, "status": status})
        >>> table["loss"] = [0.9, 0.4, None]
        >>> result = SimpleNamespace(
        ...     table=table, axes=("rate",), metric="loss", maximize=False
        ... )
        >>> cj.view.response(result)
        <picture of 4.6 x 3.2 inches>
    """
    found = scores_of(result, metric)
    names = axis_names(result) if axis is None else (axis,)
    scales = [scale_of_axis(result, name) for name in names]
    columns = min(len(scales), _COLUMNS)
    rows = -(-len(scales) // columns)
    wide = 4.6 if columns == 1 else 3.2
    size = (wide * columns, (3.2 if rows == 1 else 2.9) * rows)
    drawn = panels(size, ax, len(scales), columns, share_y=True)
    for place, (panel, scale) in enumerate(zip(drawn, scales, strict=True)):
        alone = all(
            len(scale_of_axis(result, name).places) < 2
            for name in axis_names(result)
            if name != scale.name
        )
        _draw_response(panel, found, scale, alone)
        if place % columns == 0:
            panel.set_ylabel(found.title)
        else:
            panel.tick_params(labelleft=False)
    if ax is None:
        words = "line: median, band: quartiles, point: a member, cross: diverged"
        sheet: Any = drawn[0].figure
        sheet.supxlabel(words, fontsize="small", color=_PALE)
    return finish(drawn, ax)


def _draw_response(panel: Any, found: Scores, scale: Scale, alone: bool) -> None:
    dress(panel)
    has = np.isfinite(found.values) & ~scale.missing
    at, values = scale.at[has], found.values[has]
    size, alpha = (4, 0.6) if len(at) < _MANY else (2.5, 0.3)
    panel.plot(
        loose(scale, has),
        values,
        "o",
        color=BLUE,
        markersize=size,
        markeredgewidth=0,
        alpha=alpha,
    )
    middle, quartiles = _summary(at, values, alone)
    if quartiles[1].size:
        panel.plot(middle, quartiles[1], color=INK, marker="o", markersize=3)
        panel.fill_between(
            middle, quartiles[0], quartiles[2], color=BLUE, alpha=0.2, linewidth=0
        )
    if found.log:
        panel.set_yscale("log")
    percent(panel.yaxis, found.name)
    lost = scale.at[found.diverged & ~scale.missing]
    bottom = 0.03 if found.maximize else 0.97
    panel.margins(y=0.1)
    panel.plot(
        lost,
        np.full(len(lost), bottom),
        "x",
        color=RED,
        markersize=5,
        transform=panel.get_xaxis_transform(),
    )
    spread(panel, scale, "x", 3.2)
    note(panel, *found.counts, (int(scale.missing.sum()), "without it"))


def _summary(
    at: np.ndarray, values: np.ndarray, alone: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Where, and the three quartiles there: of each place, or of groups of neighbors.

    Groups where values were drawn by chance, while other axes vary, too: a line from
    member to member would show what those others do.
    """
    places = np.unique(at)
    shared = len(places) < len(at)
    if alone or len(places) <= 10 or (shared and len(places) <= FEW):
        groups = [values[at == place] for place in places]
    else:
        order = np.argsort(at, kind="stable")
        count = min(len(at) // _LEAST_IN_GROUP, _MOST_GROUPS)
        chunks = np.array_split(order, count)
        groups = [values[chunk] for chunk in chunks]
        places = np.array([np.median(at[chunk]) for chunk in chunks])
    quartiles = [np.percentile(group, (25, 50, 75)) for group in groups]
    return places, np.array(quartiles).reshape(-1, 3).T
