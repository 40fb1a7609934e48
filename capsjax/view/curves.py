"""learning_curves: loss and metrics over epochs."""

from typing import TYPE_CHECKING

from capsjax.view.history import PREFIX, metric_columns
from capsjax.view.picture import Picture
from capsjax.view.style import AMBER, BLUE, INK, dress, finish, panels, steps_axis

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_MOST_BESIDE = 3  # panels in a row, so that a page's width does not make them tiny


def learning_curves(history: "pd.DataFrame", *, ax: "Axes | None" = None) -> Picture:
    """Draws loss and metrics over epochs, of training and of validation.

    Args:
        history: A run's history: one row an epoch, columns `epoch`, `loss`, metrics,
            and with prefix `validation_` the same of validation.
        ax: Axes to draw into, or in whose place several panels are drawn; those of a
            figure of its own, if left out.

    Returns:
        The picture, one panel a metric; shows itself in a notebook; has `.axes`,
        `.figure`, `.svg`, `.png` and `.save(path)`.

    Raises:
        ValueError: The table has no epoch, or nothing beside it; or axes that stand in
            no grid are given for several panels.

    Example:
        >>> import capsjax as cj, pandas as pd
        >>> history = pd.DataFrame({"epoch": [1, 2], "loss": [0.9, 0.5]})
        >>> cj.view.learning_curves(history)
        <picture of 4.6 x 3.2 inches>
    """
    metrics = dict.fromkeys(c.removeprefix(PREFIX) for c in metric_columns(history))
    if "epoch" not in history or not metrics:
        raise ValueError(
            "a history has the column 'epoch' and a metric or more; found "
            f"{[str(column) for column in history.columns]}"
        )
    rows = -(-len(metrics) // _MOST_BESIDE)
    columns = -(-len(metrics) // rows)
    size = (4.6 * columns, 3.2 * rows)
    found = panels(size, ax, len(metrics), columns)
    for axes, metric in zip(found, metrics, strict=True):
        _draw_metric(axes, history, metric)
    return finish(found, ax)


def _draw_metric(axes, history: "pd.DataFrame", metric: str) -> None:
    kinds = (
        (metric, "training", BLUE),
        (PREFIX + metric, "validation", AMBER),
    )
    marker = "o" if len(history) < 3 else None
    for column, name, color in kinds:
        if column in history:
            values = history[column]
            label = f"{name}, last {_figure(metric, float(values.iloc[-1]))}"
            axes.plot(history["epoch"], values, color=color, label=label, marker=marker)
    style_panel(axes, metric)
    axes.legend(frameon=False, labelcolor=INK)


def style_panel(axes, metric: str) -> None:
    """Titles, scales and lines of the panel of a metric over epochs."""
    from matplotlib.ticker import PercentFormatter

    steps_axis(axes, "epoch")
    dress(axes, metric.replace("_", " "))
    if metric.endswith("accuracy"):
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))


def _figure(metric: str, value: float) -> str:
    return f"{value:.2%}" if metric.endswith("accuracy") else f"{value:.4g}"
