"""A scene: a drawing as plain data, before it is painted. All lengths are in points.

x runs to the right and y downwards, from the corner left above. Every painter (SVG,
matplotlib, TikZ, the widget) paints the same scene, and adds nothing to it.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Literal

from capsjax.view.scene.texts import ink_middle, middle

Point = tuple[float, float]
Size = tuple[float, float]
Path = tuple[tuple[Point, ...], ...]
"""Where it begins, (start,); then straight to a point, (end,), or along a Bezier curve,
(control, control, end)."""

Anchor = Literal["start", "middle"]
Role = Literal["input", "hidden", "output", "block", "frame"]
Form = Literal["round", "square", "circle"]

RADIUS = 10.0
NAME, TEXT, SMALL, TITLE = 10.5, 9.0, 8.0, 11.0
ROW = 13.7


@dataclasses.dataclass(frozen=True)
class Row:
    """A line of text.

    Attributes:
        text: What it says.
        size: Size of the letters.
        color: Name of its color in a theme.
        bold: Whether it is bold.
    """

    text: str
    size: float = TEXT
    color: str = "ink"
    bold: bool = False


@dataclasses.dataclass(frozen=True)
class Text:
    """A line of text in its place.

    Attributes:
        row: The text.
        point: Where its baseline begins, or has its middle.
        anchor: Which of the two.
        of: Index of the box whose text it is, if it is one's.
    """

    row: Row
    point: Point
    anchor: Anchor
    of: int | None = None


@dataclasses.dataclass(frozen=True)
class Box:
    """A capsule, a closed block (or equal copies in a row), or an open frame.

    Attributes:
        name: Name of the capsule, or of the (first) use of a block.
        role: What it is; an output is one of the graph.
        center: Its middle.
        size: Width and height.
        rows: Its texts, from top to bottom; of a frame, at its top.
        capsules: Names of all capsules that it stands for, or frames.
        within: Name of the frame that it stands in, or "".
        opens: Name of the use that opens, or closes if this is its frame; or "".
        facts: What is known of it: term and value.
        equation: How Y of a capsule is computed; "" of a block.
        form: Its outline.
        fill: A color in place of its role's.
        border: A color in place of its role's.
    """

    name: str
    role: Role
    center: Point
    size: Size
    rows: tuple[Row, ...] = ()
    capsules: tuple[str, ...] = ()
    within: str = ""
    opens: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    equation: str = ""
    form: Form = "round"
    fill: str | None = None
    border: str | None = None

    @property
    def corners(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom."""
        (x, y), (width, height) = self.center, self.size
        return x - width / 2, y - height / 2, x + width / 2, y + height / 2

    @property
    def border_width(self) -> float:
        """How wide its border is; of a dot, less."""
        usual = 1.2 if self.role in ("hidden", "block", "frame") else 1.6
        return round(min(usual, 0.12 * min(self.size)), 2)

    @property
    def doubled(self) -> bool:
        """Whether it has two borders, as circles of outputs do; a dot has no room."""
        return self.role == "output" and self.form == "circle" and self.size[0] >= 12.0

    @property
    def rounding(self) -> float:
        """Radius of its corners; 0 of a square."""
        return 0.0 if self.form == "square" else min(11.5, self.size[1] / 2)

    def texts(self, index: int | None = None) -> Iterator[Text]:
        """Its rows in their places."""
        x, y = self.center
        anchor: Anchor = "middle"
        first = y - ROW * (len(self.rows) - 1) / 2
        if self.role == "frame":
            x, top, _, _ = self.corners
            x, first, anchor = x + 8.0, top + 11.0, "start"
        for i, row in enumerate(self.rows):
            yield Text(row, (x, first + i * ROW + middle(row.size)), anchor, index)


