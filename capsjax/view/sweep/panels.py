"""What the panels of a sweep's pictures share: colors, grid, and labels."""

import math
from typing import Any

import numpy as np

from capsjax.view.style import RED
from capsjax.view.sweep.scores import is_share
from capsjax.view.sweep.values import Scale

_LETTER, _ROW, _SLANTED = 0.085, 0.19, 0.27
_MANY = 100
_TICKS = 5


def spread(panel: Any, scale: Scale, side: str, inches: float) -> None:
    """Sets a panel's side to an axis: how values are spaced, what is written there."""
    from matplotlib.ticker import MaxNLocator, NullLocator

    axis = panel.xaxis if side == "x" else panel.yaxis
    axis.set_label_text(scale.title)
    if scale.kind == "categories":
        label_places(panel, side, scale.labels, inches)
        return
    if scale.kind == "log":
        (panel.set_xscale if side == "x" else panel.set_yscale)("log")
    if len(scale.places) <= _TICKS and _apart(scale):
        axis.set_ticks(scale.places, scale.labels)
        axis.set_minor_locator(NullLocator())
    elif scale.kind == "linear":
        axis.set_major_locator(MaxNLocator(_TICKS))


def _apart(scale: Scale) -> bool:
    """Whether labels at all places leave room for each other."""
    at = np.log(scale.places) if scale.kind == "log" else scale.places
    steps = np.diff(at)
    return not len(steps) or bool(steps.min() >= 0.12 * steps.sum())


def loose(scale: Scale, members: np.ndarray, turn: float = 0.618034) -> np.ndarray:
    """Where members stand; of many, beside their category rather than on each other."""
    at = scale.at[members]
    if scale.kind != "categories" or len(scale.at) < _MANY:
        return at
    # Multiples of an irrational number: spread evenly, and the same each time.
    return at + 0.3 * ((np.arange(len(at)) * turn) % 1 - 0.5)


def label_places(panel: Any, side: str, labels: tuple[str, ...], inches: float) -> None:
    """Writes labels at 0, 1, 2 ...; slanted, or only some, where there is no room."""
    axis = panel.xaxis if side == "x" else panel.yaxis
    (panel.set_xlim if side == "x" else panel.set_ylim)(-0.5, len(labels) - 0.5)
    letters = max(map(len, labels)) + 1
    slanted = side == "x" and _LETTER * letters * len(labels) > inches
    every = math.ceil((_SLANTED if slanted else _ROW) * len(labels) / inches)
    axis.set_ticks(range(0, len(labels), every), labels[::every])
    if slanted:
        for label in axis.get_ticklabels():
            label.set(rotation=40, ha="right", rotation_mode="anchor")


def percent(axis: Any, metric: str) -> None:
    """Shares are read in percent."""
    from matplotlib.ticker import PercentFormatter

    if is_share(metric):
        axis.set_major_formatter(PercentFormatter(1.0))


def note(panel: Any, *counts: tuple[int, str]) -> None:
    """Says above the panel how many members it can't show at their place."""
    words = ", ".join(f"{count} {what}" for count, what in counts if count)
    panel.set_title(words, loc="right", color=RED, fontsize="small")
