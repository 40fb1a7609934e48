"""draw: a graph of capsules in the manner of the paper.

Capsules are boxes, weighted edges are lines with the symbol of their operation.
"""

import os
from collections.abc import Sequence
from typing import Any, Literal

from capsjax.compiler import Network
from capsjax.compiler import compile as compile_graph
from capsjax.graph import Graph
from capsjax.graph.topology import topological_order
from capsjax.graph.typed import TypedGraph
from capsjax.neural import Model, NeuralNetwork
from capsjax.view import labels, marks
from capsjax.view.folding import Folded, fold
from capsjax.view.layout import Point, Size, layered
from capsjax.view.picture import Picture

Direction = Literal["right", "down"]

_MARGIN = 0.25
_HEAD, _FOOT = 0.36, 0.34
_TITLE, _SMALL = 11.0, 8.0
_DEEP = 12  # layers of capsules that still stand side by side


def draw(
    graph: Graph | Model | NeuralNetwork | Network,
    path: str | os.PathLike[str] | None = None,
    *,
    direction: Direction | None = None,
    expand: bool | Sequence[str] = False,
) -> Picture:
    """Draws a graph: capsules, their functions and shapes, and the edges' operations.

    Inputs are blue, outputs amber with the name of their loss. A line without a
    symbol reads its source as it is. A block is one gray box, equal copies that read
    each other in a row are one, too; a line into it stands for all that it reads.

    Args:
        graph: A declaration, of capsules or of neurons; or a compiled network.
        path: Where to save the picture, a name that ends in `.svg` or `.png`.
        direction: Where data flows, "right" or "down"; by the depth, if left out.
        expand: Names of the uses of blocks to draw by what they hold; True for all.

    Returns:
        The picture: shows itself in a notebook; has `.svg`, `.png` and `.save(path)`.

    Raises:
        ValueError: Another direction, another ending, or no such use of a block.
        OSError: The file can't be written.

    Example:
        >>> import capsjax as cj
        >>> picture = cj.view.draw(cj.zoo.graph("lenet-5"))
        >>> picture.svg[:13]
        '<?xml version'

    Source: Li & Shan, arXiv 1805.03551, Figures 10 to 12.
    """
    if direction not in (None, "right", "down"):
        raise ValueError(f"direction {direction!r}; expected 'right' or 'down'")
    net = graph if isinstance(graph, Network) else compile_graph(graph, check=False)
    typed = net.typed
    folded = fold(typed, [expand] if isinstance(expand, str) else expand)
    lines = marks.lines(typed, folded)
    down = _depth(lines) > _DEEP if direction is None else direction == "down"
    picture = Picture(_figure(typed, folded, lines, down))
    if path is not None:
        picture.save(path)
    return picture


def _depth(lines: Sequence[marks.Line]) -> int:
    """Number of layers of boxes."""
    read: dict[str, set[str]] = {}
    for line in lines:
        read.setdefault(line.source, set())
        read.setdefault(line.target, set()).add(line.source)
    depth: dict[str, int] = {}
    for name in topological_order({k: tuple(v) for k, v in read.items()})[0]:
        depth[name] = 1 + max([depth[source] for source in read[name]], default=0)
    return max(depth.values(), default=1)


def _figure(
    typed: TypedGraph, folded: Folded, lines: Sequence[marks.Line], down: bool
) -> Any:
    boxes = marks.boxes(typed, folded)
    index = {box.name: i for i, box in enumerate(boxes)}

    def turn(pair: Size) -> Size:
        """Between (x, y) and (along, across), either way."""
        return (pair[1], pair[0]) if down else pair

    layout = layered(
        [turn(box.size) for box in boxes],
        [(index[line.source], index[line.target]) for line in lines],
        [turn(marks.label_size(line, down)) for line in lines],
    )
    width, height = turn(layout.size)
    axes, left = _canvas(typed, marks.legend(lines), width, height)

    def place(point: Point) -> Point:
        x, y = turn(point)
        return x + left, y

    for path in layout.paths:
        marks.draw_line(axes, path, place)
    for line, center in zip(lines, layout.labels, strict=True):
        marks.draw_label(axes, line, place(center), down)
    for box, center in zip(boxes, layout.vertices, strict=True):
        box.draw(axes, place(center))
    return axes.figure


def _canvas(
    typed: TypedGraph, legend: str, width: float, height: float
) -> tuple[Any, float]:
    """Axes in inches, y downwards, with title and legend; and where x begins."""
    from matplotlib.figure import Figure

    name = labels.name_words(typed.graph.name)
    title = f"{name}  ·  {typed.parameter_count:,} parameters"
    wide = marks.text_width(title, _TITLE, "bold"), marks.text_width(legend, _SMALL)
    whole = max(width, *wide)
    foot = _FOOT if legend else 0.0
    size = whole + 2 * _MARGIN, height + _HEAD + foot + 2 * _MARGIN
    figure = Figure(figsize=size, facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(-_MARGIN, whole + _MARGIN)
    axes.set_ylim(height + foot + _MARGIN, -_HEAD - _MARGIN)
    font: dict[str, Any] = {"family": "DejaVu Sans", "va": "center"}
    axes.text(0, -_HEAD, title, size=_TITLE, color=marks.INK, weight="bold", **font)
    axes.text(0, height + foot, legend, size=_SMALL, color=marks.SOFT, **font)
    return axes, (whole - width) / 2
