"""The content of a checkpoint, as orbax has it written: in the background, by all.

Orbax's own handlers, which read trees, never see a file.
"""

import json
import os
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from capsjax.compiler import Network
from capsjax.training.checkpoints.arrays import digest, file_name, write_arrays
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
