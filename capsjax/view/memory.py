"""memory: what a memory budget costs, as a curve."""

from typing import TYPE_CHECKING, Any

from capsjax.view.picture import Picture
from capsjax.view.style import AMBER, BLUE, INK, dress, finish, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from capsjax.compiler import Network
    from capsjax.graph import Graph


def memory(
    net: "Network | Graph", batch_size: int, *, ax: "Axes | None" = None
) -> Picture:
    """Draws what less memory for the backward pass costs.

    Args:
        net: A compiled network; one with a memory budget has its own choice marked.
            Or a declaration.
        batch_size: Number of examples.
        ax: Axes to draw into; those of a figure of its own, if left out.

    Returns:
        The picture: bytes held for the backward pass against the time, estimated, of
        what is computed again, as a share of the forward pass's. It shows itself in a
        notebook; has `.axes`, `.figure`, `.svg`, `.png` and `.save(path)`.

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
    from capsjax import compiler

    made = net if isinstance(net, compiler.Network) else compiler.compile(net)
    found = made.memory(batch_size)
    unit, name = _unit(found.full)
    (axes,) = panels((5.6, 3.6), ax)
    held = [point.peak / unit for point in found.curve]
    again = [point.share for point in found.curve]
    axes.plot(held, again, color=BLUE, marker="o", markersize=4, label="least work")
    axes.axvline(
        found.smallest / unit,
        color=INK,
        linestyle=":",
        label=f"smallest possible, {found.smallest / unit:.3g} {name}",
    )
    if found.peak < found.full:
        axes.plot(
            [found.peak / unit],
            [found.point.share],
            color=AMBER,
            marker="D",
            linestyle="",
            label=f"this network, {found.peak / unit:.3g} {name}",
        )
    _dress(axes, name, batch_size)
    return finish([axes], ax)


def _dress(axes: Any, unit: str, batch_size: int) -> None:
    from matplotlib.ticker import PercentFormatter

    dress(axes, f"Memory for the backward pass, batch {batch_size}")
    axes.set_xlabel(f"bytes held at most [{unit}]")
    axes.set_ylabel("time to compute again,\nof the forward pass")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, labelcolor=INK)


def _unit(size: int) -> tuple[int, str]:
    units = [(2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"), (1, "B")]
    return next(unit for unit in units if size >= unit[0] or unit[0] == 1)
