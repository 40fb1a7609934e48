"""A scene as SVG: letters stay letters, so that it can be searched and copied."""

import itertools
from html import escape

from capsjax.view.painting.themes import DARK, LIGHT, Theme
from capsjax.view.scene.data import RADIUS, Box, Line, Path, Scene, Text

_FONT = "DejaVu Sans, Verdana, sans-serif"
_HEAD_LONG, _HEAD_WIDE = 6.0, 2.6


def svg_of(
    scene: Scene, theme: Theme, *, interactive: bool = False, adaptive: bool = False
) -> str:
    """Paints a scene.

    Args:
        scene: What is painted.
        theme: Its colors.
        interactive: Whether boxes and lines bear their numbers for the widget, which
            has the facts; a picture by itself says them in tooltips.
        adaptive: Whether a browser shows a light theme in dark colors on dark pages.
    """
    width, height = scene.size
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_n(width)}pt" '
        f'height="{_n(height)}pt" viewBox="0 0 {_n(width)} {_n(height)}" '
        f'font-family="{_FONT}" role="img">',
        f"<title>{text_of(scene.name)}</title>",
    ]
    if not interactive:
        parts.append(_rect(0, 0, width, height, theme["page"]))
    if adaptive:
        parts.insert(1, _dark_style())
    frames = [(i, b) for i, b in enumerate(scene.boxes) if b.role == "frame"]
    others = [(i, b) for i, b in enumerate(scene.boxes) if b.role != "frame"]
    parts += [_box(i, box, theme, interactive) for i, box in frames]
    parts += [_line(i, line, theme, interactive) for i, line in enumerate(scene.lines)]
    parts += [_box(i, box, theme, interactive) for i, box in others]
    parts += [_text(text, theme) for text in scene.captions]
    return "\n".join([*parts, "</svg>"])


def _dark_style() -> str:
    """The dark color of each light one, as a style that a dark page asks for.

    Attributes bear colors, as not every program that reads SVG knows styles. Boxes and
    the page are white both, but only the page stands outside of groups.
    """
    rules = [
        f'[{what}="{LIGHT[name]}"]{{{what}:{DARK[name]}}}'
        for name in LIGHT
        for what in (("stroke",) if name.endswith("-border") else ("fill", "stroke"))
        if name not in ("page", "mark")
    ]
    rules.append(f'svg>[fill="{LIGHT["page"]}"]{{fill:{DARK["page"]}}}')
    return f"<style>@media (prefers-color-scheme:dark){{{''.join(rules)}}}</style>"


def text_of(text: str) -> str:
    """Text as XML has it; what XML can't hold, such as controls, as a sign of it."""
    return escape(
        "".join(c if _in_xml(c) else "\N{REPLACEMENT CHARACTER}" for c in text)
    )


def _in_xml(letter: str) -> bool:
    code = ord(letter)
    return (
        code in (9, 10, 13)
        or 0x20 <= code < 0xD800
        or 0xE000 <= code < 0xFFFE
        or (code >= 0x10000)
    )


def _box(index: int, box: Box, theme: Theme, interactive: bool) -> str:
    fill = box.fill or theme[box.role]
    border = box.border or theme[f"{box.role}-border"]
    style = f'fill="{escape(fill)}" stroke="{escape(border)}"'
    style += f' stroke-width="{box.border_width}"'
    (x, y), (width, height) = box.center, box.size
    left, top, _, _ = box.corners
    if box.form == "circle":
        shape = f'<circle cx="{_n(x)}" cy="{_n(y)}" r="{_n(width / 2)}" {style}/>'
        if box.doubled:
            ring = f'fill="none" stroke="{escape(border)}" stroke-width="0.8"'
            shape += (
                f'<circle cx="{_n(x)}" cy="{_n(y)}" r="{_n(width / 2 - 2.2)}" {ring}/>'
            )
    else:
        if box.role == "frame":
            style += ' stroke-dasharray="5 3"'
        shape = (
            f'<rect x="{_n(left)}" y="{_n(top)}" width="{_n(width)}" '
            f'height="{_n(height)}" rx="{_n(box.rounding)}" {style}/>'
        )
    texts = "".join(_text(text, theme) for text in box.texts())
    if interactive:
        mark = f'data-box="{index}" class="capsjax-box capsjax-{box.role}"'
        return f"<g {mark}>{shape}{texts}</g>"
    facts = [box.name, box.equation, *(f"{term}: {value}" for term, value in box.facts)]
    tooltip = text_of("\n".join(fact for fact in facts if fact))
    return f"<g><title>{tooltip}</title>{shape}{texts}</g>"


def _line(index: int, line: Line, theme: Theme, interactive: bool) -> str:
    color = escape(line.color or theme["line"])
    style = f'fill="none" stroke="{color}" stroke-width="{_n(line.width)}"'
    parts = [f'<path d="{_path(line.path)}" {style}/>']
    if line.arrow:
        parts.append(f'<path d="{_head(line)}" fill="{color}"/>')
    if line.label is not None:
        x, y = line.label
        style = f'fill="{theme["mark"]}" stroke="{color}" stroke-width="1"'
        parts.append(f'<circle cx="{_n(x)}" cy="{_n(y)}" r="{RADIUS}" {style}/>')
    parts += [_text(text, theme) for text in line.texts()]
    mark = f' data-line="{index}" class="capsjax-line"' if interactive else ""
    return f"<g{mark}>{''.join(parts)}</g>"


def _path(path: Path) -> str:
    letters = {1: "L", 3: "C"}
    start, *others = path
    parts = [f"M{_points(start)}"]
    return "".join(parts + [f"{letters[len(part)]}{_points(part)}" for part in others])


def head_of(line: Line) -> tuple[tuple[float, float], ...]:
    """The corners of a line's arrowhead."""
    points = [point for part in line.path for point in part]
    x, y = points[-1]
    before = next((p for p in reversed(points) if p != (x, y)), (x - 1, y))
    dx, dy = x - before[0], y - before[1]
    size = (dx * dx + dy * dy) ** 0.5
    dx, dy = dx / size, dy / size
    long, wide = _HEAD_LONG + line.width - 1.1, _HEAD_WIDE + (line.width - 1.1) / 2
    base = x - long * dx, y - long * dy
    return (
        (x, y),
        (base[0] - wide * dy, base[1] + wide * dx),
        (base[0] + wide * dy, base[1] - wide * dx),
    )


def _head(line: Line) -> str:
    return "M" + "L".join(_points((point,)) for point in head_of(line)) + "Z"


def _text(text: Text, theme: Theme) -> str:
    row, (x, y) = text.row, text.point
    style = ' font-weight="bold"' if row.bold else ""
    style += ' text-anchor="middle"' if text.anchor == "middle" else ""
    style += ' style="white-space:pre"' if "  " in row.text else ""
    return (
        f'<text x="{_n(x)}" y="{_n(y)}" font-size="{_n(row.size)}" '
        f'fill="{theme[row.color]}"{style}>{text_of(row.text)}</text>'
    )


def _rect(x: float, y: float, width: float, height: float, fill: str) -> str:
    size = f'width="{_n(width)}" height="{_n(height)}"'
    return f'<rect x="{_n(x)}" y="{_n(y)}" {size} fill="{fill}"/>'


def _points(points: tuple[tuple[float, float], ...]) -> str:
    return " ".join(map(_n, itertools.chain(*points)))


def _n(number: float) -> str:
    """A number in as few letters as a drawing needs."""
    return f"{number:.6g}"
