"""diagnosis: outputs and error signals over depth."""

from typing import TYPE_CHECKING, Any

import numpy as np

from capsjax.view.picture import Picture

if TYPE_CHECKING:
    from capsjax.observe.diagnosis import Diagnosis, Finding

_LINE, _MARK = "#3a78b5", "#b3261e"
_INK, _GRID, _RANGE = "#1f2933", "#e4e7eb", "#f1f6ec"
_TITLES = {
    "Y": ("|Y| from the inputs on", "root mean square"),
    "delta": ("|delta| from the losses back", "length of an example's signal"),
}


def diagnosis(found: "Diagnosis") -> Picture:
    """Draws how outputs and error signals grow with depth.

    Args:
        found: What `cj.diagnose` has found.

    Returns:
        The picture: a panel for |Y| and one for |delta|, a point a capsule, the range
        as a band around the size at the start; the first capsule out of range is
        named. Shows itself in a notebook; has `.figure`, `.svg`, `.png` and
        `.save(path)`.

    Example:
        >>> import capsjax as cj, jax.numpy as jnp
        >>> x = cj.input("x", (4,))
        >>> h = cj.capsule("h", cj.matmul(x, 8), cap="tanh")
        >>> y = cj.capsule("y", cj.matmul(h, 2), cap="softmax")
        >>> net = cj.compile(cj.graph(y, losses={"y": "cross_entropy"}))
        >>> batch = {"x": jnp.ones((2, 4)), "y": jnp.arange(2)}
        >>> cj.view.diagnosis(cj.diagnose(net, batch))
        <picture of 9.2 x 3.4 inches>
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.2, 3.4), layout="constrained", facecolor="white")
    figure.suptitle(
        f"{found.name}: {found.examples} examples", x=0.01, ha="left", color=_INK
    )
    for number, finding in enumerate(found.findings):
        _draw(figure.add_subplot(1, 2, number + 1), found, finding)
    return Picture(figure)


def _draw(axes: Any, found: "Diagnosis", finding: "Finding") -> None:
    from matplotlib.ticker import MaxNLocator

    from capsjax.observe.diagnosis import LIMIT

    table, quantity = found.table, finding.quantity
    sound = table[table[quantity] > 0]
    out = np.array([f"|{quantity}|" in words for words in sound["problem"]], bool)
    if finding.start > 0:
        low, high = finding.start / LIMIT, finding.start * LIMIT
        axes.axhspan(low, high, color=_RANGE, zorder=0)
        axes.axhline(finding.start, color=_INK, linestyle=":", linewidth=1)
    for rows, color in ((sound[~out], _LINE), (sound[out], _MARK)):
        axes.plot(
            rows["depth"], rows[quantity], "o", color=color, markersize=4, alpha=0.8
        )
    axes.set_yscale("log")
    first = sound[sound["capsule"] == finding.first]
    axes.plot(
        first["depth"],
        first[quantity],
        "o",
        color=_MARK,
        markersize=10,
        fillstyle="none",
    )
    if finding.first is not None:
        words = f"{finding.first} {finding.problem}"
        axes.set_title(words, loc="right", color=_MARK, fontsize="medium")
    title, label = _TITLES[quantity]
    axes.set_title(title, loc="left", color=_INK, weight="bold", fontsize="medium")
    axes.set_xlabel("depth")
    axes.set_ylabel(label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(color=_GRID)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
