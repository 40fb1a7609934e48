"""The marks of a drawing: capsules, symbols, lines. All sizes in inches."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from capsjax.compiler.outline import Copies
from capsjax.graph.kinds import WeightingKind
from capsjax.graph.typed import TypedCapsule, TypedGraph, TypedGroup
from capsjax.view import labels
from capsjax.view.folding import Folded
from capsjax.view.layout import Point, Size

INK, SOFT, LINE = "#1f2933", "#52606d", "#7b8794"
_FILLS = {"input": "#e4effa", "hidden": "#ffffff", "output": "#fdf3e0"}
_FILLS |= {"block": "#e9ecef"}
_BORDERS = {"input": "#3a78b5", "hidden": "#52606d", "output": "#c27803"}
_BORDERS |= {"block": "#52606d"}
_WIDEST = 44
_ROW = 0.19
_RADIUS = 0.14
_NAME, _TEXT, _SMALL = 10.5, 9.0, 8.0


@dataclasses.dataclass(frozen=True)
class Box:
    """A capsule as it is drawn.

    Attributes:
        name: Name of the capsule.
        role: "input", "hidden", "block" or "output".
        rows: Text, size, color and weight of each line, from top to bottom.
    """

    name: str
    role: str
    rows: tuple[tuple[str, float, str, str], ...]

    @property
    def size(self) -> Size:
        """Width and height."""
        widths = [text_width(text, size, weight) for text, size, _, weight in self.rows]
        return max(0.8, max(widths) + 0.26), _ROW * len(self.rows) + 0.16

    def draw(self, axes: Any, center: Point) -> None:
        """Draws the box with its rows around a center."""
        from matplotlib.patches import FancyBboxPatch

        width, height = self.size
        x, y = center
        corner = x - width / 2, y - height / 2
        style = f"round,pad=0,rounding_size={min(0.16, height / 2)}"
        line = 1.2 if self.role in ("hidden", "block") else 1.6
        patch = FancyBboxPatch(
            corner, width, height, boxstyle=style, linewidth=line, zorder=3
        )
        patch.set(facecolor=_FILLS[self.role], edgecolor=_BORDERS[self.role])
        axes.add_patch(patch)
        top = y - _ROW * (len(self.rows) - 1) / 2
        for i, (text, size, color, weight) in enumerate(self.rows):
            style = {"size": size, "color": color, "weight": weight, "zorder": 4}
            axes.text(x, top + i * _ROW, text, ha="center", va="center", **style)


class Line(NamedTuple):
    """A line of a drawing: an edge, or what a group of capsules reads.

    Attributes:
        source: The box where it begins.
        target: The box where it ends.
        weighting: The operation on it; None where it enters a block.
    """

    source: str
    target: str
    weighting: WeightingKind | None

    @property
    def symbol(self) -> str:
        """The symbol of the operation, if it has one."""
        return self.weighting.symbol if self.weighting is not None else ""


def lines(typed: TypedGraph, folded: Folded) -> list[Line]:
    """The lines between the boxes of a graph; one into a block for all its edges."""
    producer = {made: each.name for each in typed.unfolded for made in each.made}
    found = []
    for each in typed.unfolded:
        if isinstance(each, TypedCapsule):
            read = [(edge.source, edge.weighting) for edge in each.edges]
        else:
            read = [(source, each.weighting) for source in each.sources]
        target = folded.box_of[each.name]
        for source, weighting in read:
            name = producer.get(source, source)
            begin = folded.box_of.get(name, name)
            if target in folded.blocks:
                line = Line(begin, target, None)
                found += [line] if begin != target and line not in found else []
            else:
                found.append(Line(begin, target, weighting))
    return found


def boxes(typed: TypedGraph, folded: Folded) -> list[Box]:
    """The inputs, capsules, groups and blocks of a graph as boxes, in order."""
    losses = {each.output: each.loss for each in typed.losses}

    def box(name: str, role: str, *rows: tuple[str, float, str, str]) -> Box:
        head = (labels.name_words(name), _NAME, INK, "bold")
        return Box(name, role, (head, *(row for row in rows if row[0])))

    found = [
        box(name, "input", (labels.shape_words(shape), _TEXT, SOFT, "normal"))
        for name, shape in typed.inputs
    ]
    parameters = {each.name: each.parameter_count for each in typed.unfolded}
    shown = set()
    for capsule in typed.unfolded:
        block = folded.blocks.get(folded.box_of[capsule.name])
        if block is not None:
            if block.name not in shown:
                shown.add(block.name)
                found.append(_block_box(typed, block, parameters))
            continue
        if isinstance(capsule, TypedGroup):
            style = (_TEXT, INK, "normal")
            rows = [
                (f"{capsule.size:,} {labels.members_word(capsule)}", *style),
                (f"{len(capsule.edge_sources):,} edges", *style),
                (labels.caps_words(capsule), *style),
            ]
            found.append(box(capsule.name, "hidden", *rows))
            continue
        role = "output" if capsule.name in typed.outputs else "hidden"
        shape = labels.shape_words(capsule.output)
        rows = [
            (labels.capsule_words(capsule), _TEXT, INK, "normal"),
            (shape, _TEXT, SOFT, "normal"),
            (labels.rule_words(capsule), _TEXT, "#2f6b3c", "normal"),
        ]
        if capsule.name in losses:
            words = labels.loss_words(losses[capsule.name])
            rows.append((f"loss: {words}", _TEXT, "#8d5300", "normal"))
        found.append(box(capsule.name, role, *rows))
    return found


def _block_box(typed: TypedGraph, block: Copies, parameters: dict[str, int]) -> Box:
    """The box that stands for a block, or for equal copies of it in a row."""
    (use, *_), copies = block.uses, len(block.uses)
    values = ", ".join(f"{name} {value}" for name, value in use.values)
    if len(values) > _WIDEST:
        values = f"{values[: _WIDEST - 1]}…"
    count = sum(parameters[name] for name in block.members)
    ends = [name for name in block.members if name in typed.outputs]
    losses = [
        f"loss on {labels.name_words(each.output.removeprefix(use.name + '/'))}: "
        f"{labels.loss_words(each.loss)}"
        for each in typed.losses
        if each.output in ends
    ]
    first, last = (labels.name_words(block.uses[i].name) for i in (0, -1))
    kind = f"{use.block}  × {copies}" if copies > 1 else use.block
    sizes = f"{len(block.members):,} capsules, {count:,} parameters"
    rows = [
        (first if copies == 1 else f"{first} … {last}", _NAME, INK, "bold"),
        (kind, _TEXT, INK, "normal"),
        (values, _SMALL, SOFT, "normal"),
        (sizes, _SMALL, SOFT, "normal"),
        *((loss, _TEXT, "#8d5300", "normal") for loss in losses),
    ]
    role = "output" if ends else "block"
    return Box(block.name, role, tuple(row for row in rows if row[0]))


def label_size(line: Line, down: bool) -> Size:
    """Width and height that a line's symbol and words need, the symbol in the middle.

    The words stand below the symbol, or beside it where data flows down.
    """
    if line.weighting is None or not line.symbol:
        return (0.0, 0.0)
    words = labels.edge_words(line.weighting)
    width = text_width(words, _SMALL) if words else 0.0
    if down:
        return 2 * (_RADIUS + (width + 0.08 if words else 0.0)), 2 * _RADIUS
    return max(2 * _RADIUS, width), 2 * (_RADIUS + (0.2 if words else 0.0))


def draw_label(axes: Any, line: Line, center: Point, down: bool) -> None:
    """Draws a line's symbol in a circle, and its words."""
    from matplotlib.patches import Circle

    symbol = line.symbol
    if line.weighting is None or not symbol:
        return
    x, y = center
    circle = Circle(center, _RADIUS, facecolor="white", edgecolor=LINE, zorder=3)
    axes.add_patch(circle)
    _draw_symbol(axes, symbol, center, 11.0 if len(symbol) == 1 else 9.0)
    words = labels.edge_words(line.weighting)
    style: dict[str, Any] = {"size": _SMALL, "color": SOFT, "va": "center", "zorder": 4}
    if down:
        axes.text(x + _RADIUS + 0.07, y, words, ha="left", **style)
    else:
        axes.text(x, y + _RADIUS + 0.1, words, ha="center", **style)


