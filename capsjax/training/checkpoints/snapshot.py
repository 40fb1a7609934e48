"""Copies of a carry in the memory of the host, taken before the next step is run."""

import dataclasses
from typing import Any, NamedTuple

import jax
import numpy as np

from capsjax.training.checkpoints.slots import Leaf, is_key, leaf_of


class Part(NamedTuple):
    """What this process stores of a leaf.

    Attributes:
        start: Where in the leaf it begins, along each axis.
        array: The part, in host memory that nobody else writes to.
    """

    start: tuple[int, ...]
    array: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Snapshot:
    """A carry as it was.

    Attributes:
        structure: The structure of the tree.
        leaves: Shape and type of each leaf.
        parts: What this process stores of each leaf: no part of any leaf is stored by
            two processes.
    """

    structure: Any
    leaves: list[Leaf]
    parts: list[list[Part]]


class Copier:
    """Takes snapshots, into the memory of the last one where that fits.

    New memory costs as much time as the copy: the system hands it out page by page.
    One snapshot is in use at a time.
    """

    def __init__(self) -> None:
        self._memory: list[np.ndarray] = []

    def snapshot(self, carry: Any) -> Snapshot:
        """Copies a carry; waits until it is computed."""
        given, structure = jax.tree.flatten(carry)
        leaves = [leaf_of(leaf) for leaf in given]
        arrays = [jax.random.key_data(a) if is_key(a) else a for a in given]
        pieces = [_pieces(array) for array in arrays]
        for own in pieces:  # all transfers are under way before the first is awaited
            for _, array in own:
                if isinstance(array, jax.Array):
                    array.copy_to_host_async()
        free, self._memory = iter(self._memory), []
        parts = [
            [Part(start, self._copied(array, next(free, None))) for start, array in own]
            for own in pieces
        ]
        return Snapshot(structure, leaves, parts)

    def _copied(self, array: Any, memory: np.ndarray | None) -> np.ndarray:
        host = np.asarray(array)
        like = (host.shape, host.dtype)
        if memory is None or (memory.shape, memory.dtype) != like:
            memory = np.empty(*like)
        # On CPUs `host` is the device's own memory, which the next step may write to:
        # its buffers are donated.
        np.copyto(memory, host)
        self._memory.append(memory)
        return memory


def _pieces(array: Any) -> list[tuple[tuple[int, ...], Any]]:
    """What this process stores of an array: where each piece begins, and the piece."""
    if not isinstance(array, jax.Array):
        host = np.asarray(array)
        return [((0,) * host.ndim, host)] if jax.process_index() == 0 else []
    if array.is_fully_addressable and jax.process_count() > 1:
        # Every process has one of its own, equal to the others'.
        if jax.process_index() != 0:
            return []
    if array.is_fully_replicated and array.is_fully_addressable:
        return [((0,) * array.ndim, array.addressable_shards[0].data)]
    return [
        (tuple(each.start or 0 for each in shard.index), shard.data)
        for shard in array.addressable_shards
        if shard.replica_id == 0
    ]
