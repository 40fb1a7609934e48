"""A picture: a figure that shows itself in notebooks and saves itself as SVG or PNG."""

import dataclasses
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

from capsjax.graph.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FORMATS = ("svg", "png")
_DPI = 200


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Picture:
    """A finished picture.

    Attributes:
        figure: The matplotlib figure, to change or to take further.
    """

    figure: "Figure"

    @property
    def svg(self) -> str:
        """The picture as the text of an SVG file; the same each time, for diffs.

        Letters are outlines, so that it looks the same on every machine.
        """
        return self._render("svg").decode()

    @property
    def png(self) -> bytes:
        """The picture as the content of a PNG file, 200 pixels an inch."""
        return self._render("png")

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes the picture, atomically; the ending says in which format.

        Args:
            path: A file that ends in `.svg` or `.png`; an existing one is replaced.

        Returns:
            The file.

        Raises:
            ValueError: The ending is another one.
            OSError: The file can't be written.
        """
        path = Path(path)
        format = path.suffix.lower().removeprefix(".")
        if format not in _FORMATS:
            raise ValueError(
                f"{path}: found the ending {path.suffix!r}; expected .svg or .png"
            )
        write_atomically(path, self._render(format))
        return path

    def _render(self, format: str) -> bytes:
        import matplotlib

        metadata = {"Date": None} if format == "svg" else {}
        content = io.BytesIO()
        with matplotlib.rc_context({"svg.hashsalt": "capsjax", "svg.fonttype": "path"}):
            self.figure.savefig(content, format=format, dpi=_DPI, metadata=metadata)
        return content.getvalue()

    def _repr_svg_(self) -> str:
        # Pages of nbconvert cut off what is wider than they are.
        return self.svg.replace("<svg ", '<svg style="max-width:100%;height:auto" ', 1)

    def __repr__(self) -> str:
        width, height = self.figure.get_size_inches()
        return f"<picture of {width:.1f} x {height:.1f} inches>"
