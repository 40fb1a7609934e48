"""histograms: how large the entries of signals, outputs and weights are, by capsule."""

from typing import TYPE_CHECKING, Any

import numpy as np

from capsjax.view.labels import name_words
from capsjax.view.picture import Picture
from capsjax.view.style import ORDERED, color_bar, dress, finish, panels

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_TITLES = {
    "Y": "outputs |Y|",
    "delta": "error signals |delta|",
    "W": "weights |W|",
    "B": "biases |B|",
}
_MOST_ROWS = 40


def histograms(
    trace: "pd.DataFrame | Any", *, step: int | None = None, ax: "Axes | None" = None
) -> Picture:
    """Draws histograms of all capsules: a row a capsule, from the inputs down.

    Args:
        trace: What `cj.trace(..., histograms=True)` gives, or its `histograms`, or rows
            of them: only some capsules, or one quantity.
        step: The step; the last one, if left out.
        ax: Axes in whose place the panels are drawn; a figure of their own, if left
            out.

    Returns:
        The picture, a panel a quantity: from left to right the size of an entry, on a
        logarithmic scale; the brighter a bin, the larger the share of the capsule's
        entries in it. The first bin of the scale holds zeros, too. It shows itself in a
        notebook; has `.axes`, `.figure`, `.svg`, `.png` and `.save(path)`.

    Raises:
        ValueError: There are no histograms, or none of this step; or axes that stand in
            no grid are given for several panels.

    Example:
        >>> import capsjax as cj, jax, jax.numpy as jnp
        >>> x = cj.input("x", (2,))
        >>> y = cj.capsule("y", cj.matmul(x, 1))
        >>> net = cj.compile(cj.graph(y, losses={"y": "mean_squared_error"}))
        >>> batch = {"x": jnp.eye(2), "y": jnp.ones((2, 1))}
        >>> tracer = cj.trace(net, batch, histograms=True)
        >>> tracer(0, *net.init(jax.random.key(0)))
        >>> len(cj.view.histograms(tracer).axes)
        4
    """
    table = getattr(trace, "histograms", trace)
    if "share" not in table or not len(table):
        raise ValueError(
            "found no histograms; expected those of a tracer; cure: cj.trace(net, "
            "batch, histograms=True)"
        )
    known = sorted(set(table["step"]))
    step = known[-1] if step is None else step
    if step not in known:
        raise ValueError(
            f"found step {step}; expected one of the {len(known)} that were recorded, "
            f"from {known[0]} to {known[-1]}"
        )
    own = table.loc[table["step"] == step]
    shown = [name for name in _TITLES if name in set(own["quantity"])]
    rows = max(len(_rows(own, name)) for name in shown)
    letters = max(len(n) for name in shown for n in _rows(own, name).values())
    size = (
        (2.4 + 0.07 * min(letters, 24)) * len(shown) + 0.6,
        max(0.2 * rows, 1.4) + 1.0,
    )
    drawn = panels(size, ax, len(shown), len(shown))
    meshes = [_draw(*each, own) for each in zip(drawn, shown, strict=True)]
    top = max(mesh.get_clim()[1] for mesh in meshes)
    for axes, mesh in zip(drawn, meshes, strict=True):
        axes.set_xlabel(f"size, step {step:,}")
        mesh.set_clim(0.0, top)  # one color bar tells the shares of all panels
    bar = color_bar(drawn[-1], meshes[-1], "share of the entries", beside=drawn)
    from matplotlib.ticker import PercentFormatter

    bar.ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    return finish(drawn, ax)


def _rows(table: "pd.DataFrame", quantity: str) -> dict[tuple[str, str], str]:
    """What a row stands for, and its name; of very many, some from first to last."""
    own = table.loc[table["quantity"] == quantity]
    order = {name: at for at, name in enumerate(dict.fromkeys(table["capsule"]))}
    keys = dict.fromkeys(zip(own["capsule"], own["source"], strict=True))
    keys = sorted(keys, key=lambda key: order[key[0]])
    if len(keys) > _MOST_ROWS:
        chosen = np.linspace(0, len(keys) - 1, _MOST_ROWS).round().astype(int)
        keys = [keys[number] for number in chosen]
    edges: dict[str, int] = {}
    for capsule, _ in keys:
        edges[capsule] = edges.get(capsule, 0) + 1
    return {
        (capsule, source): name_words(
            f"{capsule} of {source}" if edges[capsule] > 1 else capsule
        )
        for capsule, source in keys
    }


def _draw(axes: Any, quantity: str, table: "pd.DataFrame") -> Any:
    from matplotlib.ticker import NullFormatter

    own = table.loc[table["quantity"] == quantity]
    rows = _rows(table, quantity)
    place = {key: number for number, key in enumerate(rows)}
    lows = np.log10(own["low"].to_numpy())
    width = float(np.log10(own["high"].iloc[0]) - lows[0])
    first, last = lows.min() - width, lows.max() + 2 * width
    edges = np.arange(first, last + width / 2, width)
    grid = np.zeros((len(rows), len(edges) - 1))
    members = max(own["member"].max() + 1, 1) if "member" in own else 1
    keys = zip(own["capsule"], own["source"], strict=True)
    for key, low, share in zip(keys, lows, own["share"], strict=True):
        if key in place:
            grid[place[key], round((low - first) / width)] += share / members
    mesh = axes.pcolormesh(
        10.0**edges,
        np.arange(len(rows) + 1) - 0.5,
        grid,
        cmap=ORDERED,
        vmin=0.0,
        vmax=max(float(grid.max()), 0.1),
    )
    axes.set_xscale("log")
    axes.xaxis.set_minor_formatter(NullFormatter())  # powers of ten alone
    axes.set_ylim(len(rows) - 0.5, -0.5)
    dress(axes, _TITLES[quantity], grid=False)
    axes.set_yticks(range(len(rows)), list(rows.values()), fontsize="small")
    for label in axes.get_yticklabels():
        label.set_parse_math(False)
    return mesh
