"""The colors of a picture on a dark page, as a style inside its SVG.

A browser that shows a dark page, or the image in a dark part of one, follows the media
query; what knows none shows the picture as it was drawn.
"""

import re

PAPER = "#14181d"
_DARK = {
    # Ink and grids.
    "#000000": "#e6eaee",
    "#1f2933": "#e6eaee",
    "#52606d": "#a3b0bc",
    "#616e7c": "#a3b0bc",
    "#9aa5b1": "#7c8995",
    "#e4e7eb": "#2c353e",
    "#f1f6ec": "#1e2a20",
    # Lines of one meaning each.
    "#3a78b5": "#74aee6",
    "#c27803": "#f0a04b",
    "#b3261e": "#ff8a80",
}
_DIM = 0.32
"""The brightness below which a line is hard to see on a dark page."""


def with_dark(svg: str) -> str:
    """An SVG file of matplotlib's with a style for dark pages."""
    rules = [
        f"svg{{fill:{_DARK['#000000']}}}",  # text that is black says no color
        f'path[style*="fill: #ffffff"]{{fill:{PAPER}!important}}',
        f'[style*="stroke: #ffffff"]{{stroke:{PAPER}!important}}',
    ]
    used = dict.fromkeys(re.findall(r"((?:fill|stroke): )(#[0-9a-f]{6})", svg))
    for what, color in sorted(used):
        dark, kind = _DARK.get(color), ""
        if dark is None:  # areas keep their color, which a color bar explains
            dark, kind = _lighter(color), "" if what == "stroke: " else "use"
        if dark is not None:
            name = what.removesuffix(": ")
            rules.append(f'{kind}[style*="{what}{color}"]{{{name}:{dark}!important}}')
    style = f"<style>@media (prefers-color-scheme:dark){{{''.join(rules)}}}</style>"
    head, tail = svg.split(" <defs>\n", 1)
    return f"{head} {style}\n <defs>\n{tail}"


def _lighter(color: str) -> str | None:
    """The color of a line, lighter if it is too dark; None if it is not."""
    parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    bright = sum(w * own for w, own in zip((0.299, 0.587, 0.114), parts, strict=True))
    if bright >= _DIM:
        return None
    mix = (_DIM + 0.1 - bright) / (1 - bright)
    return "#" + "".join(f"{round(255 * (p + mix * (1 - p))):02x}" for p in parts)
