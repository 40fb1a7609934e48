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
            self.release()
            raise BlockingIOError(
                error.errno,
                f"run folder {os.fspath(folder)}\n"
                f"    found:    it is being written to by {holder}\n"
                "    expected: a folder that no other run writes to\n"
                "    cure:     wait for that run or end it, or choose another folder",
            ) from None
        except BaseException:
            self.release()
            raise
        _HELD.add(self)

    def release(self) -> None:
        """Gives the lock back; once is enough."""
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


def _release_in_child() -> None:
    # A forked child has a copy of the descriptor: it would hold the lock of a parent
    # that is killed. Closing the copy leaves the parent's lock as it is.
    for lock in list(_HELD):
        lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_release_in_child)
