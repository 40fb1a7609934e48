"""parallel: a line a member across all axes of a sweep, which ends at its metric."""

from typing import TYPE_CHECKING, Any

import numpy as np

from capsjax.view.picture import Picture
from capsjax.view.style import GRAY, INK, RED, color_bar, finish, panels
from capsjax.view.sweep.panels import percent
from capsjax.view.sweep.scores import Scores, is_share, scores_of
from capsjax.view.sweep.values import Scale, Swept, axis_names, number, scale_of_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FLOOR = 0.12
_LETTER, _LONGEST = 0.08, 16
_MOST_TICKS = 8
_APART = 0.045
"""The least share of a panel's height between two labels."""


def parallel(
    result: Swept, metric: str | None = None, *, ax: "Axes | None" = None
) -> Picture:
    """Draws each member as a line across all axes, which ends at its metric.

    Args:
        result: What a sweep has returned.
        metric: A metric's column in the result's table; without it, the one that
            members are ranked by.
        ax: Axes to draw into; those of a figure of its own, if left out.

    Returns:
        The picture: a vertical line an axis, the metric last; a line a member, the best
        darkest, on top, and thicker. Members that diverged are dotted and gray and end
        in a cross. It shows itself in a notebook; has `.axes`, `.figure`, `.svg`,
        `.png` and `.save(path)`.

    Raises:
        ValueError: No such metric; no members, or none with a finite value.

    Example:
        >>> import capsjax as cj, pandas as pd
        >>> from types import SimpleNamespace
        >>> rows = [(1e-3, "relu", 0.7), (1e-2, "relu", 0.8), (1e-1, "tanh", 0.6)]
        >>> table = pd.DataFrame(rows, columns=["rate", "cap", "accuracy"])
        >>> result = SimpleNamespace(
        ...     table=table.assign(seed=0, status="done"),
        ...     axes=("rate", "cap"), metric="accuracy", maximize=True,
        ... )
        >>> cj.view.parallel(result)
        <picture of 6.4 x 4.4 inches>
    """
    found = scores_of(result, metric)
    scales = [scale_of_axis(result, name) for name in axis_names(result)]
    last = len(scales)
    letters = max(len(label) for scale in scales for label in scale.labels)
    wide = max(_LETTER * min(letters, _LONGEST) + 0.35, 1.35) * last
    size = (max(wide + 2.4, 6.4), 4.4)
    (panel,) = panels(size, ax)
    heights = []
    slanted = max(len(scale.title) for scale in scales) > 13 or len(found.title) > 13
    for place, scale in enumerate(scales):
        where, ticks = _upright(scale)
        heights.append(where)
        _vertical(panel, place, scale.title, ticks, slanted)
    values, ticks = _metric_upright(found)
    _vertical(panel, last, found.title, ticks, slanted, right=True)
    colors = found.colors()
    _draw_members(panel, found, np.column_stack([*heights, values]), colors)
    panel.set_xlim(-0.6, last + 0.5)
    panel.set_ylim(-0.04, 1.04)
    panel.set_axis_off()
    words = ", ".join(f"{count} {what}" for count, what in found.counts if count)
    panel.text(0.0, -0.06, words, color=RED, transform=panel.transAxes)
    percent(color_bar(panel, colors, found.title).ax.yaxis, found.name)
    return finish([panel], ax)


