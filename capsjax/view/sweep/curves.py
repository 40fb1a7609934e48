"""sweep_curves: learning curves of a sweep, with their spread over seeds."""

from typing import TYPE_CHECKING, Any

import numpy as np

from capsjax.view.picture import Picture
from capsjax.view.style import (
    GRAY,
    INK,
    RED,
    color_bar,
    dress,
    finish,
    legend_beside,
    panels,
    steps_axis,
)
from capsjax.view.sweep.colors import Colors, colors_by, own_colors, words_of
from capsjax.view.sweep.lines import Line, best_lines, read_lines
from capsjax.view.sweep.panels import note, percent
from capsjax.view.sweep.scores import (
    check_members,
    check_metric,
    diverged_members,
    is_share,
    more_is_better,
)
from capsjax.view.sweep.values import (
    Swept,
    axis_names,
    scale_of_axis,
    short,
    spacing,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_ENTRIES = 12
_MANY = 40
_LETTER = 0.072
_APART = 0.05
"""The least share of the panel's height between two numbers beside it."""


def sweep_curves(
    result: Swept,
    by: str | None = None,
    metric: str | None = None,
    *,
    ax: "Axes | None" = None,
) -> Picture:
    """Draws a metric over training, a line for members that differ only in their seed.

    Args:
        result: What a sweep has returned.
        by: The name of the axis that gives the lines their colors. Without it, each
            line has its own; of more than 12, the best 5. By `seed`, each member is a
            line of its own.
        metric: A metric's column in the result's history; without it, the one that
            members are ranked by.
        ax: Axes to draw into; those of a figure of its own, if left out.

    Returns:
        The picture: means over seeds, and bands from the least to the largest. More
        than 40 lines are thin and have no band, and the best 5 at the end are numbered.
        Members that diverged are dotted and gray and end in a cross; what they reach
        beyond the others is cut. It shows itself in a notebook; has `.axes`, `.figure`,
        `.svg`, `.png` and `.save(path)`.

    Raises:
        ValueError: No such axis or metric; no members, or no finite value.

    Example:
        >>> import capsjax as cj, pandas as pd
        >>> from types import SimpleNamespace
        >>> table = pd.DataFrame({"rate": [0.1, 0.1, 0.2], "seed": [0, 1, 0]})
        >>> rows = [(m, s, 1 / (s + m + 1)) for m in range(3) for s in range(4)]
        >>> result = SimpleNamespace(
        ...     table=table.assign(status="done"),
        ...     history=pd.DataFrame(rows, columns=["member", "step", "loss"]),
        ...     axes=("rate",), metric="loss", maximize=False,
        ... )
        >>> cj.view.sweep_curves(result)
        <picture of 5.9 x 4.0 inches>
    """
    check_members(result.table)
    name = check_metric(result, result.history, metric)
    names = [*axis_names(result), *([by] if by else [])]
    names = [axis for axis in dict.fromkeys(names) if axis != "seed" or by == "seed"]
    scales = [scale_of_axis(result, axis) for axis in names]
    lines, lost = read_lines(result, name, scales)
    varying = [scale for scale in scales if len(scale.cells()[1]) > 1]
    if by is None and len(varying) == 1:
        by = varying[0].name
    most = _MANY if by else _MOST_ENTRIES
    best = best_lines(lines, more_is_better(result, name), most)
    if by:
        colors = colors_by(scale_of_axis(result, by), lines)
    else:
        colors = own_colors(lines, best, varying)
    ends = [(colors.lines[i], words_of(lines[i], varying, rank)) for rank, i in best]
    entries = _entries(colors, ends)
    size = _inches(colors, entries)
    (panel,) = panels(size, ax)
    _draw_lines(panel, lines, colors.lines, best)
    _fit(panel, name, lines or lost)
    _draw_lost(panel, lost)
    _number(panel, lines, best)
    note(panel, (int(diverged_members(result.table).sum()), "diverged"))
    if colors.bar is not None:
        color_bar(panel, colors.bar, colors.title)
    title = colors.title if colors.entries else ""
    legend_beside([panel], ax, _handles(entries), title)
    return finish([panel], ax)


def _inches(colors: Colors, entries: list[tuple[Any, str]]) -> tuple[float, float]:
    """The figure's size: the panel keeps its own, whatever stands beside it."""
    words = [line for _, text in entries for line in text.split("\n")]
    wide = _LETTER * max(map(len, [colors.title, *words]))
    bar = 0.9 if colors.bar is not None else 0.0
    return (5.6 + bar + wide, max(4.0, 0.18 * len(words) + 0.6))


def _draw_lines(
    panel: Any, lines: list[Line], colors: list[Any], best: list[tuple[int, int]]
) -> None:
    """The best are drawn last, over all others, and thicker."""
    many = len(lines) > _MANY
    top = [place for _, place in reversed(best)]
    rest = [place for place in range(len(lines)) if place not in top]
    for place in rest + top:
        line, color = lines[place], colors[place]
        panel.plot(
            line.steps,
            line.mean,
            color=color,
            linewidth=2.0 if place in top else 0.6 if many else 1.4,
            alpha=0.5 if many and place not in top else 1.0,
            marker="o" if len(line.steps) < 3 else None,
            markersize=3,
            zorder=2.5 if place in top else 2,
        )
        if len(line.rows) > 1 and not many:
            band = line.low, line.high
            panel.fill_between(line.steps, *band, color=color, alpha=0.15, linewidth=0)


def _draw_lost(panel: Any, lost: list[Line]) -> None:
    """Members that diverged, as far as the panel reaches, and where they end."""
    low, high = panel.get_ylim()
    for line in lost:
        panel.plot(
            line.steps, line.mean, color=GRAY, linestyle=":", linewidth=0.9, zorder=1.5
        )
        end = line.steps[-1:], np.clip(line.mean[-1:], low, high)
        panel.plot(*end, "x", color=RED, markersize=5, clip_on=False, zorder=3)
    panel.set_ylim(low, high)


def _fit(panel: Any, metric: str, lines: list[Line]) -> None:
    """The scale of the metric; divergence must not press all others flat."""
    low = np.concatenate([line.low for line in lines])
    high = np.concatenate([line.high for line in lines])
    percent(panel.yaxis, metric)
    if not is_share(metric) and spacing(np.concatenate([low, high])) == "log":
        panel.set_yscale("log")
    panel.update_datalim(
        [(lines[0].steps[0], low.min()), (lines[0].steps[0], high.max())]
    )
    panel.autoscale_view()
    title = short(metric.replace("_", " "))
    steps_axis(panel)
    dress(panel, title)


def _number(panel: Any, lines: list[Line], best: list[tuple[int, int]]) -> None:
    """The ranks of the best beside their ends, moved apart where they would overlap."""
    to_share = panel.transData + panel.transAxes.inverted()
    ends = [(lines[place].steps[-1], lines[place].mean[-1]) for _, place in best]
    heights = [to_share.transform(end)[1] for end in ends]
    order = np.argsort(heights, kind="stable")[::-1]
    free = np.inf
    spots = {}
    for i in order:
        spots[i] = free = min(heights[i], free - _APART)
    up = max(0.0, -min(spots.values(), default=0.0))
    for i, height in spots.items():
        panel.annotate(
            str(best[i][0]),
            (ends[i][0], height + up),
            (4, 0),
            xycoords=panel.get_xaxis_transform(),
            textcoords="offset points",
            va="center",
            fontsize="small",
            weight="bold",
            color=INK,
            annotation_clip=False,
        )


def _entries(colors: Colors, best: list[tuple[Any, str]]) -> list[tuple[Any, str]]:
    """What colors mean, then the best; no more than a reader can match with lines."""
    entries, room = colors.entries, _MOST_ENTRIES - len(best)
    if len(entries) > room:
        more = f"and {len(entries) - room + 1} more"
        entries = [*entries[: room - 1], ("none", more)]
    return entries + best


def _handles(entries: list[tuple[Any, str]]) -> list[tuple[Any, str]]:
    """A line of each color, and what it means."""
    from matplotlib.lines import Line2D

    return [(Line2D([], [], color=color, linewidth=2), own) for color, own in entries]
