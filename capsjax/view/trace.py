"""trace: signals, weights and gradients over the steps of a training run."""

from typing import TYPE_CHECKING, Any

import numpy as np

from capsjax.view.labels import name_words
from capsjax.view.picture import Picture
from capsjax.view.style import (
    INK,
    dress,
    finish,
    legend_beside,
    panels,
    shade,
    steps_axis,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_MOST_NAMES = 12
_COLUMNS = 3
_LETTER, _SHORT = 0.08, 12
"""Inches a letter takes, and letters that there is room for beside the panels."""
_TITLES = {
    "Y": "|Y|, root mean square",
    "delta": "|delta|, of one example",
    "dW": "|dL/dW|",
    "W": "|W|",
    "dead": "dead units",
    "cosine": "angle to the exact gradient",
}


def trace(table: "pd.DataFrame", *, ax: "Axes | None" = None) -> Picture:
    """Draws what a tracer has recorded.

    Args:
        table: The table of what `cj.trace` gives, or rows of it: only some capsules.
        ax: Axes in whose place the panels are drawn; a figure of their own, if left
            out.

    Returns:
        The picture, a panel a quantity: a line for each capsule, or for each edge where
        the quantity is a weight's; from dark at the inputs to light at the outputs. Of
        members, the mean, and a band from the least to the largest. It shows itself in
        a notebook; has `.axes`, `.figure`, `.svg`, `.png` and `.save(path)`.

    Raises:
        ValueError: The table is none of a tracer's, or empty; or the axes stand in no
            grid.

    Example:
        >>> import capsjax as cj, jax, jax.numpy as jnp
        >>> x = cj.input("x", (2,))
        >>> y = cj.capsule("y", cj.matmul(x, 1))
        >>> net = cj.compile(cj.graph(y, losses={"y": "mean_squared_error"}))
        >>> tracer = cj.trace(net, {"x": jnp.eye(2), "y": jnp.ones((2, 1))})
        >>> tracer(0, *net.init(jax.random.key(0)))
        >>> cj.view.trace(tracer.table)
        <picture of 10.8 x 5.6 inches>
    """
    require_traced(table)
    there = set(table["quantity"])
    shown = [name for name in _TITLES if name in there]
    rows = -(-len(shown) // _COLUMNS)
    columns = min(len(shown), _COLUMNS)
    found = panels((3.6 * columns, 2.8 * rows), ax, len(shown), columns)
    lines = {}
    for axes, quantity in zip(found, shown, strict=True):
        lines |= _draw(axes, table, quantity)
    names = _named(list(lines))
    entries = [(lines[name], name_words(name)) for name in names]
    legend_beside(found, ax, entries, columns=columns)
    if ax is None:
        longest = max((len(name_words(name)) for name in names), default=0)
        sheet: Any = found[0].figure
        more = _LETTER * max(longest - _SHORT, 0)
        sheet.set_size_inches(3.6 * columns + more, 2.8 * rows)
    return finish(found, ax)


def require_traced(table: "pd.DataFrame") -> None:
    """Raises `ValueError` unless a table is a tracer's, of one moment at least."""
    columns = {"step", "capsule", "source", "quantity", "value"}
    if not columns.issubset(table.columns) or not len(table):
        raise ValueError(
            f"found a table of {len(table)} rows with columns {list(table.columns)}; "
            "expected a tracer's table, of one moment at least"
        )


def _draw(axes: Any, table: Any, quantity: str) -> dict[str, Any]:
    """Draws a panel; the lines by capsule."""
    from matplotlib.ticker import MultipleLocator, PercentFormatter

    own = table[table["quantity"] == quantity]
    if quantity == "cosine":  # of edges, as weights are; not of all of a capsule
        own = own[own["source"] != ""]
    order = list(dict.fromkeys(table["capsule"]))
    lines = {}
    for (capsule, _), rows in own.groupby(["capsule", "source"], sort=False):
        values = rows.assign(value=_shown(quantity, rows["value"].to_numpy()))
        by_step = values.groupby("step")["value"]
        mean = by_step.mean()
        color = shade(order.index(capsule) / max(len(order) - 1, 1))
        marker = "o" if len(mean) < 3 else None
        (lines[capsule],) = axes.plot(
            mean.index, mean, color=color, marker=marker, markersize=3, linewidth=1.4
        )
        if "member" in rows:
            band = by_step.min(), by_step.max()
            axes.fill_between(mean.index, *band, color=color, alpha=0.15, linewidth=0)
    if quantity == "dead":
        axes.set_ylim(0, 1)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    elif quantity == "cosine":
        axes.set_ylim(0, 180 if axes.get_ylim()[1] > 120 else 120)
        axes.yaxis.set_major_locator(MultipleLocator(30))
        axes.yaxis.set_major_formatter("{x:.0f}°")
        axes.axhline(90, color=INK, linestyle=":", linewidth=1)
    elif (own["value"] > 0).any():
        axes.set_yscale("log")
    steps_axis(axes)
    dress(axes, _TITLES[quantity])
    return lines


def _shown(quantity: str, values: np.ndarray) -> np.ndarray:
    if quantity != "cosine":
        return values
    return np.degrees(np.arccos(np.clip(values, -1, 1)))


def _named(names: list[str]) -> list[str]:
    """Names for the legend: all capsules, or some from first to last."""
    if len(names) <= _MOST_NAMES:
        return names
    chosen = np.linspace(0, len(names) - 1, _MOST_NAMES).round().astype(int)
    return [names[number] for number in chosen]