def _draw_symbol(axes: Any, symbol: str, center: Point, size: float) -> None:
    """Draws a symbol with its ink, not its line of text, in the middle of a circle."""
    from matplotlib.patches import PathPatch
    from matplotlib.transforms import Affine2D

    path = _text_path(symbol, size, "normal")
    ink = path.get_extents()
    middle = Affine2D().translate(-(ink.x0 + ink.x1) / 2, -(ink.y0 + ink.y1) / 2)
    # Paths of text count in points, upwards; the axes in inches, downwards.
    place = middle.scale(1 / 72, -1 / 72).translate(*center)
    patch = PathPatch(path.transformed(place), facecolor=INK, linewidth=0, zorder=4)
    patch.set_snap(False)
    axes.add_patch(patch)


def draw_line(
    axes: Any, path: Sequence[Point], place: Callable[[Point], Point]
) -> None:
    """Draws an edge with an arrowhead, along a path as `layout.Layout` gives it.

    Args:
        axes: Where.
        path: Points as (along, across); bends lie between odd and even points.
        place: From (along, across) to the axes' coordinates.
    """
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path

    points, codes = [path[0]], [Path.MOVETO]
    for i, (a, b) in enumerate(zip(path, path[1:], strict=False)):
        if i % 2:
            points.append(b)
            codes.append(Path.LINETO)
        else:
            middle = (a[0] + b[0]) / 2
            points += [(middle, a[1]), (middle, b[1]), b]
            codes += [Path.CURVE4] * 3
    curve = Path([place(point) for point in points], codes)
    style = "-|>,head_length=4.5,head_width=2.2"
    arrow = FancyArrowPatch(path=curve, arrowstyle=style, linewidth=1.1, color=LINE)
    arrow.set(joinstyle="miter", capstyle="butt", zorder=2)
    axes.add_patch(arrow)


def text_width(text: str, size: float, weight: str = "normal") -> float:
    """Width of a line of text, in inches."""
    return float(_text_path(text, size, weight).get_extents().x1) / 72 if text else 0.0


@functools.lru_cache(maxsize=4096)
def _text_path(text: str, size: float, weight: str) -> Any:
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    font = FontProperties(family="DejaVu Sans", weight=weight, size=size)
    return TextPath((0, 0), text, size=size, prop=font)


def legend(lines: Sequence[Line]) -> str:
    """What the symbols of a drawing mean: `∗ conv   × matmul`."""
    meaning = {}
    for line in lines:
        if line.weighting is not None and line.symbol:
            meaning[line.symbol] = line.weighting.kind
    return "     ".join(f"{symbol} {kind}" for symbol, kind in meaning.items())
