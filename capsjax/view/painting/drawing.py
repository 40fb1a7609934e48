"""A drawing: a scene in a theme, which shows itself in notebooks and saves itself."""

import dataclasses
import functools
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from capsjax.view.painting.plot import figure_of
from capsjax.view.painting.svg import svg_of
from capsjax.view.painting.themes import ThemeName, theme_of
from capsjax.view.painting.tikz import tikz_of
from capsjax.view.picture import save
from capsjax.view.scene.data import Scene

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DPI = 200


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Drawing:
    """A finished drawing.

    Attributes:
        scene: What is drawn, as plain data.
        theme: "light" or "dark".
    """

    scene: Scene
    theme: ThemeName = "light"

    def __post_init__(self) -> None:
        theme_of(self.theme)

    @functools.cached_property
    def figure(self) -> "Figure":
        """The drawing as a figure of matplotlib, to change or to take further."""
        return figure_of(self.scene, theme_of(self.theme))

    @property
    def svg(self) -> str:
        """The drawing as the text of an SVG file; the same each time, for diffs."""
        return svg_of(self.scene, theme_of(self.theme))

    @property
    def png(self) -> bytes:
        """The drawing as the content of a PNG file, 200 pixels an inch."""
        return self._rendered("png")

    @property
    def pdf(self) -> bytes:
        """The drawing as the content of a PDF file."""
        return self._rendered("pdf")

    @property
    def tex(self) -> str:
        """The drawing as a LaTeX document of TikZ."""
        return tikz_of(self.scene, theme_of(self.theme))

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes the drawing, atomically; the ending says in which format.

        Args:
            path: A file that ends in `.svg`, `.png`, `.pdf` or `.tex`; an existing one
                is replaced.

        Returns:
            The file.

        Raises:
            ValueError: The ending is another one.
            OSError: The file can't be written.
        """
        formats: dict[str, Callable[[], bytes]] = {
            "svg": lambda: self.svg.encode(),
            "png": lambda: self.png,
            "pdf": lambda: self.pdf,
            "tex": lambda: self.tex.encode(),
        }
        return save(Path(path), formats)

    def _rendered(self, format: str) -> bytes:
        import matplotlib

        metadata = {"CreationDate": None} if format == "pdf" else {}
        content = io.BytesIO()
        # The page is as large as the drawing, and so no larger than PNG can be.
        dpi = min(_DPI, 72 * 60_000 / max(self.scene.size))
        with matplotlib.rc_context({"pdf.fonttype": 42}):
            self.figure.savefig(content, format=format, dpi=dpi, metadata=metadata)
        return content.getvalue()

    def _repr_svg_(self) -> str:
        return self.svg

    def __repr__(self) -> str:
        width, height = self.scene.size
        return f"<drawing of {width / 72:.1f} x {height / 72:.1f} inches>"
