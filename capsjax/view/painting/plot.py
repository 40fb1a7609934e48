"""A scene as a figure of matplotlib, for PNG and PDF."""

from typing import TYPE_CHECKING, Any

from capsjax.view.painting.svg import head_of
from capsjax.view.painting.themes import Theme
from capsjax.view.scene.data import RADIUS, Box, Line, Scene, Text

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def figure_of(scene: Scene, theme: Theme) -> "Figure":
    """Paints a scene."""
    from matplotlib.figure import Figure

    width, height = scene.size
    figure = Figure(figsize=(width / 72, height / 72), facecolor=theme["page"])
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    for box in scene.boxes:
        _box(axes, box, theme)
    for line in scene.lines:
        _line(axes, line, theme)
    for text in scene.texts():
        _text(axes, text, theme)
    return figure


def _box(axes: Any, box: Box, theme: Theme) -> None:
    from matplotlib.patches import Circle, FancyBboxPatch, Rectangle

    (width, height), (left, top, _, _) = box.size, box.corners
    frame = box.role == "frame"
    style: dict[str, Any] = {
        "facecolor": box.fill or theme[box.role],
        "edgecolor": box.border or theme[f"{box.role}-border"],
        "linewidth": box.border_width,
        "zorder": 1 if frame else 3,
    }
    if box.form == "circle":
        axes.add_patch(Circle(box.center, width / 2, **style))
        if box.doubled:
            ring = style | {"fill": False, "linewidth": 0.8}
            axes.add_patch(Circle(box.center, width / 2 - 2.2, **ring))
    elif box.form == "square":
        axes.add_patch(Rectangle((left, top), width, height, **style))
    else:
        round_ = f"round,pad=0,rounding_size={box.rounding}"
        style |= {"linestyle": (0, (4, 2.5))} if frame else {}
        patch = FancyBboxPatch((left, top), width, height, boxstyle=round_, **style)
        axes.add_patch(patch)


def _line(axes: Any, line: Line, theme: Theme) -> None:
    from matplotlib.patches import Circle, PathPatch, Polygon
    from matplotlib.path import Path

    color = line.color or theme["line"]
    codes = {1: [Path.LINETO], 3: [Path.CURVE4] * 3}
    points = [point for part in line.path for point in part]
    kinds = [Path.MOVETO]
    for part in line.path[1:]:
        kinds += codes[len(part)]
    style: dict[str, Any] = {"fill": False, "edgecolor": color, "zorder": 2}
    axes.add_patch(PathPatch(Path(points, kinds), linewidth=line.width, **style))
    if line.arrow:
        axes.add_patch(Polygon(head_of(line), facecolor=color, linewidth=0, zorder=2))
    if line.label is not None:
        style = {"facecolor": theme["mark"], "edgecolor": color, "zorder": 3}
        axes.add_patch(Circle(line.label, RADIUS, **style))


def _text(axes: Any, text: Text, theme: Theme) -> None:
    row, (x, y) = text.row, text.point
    style: dict[str, Any] = {
        "size": row.size,
        "color": theme[row.color],
        "weight": "bold" if row.bold else "normal",
        "ha": "center" if text.anchor == "middle" else "left",
        "va": "baseline",
        "family": "DejaVu Sans",
        "zorder": 5,
        "parse_math": False,
    }
    axes.text(x, y, row.text, **style)
