"""The loop of a run: epochs, and what is done between two calls of the program.

    epoch     a pass over the data in an order of its own, decided by seed and number
    call      some of its steps, for about a tenth of a second
    between   the bar, the guard, checkpoints, signals
    row       at an epoch's end: the means of its metrics, and those of the validation

All that decides how a run goes on is its place and its carry. Both are in a checkpoint,
so that a run which goes on is, bit by bit, the one that was never broken off.
"""

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from capsjax.training import metrics
from capsjax.training.bar import Bar
from capsjax.training.evaluate import averages
from capsjax.training.guard import (
    MOST_IN_A_ROW,
    ROLLED_BACK,
    Fault,
    Guard,
    examine,
)
from capsjax.training.learner import Carry, number
from capsjax.training.signals import Signals
from capsjax.training.steps import Epoch, Steps

_CALL_S = 0.1
"""Seconds of one call of the program, so that signals and the bar need not wait."""

_TOGETHER = 8
"""Steps of one call where several processes take part, whose clocks differ."""

Row = dict[str, Any]
Order = Callable[[int], tuple[np.ndarray, np.ndarray | None]]
"""The examples of each step of an epoch, by its number, and what they count."""


@dataclasses.dataclass
class Place:
    """How far a run has come.

    Attributes:
        steps: Steps taken.
        rows: The history.
        seconds: How long that took, in processes before this one.
        skipped: Steps that the guard left out, counted from 1.
        scale: Factor of all updates: less than 1 after the guard rolled back.
    """

    steps: int = 0
    rows: list[Row] = dataclasses.field(default_factory=list)
    seconds: float = 0.0
    skipped: list[int] = dataclasses.field(default_factory=list)
    scale: float = 1.0


@dataclasses.dataclass
class Stopped(Exception):
    """The guard has given up; what the loop carries is sound."""

    fault: Fault
    why: str


