"""The scene of a graph: boxes, frames of open blocks, and lines, each in its place.

What an open block holds is laid out by itself, and then placed as one large box. Lines
from outside enter a frame in the middle of one side and leave it in the middle of the
other; so what surrounds a block looks alike whether it is open or not.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

from capsjax.compiler import Network
from capsjax.graph.typed import TypedGraph
from capsjax.view import labels
from capsjax.view.folding import Folded, common, fold
from capsjax.view.layout import layered
from capsjax.view.scene.boxes import boxes_of
from capsjax.view.scene.data import (
    RADIUS,
    SMALL,
    TITLE,
    Box,
    Line,
    Point,
    Row,
    Scene,
    Size,
    Text,
    curved,
    shifted,
)
from capsjax.view.scene.edges import depth_of, edges_of
from capsjax.view.scene.texts import middle, text_width

Direction = Literal["right", "down"]

_MARGIN = 18.0
_HEAD, _FOOT = 26.0, 24.5
_PAD = 12.0
_HEADER = 30.0
_DEEP = 8  # layers of capsules that still stand side by side


def scene_of(
    net: Network,
    opened: bool | Iterable[str] = False,
    direction: Direction | None = None,
) -> Scene:
    """Lays out a network.

    Args:
        net: The network.
        opened: Names of the uses of blocks to draw by what they hold; True for all.
        direction: Where data flows; by the depth, if left out.

    Returns:
        The scene.

    Raises:
        ValueError: No such use of a block.
    """
    folded = fold(net.typed, opened)
    legs = _legs(net.typed, folded)
    if direction is None:
        direction = "down" if depth_of(net.typed, folded) > _DEEP else "right"
    boxes = {box.name: box for box in boxes_of(net, folded)}
    down = direction == "down"
    placed = _Arrangement(folded, boxes, legs, down).level("")
    return _framed(net.typed, placed, direction)


class _Leg(NamedTuple):
    """A line before it is laid out. "" stands for the frame itself."""

    source: str
    target: str
    weighting: Any
    edges: list[tuple[str, str]]


def _legs(typed: TypedGraph, folded: Folded) -> dict[str, list[_Leg]]:
    """The lines at the top ("") and in each frame.

    The last leg of an edge into a capsule that is shown has the operation; all others
    from and to the same boxes are one.
    """
    found: dict[str, list[_Leg]] = {"": [], **{name: [] for name in folded.frames}}
    plain: dict[tuple[str, str, str], _Leg] = {}

    def add(frame: str, source: str, target: str, weighting: Any, edge) -> None:
        leg = plain.get((frame, source, target)) if weighting is None else None
        if leg is None:
            leg = _Leg(source, target, weighting, [])
            found[frame].append(leg)
            if weighting is None:
                plain[frame, source, target] = leg
        leg.edges.append(edge)

    for source, target, key, weighting, _ in edges_of(typed):
        a = folded.around(folded.box_of.get(source, source))
        b = folded.around(folded.box_of[target])
        if a == b:
            continue
        edge = target, key
        shared = common(a, b)
        last = None if b[-1] in folded.blocks else weighting
        n = len(shared)
        for i in range(len(a) - 1, n, -1):
            add(a[i - 1], a[i], "", None, edge)
        own = last if len(b) == n + 1 else None
        add(shared[-1] if shared else "", a[n], b[n], own, edge)
        for i in range(n + 1, len(b)):
            add(b[i - 1], "", b[i], last if i == len(b) - 1 else None, edge)
    return found


class _Placed(NamedTuple):
    """A part of a scene with its corner left above at (0, 0)."""

    boxes: list[Box]
    lines: list[Line]
    size: Size

    def moved(self, by: Point) -> tuple[list[Box], list[Line]]:
        """Its boxes and lines at another place."""
        return shifted(self.boxes, self.lines, by)


@dataclasses.dataclass(frozen=True)
class _Arrangement:
    """Lays out frames from within.

    Attributes:
        folded: Which capsules stand in which boxes and frames.
        boxes: Boxes and frames without places, by name.
        legs: The lines of each frame.
        down: Whether data flows down.
    """

    folded: Folded
    boxes: dict[str, Box]
    legs: dict[str, list[_Leg]]
    down: bool

    def turn(self, pair: Size) -> Size:
        """Between (x, y) and (along, across), either way."""
        return (pair[1], pair[0]) if self.down else pair

    def level(self, frame: str) -> _Placed:
        """What a frame holds; "" for all."""
        names = [
            name for name in self.boxes if self.folded.within.get(name, "") == frame
        ]
        inner = {n: self._frame(n) for n in names if n in self.folded.frames}
        sizes = {n: inner[n].size if n in inner else self.boxes[n].size for n in names}
        legs = self.legs[frame]
        ends, more = self._ends(names, legs) if frame else ({}, [])
        index = {name: i for i, name in enumerate(names)}
        layout = layered(
            [*(self.turn(sizes[n]) for n in names), *[(0.0, 0.0)] * len(ends)],
            [
                (
                    ends["in"] if not leg.source else index[leg.source],
                    ends["out"] if not leg.target else index[leg.target],
                )
                for leg in legs
            ]
            + more,
            [self.turn(_label_size(leg, self.down)) for leg in legs]
            + [(0.0, 0.0)] * len(more),
            wide={index[name] for name in inner},
        )
        size = self.turn(layout.size)
        boxes, lines = [], []
        for name, center in zip(names, layout.vertices, strict=False):
            x, y = self.turn(center)
            if name in inner:
                width, height = sizes[name]
                corner = x - width / 2, y - height / 2
                held, between = inner[name].moved(corner)
                boxes += held
                lines += between
            else:
                boxes.append(dataclasses.replace(self.boxes[name], center=(x, y)))
        for leg, path, label in zip(legs, layout.paths, layout.labels, strict=False):
            points = [self.turn(point) for point in path]
            lines.append(self._line(frame, leg, points, self.turn(label)))
        return _Placed(boxes, lines, size)

    def _ends(
        self, names: Sequence[str], legs: Sequence[_Leg]
    ) -> tuple[dict[str, int], list[tuple[int, int]]]:
        """Vertices where lines enter and leave; and edges that keep them outermost."""
        index = {name: i for i, name in enumerate(names)}
        first, last = len(names), len(names) + 1
        read = {leg.target for leg in legs}
        reading = {leg.source for leg in legs}
        more = [(first, index[n]) for n in names if n not in read]
        more += [(index[n], last) for n in names if n not in reading]
        return {"in": first, "out": last}, more

    def _line(self, frame: str, leg: _Leg, points: list[Point], label: Point) -> Line:
        symbol = leg.weighting.symbol if leg.weighting is not None else ""
        return Line(
            leg.source or frame,
            leg.target or frame,
            curved(points, self.down),
            symbol,
            labels.edge_words(leg.weighting) if leg.weighting and symbol else "",
            leg.weighting.kind if leg.weighting is not None else "",
            label if symbol else None,
            self.down,
            tuple(leg.edges),
            frame,
            arrow=bool(leg.target),
        )

    def _frame(self, name: str) -> _Placed:
        """A frame around what it holds, with its title above."""
        held = self.level(name)
        width, height = held.size
        frame = self.boxes[name]
        titles = max(text_width(r.text, r.size, r.bold) for r in frame.rows) + 16.0
        # Where lines enter from above, the title stands on the left of them.
        whole = max(width + 2 * _PAD, 2 * titles if self.down else titles)
        tall = height + _HEADER + _PAD
        shift = (whole - width) / 2, _HEADER
        boxes, lines = held.moved(shift)
        size = whole, tall
        box = dataclasses.replace(frame, size=size, center=(whole / 2, tall / 2))
        lines = [self._joined(line, box) for line in lines]
        return _Placed([box, *boxes], lines, size)

    def _joined(self, line: Line, frame: Box) -> Line:
        """A line from or to the frame around it, up to the border."""
        if frame.name not in (line.source, line.target) or line.within != frame.name:
            return line
        left, top, right, bottom = frame.corners
        x, y = frame.center
        points = _corners(line.path)
        if line.source == frame.name and self.down:
            header = x, top + _HEADER  # straight past the title
            points[:1] = [(x, top), header, header]
        elif line.source == frame.name:
            points[0] = left, y
        if line.target == frame.name:
            points[-1] = (x, bottom) if self.down else (right, y)
        return dataclasses.replace(line, path=curved(points, self.down))


def _corners(path: Sequence[tuple[Point, ...]]) -> list[Point]:
    return [part[-1] for part in path]


def _label_size(leg: _Leg, down: bool) -> Size:
    """Width and height that a line's symbol and words need, the symbol in the middle.

    The words stand below the symbol, or beside it where data flows down.
    """
    if leg.weighting is None or not leg.weighting.symbol:
        return (0.0, 0.0)
    words = labels.edge_words(leg.weighting)
    width = text_width(words, SMALL) if words else 0.0
    if down:
        return 2 * (RADIUS + (width + 5.8 if words else 0.0)), 2 * RADIUS
    return max(2 * RADIUS, width), 2 * (RADIUS + (14.4 if words else 0.0))


def _framed(typed: TypedGraph, placed: _Placed, direction: Direction) -> Scene:
    """A scene with title, legend and margins."""
    name = labels.name_words(typed.graph.name)
    title = f"{name}  ·  {typed.parameter_count:,} parameters"
    legend = _legend(placed.lines)
    wide = text_width(title, TITLE, True), text_width(legend, SMALL)
    width, height = placed.size
    whole = max(width, *wide)
    top = _MARGIN + _HEAD
    boxes, lines = placed.moved((_MARGIN + (whole - width) / 2, top))
    captions = [
        Text(Row(title, TITLE, bold=True), (_MARGIN, _MARGIN + middle(TITLE)), "start")
    ]
    foot = _FOOT if legend else 0.0
    if legend:
        at = _MARGIN, top + height + foot + middle(SMALL)
        captions.append(Text(Row(legend, SMALL, "soft"), at, "start"))
    size = whole + 2 * _MARGIN, top + height + foot + _MARGIN
    return Scene(
        typed.graph.name, tuple(boxes), tuple(lines), size, tuple(captions), direction
    )


def _legend(lines: Sequence[Line]) -> str:
    """What the symbols of a drawing mean: `∗ conv   × matmul`."""
    meaning = {line.symbol: line.kind for line in lines if line.symbol}
    return "     ".join(f"{symbol} {kind}" for symbol, kind in meaning.items())
