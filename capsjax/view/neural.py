"""Networks of single neurons, drawn: one, or many side by side.

Inputs are blue squares, hidden neurons are circles, and the neurons that nobody reads,
the outputs, are amber with a double border. Data flows from left to right. Where there
are too many for names, they are dots of these colors.
"""

import dataclasses
import itertools
from collections.abc import Iterable, Sequence
from typing import Any

from capsjax.neural import NeuralNetwork
from capsjax.view.crowd import places
from capsjax.view.layout import Point, layered
from capsjax.view.painting import Drawing
from capsjax.view.scene.data import (
    SMALL,
    Box,
    Line,
    Role,
    Row,
    Scene,
    Text,
    curved,
    shifted,
)
from capsjax.view.scene.texts import middle, text_width

_LEAST, _AROUND = 22.3, 10.1
_NAME, _CAPTION, _TITLE = 9.0, 9.0, 11.0
_MARGIN, _GAP, _ROW, _HEAD = 18.0, 28.8, 21.6, 30.2
_TIGHT = 0.65  # distances, against those between boxes of capsules
_LARGEST = 1500, 6000  # nodes and connections that a reader can still follow
_MOST = 200  # networks in one picture
_NAMED = 120, 500  # nodes and connections, up to which names and arrows can be read
_HAIR, _HAIRS = 0.35, 600.0  # width of a connection, and of all side by side
_LEGEND = "square: input     circle: hidden neuron     double circle: output"
_DOTS = "dot: neuron     blue: input     amber: output"


def draw_network(net: NeuralNetwork, title: str = "") -> Drawing:
    """Draws a network, neuron by neuron: every node, every connection.

    Up to 120 nodes and 500 connections bear names and arrows. Larger networks show
    their shape: nodes are dots in columns by level, the longest path to them, and data
    flows from left to right.

    Args:
        net: A network of up to 1,500 nodes and 6,000 connections.
        title: What the picture shows; what the network consists of, if left out.

    Returns:
        The drawing: shows itself in a notebook; has `.svg`, `.png` and `.save(path)`.

    Raises:
        ValueError: The network is too large to be read.

    Example:
        >>> import capsjax as cj
        >>> drawing = draw_network(cj.neural.neuron("h", ["x1", "x2"]))
        >>> drawing.svg[:4]
        '<svg'

    Source: Li & Shan, arXiv 1805.03551, section 2.
    """
    _require_network(net)
    counts = {"input": len(net.inputs), "neuron": len(net.neurons)}
    counts["connection"] = len(net.sources)
    words = ", ".join(f"{n:,} {noun}{'s' * (n != 1)}" for noun, n in counts.items())
    return arrange([Panel("", (), cell(net))], title or words)


def draw_networks(nets: Iterable[NeuralNetwork], title: str = "") -> Drawing:
    """Draws small networks side by side, numbered from 1.

    Args:
        nets: The networks, up to 200.
        title: What the picture shows; the number of networks, if left out.

    Returns:
        The drawing: shows itself in a notebook; has `.svg`, `.png` and `.save(path)`.

    Raises:
        ValueError: No network, or more than 200, or one that is too large to be read.

    Example:
        >>> import capsjax as cj
        >>> draw_networks(cj.neural.enumerate_growth(1, 2))
        <drawing of 4.8 x 2.3 inches>

    Source: Li & Shan, arXiv 1805.03551, section 2.
    """
    if not isinstance(nets, Iterable):
        raise TypeError(
            f"draw_networks takes networks, not {type(nets).__name__}; one alone is "
            "drawn by draw_network"
        )
    nets = list(itertools.islice(nets, _MOST + 1))
    if len(nets) > _MOST:
        raise ValueError(
            f"draw_networks: found more than {_MOST} networks; expected at most as "
            f"many; draw some of them: nets[:{_MOST}]"
        )
    for net in nets:
        _require_network(net)
    panels = numbered(nets)
    if not panels:
        raise ValueError("draw_networks: found no network; expected one or more")
    return arrange(panels, title or f"{len(panels):,} networks")


