"""What a picture of learning shows: a graph with places, and sizes at each step."""

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from capsjax.compiler import Network
from capsjax.view.folding import fold
from capsjax.view.labels import name_words
from capsjax.view.layout import Point, layered
from capsjax.view.scene.edges import edges_of
from capsjax.view.scene.texts import text_width

if TYPE_CHECKING:
    import pandas as pd

SIGNALS, GRADIENTS = "viridis", "plasma"
"""Color maps."""

_HIGH, _AROUND, _LABEL, _NAME = 18.7, 14.4, 5.8, 8.0
_TIGHT = 0.55  # distances along, against those between boxes with labels
_INCH = 72.0  # points

Spans = tuple[tuple[float, float], tuple[float, float]]
_LEAST_DECADES = 4
_MOST_DECADES = 12


@dataclasses.dataclass(frozen=True, eq=False)
class Frames:
    """A graph with its signals and gradients over steps; all places in inches.

    Attributes:
        names: Of the boxes: inputs, capsules, and blocks.
        centers: Their places, y downwards.
        sizes: Their widths and heights.
        ends: The boxes that each line connects.
        paths: The way of each line.
        size: Width and height of all.
        steps: The steps.
        signals: |delta| of each box, [steps, boxes]; NaN where there is none.
        gradients: |dW| on each line, [steps, lines]; NaN where no weight stands.
        spans: Ends of the color scales of signals and gradients.
    """

    names: list[str]
    centers: list[Point]
    sizes: list[Point]
    ends: list[tuple[int, int]]
    paths: list[list[Point]]
    size: Point
    steps: list[int]
    signals: np.ndarray
    gradients: np.ndarray
    spans: Spans


def frames(
    net: Network, table: "pd.DataFrame", expand: Any, spans: Spans | None
) -> Frames:
    """Lays the graph out, and reads the table; color scales are made, if not given."""
    typed = net.typed
    box_of = fold(typed, expand).box_of
    names = [name for name, _ in typed.inputs]
    names += [name for name in dict.fromkeys(box_of.values()) if name not in names]
    index = {name: i for i, name in enumerate(names)}
    lines: dict[tuple[int, int], list[tuple[str, str]]] = {}
    for source, target, key, _, weight in edges_of(typed):
        begin, end = index[box_of.get(source, source)], index[box_of[target]]
        if begin != end:
            row = (weight, "") if weight else (target, key)  # as a tracer names it
            lines.setdefault((begin, end), []).append(row)
    sizes = [(text_width(name_words(n), _NAME) + _AROUND, _HIGH) for n in names]
    ends = list(lines)
    turned = [(high / _TIGHT, wide) for wide, high in sizes]
    layout = layered(turned, ends, [(_LABEL, _LABEL)] * len(ends))
    steps, delta = _by_step(table, "delta", ("capsule",))
    _, weight = _by_step(table, "dW", ("capsule", "source"))
    members: dict[str, list[str]] = {}
    for capsule, box in box_of.items():
        members.setdefault(box, []).append(capsule)
    signals = [_middle(delta, members.get(name, []), len(steps)) for name in names]
    gradients = [_middle(weight, keys, len(steps)) for keys in lines.values()]
    of_boxes = np.array(signals).T.reshape(len(steps), len(names))
    of_lines = np.array(gradients).T.reshape(len(steps), len(ends))
    return Frames(
        names,
        list(map(_inches, layout.vertices)),
        [(wide / _INCH, high / _INCH) for wide, high in sizes],
        ends,
        [list(map(_inches, path)) for path in layout.paths],
        _inches(layout.size),
        steps,
        of_boxes,
        of_lines,
        spans or (span(of_boxes), span(of_lines)),
    )


def _inches(point: Point) -> Point:
    """A place of the layout, with data flowing down, in inches."""
    along, across = point
    return across / _INCH, _TIGHT * along / _INCH


def _by_step(
    table: "pd.DataFrame", quantity: str, by: tuple[str, ...]
) -> tuple[list[int], dict[Any, np.ndarray]]:
    """The steps, and the values at them by name; of members, the mean."""
    steps = sorted(set(table["step"]))
    place = {step: i for i, step in enumerate(steps)}
    own = table.loc[table["quantity"] == quantity]
    found: dict[Any, np.ndarray] = {}
    means = own.groupby([*by, "step"], sort=False)[["value"]].mean().reset_index()
    for *names, step, value in means.itertuples(index=False):
        name = names[0] if len(by) == 1 else tuple(names)
        values = found.setdefault(name, np.full(len(steps), np.nan))
        values[place[step]] = value
    return [int(step) for step in steps], found


def _middle(rows: dict[Any, np.ndarray], keys: list[Any], count: int) -> np.ndarray:
    """The geometric mean of what stands for one box or line, at each step."""
    own = [rows[key] for key in keys if key in rows]
    if not own:
        return np.full(count, np.nan)
    if len(own) == 1:
        return own[0]
    with np.errstate(divide="ignore"):
        return np.exp(np.mean(np.log(own), axis=0))


def span(values: np.ndarray) -> tuple[float, float]:
    """Ends of a color scale, the same at all steps: powers of ten.

    At least four decades, so that what differs by little looks alike; at most twelve.
    """
    sound = values[np.isfinite(values) & (values > 0)]
    if not sound.size:
        return 1e-4, 1.0
    top = int(np.ceil(np.log10(sound.max())))
    low = int(np.floor(np.log10(sound.min())))
    low = max(min(low, top - _LEAST_DECADES), top - _MOST_DECADES)
    return 10.0**low, 10.0**top
