"""The metrics of a sweep, and from them to colors."""

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from capsjax.view.sweep.values import Swept, short, spacing, unknown

if TYPE_CHECKING:
    import pandas as pd

_NO_METRIC = ("member", "seed", "status", "epoch", "step", "steps", "seconds")


@dataclasses.dataclass(frozen=True, eq=False)
class Scores:
    """A metric of all members.

    Attributes:
        name: Its column in the table.
        maximize: Whether more is better.
        values: Of each member; NaN where there is none, and where one has diverged.
        diverged: Which members have.
    """

    name: str
    maximize: bool
    values: np.ndarray
    diverged: np.ndarray

    @property
    def title(self) -> str:
        """The name as words."""
        return short(self.name.replace("_", " "))

    @property
    def log(self) -> bool:
        """Whether values are read off a logarithmic scale."""
        return not is_share(self.name) and spacing(self.values) == "log"

    @property
    def ranked(self) -> np.ndarray:
        """Members that have a value, from the worst to the best."""
        sign = 1 if self.maximize else -1
        order = np.argsort(sign * self.values, kind="stable")
        return order[np.isfinite(self.values[order])]

    @property
    def counts(self) -> tuple[tuple[int, str], ...]:
        """How many members have no value, and why."""
        without = int((np.isnan(self.values) & ~self.diverged).sum())
        return (int(self.diverged.sum()), "diverged"), (without, "without a value")

    def colors(self) -> Any:
        """From values to colors: the best is darkest, for a white page hides yellow."""
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import LogNorm, Normalize

        low, high = float(np.nanmin(self.values)), float(np.nanmax(self.values))
        if low == high:
            margin = 0.05 * abs(low) or 0.05
            low, high = low - margin, high + margin
        norm = LogNorm(low, high) if self.log else Normalize(low, high)
        return ScalarMappable(norm, "viridis_r" if self.maximize else "viridis")


def scores_of(result: Swept, metric: str | None) -> Scores:
    """The metric of all members; of the one they are ranked by where none is named."""
    table: Any = result.table
    check_members(table)
    name = check_metric(result, table, metric)
    values = finite(table[name])
    diverged = diverged_members(table)
    values[diverged] = math.nan
    if np.isnan(values).all():
        raise ValueError(
            f"found no finite {name} of {len(table)} members, {diverged.sum()} of them "
            "diverged; expected one at least; cure: draw another metric, or sweep "
            "where training is stable, e.g. smaller learning rates"
        )
    return Scores(name, more_is_better(result, name), values, diverged)


def check_members(table: "pd.DataFrame") -> None:
    """Raises where there is no member."""
    if not len(table):
        raise ValueError(
            "found a sweep of 0 members; expected one at least; cure: draw what a "
            "sweep has returned, and rows of it that exist"
        )


def check_metric(result: Swept, table: Any, metric: str | None) -> str:
    """The metric's name, where the table has it."""
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    name = result.metric if metric is None else metric
    known = [
        str(column)
        for column in table.columns
        if column not in (*result.axes, *_NO_METRIC)
        and not is_bool_dtype(table[column])
        and (is_numeric_dtype(table[column]) or table[column].isna().all())
    ]
    if name not in known:
        raise ValueError(unknown("metric", name, known))
    return name


def diverged_members(table: "pd.DataFrame") -> np.ndarray:
    """Which members have diverged."""
    return (table["status"] == "diverged").to_numpy(bool)


def finite(column: Any) -> np.ndarray:
    """Values as numbers, NaN where there is none or it is infinite."""
    values = column.to_numpy(float, na_value=math.nan)
    return np.where(np.isfinite(values), values, math.nan)


def more_is_better(result: Swept, metric: str) -> bool:
    """As the sweep says of its own metric; of others, by their names."""
    if metric == result.metric:
        return result.maximize
    return not ("loss" in metric or "error" in metric)


def is_share(metric: str) -> bool:
    """Whether a metric is read in percent."""
    return metric.endswith("accuracy")


def figure_of(metric: str, value: float) -> str:
    """A metric's value in few letters.

    Example:
        >>> figure_of("accuracy", 0.91), figure_of("loss", 0.5), figure_of("loss", 123)
        ('91.0%', '0.500', '123')
    """
    return f"{100 * value:.1f}%" if is_share(metric) else f"{value:#.3g}".rstrip(".")
