"""Which columns of a run's history are metrics, and which of them judge it."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

PREFIX = "validation_"
"""What the names of metrics of validation begin with."""


def metric_columns(history: "pd.DataFrame") -> list[str]:
    """The columns of a history that are metrics."""
    places = ("epoch", "step", "seconds")
    return [name for name in map(str, history.columns) if name not in places]


def judging_columns(history: "pd.DataFrame") -> list[str]:
    """Those by which a run is judged: of validation, if there are any."""
    names = metric_columns(history)
    return [name for name in names if name.startswith(PREFIX)] or names
