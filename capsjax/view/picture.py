"""A picture shows itself in notebooks and saves itself as a file; a plot is one."""

import abc
import dataclasses
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from capsjax.graph.files import write_atomically
from capsjax.view.dark import with_dark

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.typing import RcKeyType

    Settings = dict[RcKeyType, Any]

DPI = 200


class Picture(abc.ABC):
    """A finished picture: a plot, or the drawing of a graph."""

    @property
    @abc.abstractmethod
    def figure(self) -> "Figure":
        """The matplotlib figure, to change or to take further."""

    @property
    def axes(self) -> "tuple[Axes, ...]":
        """Its panels, from left to right and from top to bottom, without color bars."""
        return tuple(self.figure.axes)

    @property
    @abc.abstractmethod
    def svg(self) -> str:
        """The picture as the text of an SVG file; the same each time, for diffs.

        On a dark page, a browser shows it in colors for dark pages.
        """

    @property
    def png(self) -> bytes:
        """The picture as the content of a PNG file, 200 pixels an inch."""
        return self._rendered("png")

    @property
    def pdf(self) -> bytes:
        """The picture as the content of a PDF file."""
        return self._rendered("pdf")

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes the picture, atomically; the ending says in which format.

        Args:
            path: A file that ends in `.svg`, `.png` or `.pdf`, of a drawing also in
                `.tex`; an existing one is replaced.

        Returns:
            The file.

        Raises:
            ValueError: The ending is another one.
            OSError: The file can't be written.
        """
        path, formats = Path(path), self._formats()
        format = path.suffix.lower().removeprefix(".")
        if format not in formats:
            *first, last = (f".{name}" for name in formats)
            raise ValueError(
                f"{path}: found the ending {path.suffix!r}; expected "
                f"{', '.join(first)} or {last}"
            )
        write_atomically(path, formats[format]())
        return path

    def _formats(self) -> dict[str, Callable[[], bytes]]:
        """What makes the content of a file, by ending."""
        return {
            "svg": lambda: self.svg.encode(),
            "png": lambda: self.png,
            "pdf": lambda: self.pdf,
        }

    def _rendered(
        self, format: str, dpi: float = DPI, settings: "Settings | None" = None
    ) -> bytes:
        """The figure as matplotlib writes it; settings are those of its rcParams."""
        import matplotlib

        metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
        content = io.BytesIO()
        with matplotlib.rc_context(settings or {}):
            self.figure.savefig(
                content, format=format, dpi=dpi, metadata=metadata.get(format, {})
            )
        return content.getvalue()

    def _repr_svg_(self) -> str | None:
        # Pages of nbconvert cut off what is wider than they are.
        fits = '<svg style="max-width:100%;height:auto" '
        return self.svg.replace("<svg ", fits, 1)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Plot(Picture):
    """A picture that matplotlib drew.

    Attributes:
        painted: The matplotlib figure.
        panels: What was drawn into, without color bars.
        whole: Whether the figure is the picture's own: one that was drawn into axes of
            another figure does not show itself, as that one does.
    """

    painted: "Figure"
    panels: "tuple[Axes, ...]" = ()
    whole: bool = True

    @property
    def figure(self) -> "Figure":
        """The matplotlib figure, to change or to take further."""
        return self.painted

    @property
    def axes(self) -> "tuple[Axes, ...]":
        """Its panels, from left to right and from top to bottom, without color bars."""
        return self.panels or super().axes

    @property
    def svg(self) -> str:
        """The picture as the text of an SVG file; letters are outlines.

        So it looks the same on every machine, and is the same each time, for diffs. On
        a dark page, a browser shows it in colors for dark pages.
        """
        settings: Settings = {"svg.hashsalt": "capsjax", "svg.fonttype": "path"}
        return with_dark(self._rendered("svg", settings=settings).decode())

    def _repr_svg_(self) -> str | None:
        return super()._repr_svg_() if self.whole else None

    def __repr__(self) -> str:
        width, height = self.figure.get_size_inches()
        return f"<picture of {width:.1f} x {height:.1f} inches>"
