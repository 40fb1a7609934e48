"""From a group to its program: data bound to its network, lengths, a strategy."""

import collections
import dataclasses
from collections.abc import Sequence
from typing import Any

from capsjax.sweep.groups import Group
from capsjax.sweep.lengths import lengths_of
from capsjax.sweep.program import Program
from capsjax.sweep.strategy import Choice, Strategy, choose
from capsjax.sweep.unit import Member
from capsjax.training.dataset import Dataset, bind

_ALIKE = 8
"""Members of one seed from which on they are run together, on the same examples."""


@dataclasses.dataclass(eq=False)
class Maker:
    """What all groups' programs have in common.

    Attributes:
        train: The data, as it was given.
        held_out: Data to measure on, or None.
        epochs: Passes over the data.
        steps: Steps, in place of epochs.
        every: Steps from row to row.
        strategy: What the user asked for.
        memory_limit: The most bytes for members that run at once on a device.
        devices: The devices that lanes are sharded over.
        measuring: Whether strategies may be measured on this machine.
    """

    train: Any
    held_out: Any
    epochs: int | None
    steps: int | None
    every: int | None
    strategy: Strategy | None
    memory_limit: int | str | None
    devices: tuple[Any, ...]
    measuring: bool

    def __post_init__(self) -> None:
        self._bound: dict[Any, Dataset] = {}

    def program(self, group: Group, members: Sequence[Member]) -> Program:
        """The program of a group.

        Raises:
            ValueError: The data does not fit its network, or the device.
        """
        train = self._dataset(group, self.train, "data")
        held_out = None
        if self.held_out is not None:
            held_out = self._dataset(group, self.held_out, "validation").arrays
        lengths = lengths_of(
            len(train), group.batch_size, self.epochs, self.steps, self.every
        )
        return Program(
            group.learner,
            lengths,
            train.arrays,
            held_out,
            self._share_order(members),
            group.traced,
            self.devices,
        )

    def choice(self, program: Program, members: Sequence[Member]) -> Choice:
        """How a group's members are run."""
        together = len(members)
        if program.shared_order:
            seeds = collections.Counter(member.seed for member in members)
            together = max(seeds.values())
        limit = self.memory_limit
        return choose(program, members[:together], self.strategy, limit, self.measuring)

    def _share_order(self, members: Sequence[Member]) -> bool:
        """Whether members that run together see the same examples at each step.

        Those of one seed do. Where seeds have few members each, members of several
        seeds run together.
        """
        seeds = {member.seed for member in members}
        if len(seeds) == 1 or self.strategy == "loop" or self.strategy == 1:
            return True
        return self.strategy is None and len(members) >= _ALIKE * len(seeds)

    def _dataset(self, group: Group, given: Any, what: str) -> Dataset:
        net = group.learner.net
        shapes = {name: net.shapes[name] for name, _ in net.graph.losses}
        key = what, net.graph.inputs, tuple(net.graph.losses), str(shapes)
        if key not in self._bound:
            found = bind(net, given, what)
            if not found.on_device:
                size = sum(array.nbytes for array in found.arrays.values())
                there = f"{size / 2**30:.1f} GiB" if size else "a source of items"
                raise ValueError(
                    f"{what}: found {there}; expected less than half of "
                    "what is free on the device, where all members read it; cure: "
                    "sweep over a part of the data"
                )
            self._bound[key] = found
        return self._bound[key]