@dataclasses.dataclass(frozen=True)
class Line:
    """A line between two boxes, with the symbol of its operation.

    An edge into an open block is several lines: to the frame, and from there to the
    capsule that reads; the last one has the symbol.

    Attributes:
        source: Name of the box, or frame, where it begins.
        target: Name of the box, or frame, where it ends.
        path: The way it goes.
        symbol: Symbol of the operation, "" for none.
        words: Settings of the operation.
        kind: Kind of the operation, "" for a line that has none.
        label: Center of the symbol, if there is one.
        beside: Whether the words stand beside the symbol, not below.
        edges: The edges of the graph that it stands for: capsule that reads, and the
            edge's key there.
        within: Name of the frame that it stands in, or "".
        arrow: Whether it ends in an arrowhead.
        color: A color in place of the theme's.
        width: How wide it is.
    """

    source: str
    target: str
    path: Path
    symbol: str = ""
    words: str = ""
    kind: str = ""
    label: Point | None = None
    beside: bool = False
    edges: tuple[tuple[str, str], ...] = ()
    within: str = ""
    arrow: bool = True
    color: str | None = None
    width: float = 1.1

    def texts(self) -> Iterator[Text]:
        """Its symbol and words in their places."""
        if self.label is None:
            return
        x, y = self.label
        size = 11.0 if len(self.symbol) == 1 else 9.0
        symbol = Row(self.symbol, size)
        yield Text(symbol, (x, y + ink_middle(self.symbol, size)), "middle")
        if self.words:
            words = Row(self.words, SMALL, "soft")
            if self.beside:
                yield Text(words, (x + RADIUS + 5.0, y + middle(SMALL)), "start")
            else:
                place = x, y + RADIUS + 7.2 + middle(SMALL)
                yield Text(words, place, "middle")


@dataclasses.dataclass(frozen=True)
class Scene:
    """A drawing as plain data.

    Attributes:
        name: Name of what is drawn.
        boxes: Frames before what they hold.
        lines: The lines.
        size: Width and height of all, margins among it.
        captions: Texts that belong to no box: title, legend.
        direction: Where data flows.
    """

    name: str
    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]
    size: Size
    captions: tuple[Text, ...]
    direction: Literal["right", "down"]

    @property
    def box_of(self) -> dict[str, Box]:
        """The box that shows each capsule, by the capsule's name."""
        found = {}
        for box in self.boxes:
            if box.role != "frame":
                found.update(dict.fromkeys(box.capsules, box))
        return found

    def texts(self) -> Iterator[Text]:
        """All texts in their places."""
        yield from self.captions
        for line in self.lines:
            yield from line.texts()
        for i, box in enumerate(self.boxes):
            yield from box.texts(i)


def shifted(
    boxes: Sequence[Box], lines: Sequence[Line], by: Point
) -> tuple[list[Box], list[Line]]:
    """Boxes and lines at another place."""

    def there(point: Point) -> Point:
        return point[0] + by[0], point[1] + by[1]

    return (
        [dataclasses.replace(box, center=there(box.center)) for box in boxes],
        [
            dataclasses.replace(
                line,
                path=tuple(tuple(map(there, part)) for part in line.path),
                label=line.label and there(line.label),
            )
            for line in lines
        ],
    )


def curved(points: Sequence[Point], down: bool) -> Path:
    """A path that bends from each even point to the next, and is straight between.

    Args:
        points: As `layout.Layout` gives them, as (x, y).
        down: Whether data flows down, so that bends begin and end downwards.
    """
    path: list[tuple[Point, ...]] = [(points[0],)]
    for i, (a, b) in enumerate(zip(points, points[1:], strict=False)):
        if a == b:
            continue
        if i % 2 or a[0 if down else 1] == b[0 if down else 1]:
            if len(path) > 1 and len(path[-1]) == 1:
                path.pop()  # straight on
            path.append((b,))
        elif down:
            middle = (a[1] + b[1]) / 2
            path.append(((a[0], middle), (b[0], middle), b))
        else:
            middle = (a[0] + b[0]) / 2
            path.append(((middle, a[1]), (middle, b[1]), b))
    return tuple(path)
