"""How long members learn: rows of the history, and the blocks that a row is made of.

    block    steps that one loop of the program takes, its length built in
    row      `every` steps, then a measurement: a row of the history
    all      `steps`, or `epochs` passes over the data

Steps go through the examples as those of `cj.fit` do: epoch e is a permutation that the
seed and e decide, cut into batches; what fills no batch waits for the next epoch.
"""

import dataclasses
import functools

import numpy as np

from capsjax.training.dataset import permutation

_MOST_IN_BLOCK = 64
"""Steps of a block, at most: between blocks the host may look at the clock."""


@dataclasses.dataclass(frozen=True)
class Lengths:
    """How long the members of a group learn.

    Attributes:
        count: Number of examples.
        batch_size: Examples a step.
        steps: Steps in all.
        every: Steps from row to row.
        block: Steps of a block.
    """

    count: int
    batch_size: int
    steps: int
    every: int
    block: int

    @property
    def epoch(self) -> int:
        """Steps of an epoch."""
        return self.count // self.batch_size

    @property
    def rows(self) -> int:
        """Rows of the history of a member that learns to the end."""
        return self.steps // self.every

    @property
    def row(self) -> int:
        """Blocks of a row."""
        return self.every // self.block

    @property
    def blocks(self) -> int:
        """Blocks in all."""
        return self.rows * self.row

    def epochs_after(self, row: int) -> float | int:
        """How many passes over the data are done after so many rows."""
        steps = row * self.every
        whole, rest = divmod(steps, self.epoch)
        return whole if not rest else round(steps / self.epoch, 4)


def lengths_of(
    count: int,
    batch_size: int,
    epochs: int | None,
    steps: int | None,
    every: int | None,
) -> Lengths:
    """How long members learn.

    Args:
        count: Number of examples.
        batch_size: Examples a step; all, if there are fewer.
        epochs: Passes over the data.
        steps: Steps, in place of epochs.
        every: Steps from row to row: an epoch's if left out, or with `steps` the
            largest number up to that which divides them.

    Raises:
        ValueError: `every` does not divide the steps.
    """
    size = min(batch_size, count)
    epoch = count // size
    if steps is None:
        steps = (epochs or 1) * epoch
        every = epoch if every is None else every
    elif every is None:
        every = largest_divisor(steps, epoch)
    if steps % every:
        near = [n for n in range(1, steps + 1) if steps % n == 0]
        near.sort(key=lambda n: abs(n - every))
        raise ValueError(
            f"every is {every}; expected a divisor of the {steps:,} steps of a member, "
            f"such as {near[0]}"
        )
    return Lengths(count, size, steps, every, largest_divisor(every, _MOST_IN_BLOCK))


def largest_divisor(number: int, most: int) -> int:
    """The largest divisor that is at most so large."""
    return next(n for n in range(min(number, most), 0, -1) if number % n == 0)


def orders(lengths: Lengths, seed: int, start: int, stop: int) -> np.ndarray:
    """The examples of some blocks of a member: indices [blocks, block, batch size]."""
    steps = np.arange(start * lengths.block, stop * lengths.block)
    found = [
        _epoch(lengths.count, lengths.batch_size, seed, int(number) + 1)
        for number in np.unique(steps // lengths.epoch)
    ]
    first = steps[0] // lengths.epoch * lengths.epoch
    rows = np.concatenate(found)[steps - first]
    return rows.reshape(stop - start, lengths.block, lengths.batch_size)


@functools.lru_cache(maxsize=64)
def _epoch(count: int, batch_size: int, seed: int, epoch: int) -> np.ndarray:
    return permutation(count, batch_size, seed, epoch)
