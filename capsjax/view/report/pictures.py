"""Pictures of a report, each as the address of an image that it holds itself.

In an image an SVG file is by itself: identifiers of several do not clash, and nothing
in it is run.
"""

import base64
import io
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from capsjax.view.curves import learning_curves
from capsjax.view.drawing import draw
from capsjax.view.folding import fold
from capsjax.view.history import PREFIX, metric_columns
from capsjax.view.picture import Picture
from capsjax.view.trace import trace as draw_trace

if TYPE_CHECKING:
    import pandas as pd

_MOST_SVG = 400_000
_LONGEST_SIDE, _DPI = 4000, 110
_MOST_BOXES = 250
_MOST_POINTS = 500
_MOST_METRICS = 24


class Shown(NamedTuple):
    """An image.

    Attributes:
        source: Its address, `data:...`.
        text: What it shows, for who can't see it.
        width: How wide it is, in pixels of the page.
    """

    source: str
    text: str
    width: int


def embedded(picture: Picture, text: str) -> Shown:
    """A picture as an image: SVG, or PNG where that would be large."""
    width, height = picture.figure.get_size_inches()
    content, kind = picture.svg.encode(), "svg+xml"
    if len(content) > _MOST_SVG:
        dpi = min(_DPI, _LONGEST_SIDE / max(width, height))
        buffer = io.BytesIO()
        picture.figure.savefig(buffer, format="png", dpi=dpi)
        content, kind = buffer.getvalue(), "png"
    return Shown(address(content, kind), text, round(width * 96))


def address(content: bytes, kind: str) -> str:
    """The address of an image that holds it: `data:image/png;base64,...`."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def graph(net: Any) -> Shown | None:
    """The drawing of a network; None where there are too many boxes to be read."""
    folded = fold(net.typed, False)
    if len(set(folded.box_of.values())) > _MOST_BOXES:
        return None
    return embedded(draw(net), f"the graph of {net.graph.name}")


def curves(history: Any) -> list[Shown]:
    """Learning curves, a picture a metric: a narrow page puts them below each other."""
    if "epoch" not in history or not len(history):
        return []
    if len(history) > _MOST_POINTS:
        rows = np.linspace(0, len(history) - 1, _MOST_POINTS).round().astype(int)
        history = history.iloc[rows]
    metrics = dict.fromkeys(n.removeprefix(PREFIX) for n in metric_columns(history))
    found = []
    for metric in list(metrics)[:_MOST_METRICS]:
        own = [name for name in (metric, PREFIX + metric) if name in history]
        picture = learning_curves(history[["epoch", *own]])
        found.append(embedded(picture, f"{metric} over epochs"))
    return found


def trace(net: Any, table: "pd.DataFrame") -> Shown | None:
    """Signals and weights over the steps; None if nothing was recorded."""
    if not len(table):
        return None
    if "capsule" in table:  # from input to output, as colors are
        order = {capsule.name: at for at, capsule in enumerate(net.typed.unfolded)}
        places = table["capsule"].map(lambda name: order.get(name, len(order)))
        table = table.iloc[np.argsort(places.to_numpy(), kind="stable")]
    return embedded(draw_trace(table), "signals and weights of capsules over steps")
