"""memory: what a memory budget costs, as a curve."""

from typing import TYPE_CHECKING, Any

from capsjax.view.picture import Picture

if TYPE_CHECKING:
    from capsjax.compiler import Network
    from capsjax.graph import Graph

_LINE, _MARK = "#3a78b5", "#c27803"
_INK, _GRID = "#1f2933", "#e4e7eb"


def memory(net: "Network | Graph", batch_size: int) -> Picture:
    """Draws what less memory for the backward pass costs.

    Args:
        net: A compiled network; one with a memory budget has its own choice marked.
            Or a declaration.
        batch_size: Number of examples.

    Returns:
        The picture: bytes held for the backward pass against the time, estimated, of
        what is computed again, as a share of the forward pass's. It shows itself in a
        notebook; has `.figure`, `.svg`, `.png` and `.save(path)`.

    Raises:
        ValueError: As for `net.memory`.

    Example:
        >>> import capsjax as cj
        >>> x = cj.input("x", (4,))
        >>> h = cj.capsule("h", cj.matmul(x, 8), cap="tanh")
        >>> y = cj.capsule("y", cj.matmul(h, 2), cap="softmax")
        >>> graph = cj.graph(y, losses={"y": "cross_entropy"})
        >>> cj.view.memory(graph, batch_size=32)
        <picture of 5.6 x 3.6 inches>
    """
    from matplotlib.figure import Figure

    from capsjax import compiler

    made = net if isinstance(net, compiler.Network) else compiler.compile(net)
    found = made.memory(batch_size)
    unit, name = _unit(found.full)
    figure = Figure(figsize=(5.6, 3.6), layout="constrained", facecolor="white")
    axes: Any = figure.add_subplot()
    held = [point.peak / unit for point in found.curve]
    again = [point.share for point in found.curve]
    axes.plot(held, again, color=_LINE, marker="o", markersize=4, label="least work")
    axes.axvline(
        found.smallest / unit,
        color=_INK,
        linestyle=":",
        label=f"smallest possible, {found.smallest / unit:.3g} {name}",
    )
    if found.peak < found.full:
        axes.plot(
            [found.peak / unit],
            [found.point.share],
            color=_MARK,
            marker="D",
            linestyle="",
            label=f"this network, {found.peak / unit:.3g} {name}",
        )
    _dress(axes, name, batch_size)
    return Picture(figure)


def _dress(axes: Any, unit: str, batch_size: int) -> None:
    from matplotlib.ticker import PercentFormatter

    axes.set_title(
        f"Memory for the backward pass, batch {batch_size}",
        loc="left",
        color=_INK,
        weight="bold",
    )
    axes.set_xlabel(f"bytes held at most [{unit}]")
    axes.set_ylabel("time to compute again,\nof the forward pass")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.grid(color=_GRID)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)


def _unit(size: int) -> tuple[int, str]:
    units = [(2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"), (1, "B")]
    return next(unit for unit in units if size >= unit[0] or unit[0] == 1)