@dataclasses.dataclass(eq=False)
class Loop:
    """A run under way.

    Attributes:
        steps: The program of its steps.
        evaluate: Measures what is carried on the validation data.
        order: What each epoch visits.
        per_epoch: Steps of an epoch.
        total: Steps in all.
        place: How far it has come.
        carry: What is carried from step to step.
        guard: What looks for numbers that are not finite.
        bar: The progress bar.
        signals: Signals that came.
        trace: Called after each step, or each `trace.every` of them; or None.
        save: Keeps a checkpoint, `save(loop, measured)`.
        due: Whether a checkpoint is due, `due(steps, row)`.
        within: The steps that may be taken until a checkpoint must be kept.
        callbacks: Called with each row.
        ends: Whether the history so far is a reason to stop.
    """

    steps: Steps
    evaluate: Callable[[Carry, Any], dict[str, float]]
    order: Order
    per_epoch: int
    total: int
    place: Place
    carry: Carry
    guard: Guard
    bar: Bar
    signals: Signals
    trace: Callable[[int, Any, Any], None] | None = None
    save: Callable[["Loop", bool], None] | None = None
    due: Callable[[int, Row | None], bool] = lambda steps, row: False
    within: Callable[[int], int] = lambda steps: 2**31 - 1
    callbacks: Sequence[Callable[[Row], None]] = ()
    ends: Callable[[list[Row]], bool] = lambda rows: False

    def run(self) -> None:
        """Takes all steps; ends earlier where the history says so, or at a signal.

        Raises:
            Stopped: The guard has given up.
        """
        self._pace = 0.0
        self._clock = time.perf_counter() - self.place.seconds
        if self.trace is not None and self.place.steps == 0:
            self.trace(0, self.carry["params"], self.carry["state"])
        while self.place.steps < self.total and not self.ends(self.place.rows):
            past, index = divmod(self.place.steps, self.per_epoch)
            if index == 0:
                self.carry["sums"] = metrics.zero(self.learner.net)
            order, weights = self.order(past + 1)
            order = order[: self.total - past * self.per_epoch]
            epoch = self.steps.begin(order, weights)
            try:
                ended = self._take(epoch, past, index)
            finally:
                epoch.close()
            if ended:
                self._row(epoch, past)
            if self.signals.come():
                return

    @property
    def learner(self) -> Any:
        """What is learning."""
        return self.steps.learner

    @property
    def seconds(self) -> float:
        """How long the run has taken, over all processes."""
        return time.perf_counter() - self._clock

    def _take(self, epoch: Epoch, past: int, index: int) -> bool:
        """The steps of an epoch from a place on; whether it came to its end."""
        first, count = past * self.per_epoch, len(epoch.order)
        self.guard.keep(self.carry, index)
        self.guard.anchor(self.carry, index)
        while index < count:
            start = index
            index = min(
                index + self._count(), start + self.within(first + start), count
            )
            began = time.perf_counter()
            self._advance(epoch, first, start, index)
            self._pace = (index - start) / max(time.perf_counter() - began, 1e-6)
            self.bar.advance(index - start)
            saving = index < count and self.due(first + index, None)
            if self.guard.mode != "off" and (
                self.guard.due() or saving or index == count
            ):
                index = self._looked(epoch, first, index)
            self.place.steps = first + index
            if self.bar.due():
                seen = self._counted(epoch, first, index)[0]
                loss = float(self.carry["sums"]["loss"]) / max(seen, 1e-9)
                self.bar.show_loss(past + 1, loss)
            if saving and index < count and self.save is not None:
                self.save(self, False)
                self.guard.anchor(self.carry, index)
            if self.signals.come() and index < count:
                return False
        return True

    def _count(self) -> int:
        """Steps of the next call: few at first, whose time is that of compiling."""
        if jax.process_count() > 1:
            return _TOGETHER
        if self.place.steps == 0 or self._pace == 0:
            return 1
        return max(1, int(self._pace * _CALL_S))

    def _advance(self, epoch: Epoch, first: int, start: int, stop: int) -> None:
        if self.trace is None:
            self.carry = epoch.advance(self.carry, start, stop)
        else:
            every = getattr(self.trace, "every", 1)
            while start < stop:
                due = first + start + every - (first + start) % every
                until = min(due - first, stop)
                self.carry = epoch.advance(self.carry, start, until)
                start = until
                if first + start == due:
                    self.trace(due, self.carry["params"], self.carry["state"])
        jax.block_until_ready(self.carry["sums"])

    def _row(self, epoch: Epoch, past: int) -> None:
        weight, seen = self._counted(epoch, past * self.per_epoch, len(epoch.order))
        sums = self.carry["sums"]
        row = averages(sums, max(seen, 1))
        row["loss"] = float(sums["loss"]) / max(weight, 1e-9)
        measured = self.evaluate(self.carry, self.steps.numbers)
        row |= {f"validation_{name}": value for name, value in measured.items()}
        row = {"epoch": past + 1, "seconds": round(self.seconds, 3), **row}
        # A run that ended in mid-epoch and goes on has a row of that epoch already.
        kept = [each for each in self.place.rows if each["epoch"] != row["epoch"]]
        self.place.rows[:] = [*kept, row]
        for callback in self.callbacks:
            callback(dict(row))
        self.bar.show(row)
        if self.save is not None and self.due(self.place.steps, row):
            self.save(self, True)

    def _counted(self, epoch: Epoch, first: int, stop: int) -> tuple[float, int]:
        """What examples up to a place count in the loss, and how many they are."""
        left_out = [each - 1 - first for each in self.place.skipped if each > first]
        kept = np.setdiff1d(np.arange(stop), left_out)
        if epoch.weights is None:
            seen = kept.size * epoch.order.shape[1]
            return seen, seen
        weights = epoch.weights[kept]
        return float(weights.sum(dtype=np.float64)), int((weights > 0).sum())

    def _looked(self, epoch: Epoch, first: int, index: int) -> int:
        """Looks whether all is sound; the place from which the run goes on."""
        guard = self.guard
        if guard.sound(self.carry):
            guard.keep(self.carry, index)
            if guard.mode != "roll back" or index == len(epoch.order):
                guard.in_a_row = 0
            return index
        start = guard.index
        self.carry = guard.kept()
        for at in range(start, index):
            before = guard.copy(self.carry)
            self.carry = epoch.advance(self.carry, at, at + 1)
            if not guard.sound(self.carry):
                return self._mended(epoch, first, at, before)
        # Taken one at a time the same steps are sound: the machine has erred.
        guard.keep(self.carry, index)
        return index

    def _mended(self, epoch: Epoch, first: int, index: int, before: Carry) -> int:
        """What the guard's mode says to do about a bad step."""
        guard, place = self.guard, self.place
        weights = None if epoch.weights is None else epoch.weights[index]
        batch, step = epoch.batch(index), first + index + 1
        fault = examine(self.learner, before, batch, self.steps.numbers, weights, step)
        guard.faults.append(fault)
        guard.in_a_row += 1
        self.carry, self.place.steps = before, first + index
        if guard.mode == "stop":
            raise Stopped(fault, str(fault))
        if guard.in_a_row > MOST_IN_A_ROW:
            raise Stopped(fault, f"{fault}; {guard.mode} did not help")
        if guard.mode == "skip":
            place.skipped.append(step)
            guard.keep(self.carry, index + 1)
            return index + 1
        place.scale *= ROLLED_BACK
        self.steps.numbers["scale"] = number(place.scale)
        self.carry = guard.anchored()
        guard.keep(self.carry, guard.anchor_index)
        self.bar.back(first + guard.index)
        return guard.index
