"""What orbax is asked to do: folders, atomic commits, threads. The content is ours.

Imported where a run writes checkpoints: orbax adds a third of a second to an import.
Of orbax, the manager is used: it writes into a temporary folder, renames it when all
processes are done, then removes what is not kept. Its own handlers, which read trees,
never see a file.
"""

import json
import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import (
    PreservationContext,
    PreservationPolicy,
)

from capsjax.compiler import Network
from capsjax.training.checkpoints.arrays import digest, file_name, write_arrays
from capsjax.training.checkpoints.reading import CONTENT
from capsjax.training.checkpoints.record import NAME, write_record
from capsjax.training.checkpoints.slots import slots
from capsjax.training.checkpoints.snapshot import Snapshot

_LONGEST = 6 * 3600
"""Seconds that writing one checkpoint may take, in the background."""


class Handler(ocp.AsyncCheckpointHandler):
    """Writes one checkpoint into the folder that orbax gives.

    Each process writes its arrays and says so in a small file; the first one then
    gathers these into checkpoint.json.
    """

    def __init__(self, net: Network):
        self.net = net
        self._pool = ThreadPoolExecutor(1, "checkpoint")
        self._args: SaveArgs | None = None

    async def async_save(self, directory: Any, args: "SaveArgs") -> list[Any]:
        """Begins to write; the snapshot is taken already."""
        self._args = args
        future: Future[None] = self._pool.submit(self._write, Path(directory), args)
        return [future]

    def save(self, directory: Any, args: "SaveArgs") -> None:
        """Writes, and waits for it."""
        self._args = args
        self._write(Path(directory), args)

    def _write(self, folder: Path, args: "SaveArgs") -> None:
        snapshot = args.snapshot
        found = slots(self.net, snapshot.structure, snapshot.leaves)
        name = file_name(jax.process_index(), jax.process_count())
        write_arrays(folder / name, found, snapshot)
        size, sha256 = digest(folder / name)
        stored = {"bytes": size, "sha256": sha256}
        _write_down(folder / f"{name}.json", json.dumps({name: stored}).encode())
        if jax.process_index() == 0:
            args.record["arrays"] = {
                name: {"dtype": str(slot.dtype), "shape": list(slot.shape)}
                for name, slot in found.items()
            }

    def finalize(self, directory: Any) -> None:
        """Writes the record; of all processes the first does, when all have written."""
        assert self._args is not None
        folder, files = Path(directory), {}
        for process in range(jax.process_count()):
            path = folder / f"{file_name(process, jax.process_count())}.json"
            files |= json.loads(path.read_bytes())
            path.unlink()
        content = write_record(folder, {**self._args.record, "files": files})
        _write_down(folder / NAME, content)
        self._args = None  # the snapshot's memory is free

    def restore(self, directory: Any, args: Any = None) -> Any:
        """Is never asked for: checkpoints are read without orbax."""
        raise NotImplementedError("checkpoints are read by newest(folder, net, like)")

    def close(self) -> None:
        """Ends the thread."""
        self._pool.shutdown()


@ocp.args.register_with_handler(Handler, for_save=True, for_restore=True)
@dataclass
class SaveArgs(ocp.args.CheckpointArgs):
    """What is written.

    Attributes:
        snapshot: The arrays.
        record: What `Record` holds beside arrays and files.
    """

    snapshot: Snapshot
    record: dict[str, Any]


def _write_down(path: Path, content: bytes) -> None:
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


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


def manager(
    folder: Path, net: Network, kept: Callable[[list[int]], set[int]]
) -> ocp.CheckpointManager:
    """Orbax's manager of a folder of checkpoints.

    Args:
        folder: Where; made if it is not there. Half-written checkpoints are removed.
        net: The network.
        kept: Which of the numbers are kept.

    Raises:
        OSError: The folder can't be written to.
    """
    options = ocp.CheckpointManagerOptions(
        step_format_fixed_length=6,
        cleanup_tmp_directories=True,
        preservation_policy=_Policy(kept),
        save_root_metadata=False,
        lightweight_initialize=True,  # else a damaged one is read at the start
        async_options=ocp.AsyncOptions(
            timeout_secs=_LONGEST,
            create_directories_asynchronously=False,
        ),
    )
    return ocp.CheckpointManager(
        folder,
        options=options,
        item_handlers={CONTENT: Handler(net)},
        logger=_Silent(),
    )


def save(
    managing: ocp.CheckpointManager,
    number: int,
    snapshot: Snapshot,
    record: dict[str, Any],
) -> None:
    """Begins to write a checkpoint."""
    args = {CONTENT: SaveArgs(snapshot, record)}
    managing.save(number, args=ocp.args.Composite(**args), force=True)


class _Silent(ocp.logging.AbstractLogger):
    """Takes orbax's statistics of steps and drops them."""

    def log_entry(self, entry: Any) -> None:
        """Drops it."""


class Quiet(logging.Filter):
    """Keeps orbax's own messages out of the log: what matters is raised or named."""

    def filter(self, record: logging.LogRecord) -> bool:
        return f"{os.sep}orbax{os.sep}" not in record.pathname

    def __enter__(self) -> "Quiet":
        logging.getLogger("absl").addFilter(self)
        return self

    def __exit__(self, *error: object) -> None:
        logging.getLogger("absl").removeFilter(self)
