"""A picture: a figure that shows itself in notebooks and saves itself as a file."""

import dataclasses
import functools
import io
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from capsjax.graph.files import write_atomically
from capsjax.view.dark import with_dark

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DPI = 200


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Picture:
    """A finished picture.

    Attributes:
        figure: The matplotlib figure, to change or to take further.
        axes: Its panels, from left to right and from top to bottom, without color bars.
        whole: Whether the figure is the picture's own: one that was drawn into axes of
            another figure does not show itself, as that one does.
    """

    figure: "Figure"
    axes: "tuple[Axes, ...]" = ()
    whole: bool = True

    def __post_init__(self):
        if not self.axes:
            object.__setattr__(self, "axes", tuple(self.figure.axes))

    @property
    def svg(self) -> str:
        """The picture as the text of an SVG file; the same each time, for diffs.

        Letters are outlines, so that it looks the same on every machine. On a dark
        page, a browser shows it in colors for dark pages.
        """
        return with_dark(self._render("svg").decode())

    @property
    def png(self) -> bytes:
        """The picture as the content of a PNG file, 200 pixels an inch."""
        return self._render("png")

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes the picture, atomically; the ending says in which format.

        Args:
            path: A file that ends in `.svg`, `.png` or `.pdf`; an existing one is
                replaced.

        Returns:
            The file.

        Raises:
            ValueError: The ending is another one.
            OSError: The file can't be written.
        """
        formats: dict[str, Callable[[], bytes]]
        formats = {"svg": lambda: self.svg.encode()}
        formats |= {f: functools.partial(self._render, f) for f in ("png", "pdf")}
        return save(Path(path), formats)

    def _render(self, format: str) -> bytes:
        import matplotlib

        metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
        content = io.BytesIO()
        with matplotlib.rc_context({"svg.hashsalt": "capsjax", "svg.fonttype": "path"}):
            self.figure.savefig(
                content, format=format, dpi=_DPI, metadata=metadata.get(format, {})
            )
        return content.getvalue()

    def _repr_svg_(self) -> str | None:
        # Pages of nbconvert cut off what is wider than they are.
        fits = '<svg style="max-width:100%;height:auto" '
        return self.svg.replace("<svg ", fits, 1) if self.whole else None

    def __repr__(self) -> str:
        width, height = self.figure.get_size_inches()
        return f"<picture of {width:.1f} x {height:.1f} inches>"


def save(path: Path, formats: Mapping[str, Callable[[], bytes]]) -> Path:
    """Writes a picture in the format that the ending of its path says.

    Args:
        path: An existing file is replaced.
        formats: What makes the content, by ending.

    Returns:
        The file.

    Raises:
        ValueError: The ending is another one.
    """
    format = path.suffix.lower().removeprefix(".")
    if format not in formats:
        *first, last = (f".{name}" for name in formats)
        raise ValueError(
            f"{path}: found the ending {path.suffix!r}; expected "
            f"{', '.join(first)} or {last}"
        )
    write_atomically(path, formats[format]())
    return path