def _draw_members(panel: Any, found: Scores, heights: np.ndarray, colors: Any) -> None:
    from matplotlib.collections import LineCollection

    members, columns = heights.shape
    places = np.arange(columns, dtype=float)
    segments = np.stack([np.broadcast_to(places, heights.shape), heights], axis=2)
    lost = segments[found.diverged]
    lost[:, -1] = lost[:, -2] + (0.3, 0.0)  # no metric to end at
    dotted = LineCollection(
        list(lost), colors=GRAY, linewidths=0.7, linestyles="dotted", zorder=1
    )
    panel.add_collection(dotted)
    panel.plot(*lost[:, -1].T, "x", color=RED, markersize=4, linestyle="")
    order = found.ranked
    best = min(max(len(order) // 10, 1), 10)
    thin = 1.3 if members < 50 else 0.8 if members < 300 else 0.5
    widths = np.full(len(order), thin)
    widths[-best:] = 2.2
    shades = colors.to_rgba(found.values[order])
    shades[:-best, 3] = 0.8 if members < 300 else 0.5
    lines = LineCollection(
        list(segments[order]), colors=shades, linewidths=widths, zorder=2
    )
    panel.add_collection(lines)


def _upright(scale: Scale) -> tuple[np.ndarray, list[tuple[float, str]]]:
    """An axis from 0 to 1: where members stand, and what is written where.

    Members without a number stand at the bottom, below all that have one.
    """
    gap = bool(scale.missing.any())
    floor = _FLOOR if gap else 0.0
    span = _Span(scale.places, scale.kind == "log", floor)
    where = np.where(scale.missing, 0.0, span(scale.at))
    if scale.kind == "categories" or len(scale.places) <= _MOST_TICKS:
        ticks = list(zip(span(scale.places).tolist(), scale.labels, strict=True))
    else:
        ticks = [(float(span(tick)), number(tick)) for tick in span.ticks()]
    return where, [(0.0, "none")] * gap + _thinned(ticks)


def _metric_upright(found: Scores) -> tuple[np.ndarray, list[tuple[float, str]]]:
    span = _Span(found.values[found.ranked], found.log, 0.0)
    share = is_share(found.name)
    ticks = [
        (float(span(tick)), f"{100 * tick:.4g}%" if share else number(tick))
        for tick in span.ticks()
    ]
    return span(found.values), _thinned(ticks)


class _Span:
    """From values to heights between a floor and 1; a single value in the middle."""

    def __init__(self, values: np.ndarray, log: bool, floor: float):
        self.log, self.floor = log, floor
        self.low, self.high = float(values.min()), float(values.max())

    def __call__(self, values: Any) -> Any:
        scaled = np.log(values) if self.log else np.asarray(values, float)
        low, high = np.log([self.low, self.high]) if self.log else (self.low, self.high)
        share = (scaled - low) / (high - low) if high > low else 0.5 + 0 * scaled
        return self.floor + (1 - self.floor) * share

    def ticks(self) -> list[float]:
        """Round numbers within."""
        from matplotlib.ticker import LogLocator, MaxNLocator

        if self.low == self.high:
            return [self.low]
        wide = self.log and self.high >= 100 * self.low
        decades = LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0), numticks=12)
        locator = decades if self.log else MaxNLocator(6)
        ticks = locator.tick_values(self.low, self.high)
        return [float(tick) for tick in ticks if self.low <= tick <= self.high]


def _thinned(ticks: list[tuple[float, str]]) -> list[tuple[float, str]]:
    """Ticks from the lowest on, without those too near to the one before."""
    kept: list[tuple[float, str]] = []
    for tick in sorted(ticks):
        if not kept or tick[0] - kept[-1][0] >= _APART:
            kept.append(tick)
    return kept


def _vertical(
    panel: Any,
    place: int,
    name: str,
    ticks: list[tuple[float, str]],
    slanted: bool,
    right: bool = False,
) -> None:
    """An axis with its labels; right of the last one, where no line can cross them."""
    side = 1 if right else -1
    panel.plot([place, place], [0, 1], color=INK, linewidth=1, zorder=3)
    for height, label in ticks:
        panel.plot(
            [place, place + 0.03 * side], [height] * 2, color=INK, lw=1, zorder=3
        )
        panel.text(
            *(place + 0.05 * side, height, label),
            ha="left" if right else "right",
            va="center",
            fontsize="small",
            color=INK,
            zorder=4,
            bbox={
                "boxstyle": "round,pad=0.1",
                "facecolor": "white",
                "alpha": 0.75,
                "linewidth": 0,
            },
        )
    panel.text(
        *(place, 1.05, name),
        ha="left" if slanted else "center",
        va="bottom",
        rotation=25 if slanted else 0,
        rotation_mode="anchor",
        weight="bold",
        color=INK,
    )
