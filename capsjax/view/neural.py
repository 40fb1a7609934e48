"""Networks of single neurons, drawn: one, or many side by side.

Inputs are blue squares, hidden neurons are circles, and the neurons that nobody reads,
the outputs, are amber with a double border. Data flows from left to right.
"""

import dataclasses
import itertools
from collections.abc import Iterable, Sequence
from typing import Any

from capsjax.neural import NeuralNetwork
from capsjax.view import marks
from capsjax.view.layout import Point, layered
from capsjax.view.picture import Picture

_FILLS = {"input": "#e4effa", "hidden": "#f5f7fa", "output": "#fdf3e0"}
_BORDERS = {"input": "#3a78b5", "hidden": "#52606d", "output": "#c27803"}
_LEAST, _AROUND, _RING = 0.31, 0.14, 0.03
_NAME, _CAPTION, _TITLE = 9.0, 9.0, 11.0
_MARGIN, _GAP, _ROW, _HEAD = 0.25, 0.4, 0.3, 0.42
_TIGHT = 0.65  # distances, against those between boxes of capsules
_LARGEST = 200, 1000  # nodes and connections that a reader can still follow
_MOST = 200  # networks in one picture
_LEGEND = "square: input     circle: hidden neuron     double circle: output"


def draw_network(net: NeuralNetwork, title: str = "") -> Picture:
    """Draws a small network: every node with its name, every connection.

    Args:
        net: A network of up to 200 nodes and 1,000 connections.
        title: What the picture shows; what the network consists of, if left out.

    Returns:
        The picture: shows itself in a notebook; has `.svg`, `.png` and `.save(path)`.

    Raises:
        ValueError: The network is too large to be read.

    Example:
        >>> import capsjax as cj
        >>> picture = draw_network(cj.neural.neuron("h", ["x1", "x2"]))
        >>> picture.svg[:13]
        '<?xml version'

    Source: Li & Shan, arXiv 1805.03551, section 2.
    """
    _require_network(net)
    counts = {"input": len(net.inputs), "neuron": len(net.neurons)}
    counts["connection"] = len(net.sources)
    words = ", ".join(f"{n:,} {noun}{'s' * (n != 1)}" for noun, n in counts.items())
    return arrange([Panel("", (), cell(net))], title or words)


