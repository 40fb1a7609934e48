"""Which color each line of a sweep's learning curves has, and what it means."""

import dataclasses
import textwrap
from typing import Any

import numpy as np

from capsjax.view.style import DISTINCT, GRAY
from capsjax.view.sweep.lines import Line
from capsjax.view.sweep.values import NONE, Scale

_MOST_SHADES = 7
_WIDTH = 42


@dataclasses.dataclass(frozen=True, eq=False)
class Colors:
    """What colors lines have, and what they mean.

    Attributes:
        lines: A line's color each.
        title: What colors tell apart.
        entries: Colors and words for the legend.
        bar: The mapping from numbers to colors, where they are too many for entries.
    """

    lines: list[Any]
    title: str = ""
    entries: list[tuple[Any, str]] = dataclasses.field(default_factory=list)
    bar: Any = None


def colors_by(scale: Scale, lines: list[Line]) -> Colors:
    """By the values of an axis: numbers from dark to light, others all different."""
    places, labels = scale.cells()
    named = len(labels) - (labels[-1] == NONE)
    if scale.ordered:
        at = scale.places if scale.kind != "categories" else np.arange(named)
        mapping = _shades(at, scale.kind == "log")
        palette = [tuple(shade) for shade in mapping.to_rgba(at)]
    else:
        mapping = None
        palette = [_distinct(place) for place in range(named)]
    palette += [GRAY] * (len(labels) - named)
    entries = list(zip(palette, labels, strict=True))
    bar = None
    if named > _MOST_SHADES and scale.kind != "categories":
        bar, entries = mapping, entries[named:]
    shades = [palette[places[line.rows[0]]] for line in lines]
    return Colors(shades, scale.title, entries, bar)


def _shades(values: np.ndarray, log: bool) -> Any:
    """From numbers to colors; without the upper end, yellow, which white pages hide."""
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, LogNorm, Normalize

    colors = ListedColormap(colormaps["viridis"](np.linspace(0, 0.9, 256)))
    norm = LogNorm if log else Normalize
    return ScalarMappable(norm(float(values[0]), float(values[-1])), colors)


def own_colors(
    lines: list[Line], best: list[tuple[int, int]], varying: list[Scale]
) -> Colors:
    """Each line's own, with what tells it apart; of many, only the best have one."""
    if not best:
        shades = [_distinct(place) for place in range(len(lines))]
        words = [words_of(line, varying) for line in lines]
        return Colors(shades, entries=list(zip(shades, words, strict=True)))
    shades = [GRAY] * len(lines)
    for rank, place in best:
        shades[place] = _distinct(rank - 1)
    return Colors(shades)


def _distinct(place: int) -> Any:
    return DISTINCT[place % len(DISTINCT)]


def words_of(line: Line, varying: list[Scale], rank: int = 0) -> str:
    """What tells a line apart: the values of its axes, in few lines of text."""
    row = line.rows[0]
    cells = [(scale.title, *scale.cells()) for scale in varying]
    # A name and its value stay on one line: wrapping breaks at plain spaces only.
    settings = [f"{name}\u00a0{labels[places[row]]}" for name, places, labels in cells]
    count = len(line.rows)
    who = f"{count} members" if count > 1 else f"member {line.members[0]}"
    parts = [f"{rank}: {who}", *settings] if rank else settings or [who]
    text = textwrap.wrap(
        ", ".join(parts), _WIDTH, max_lines=3, placeholder=" …", break_on_hyphens=False
    )
    return "\n".join(text)
