"""Colors of drawings: light, dark, and those of the page that a widget stands in."""

import dataclasses
from collections.abc import Mapping
from typing import Literal

ThemeName = Literal["light", "dark"]

LIGHT = {
    "page": "#ffffff",
    "ink": "#1f2933",
    "soft": "#52606d",
    "line": "#7b8794",
    "rule": "#2f6b3c",
    "loss": "#8d5300",
    "mark": "#ffffff",
    "input": "#e4effa",
    "input-border": "#3a78b5",
    "hidden": "#ffffff",
    "hidden-border": "#52606d",
    "output": "#fdf3e0",
    "output-border": "#c27803",
    "block": "#e9ecef",
    "block-border": "#52606d",
    "frame": "#f6f8fa",
    "frame-border": "#9aa5b1",
}
DARK = {
    "page": "#15191e",
    "ink": "#e8edf2",
    "soft": "#a9b4c0",
    "line": "#8592a0",
    "rule": "#86d198",
    "loss": "#f0b354",
    "mark": "#15191e",
    "input": "#1b3550",
    "input-border": "#6aa9e6",
    "hidden": "#20262d",
    "hidden-border": "#95a2b0",
    "output": "#40300f",
    "output-border": "#e0a33a",
    "block": "#323a43",
    "block-border": "#95a2b0",
    "frame": "#1a2027",
    "frame-border": "#5c6873",
}


@dataclasses.dataclass(frozen=True)
class Theme:
    """Colors by name.

    Attributes:
        colors: A color for each name of `LIGHT`.
    """

    colors: Mapping[str, str]

    def __getitem__(self, name: str) -> str:
        return self.colors[name]


THEMES = {"light": Theme(LIGHT), "dark": Theme(DARK)}
PAGE = Theme({name: f"var(--capsjax-{name})" for name in LIGHT})
"""Colors that a page gives, by `variables`."""


def theme_of(name: str) -> Theme:
    """A theme by its name.

    Raises:
        ValueError: Another name.
    """
    if name not in THEMES:
        raise ValueError(f"theme {name!r}; expected 'light' or 'dark'")
    return THEMES[name]


def variables(colors: Mapping[str, str]) -> str:
    """Colors as properties of a style sheet."""
    return "".join(f"--capsjax-{name}:{color};" for name, color in colors.items())
