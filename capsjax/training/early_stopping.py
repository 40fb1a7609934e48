"""When a run ends before its epochs do: a pure function of its history.

A value *improves* if it is better than the last one that improved by more than
`min_delta`; so small steps in a row count once they add up. Values that are not finite
never improve. Rows are those of `run.history`, as tables by column, so that a run that
goes on from a checkpoint decides as one that never stopped.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from capsjax.graph.errors import brief, listing, nearest

Rows = Sequence[Mapping[str, Any]]


@dataclasses.dataclass(frozen=True)
class EarlyStopping:
    """Ends a run when what is monitored has not improved for a while.

    Attributes:
        monitor: A column of the history.
        patience: After so many epochs in a row without improvement the run ends.
        min_delta: By more than this a value must be better to count as improvement.
        maximize: Whether more is better; None: it is for accuracies.

    Raises:
        ValueError: A value is out of range, says which.

    Example:
        >>> import capsjax as cj
        >>> policy = cj.EarlyStopping(monitor="loss", patience=2)
        >>> rows = [{"loss": loss} for loss in (3.0, 2.0, 2.5, 2.0)]
        >>> policy.best(rows), policy.stops(rows[:3]), policy.stops(rows)
        (1, False, True)
    """

    monitor: str = "validation_loss"
    patience: int = 5
    min_delta: float = 0.0
    maximize: bool | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.monitor, str) or not self.monitor:
            _refuse("monitor", self.monitor, 'a column, such as "validation_loss"')
        if type(self.patience) is not int or self.patience < 1:
            _refuse("patience", self.patience, "a whole number, at least 1")
        if not _is_finite(self.min_delta) or self.min_delta < 0:
            _refuse("min_delta", self.min_delta, "a number, at least 0")
        if self.maximize is not None and not isinstance(self.maximize, bool):
            _refuse("maximize", self.maximize, "True, False or None")

    def stops(self, rows: Rows) -> bool:
        """Whether a run with this history ends.

        Args:
            rows: The history so far, a table an epoch.

        Raises:
            ValueError: What is monitored is no column of it.
        """
        best = self._improved(rows)
        waited = len(rows) if best is None else len(rows) - 1 - best
        return waited >= self.patience

    def best(self, rows: Rows) -> int:
        """The last row that improved, from 0 on.

        Args:
            rows: The history so far, a table an epoch.

        Raises:
            ValueError: What is monitored is no column of it, or never was finite.
        """
        best = self._improved(rows)
        if best is None:
            raise ValueError(
                f"early stopping: found no finite {self.monitor!r} in {len(rows)} "
                "rows; expected one at least"
            )
        return best

    def _improved(self, rows: Rows) -> int | None:
        """The last row that improved; None if none did."""
        sign = 1.0 if self._maximizes else -1.0
        best, reference = None, -math.inf
        for number, row in enumerate(rows):
            if self.monitor not in row:
                raise ValueError(self._unknown(row))
            value = row[self.monitor]
            if _is_finite(value) and sign * value > reference + self.min_delta:
                best, reference = number, sign * value
        return best

    @property
    def _maximizes(self) -> bool:
        if self.maximize is not None:
            return self.maximize
        return self.monitor.endswith("accuracy")

    def _unknown(self, row: Mapping[str, Any]) -> str:
        known = [name for name in row if name not in ("epoch", "seconds")]
        cure = nearest(self.monitor, known, "monitor one of them")
        measured = any(name.startswith("validation_") for name in known)
        if self.monitor.startswith("validation_") and not measured:
            cure = "give validation data, or monitor one of them"
        return (
            f"early stopping: found no column {self.monitor!r} in the history; "
            f"expected one of {listing(known)}; {cure}"
        )


def _is_finite(value: Any) -> bool:
    try:
        return not isinstance(value, bool) and math.isfinite(value)
    except (TypeError, OverflowError):  # null in JSON stands for what is not finite
        return False


def _refuse(name: str, value: Any, expected: str) -> None:
    raise ValueError(
        f"early stopping, {name}: found {brief(value)}; expected {expected}"
    )
