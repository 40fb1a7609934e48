"""learning_curves: loss and metrics over epochs."""

from typing import TYPE_CHECKING

from capsjax.view.picture import Picture

if TYPE_CHECKING:
    import pandas as pd

_NO_METRIC = ("epoch", "seconds")
PREFIX = "validation_"
_TRAINING, _VALIDATION = "#3a78b5", "#c27803"
_INK, _GRID = "#1f2933", "#e4e7eb"


def learning_curves(history: "pd.DataFrame") -> Picture:
    """Draws loss and metrics over epochs, of training and of validation.

    Args:
        history: A run's history: one row an epoch, columns `epoch`, `loss`, metrics,
            and with prefix `validation_` the same of validation.

    Returns:
        The picture, one panel a metric; shows itself in a notebook; has `.figure`,
        `.svg`, `.png` and `.save(path)`.

    Raises:
        ValueError: The table has no epoch, or nothing beside it.

    Example:
        >>> import capsjax as cj, pandas as pd
        >>> history = pd.DataFrame({"epoch": [1, 2], "loss": [0.9, 0.5]})
        >>> cj.view.learning_curves(history)
        <picture of 4.6 x 3.2 inches>
    """
    from matplotlib.figure import Figure

    named = [str(column) for column in history.columns]
    metrics = [c.removeprefix(PREFIX) for c in named if c not in _NO_METRIC]
    metrics = list(dict.fromkeys(metrics))
    if "epoch" not in named or not metrics:
        raise ValueError(
            f"a history has the column 'epoch' and a metric or more; found {named}"
        )
    size = (4.6 * len(metrics), 3.2)
    figure = Figure(figsize=size, layout="constrained", facecolor="white")
    for i, metric in enumerate(metrics):
        axes = figure.add_subplot(1, len(metrics), i + 1)
        _draw_metric(axes, history, metric)
    return Picture(figure)


def _draw_metric(axes, history: "pd.DataFrame", metric: str) -> None:
    kinds = (
        (metric, "training", _TRAINING),
        (PREFIX + metric, "validation", _VALIDATION),
    )
    marker = "o" if len(history) < 3 else None
    for column, name, color in kinds:
        if column in history:
            values = history[column]
            label = f"{name}, last {_figure(metric, float(values.iloc[-1]))}"
            axes.plot(history["epoch"], values, color=color, label=label, marker=marker)
    style_panel(axes, metric)
    axes.legend(frameon=False)


def style_panel(axes, metric: str) -> None:
    """Titles, scales and lines of the panel of a metric over epochs."""
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    title = metric.replace("_", " ")
    style = {"color": _INK, "weight": "bold", "parse_math": False}
    axes.set_title(title, loc="left", **style)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if metric.endswith("accuracy"):
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.grid(color=_GRID)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _figure(metric: str, value: float) -> str:
    return f"{value:.2%}" if metric.endswith("accuracy") else f"{value:.4g}"