def draw_networks(nets: Iterable[NeuralNetwork], title: str = "") -> Picture:
    """Draws small networks side by side, numbered from 1.

    Args:
        nets: The networks, up to 200.
        title: What the picture shows; the number of networks, if left out.

    Returns:
        The picture: shows itself in a notebook; has `.svg`, `.png` and `.save(path)`.

    Raises:
        ValueError: No network, or more than 200, or one that is too large to be read.

    Example:
        >>> import capsjax as cj
        >>> draw_networks(cj.neural.enumerate_growth(1, 2))
        <picture of 4.2 x 3.6 inches>

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
    """A network with its places, in inches from the corner left above."""

    names: list[str]
    roles: list[str]
    centers: list[Point]
    paths: list[list[Point]]
    size: Point

    def draw(self, axes: Any, corner: Point) -> None:
        """Draws connections, then nodes."""

        def place(point: Point) -> Point:
            return corner[0] + point[0], corner[1] + point[1]

        for path in self.paths:
            marks.draw_line(axes, path, place)
        for name, role, center in zip(
            self.names, self.roles, self.centers, strict=True
        ):
            _draw_node(axes, name, role, place(center))


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
        width = max(width, marks.text_width(self.caption, _CAPTION))
        return width, height + (_ROW if self.caption else 0.0)

    def draw(self, axes: Any, corner: Point, height: float) -> None:
        """Draws the panel from the left; networks in the middle of the height left."""
        x, y = corner
        style = {"size": _CAPTION, "color": marks.SOFT, "va": "center"}
        if self.caption:
            axes.text(x, y + _ROW / 3, self.caption, **style)
            y, height = y + _ROW, height - _ROW
        middle = y + height / 2
        if self.before:
            top = middle - self.stack[1] / 2
            for each in self.before:
                each.draw(axes, (x, top))
                top += each.size[1] + _GAP
            x += self.stack[0] + _GAP
            style |= {"size": 16, "ha": "center", "color": marks.INK}
            axes.text(x, middle, "⇒", **style)
            x += _GAP
        self.after.draw(axes, (x, middle - self.after.size[1] / 2))


def cell(net: NeuralNetwork) -> Cell:
    """Lays a network out."""
    names = [str(name) for name in net.names.tolist()]
    if len(names) > _LARGEST[0] or len(net.sources) > _LARGEST[1]:
        raise ValueError(
            f"a drawing of {len(names):,} nodes and {len(net.sources):,} connections; "
            f"expected at most {_LARGEST[0]:,} and {_LARGEST[1]:,}; draw a part of it"
        )
    roles = ["input"] * len(net.inputs) + ["hidden"] * len(net.neurons)
    for node in net.output_neurons[net.output_neurons >= len(net.inputs)]:
        roles[node] = "output"
    sides = [_side(name) / _TIGHT for name in names]
    edges = list(zip(net.sources.tolist(), net.targets.tolist(), strict=True))
    layout = layered([(s, s) for s in sides], edges, [(0.0, 0.0)] * len(edges))
    # Every edge passes a place for a label; between neighboring layers it need not.
    paths = [path if len(path) > 4 else path[:: len(path) - 1] for path in layout.paths]
    tops = [y - side / 2 for (_, y), side in zip(layout.vertices, sides, strict=True)]
    ends = [y + side / 2 for (_, y), side in zip(layout.vertices, sides, strict=True)]
    passed = [y for path in paths for _, y in path]
    top, end = min(tops + passed), max(ends + passed)

    def place(point: Point) -> Point:
        return _TIGHT * point[0], _TIGHT * (point[1] - top)

    return Cell(
        names,
        roles,
        [place(center) for center in layout.vertices],
        [[place(point) for point in path] for path in paths],
        (_TIGHT * layout.size[0], _TIGHT * (end - top)),
    )


def _side(name: str) -> float:
    """Width and height of a node."""
    return max(_LEAST, marks.text_width(name, _NAME) + _AROUND)


def _draw_node(axes: Any, name: str, role: str, center: Point) -> None:
    from matplotlib.patches import Circle, Rectangle

    x, y = center
    half = _side(name) / 2
    style = {"facecolor": _FILLS[role], "edgecolor": _BORDERS[role], "linewidth": 1.3}
    if role == "input":
        corner = x - half, y - half
        axes.add_patch(Rectangle(corner, 2 * half, 2 * half, zorder=3, **style))
    else:
        axes.add_patch(Circle(center, half, zorder=3, **style))
    if role == "output":
        style |= {"fill": False, "linewidth": 0.8}
        axes.add_patch(Circle(center, half - _RING, zorder=4, **style))
    font = {"size": _NAME, "color": marks.INK, "ha": "center", "va": "center"}
    axes.text(x, y, name, zorder=5, **font)


def arrange(panels: Sequence[Panel], title: str) -> Picture:
    """Panels in rows and columns, in about the shape of a page."""
    from matplotlib.figure import Figure

    columns = min(range(1, len(panels) + 1), key=lambda n: _unlike_page(panels, n))
    widths, heights = _grid(panels, columns)
    lefts = list(itertools.accumulate(widths, initial=0.0))
    tops = list(itertools.accumulate(heights, initial=0.0))
    words = marks.text_width(title, _TITLE, "bold"), marks.text_width(_LEGEND, 8.0)
    across = max(lefts[-1] - _GAP, *words)
    down = tops[-1] - _GAP
    page = across + 2 * _MARGIN, down + _HEAD + _ROW + 2 * _MARGIN
    paper = Figure(figsize=page, facecolor="white")
    axes = paper.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(-_MARGIN, across + _MARGIN)
    axes.set_ylim(down + _ROW + _MARGIN, -_HEAD - _MARGIN)
    font: dict[str, Any] = {"family": "DejaVu Sans", "va": "center"}
    axes.text(
        0, 0.1 - _HEAD, title, size=_TITLE, color=marks.INK, weight="bold", **font
    )
    axes.text(0, down + _ROW, _LEGEND, size=8.0, color=marks.SOFT, **font)
    for i, panel in enumerate(panels):
        row, column = divmod(i, columns)
        panel.draw(axes, (lefts[column], tops[row]), heights[row] - _GAP)
    return Picture(paper)


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
