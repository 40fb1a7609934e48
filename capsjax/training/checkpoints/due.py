"""When a checkpoint is due: by steps, by the clock, or since an epoch is the best."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from capsjax.training.checkpoints.faults import refusal
from capsjax.training.checkpoints.policy import Checkpoints


class Due:
    """Says when, and remembers when the last one was written.

    Attributes:
        values: Of the policy's best column, by the number of the checkpoint.
    """

    def __init__(self, policy: Checkpoints):
        self.policy = policy
        self.values: dict[int, float] = {}
        self._steps: int | None = None
        self._time: float | None = None
        self._now: float | None = None

    def __call__(
        self, steps: int, now: float, row: Mapping[str, Any] | None = None
    ) -> bool:
        """Whether a checkpoint is to be written; see `Checkpointer.due`."""
        self._now = now
        if self._time is None:
            self._time = now
        if self._steps is None:
            self._steps = steps
        every, seconds = self.policy.every_steps, self.policy.every_seconds
        if every is not None and steps // every > self._steps // every:
            return True
        if row is not None and self._is_best(row):
            return True
        if seconds is None:
            return False
        late = now - self._time >= seconds
        if jax.process_count() > 1:
            from jax.experimental import multihost_utils

            late = bool(multihost_utils.broadcast_one_to_all(np.asarray(late)))
        return late

    def saved(self, steps: int) -> None:
        """One is written at these steps, at the time that was asked for last."""
        self._steps, self._time = steps, self._now

    def value_of(self, row: Mapping[str, Any]) -> float | None:
        """The value by which the best is known, where a row has it.

        Raises:
            ValueError: The history has no such column.
        """
        name = self.policy.best
        if name is None:
            return None
        if name not in row:
            raise ValueError(
                refusal(
                    f"checkpoints: best={name!r}",
                    f"the history's columns {', '.join(map(repr, row))}",
                    "one of them",
                    "name a column of the history, or give data to validate on",
                )
            )
        value = float(row[name])
        return None if value != value else value

    def _is_best(self, row: Mapping[str, Any]) -> bool:
        value = self.value_of(row)
        if value is None:
            return False
        return all(self.policy.better(value, each) for each in self.values.values())