def _require_network(given: Any) -> None:
    if not isinstance(given, NeuralNetwork):
        raise TypeError(
            f"a drawing of neurons is made of a NeuralNetwork, not of "
            f"{type(given).__name__}; of a model take model.network, and draw a graph "
            "of capsules by draw"
        )


@dataclasses.dataclass(frozen=True)
class Cell:
    """A network with its places, from the corner left above."""

    boxes: list[Box]
    lines: list[Line]
    size: Point

    def moved(self, by: Point) -> tuple[list[Box], list[Line]]:
        """Its nodes and connections at another place."""
        return shifted(self.boxes, self.lines, by)


@dataclasses.dataclass(frozen=True)
class Panel:
    """A network under a caption, or what becomes it by a rule, an arrow, and it."""

    caption: str
    before: tuple[Cell, ...]
    after: Cell

    @property
    def stack(self) -> Point:
        """Width and height of what is before, one below the other."""
        widths, heights = zip(*(each.size for each in self.before), strict=True)
        return max(widths), sum(heights) + _GAP * (len(heights) - 1)

    @property
    def size(self) -> Point:
        """Width and height."""
        width, height = self.after.size
        if self.before:
            width += self.stack[0] + 2 * _GAP
            height = max(height, self.stack[1])
        width = max(width, text_width(self.caption, _CAPTION))
        return width, height + (_ROW if self.caption else 0.0)

    def place(self, corner: Point, height: float) -> "Part":
        """The panel from the left; networks in the middle of the height left."""
        x, y = corner
        part = Part([], [], [])
        if self.caption:
            row, at = Row(self.caption, _CAPTION, "soft"), (x, y + _ROW / 2)
            part.texts.append(Text(row, at, "start"))
            y, height = y + _ROW, height - _ROW
        center = y + height / 2
        if self.before:
            top = center - self.stack[1] / 2
            for each in self.before:
                part.add(each, (x, top))
                top += each.size[1] + _GAP
            x += self.stack[0] + _GAP
            arrow = Row("⇒", 16.0)
            part.texts.append(Text(arrow, (x, center + middle(16.0)), "middle"))
            x += _GAP
        part.add(self.after, (x, center - self.after.size[1] / 2))
        return part


@dataclasses.dataclass(frozen=True)
class Part:
    """What a panel brings to a scene."""

    boxes: list[Box]
    lines: list[Line]
    texts: list[Text]

    def add(self, cell: Cell, corner: Point) -> None:
        """Puts a network in its place."""
        boxes, lines = cell.moved(corner)
        self.boxes.extend(boxes)
        self.lines.extend(lines)


def cell(net: NeuralNetwork) -> Cell:
    """Lays a network out."""
    names = [str(name) for name in net.names.tolist()]
    if len(names) > _LARGEST[0] or len(net.sources) > _LARGEST[1]:
        raise ValueError(
            f"a drawing of {len(names):,} nodes and {len(net.sources):,} connections; "
            f"expected at most {_LARGEST[0]:,} and {_LARGEST[1]:,}; draw a part of it"
        )
    roles: list[Role] = ["input" for _ in net.inputs]
    hidden: list[Role] = ["hidden" for _ in net.neurons]
    roles += hidden
    for node in net.output_neurons[net.output_neurons >= len(net.inputs)]:
        roles[node] = "output"
    sides = [_side(name) / _TIGHT for name in names]
    edges = list(zip(net.sources.tolist(), net.targets.tolist(), strict=True))
    if len(names) > _NAMED[0] or len(edges) > _NAMED[1]:
        return _dots(net, names, roles, edges)
    layout = layered([(s, s) for s in sides], edges, [(0.0, 0.0)] * len(edges))
    tops = [y - side / 2 for (_, y), side in zip(layout.vertices, sides, strict=True)]
    ends = [y + side / 2 for (_, y), side in zip(layout.vertices, sides, strict=True)]
    passed = [y for path in layout.paths for _, y in path]
    top, end = min(tops + passed), max(ends + passed)

    def place(point: Point) -> Point:
        return _TIGHT * point[0], _TIGHT * (point[1] - top)

    boxes = [
        Box(
            name,
            role,
            place(center),
            (side * _TIGHT, side * _TIGHT),
            (Row(name, _NAME),),
            (name,),
            form="square" if role == "input" else "circle",
        )
        for name, role, center, side in zip(
            names, roles, layout.vertices, sides, strict=True
        )
    ]
    lines = [
        Line(
            names[source],
            names[target],
            curved([place(point) for point in path], down=False),
            edges=((names[target], names[source]),),
        )
        for (source, target), path in zip(edges, layout.paths, strict=True)
    ]
    return Cell(boxes, lines, (_TIGHT * layout.size[0], _TIGHT * (end - top)))


