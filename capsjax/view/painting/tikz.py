"""A scene as TikZ: a file that LaTeX compiles by itself, or that a paper includes."""

from capsjax.view.painting.svg import head_of
from capsjax.view.painting.themes import Theme
from capsjax.view.scene.data import RADIUS, Box, Line, Scene, Text

_SPECIAL = {
    "\\": r"\textbackslash{}",
    **{letter: f"\\{letter}" for letter in "#$%&_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "*": r"$\ast$",
    "∗": r"$\ast$",
    "×": r"$\times$",
    "•": r"$\bullet$",
    "⋅": r"$\cdot$",
    "⊙": r"$\odot$",
    "⊗": r"$\otimes$",
    "⊞": r"$\boxplus$",
    "□": r"$\Box$",
    "◱": r"$\boxdot$",
    "ᵀ": r"$^{\mathsf T}$",
    "ᵈ": r"$^{\mathsf d}$",
    "ᵢ": r"$_{i}$",
    "ⱼ": r"$_{j}$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "↔": r"$\leftrightarrow$",
    "↳": r"$\hookrightarrow$",
    "⇒": r"$\Rightarrow$",
    "…": r"\ldots{}",
    "·": r"$\cdot$",
    "∂": r"$\partial$",
    "δ": r"$\delta$",
}


def tikz_of(scene: Scene, theme: Theme) -> str:
    """Paints a scene.

    Letters beyond Latin ones are written as they are; LaTeX needs a font that has
    them. Colors of the drawing are called `capsjax-...`, to be changed in one place.
    """
    colors = "\n".join(
        rf"\definecolor{{capsjax-{name}}}{{HTML}}{{{color[1:].upper()}}}"
        for name, color in theme.colors.items()
    )
    corner = _point(scene.size)
    body = [rf"\fill[capsjax-page] (0,0) rectangle {corner};"]
    names = {box.name: f"n{i}" for i, box in enumerate(scene.boxes)}
    body += [_box(names[b.name], b) for b in scene.boxes if b.role == "frame"]
    body += [_line(line) for line in scene.lines]
    body += [_box(names[b.name], b) for b in scene.boxes if b.role != "frame"]
    body += [_text(text) for text in scene.texts()]
    lines = "\n  ".join(body)
    width, height = (_n(side + 1) for side in scene.size)  # a page larger by a hair
    head = _DOCUMENT.replace("WIDE", width).replace("HIGH", height)
    return head.replace("COLORS", colors).replace("BODY", lines)


_DOCUMENT = r"""% Made by capsjax. Compile it by itself, or take the colors and the
% tikzpicture into a paper that uses tikz and amssymb.
\documentclass{article}
\usepackage[paperwidth=WIDEbp,paperheight=HIGHbp,margin=0bp]{geometry}
\usepackage[T1]{fontenc}
\usepackage{amssymb,tikz}
\pagestyle{empty}
\parindent=0pt
\topskip=0pt
COLORS
\begin{document}\sffamily
\begin{tikzpicture}[x=1bp,y=-1bp]
  BODY
\end{tikzpicture}
\end{document}
"""


def tex(text: str) -> str:
    """Text as LaTeX has it.

    Example:
        >>> tex("h_1 & 50%")
        'h\\\\_1 \\\\& 50\\\\%'
    """
    letters = (c if c.isprintable() else "?" for c in text)
    return "".join(_SPECIAL.get(letter, letter) for letter in letters)


def _box(name: str, box: Box) -> str:
    (x, y), (width, height) = box.center, box.size
    fill = f"capsjax-{box.role}"
    style = [
        "draw=" + _color(box.border, f"{fill}-border"),
        "fill=" + _color(box.fill, fill),
        f"line width={box.border_width}bp",
        "inner sep=0",
        f"minimum width={_n(width)}bp",
        f"minimum height={_n(height)}bp",
    ]
    if box.form == "circle":
        style.append("shape=circle")
        style += ["double"] if box.doubled else []
    elif box.form == "round":
        style.append(f"rounded corners={_n(box.rounding)}bp")
    style += ["dashed"] if box.role == "frame" else []
    comment = "".join(c if c.isprintable() else "?" for c in box.name)
    return (
        rf"\node[{','.join(style)}] ({name}) at ({_n(x)},{_n(y)}) {{}};"
        f" % {comment}"
    )


def _line(line: Line) -> str:
    color = _color(line.color, "capsjax-line")
    (start,), *others = line.path
    way = _point(start)
    for part in others:
        if len(part) == 3:
            first, second, end = map(_point, part)
            way += f" .. controls {first} and {second} .. {end}"
        else:
            way += f" -- {_point(part[0])}"
    found = rf"\draw[{color},line width={_n(line.width)}bp] {way};"
    if line.arrow:
        corners = " -- ".join(map(_point, head_of(line)))
        found += rf" \fill[{color}] {corners} -- cycle;"
    if line.label is not None:
        style = f"draw={color},fill=capsjax-mark,line width=1bp"
        found += rf" \draw[{style}] {_point(line.label)} circle[radius={RADIUS}bp];"
    return found


def _text(text: Text) -> str:
    row = text.row
    size = rf"\fontsize{{{_n(row.size)}}}{{{_n(1.2 * row.size)}}}\selectfont"
    anchor = "base" if text.anchor == "middle" else "base west"
    style = f"anchor={anchor},inner sep=0,text=capsjax-{row.color}"
    weight = r"\bfseries " if row.bold else ""
    words = f"{size}{weight or ' '}{tex(row.text)}"
    return rf"\node[{style}] at {_point(text.point)} {{{words}}};"


def _color(own: str | None, usual: str) -> str:
    """A color; one of its own as red, green and blue."""
    if own is None:
        return usual
    red, green, blue = (int(own[i : i + 2], 16) for i in (1, 3, 5))
    return f"{{rgb,255:red,{red};green,{green};blue,{blue}}}"


def _point(point: tuple[float, float]) -> str:
    return f"({_n(point[0])},{_n(point[1])})"


def _n(number: float) -> str:
    return f"{number:.2f}".rstrip("0").rstrip(".")
