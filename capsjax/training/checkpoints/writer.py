"""What orbax does: a temporary folder, one rename when all is there, what is kept.

Imported where a run writes checkpoints: orbax adds a third of a second to an import.
"""

import contextlib
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import (
    PreservationContext,
    PreservationPolicy,
)

from capsjax.compiler import Network
from capsjax.training.checkpoints.handler import Handler, SaveArgs
from capsjax.training.checkpoints.reading import CONTENT, folder_of
from capsjax.training.checkpoints.snapshot import Snapshot

_LONGEST = 6 * 3600
"""Seconds that writing one checkpoint may take, in the background."""


class Writer:
    """Writes checkpoints, one at a time, in the background.

    After a failure, orbax's manager would report it again, as if it were the next
    checkpoint's: it is replaced by a new one.
    """

    def __init__(
        self, folder: Path, net: Network, kept: Callable[[list[int]], set[int]]
    ):
        """Makes the folder, and removes half-written checkpoints from it.

        Args:
            folder: Where.
            net: The network.
            kept: Which of the numbers are kept when a checkpoint is written.

        Raises:
            OSError: The folder can't be written to.
        """
        self.folder, self.net, self.kept = folder, net, kept
        self._manager: ocp.CheckpointManager | None = None
        self._managing()

    def save(self, number: int, snapshot: Snapshot, record: dict[str, Any]) -> None:
        """Begins to write a checkpoint; nothing else is being written.

        Raises:
            Exception: It can't be begun; nothing of it is left.
        """
        args = {CONTENT: SaveArgs(snapshot, record)}
        try:
            composite = ocp.args.Composite(**args)
            self._managing().save(number, args=composite, force=True)
        except Exception:
            self._discard(number)
            raise

    def wait(self, number: int) -> None:
        """Waits for a checkpoint that was begun.

        Raises:
            Exception: It can't be written; nothing of it is left.
        """
        try:
            self._managing().wait_until_finished()
        except Exception:
            self._discard(number)
            raise

    def close(self) -> None:
        """Ends all threads."""
        self._end()

    def _managing(self) -> ocp.CheckpointManager:
        if self._manager is None:
            options = ocp.CheckpointManagerOptions(
                step_format_fixed_length=6,
                cleanup_tmp_directories=True,
                preservation_policy=_Policy(self.kept),
                save_root_metadata=False,
                lightweight_initialize=True,  # else a damaged one is read here
                async_options=ocp.AsyncOptions(
                    timeout_secs=_LONGEST, create_directories_asynchronously=False
                ),
            )
            self._manager = ocp.CheckpointManager(
                self.folder,
                options=options,
                item_handlers={CONTENT: Handler(self.net)},
                logger=_Silent(),
            )
        return self._manager

    def _discard(self, number: int) -> None:
        """Removes what was begun of a checkpoint, once no thread writes to it."""
        self._end()
        if jax.process_index() == 0:
            whole = folder_of(self.folder, number)
            for half in self.folder.glob(f"{whole.name}.*"):
                shutil.rmtree(half, ignore_errors=True)

    def _end(self) -> None:
        manager, self._manager = self._manager, None
        for _ in range(3):  # each failure is raised once, by each part of it
            if manager is not None:
                with contextlib.suppress(Exception):
                    manager.close()
                    break


class _Policy(PreservationPolicy):
    """Keeps what a function says of the numbers of checkpoints."""

    def __init__(self, kept: Callable[[list[int]], set[int]]):
        self.kept = kept

    def should_preserve(
        self, checkpoints: Sequence[Any], *, context: PreservationContext
    ) -> Sequence[bool]:
        numbers = [checkpoint.step for checkpoint in checkpoints]
        kept = self.kept(numbers)
        return [number in kept for number in numbers]


class _Silent(ocp.logging.AbstractLogger):
    """Takes orbax's statistics of steps and drops them."""

    def log_entry(self, entry: Any) -> None:
        """Drops it."""
