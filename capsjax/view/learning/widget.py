"""The picture of learning with a slider: a widget, drawn by the browser."""

from pathlib import Path
from typing import Any

import numpy as np

from capsjax.view.labels import name_words
from capsjax.view.learning.frames import GRADIENTS, SIGNALS, Frames

_VISIBLE = 0.25
"""Where the colors of lines begin: darker ones can't be seen on dark pages."""


def widget(found: Frames) -> Any:
    """The widget of a graph over steps; all it needs goes to the browser at once."""
    try:
        import anywidget
        import traitlets
    except ImportError as error:
        raise ImportError(
            "a slider over steps needs anywidget; cure: pip install "
            '"capsjax[notebook]", or look at the picture itself'
        ) from error

    class Slider(anywidget.AnyWidget):
        _esm = Path(__file__).with_name("learning.js").read_text("utf-8")
        _css = Path(__file__).with_name("learning.css").read_text("utf-8")
        graph = traitlets.Dict().tag(sync=True)
        place = traitlets.Int(len(found.steps) - 1).tag(sync=True)

    return Slider(graph=plain(found))


def plain(found: Frames) -> dict[str, Any]:
    """The frames as plain data: what has no number is null."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    def scale(
        name: str, ends: tuple[float, float], first: float = 0.0
    ) -> dict[str, Any]:
        low, high = np.log10(ends)
        shades = [to_hex(colormaps[name](own)) for own in np.linspace(first, 1, 32)]
        return {"low": float(low), "high": float(high), "shades": shades}

    of_signals, of_gradients = found.spans
    return {
        "size": list(found.size),
        "boxes": [
            [name_words(name), *center, *size]
            for name, center, size in zip(
                found.names, found.centers, found.sizes, strict=True
            )
        ],
        "lines": [[list(point) for point in path] for path in found.paths],
        "steps": found.steps,
        "signals": _logs(found.signals),
        "gradients": _logs(found.gradients),
        "signalScale": scale(SIGNALS, of_signals),
        "gradientScale": scale(GRADIENTS, of_gradients, _VISIBLE),
    }


def _logs(values: np.ndarray) -> list[list[float | None]]:
    """Logarithms to base 10; of zero, one below all scales."""
    with np.errstate(divide="ignore"):
        logs = np.maximum(np.log10(values), -400.0)
    return [
        [round(own, 3) if np.isfinite(own) else None for own in row]
        for row in logs.tolist()
    ]
