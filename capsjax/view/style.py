"""How all plots look: colors, panels, legends, and the same colors on dark pages.

Lines that are compared have the colors of Petroff (arXiv 2107.02270), which people with
color vision deficiency can tell apart; what has an order or a size has viridis, whose
steps look equally large and which is read in gray, too.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from capsjax.view.picture import Plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, SOFT, GRAY, GRID = "#1f2933", "#52606d", "#9aa5b1", "#e4e7eb"
BLUE, AMBER, RED = "#3a78b5", "#c27803", "#b3261e"
DISTINCT = (
    *("#3f90da", "#e08a00", "#bd1f01", "#94a4a2", "#832db6", "#a96b59"),
    *("#e76300", "#b9ac70", "#717581", "#92dadd", "#1f2933", "#0e7c66"),
)
"""Petroff's ten, the second one darker for white pages, and two more."""

ORDERED = "viridis"
_LIGHTEST = 0.88
"""The end of viridis, yellow, is hard to see on white pages."""


def shade(share: float) -> Any:
    """The color of what stands at a share of an order: from dark to light."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return to_hex(colormaps[ORDERED](_LIGHTEST * share))


def panels(
    size: tuple[float, float],
    ax: "Axes | None" = None,
    count: int = 1,
    columns: int = 1,
    share_y: bool = False,
) -> "list[Axes]":
    """Axes for a plot: of a figure of its own; or the given ones, or in their place.

    Args:
        size: Inches of a figure of its own.
        ax: Axes that were given to draw into; several panels take their place.
        count: How many panels.
        columns: How many of them stand side by side.
        share_y: Whether all have one vertical scale.

    Raises:
        ValueError: Several panels can't take the place of these axes, as they stand in
            no grid.
    """
    rows = -(-count // columns)
    if ax is None:
        from matplotlib.figure import Figure

        sheet: Any = Figure(figsize=size, layout="constrained", facecolor="white")
        grid: Any = sheet.add_gridspec(rows, columns)
    elif count == 1:
        return [ax]
    else:
        place = ax.get_subplotspec()
        if place is None:
            raise ValueError(
                f"found axes that stand in no grid; expected some whose place {count} "
                "panels can take; cure: plt.subplots, or figure.add_subplot"
            )
        sheet, grid = ax.figure, place.subgridspec(rows, columns)
        ax.set_axis_off()
    found: list[Axes] = []
    for number in range(count):
        shared = found[0] if share_y and found else None
        found.append(sheet.add_subplot(grid[divmod(number, columns)], sharey=shared))
    return found


def finish(axes: "Sequence[Axes]", ax: "Axes | None") -> Plot:
    """The picture of what was drawn into panels; whoever gave axes shows it himself."""
    figure: Any = axes[0].get_figure(root=True)
    return Plot(figure, tuple(axes), whole=ax is None)


def dress(axes: "Axes", title: str = "", grid: bool = True) -> None:
    """A panel's title, grid and frame."""
    if title:
        font: dict[str, Any] = {"color": INK, "weight": "bold", "parse_math": False}
        axes.set_title(title, loc="left", fontsize="medium", **font)
    if grid:
        axes.grid(color=GRID)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GRAY)
    axes.tick_params(color=GRAY, labelcolor=INK, which="both")
    axes.xaxis.label.set_color(INK)
    axes.yaxis.label.set_color(INK)


def legend_beside(
    axes: "Sequence[Axes]",
    ax: "Axes | None",
    entries: Sequence[tuple[Any, str]],
    title: str = "",
    columns: int = 1,
) -> None:
    """A legend right of all panels, where it covers nothing."""
    if not entries:
        return
    handles = [handle for handle, _ in entries]
    style: dict[str, Any] = {"frameon": False, "fontsize": "small", "labelcolor": INK}
    style |= {"title": title or None, "alignment": "left"}
    # Names are set afterwards: as labels, some would be left out or read as formulas.
    labels = ["name"] * len(handles)
    if ax is None:
        figure: Any = axes[0].get_figure(root=True)
        made = figure.legend(handles, labels, loc="outside right upper", **style)
    else:
        last = axes[min(columns, len(axes)) - 1]
        style |= {"loc": "upper left", "bbox_to_anchor": (1.02, 1.0)}
        made = last.legend(handles, labels, borderaxespad=0.0, **style)
    for text, (_, name) in zip(made.get_texts(), entries, strict=True):
        text.set_parse_math(False)
        text.set_text(name)


def color_bar(
    axes: "Axes",
    colors: Any,
    title: str,
    beside: "Sequence[Axes] | None" = None,
    inches: float = 0.0,
    of: float = 1.0,
) -> Any:
    """What the colors of a panel mean, or of several.

    It is as high as they are; or so many inches of theirs, from the top.
    """
    sheet: Any = axes.figure
    place: dict[str, Any] = {"aspect": 30}
    if 0 < inches < of:
        place = {"aspect": 18, "shrink": inches / of, "anchor": (0.0, 0.97)}
    bar = sheet.colorbar(colors, ax=axes if beside is None else beside, **place)
    bar.set_label(title, color=INK)
    bar.outline.set_visible(False)
    bar.ax.tick_params(color=GRAY, labelcolor=INK, which="both")
    return bar


def steps_axis(axes: "Axes", name: str = "step") -> None:
    """Steps, epochs or depths from left to right, as whole numbers."""
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel(name)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
