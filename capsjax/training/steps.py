"""The program of a run: steps, many in one call where the data is on the device.

    advance(carry, numbers, arrays, order, weights, start, stop) -> carry

takes steps `start` to `stop` of an epoch, whose examples `order` names: [steps, batch
size]. How many they are is told, not built in, so that there is one program. Where the
data is on the host each step is a call, `step(carry, numbers, batch, weights)`, fed
ahead.

A call costs 20 to 60 microseconds of Python and of the device's waiting, which is as
much as a small network's step; inside a program the next step follows at once.
"""

import dataclasses
from collections.abc import Callable, Generator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from capsjax.training.dataset import Dataset, take
from capsjax.training.evaluate import Compile
from capsjax.training.learner import Carry, Given, Learner
from capsjax.training.parallel import Placement


@dataclasses.dataclass(eq=False)
class Steps:
    """The steps of an epoch.

    Args:
        compiled: Compiles a function and donates its first argument.
        learner: What is learning.
        data: What it learns from.
        numbers: Its settings.
        placement: Where arrays lie on a mesh of devices, or None for one device.
    """

    compiled: Compile
    learner: Learner
    data: Dataset
    numbers: Given
    placement: Placement | None = None

    def __post_init__(self) -> None:
        self.program = self.compiled(_program(self.learner, self.data.on_device))

    def begin(self, order: np.ndarray, weights: np.ndarray | None) -> "Epoch":
        """An epoch.

        Args:
            order: The examples of each step, by index: [steps, batch size].
            weights: What each of them counts, or None where all count the same.
        """
        return Epoch(self, order, weights)


class Epoch:
    """One pass over the data, step by step; holds what feeds it."""

    def __init__(self, steps: Steps, order: np.ndarray, weights: np.ndarray | None):
        self.steps, self.order, self.weights = steps, order, weights
        on_device = steps.data.on_device
        self._placed = self._place((order, weights)) if on_device else None
        self._feed: Generator[Any] | None = None
        self._next = -1

    def advance(self, carry: Carry, start: int, stop: int) -> Carry:
        """Steps `start` to `stop`; donates the carry."""
        program, numbers = self.steps.program, self.steps.numbers
        if self._placed is not None:
            arrays, span = self.steps.data.arrays, (np.int32(start), np.int32(stop))
            return program(carry, numbers, arrays, *self._placed, *span)
        if self._next != start:
            self.close()
            self._feed = self._feeds(start)
        assert self._feed is not None
        for number in range(start, stop):
            weights = None if self.weights is None else self.weights[number]
            carry = program(carry, numbers, next(self._feed), weights)
        self._next = stop
        return carry

    def batch(self, number: int) -> Any:
        """The examples of one step, on the host or the device."""
        if self._placed is not None:
            return take(self.steps.data.arrays, self._placed[0][number])
        feed = self._feeds(number)
        try:
            return next(feed)
        finally:
            feed.close()

    def _place(self, tree: Any) -> Any:
        placement = self.steps.placement
        return jax.device_put(tree) if placement is None else placement.replicated(tree)

    def _feeds(self, start: int) -> Generator[Any]:
        """The batches from a step on; of several processes, the rows that are ours."""
        placement, data = self.steps.placement, self.steps.data
        if placement is None:
            return data.feeds(self.order, start)
        rows = placement.own_rows(self.order.shape[1])
        return data.feeds(self.order[:, rows], start, placement.feed)

    def close(self) -> None:
        """Lets go of what feeds it."""
        if self._feed is not None:
            self._feed.close()
        self._feed, self._next = None, -1


def _program(learner: Learner, on_device: bool) -> Callable[..., Any]:
    def training_step(carry, numbers, batch, weights):
        return learner.step(carry, batch, numbers, weights)

    def training_steps(carry, numbers, arrays, order, weights, start, stop):
        def more(loop):
            return loop[0] < stop

        def step(loop):
            number, carry = loop
            own = None if weights is None else weights[number]
            batch = take(arrays, order[number])
            return number + 1, learner.step(carry, batch, numbers, own)

        return jax.lax.while_loop(more, step, (jnp.asarray(start), carry))[1]

    return training_steps if on_device else training_step
