"""diagnosis: outputs and error signals over depth."""

from typing import TYPE_CHECKING, Any

import numpy as np

from capsjax.view.picture import Picture
from capsjax.view.style import BLUE, INK, RED, dress, finish, panels, steps_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from capsjax.observe.diagnosis import Diagnosis, Finding

_RANGE = "#f1f6ec"
_TITLES = {
    "Y": ("|Y| from the inputs on", "root mean square"),
    "delta": ("|delta| from the losses back", "length of an example's signal"),
}


def diagnosis(found: "Diagnosis", *, ax: "Axes | None" = None) -> Picture:
    """Draws how outputs and error signals grow with depth.

    Args:
        found: What `cj.diagnose` has found.
        ax: Axes in whose place the panels are drawn; a figure of their own, if left
            out.

    Returns:
        The picture: a panel for |Y| and one for |delta|, a point a capsule, the range
        as a band around the size at the start; the first capsule out of range is
        named. Shows itself in a notebook; has `.axes`, `.figure`, `.svg`,
        `.png` and `.save(path)`.

    Raises:
        ValueError: The axes stand in no grid.

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
    both = panels((9.2, 3.4), ax, 2, 2)
    if ax is None:
        words = f"{found.name}: {found.examples} examples"
        sheet: Any = both[0].figure
        sheet.suptitle(words, x=0.01, ha="left", color=INK, parse_math=False)
    for axes, finding in zip(both, found.findings, strict=True):
        _draw(axes, found, finding)
    return finish(both, ax)


def _draw(axes: Any, found: "Diagnosis", finding: "Finding") -> None:
    from capsjax.observe.diagnosis import LIMIT

    table, quantity = found.table, finding.quantity
    sound = table[table[quantity] > 0]
    out = np.array([f"|{quantity}|" in words for words in sound["problem"]], bool)
    if finding.start > 0:
        low, high = finding.start / LIMIT, finding.start * LIMIT
        axes.axhspan(low, high, color=_RANGE, zorder=0)
        axes.axhline(finding.start, color=INK, linestyle=":", linewidth=1)
    for rows, color in ((sound[~out], BLUE), (sound[out], RED)):
        axes.plot(
            rows["depth"], rows[quantity], "o", color=color, markersize=4, alpha=0.8
        )
    axes.set_yscale("log")
    first = sound[sound["capsule"] == finding.first]
    axes.plot(
        first["depth"],
        first[quantity],
        "o",
        color=RED,
        markersize=10,
        fillstyle="none",
    )
    if finding.first is not None:
        words = f"{finding.first} {finding.problem}"
        axes.set_title(
            words, loc="right", color=RED, fontsize="small", parse_math=False
        )
    title, label = _TITLES[quantity]
    axes.set_ylabel(label)
    steps_axis(axes, "depth")
    dress(axes, title)
