"""The lock of a run folder: one process writes to it at a time.

It is the kernel's (`flock`), which drops it when the process ends, however it ends.
What stands in the file is only said in messages. The file is never removed: a process
that waits for a removed file and one that makes a new one would both hold a lock.
"""

import json
import os
import socket
import weakref
from pathlib import Path
from typing import Any

from capsjax.training.checkpoints.faults import refusal

NAME = ".lock"
_HELD: "weakref.WeakSet[RunLock]" = weakref.WeakSet()


class RunLock:
    """Holds the lock of a run folder until it is released or the process ends."""

    def __init__(self, folder: str | os.PathLike[str]):
        """Takes the lock.

        Args:
            folder: The run folder, which exists.

        Raises:
            BlockingIOError: Another process, which it names, holds it.
            OSError: The lock can't be taken here.
        """
        import fcntl

        self.path = Path(folder) / NAME
        self._descriptor: int | None = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            own = {"pid": os.getpid(), "host": socket.gethostname()}
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, json.dumps(own).encode(), 0)
        except BlockingIOError as error:
            holder = _holder(self._descriptor)
            self.forget()
            raise BlockingIOError(
                error.errno,
                refusal(
                    f"run folder {os.fspath(folder)}",
                    f"it is being written to by {holder}",
                    "a folder that no other run writes to",
                    "wait for that run or end it, or choose another folder",
                ),
            ) from None
        except BaseException:
            self.forget()
            raise
        _HELD.add(self)

    @classmethod
    def of(cls, folder: Path) -> "RunLock":
        """Makes a run folder, if it is not there, and takes its lock.

        Raises:
            BlockingIOError: Another process, which it names, holds it.
            OSError: The folder can't be made or written to.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return cls(folder)
        except BlockingIOError:
            raise
        except OSError as error:
            text = refusal(
                f"run folder {folder}",
                os.strerror(error.errno) if error.errno else str(error),
                "a folder that can be written to",
                "choose another folder, or make this one writable",
            )
            raise OSError(error.errno, text) from error

    def release(self) -> None:
        """Gives the lock back, whoever has copies of it; once is enough."""
        import fcntl

        if self._descriptor is not None:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        self.forget()

    def forget(self) -> None:
        """Closes this process's copy of the lock."""
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor = None


def _holder(descriptor: int) -> str:
    """Who wrote the file, in words; nothing in it is relied on."""
    try:
        found: Any = json.loads(os.pread(descriptor, 1000, 0))
        pid, host = int(found["pid"]), str(found["host"])[:80]
    except (ValueError, KeyError, TypeError, RecursionError):
        return "another process"
    own = pid == os.getpid() and host == socket.gethostname()
    return f"process {pid} on host {host!r}" + (", which is this one" if own else "")


def _forget_in_child() -> None:
    # A forked child has a copy of the descriptor: it would hold the lock of a parent
    # that is killed. Closing the copy leaves the parent's lock as it is.
    for lock in list(_HELD):
        lock.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
