"""When checkpoints are written, and which are kept."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from capsjax.graph.errors import brief


@dataclasses.dataclass(frozen=True)
class Checkpoints:
    """When `cj.fit` writes checkpoints, and which it keeps.

    Attributes:
        every_steps: Write when the number of steps passes a multiple of this.
        every_seconds: Write when this much time has passed since the last one; None
            for never. With neither, one is written at the end alone, and on signals.
        keep: How many of the last ones are kept.
        best: A column of the history, such as "validation_loss": a checkpoint is
            written at the end of each epoch that is better in it than all before, and
            the best one is kept beside the last ones.
        maximize: Whether the best has the largest value.

    Raises:
        ValueError: A value is out of range, says which.

    Example:
        >>> import capsjax as cj
        >>> from capsjax.training.checkpoints import Checkpoints
        >>> Checkpoints(every_seconds=60, best="validation_accuracy", maximize=True)
        Checkpoints(every_steps=None, every_seconds=60, keep=3,
            best='validation_accuracy', maximize=True)
    """

    every_steps: int | None = None
    every_seconds: float | None = 600.0
    keep: int = 3
    best: str | None = None
    maximize: bool = False

    def __post_init__(self) -> None:
        counts = {"every_steps": self.every_steps, "keep": self.keep}
        for name, value in counts.items():
            optional = name == "every_steps"
            if optional and value is None:
                continue
            if type(value) is not int or value < 1:
                _refuse(name, value, "a whole number, at least 1", optional)
        seconds: Any = self.every_seconds
        if seconds is not None and not (
            isinstance(seconds, int | float)
            and not isinstance(seconds, bool)
            and seconds > 0
            and math.isfinite(seconds)
        ):
            _refuse("every_seconds", seconds, "a number of seconds above 0", True)
        if self.best is not None and (
            not isinstance(self.best, str) or not self.best.strip()
        ):
            _refuse("best", self.best, "a column of the history", True)
        if not isinstance(self.maximize, bool):
            _refuse("maximize", self.maximize, "True or False", False)

    def better(self, value: float, than: float | None) -> bool:
        """Whether a value of `best` is better than another; NaN never is."""
        if math.isnan(value):
            return False
        if than is None or math.isnan(than):
            return True
        return value > than if self.maximize else value < than

    def kept(self, numbers: Sequence[int], values: dict[int, float]) -> set[int]:
        """Which checkpoints are kept.

        Args:
            numbers: Those that are there and sound, from the oldest.
            values: Of `best`, for those that were measured.

        Returns:
            The last ones, and the best one.
        """
        found = set(numbers[-self.keep :])
        best: int | None = None
        for number in numbers:
            value = values.get(number)
            if self.best is None or value is None:
                continue
            if self.better(value, None if best is None else values[best]):
                best = number
        return found if best is None else found | {best}


def _refuse(name: str, value: Any, expected: str, optional: bool) -> None:
    more = ", or None" if optional else ""
    raise ValueError(
        f"checkpoints: {name} is {brief(value)}; expected {expected}{more}"
    )