def _dots(
    net: NeuralNetwork,
    names: list[str],
    roles: list[Role],
    edges: list[tuple[int, int]],
) -> Cell:
    """A network of which only the shape can be seen."""
    found, dot, size = places(net)
    centers = [(x, y) for x, y in found.tolist()]
    width = max(0.12, min(_HAIR, _HAIRS / max(len(edges), 1)))
    boxes = [
        Box(name, role, center, (dot, dot), capsules=(name,), form="circle")
        for name, role, center in zip(names, roles, centers, strict=True)
    ]
    lines = [
        Line(
            names[source],
            names[target],
            ((centers[source],), (centers[target],)),
            edges=((names[target], names[source]),),
            arrow=False,
            width=width,
        )
        for source, target in edges
    ]
    return Cell(boxes, lines, size)


def _side(name: str) -> float:
    """Width and height of a node."""
    return max(_LEAST, text_width(name, _NAME) + _AROUND)


def arrange(panels: Sequence[Panel], title: str) -> Drawing:
    """Panels in rows and columns, in about the shape of a page."""
    columns = min(range(1, len(panels) + 1), key=lambda n: _unlike_page(panels, n))
    widths, heights = _grid(panels, columns)
    lefts = list(itertools.accumulate(widths, initial=_MARGIN))
    tops = list(itertools.accumulate(heights, initial=_MARGIN + _HEAD))
    dots = any(not box.rows for panel in panels for box in panel.after.boxes)
    signs = _DOTS if dots else _LEGEND
    words = text_width(title, _TITLE, True), text_width(signs, SMALL)
    across = max(lefts[-1] - _GAP - _MARGIN, *words)
    foot = tops[-1] - _GAP + _ROW
    heading = Text(
        Row(title, _TITLE, bold=True), (_MARGIN, _MARGIN + middle(_TITLE)), "start"
    )
    legend = Text(Row(signs, SMALL, "soft"), (_MARGIN, foot + middle(SMALL)), "start")
    parts = [
        panel.place(
            (lefts[i % columns], tops[i // columns]), heights[i // columns] - _GAP
        )
        for i, panel in enumerate(panels)
    ]
    scene = Scene(
        title,
        tuple(box for part in parts for box in part.boxes),
        tuple(line for part in parts for line in part.lines),
        (across + 2 * _MARGIN, foot + _MARGIN),
        (heading, *(text for part in parts for text in part.texts), legend),
        "right",
    )
    return Drawing(scene)


def _grid(panels: Sequence[Panel], columns: int) -> tuple[list[float], list[float]]:
    """Widths of the columns and heights of the rows, with the gaps after them."""
    sizes = [panel.size for panel in panels]
    rows = range(0, len(panels), columns)
    widths = [max(size[0] for size in sizes[i::columns]) for i in range(columns)]
    heights = [max(size[1] for size in sizes[i : i + columns]) for i in rows]
    return [width + _GAP for width in widths], [height + _GAP for height in heights]


def _unlike_page(panels: Sequence[Panel], columns: int) -> float:
    widths, heights = _grid(panels, columns)
    return abs(sum(widths) - 2.0 * sum(heights))


def numbered(nets: Iterable[NeuralNetwork]) -> list[Panel]:
    """Networks under their numbers, from 1; one alone without."""
    cells = [cell(net) for net in nets]
    if len(cells) == 1:
        return [Panel("", (), cells[0])]
    return [Panel(str(i), (), cell) for i, cell in enumerate(cells, 1)]
