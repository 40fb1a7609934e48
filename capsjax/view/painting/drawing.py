"""A drawing: a scene in a theme, which shows itself in notebooks and saves itself."""

import dataclasses
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

from capsjax.view.painting.plot import figure_of
from capsjax.view.painting.svg import svg_of
from capsjax.view.painting.themes import ThemeName, theme_of
from capsjax.view.painting.tikz import tikz_of
from capsjax.view.picture import DPI, Picture
from capsjax.view.scene.data import Scene

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from capsjax.view.picture import Settings

_MOST_PIXELS = 60_000


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Drawing(Picture):
    """A finished drawing.

    Attributes:
        scene: What is drawn, as plain data.
        theme: "light" or "dark".
    """

    scene: Scene
    theme: ThemeName = "light"

    def __post_init__(self) -> None:
        theme_of(self.theme)

    @property
    def figure(self) -> "Figure":
        """The drawing as a figure of matplotlib, made when first asked for."""
        return self._painted

    @functools.cached_property
    def _painted(self) -> "Figure":
        return figure_of(self.scene, theme_of(self.theme))

    @property
    def svg(self) -> str:
        """The drawing as the text of an SVG file; the same each time, for diffs.

        A light one has colors for dark pages, too, which a browser shows on them.
        """
        return svg_of(self.scene, theme_of(self.theme), adaptive=self.theme == "light")

    @property
    def tex(self) -> str:
        """The drawing as a LaTeX document of TikZ."""
        return tikz_of(self.scene, theme_of(self.theme))

    def _formats(self) -> dict[str, Callable[[], bytes]]:
        return {**super()._formats(), "tex": lambda: self.tex.encode()}

    def _rendered(
        self, format: str, dpi: float = DPI, settings: "Settings | None" = None
    ) -> bytes:
        # The page is as large as the drawing, and so no larger than PNG can be.
        dpi = min(dpi, 72 * _MOST_PIXELS / max(self.scene.size))
        own: Settings = {"pdf.fonttype": 42}
        return super()._rendered(format, dpi, own | (settings or {}))

    def __repr__(self) -> str:
        width, height = self.scene.size
        return f"<drawing of {width / 72:.1f} x {height / 72:.1f} inches>"
