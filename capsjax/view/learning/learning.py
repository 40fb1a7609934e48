"""learning: the graph, colored by its error signals and gradients, over steps."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from capsjax.compiler import Network
from capsjax.compiler import compile as compile_graph
from capsjax.graph import Graph
from capsjax.neural import Model
from capsjax.view.labels import name_words
from capsjax.view.learning.frames import (
    GRADIENTS,
    SIGNALS,
    Frames,
    frames,
)
from capsjax.view.picture import Plot
from capsjax.view.style import GRAY, INK, SOFT, color_bar, finish, panels
from capsjax.view.trace import require_traced

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_TITLES = "|dL/dW|", "|delta|, of one example"
_MOST_BOXES = 250
_LEAST, _MOST = 0.8, 5.0
_MARGIN = 0.15


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Learning(Plot):
    """A picture of learning; in a notebook with anywidget, with a slider over steps.

    Attributes:
        frames: What is shown: the graph, and sizes at each step.
    """

    frames: Frames | None = None

    def widget(self) -> Any:
        """The picture with a slider over all steps, a widget of `anywidget`.

        Raises:
            ImportError: anywidget is not installed: `pip install "capsjax[notebook]"`.
        """
        from capsjax.view.learning.widget import widget

        assert self.frames is not None
        return widget(self.frames)

    def _repr_mimebundle_(self, **_: Any) -> Any:
        if not self.whole:
            return None
        drawn = {"image/svg+xml": self.svg, "text/plain": repr(self)}
        try:
            shown = self.widget()._repr_mimebundle_()
        except ImportError:
            return drawn
        data, metadata = shown if isinstance(shown, tuple) else (shown, {})
        return {**drawn, **(data or {})}, metadata


def learning(
    trace: "pd.DataFrame | Any",
    graph: Graph | Model | Network,
    *,
    steps: Sequence[int] | None = None,
    expand: bool | Sequence[str] = False,
    like: Learning | None = None,
    ax: "Axes | None" = None,
) -> Learning:
    """Draws a graph by what travels in it: error signals as color, gradients as lines.

    A capsule H has the color of |delta_H|, an edge the color and the width of |dL/dW|,
    both on logarithmic scales that are the same at all steps and span four decades or
    more: signals that vanish turn dark. An edge without a weight is thin and gray; so
    is a capsule without an error signal. Of a block, the geometric mean.

    Args:
        trace: What `cj.trace` gives, or its table. Of members, the mean is shown.
        graph: The declaration or the network that was traced.
        steps: The steps to draw; the first, a middle and the last one, if left out.
        expand: Names of the uses of blocks to draw by what they hold; True for all.
        like: Another picture, whose scales this one has, so that colors of the two can
            be compared; what lies beyond has the color of the end.
        ax: Axes in whose place the panels are drawn; a figure of their own, if left
            out.

    Returns:
        The picture, a panel a step. In a notebook with `capsjax[notebook]` it shows
        itself with a slider over all steps. It has `.axes`, `.figure`, `.svg`, `.png`,
        `.save(path)`, and `.widget()`.

    Raises:
        ValueError: The table is none of a tracer's of this graph; there is no such
            step; there are too many boxes; or the axes stand in no grid.

    Example:
        >>> import capsjax as cj, jax, jax.numpy as jnp
        >>> x = cj.input("x", (2,))
        >>> y = cj.capsule("y", cj.matmul(x, 1))
        >>> net = cj.compile(cj.graph(y, losses={"y": "mean_squared_error"}))
        >>> tracer = cj.trace(net, {"x": jnp.eye(2), "y": jnp.ones((2, 1))})
        >>> tracer(0, *net.init(jax.random.key(0)))
        >>> len(cj.view.learning(tracer, net).axes)
        1

    Source: Li & Shan, arXiv 1805.03551, equations 4 and 5; the vanishing of signals in
    deep networks: Hochreiter, Untersuchungen zu dynamischen neuronalen Netzen, 1991.
    """
    net = graph if isinstance(graph, Network) else compile_graph(graph, check=False)
    table = _checked(getattr(trace, "table", trace), net)
    spans = like.frames.spans if like is not None and like.frames is not None else None
    found = frames(net, table, expand, spans)
    if len(found.names) > _MOST_BOXES:
        raise ValueError(
            f"found {len(found.names):,} boxes; expected at most {_MOST_BOXES}; cure: "
            "expand fewer blocks, or draw cj.view.trace"
        )
    shown = _shown(found.steps, steps)
    wide, high = found.size[0] + 2 * _MARGIN, found.size[1] + 2 * _MARGIN
    size = (max(wide, 1.2) * len(shown) + 2.0, max(high, 2.4) + 0.4)
    drawn = panels(size, ax, len(shown), len(shown))
    of_signals, of_gradients = found.spans
    colors = _mapping(of_signals, SIGNALS), _mapping(of_gradients, GRADIENTS)
    for axes, place in zip(drawn, shown, strict=True):
        _draw(axes, found, place, *colors)
    for mapping, title in zip(reversed(colors), _TITLES, strict=True):
        bar = color_bar(drawn[-1], mapping, title, drawn, inches=2.6, of=size[1])
        bar.ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        bar.ax.minorticks_off()
    made = finish(drawn, ax)
    return Learning(made.figure, made.axes, made.whole, found)


def _checked(table: Any, net: Network) -> Any:
    require_traced(table)
    own = {capsule.name for capsule in net.typed.unfolded}
    traced = set(table[table["quantity"] == "delta"]["capsule"])
    if not traced & own:
        raise ValueError(
            f"found a table of {', '.join(sorted(map(repr, traced))[:3])}; expected "
            f"one of the capsules of {net.graph.name!r}, such as {min(own)!r}"
        )
    return table


def _shown(known: list[int], asked: Sequence[int] | None) -> list[int]:
    """Places of the steps to draw."""
    if asked is None:
        return sorted({0, len(known) // 2, len(known) - 1})
    missing = [step for step in asked if step not in known]
    if missing or not len(asked):
        raise ValueError(
            f"found steps {list(asked)}; expected some of the {len(known)} that were "
            f"recorded, from {known[0]} to {known[-1]}"
        )
    return [known.index(step) for step in asked]


def _mapping(ends: tuple[float, float], name: str) -> Any:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm

    return ScalarMappable(LogNorm(*ends, clip=True), name)


def _draw(axes: Any, found: Frames, at: int, signals: Any, gradients: Any) -> None:
    from matplotlib.patches import FancyBboxPatch

    axes.set_axis_off()
    axes.set_aspect("equal")
    axes.set_xlim(-_MARGIN, found.size[0] + _MARGIN)
    axes.set_ylim(found.size[1] + _MARGIN, -_MARGIN)
    axes.set_title(f"step {found.steps[at]:,}", color=INK, fontsize="medium")
    for path, value in zip(found.paths, found.gradients[at], strict=True):
        color, width = GRAY, 0.8
        if np.isfinite(value):
            share = float(gradients.norm(max(value, 1e-300)))
            color = gradients.to_rgba(max(value, 1e-300))
            width = _LEAST + (_MOST - _LEAST) * share
        x, y = zip(*path, strict=True)
        axes.plot(x, y, color=color, linewidth=width, zorder=1, solid_capstyle="butt")
    signal = found.signals[at]
    for i, (name, (x, y), (wide, high)) in enumerate(
        zip(found.names, found.centers, found.sizes, strict=True)
    ):
        none = not np.isfinite(signal[i])
        fill = "white" if none else signals.to_rgba(max(signal[i], 1e-300))
        patch = FancyBboxPatch(
            (x - wide / 2, y - high / 2),
            *(wide, high),
            boxstyle="round,pad=0,rounding_size=0.08",
            facecolor=fill,
            edgecolor=GRAY if none else SOFT,
            linewidth=0.8,
            zorder=2,
        )
        axes.add_patch(patch)
        ink = SOFT if none else _ink(fill)
        font = {"size": 8.0, "ha": "center", "va": "center", "parse_math": False}
        axes.text(x, y, name_words(name), color=ink, zorder=3, **font)


def _ink(fill: Any) -> str:
    """Black or white, whichever can be read on a color."""
    red, green, blue, _ = fill
    return "#0b0f13" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "white"
