"""Processes of this machine that run units, each with JAX of its own."""

import contextlib
import hashlib
import multiprocessing
import os
import signal
import tempfile
import threading
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection
from pathlib import Path

from capsjax.sweep.executors.crew import Crew
from capsjax.sweep.job import work_at


class Processes(Crew):
    """Processes of this machine, each with JAX of its own.

    They stay, with the programs that they have compiled, until the sweep is over. A
    unit whose process died is begun again by another one, five times at most. As
    `multiprocessing` starts them, they read the script that started them: what it does
    stands under `if __name__ == "__main__":`.

    Args:
        workers: How many.

    Raises:
        ValueError: There are to be none.

    Example:
        >>> import capsjax as cj
        >>> cj.executors.Processes(2)
        Processes(2)
    """

    died = (BrokenProcessPool,)

    def __init__(self, workers: int):
        super().__init__()
        if workers < 1:
            raise ValueError(f"workers is {workers}; expected at least 1")
        self.workers = workers
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __repr__(self) -> str:
        return f"Processes({self.workers})"

    def start(self, job: bytes) -> None:
        """Writes the job where the processes find it, those that there are, too."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="capsjax-sweep-")
        path = Path(self._folder.name, hashlib.sha256(job).hexdigest())
        if self.job != str(path):
            path.write_bytes(job)
            if self.job is not None:
                os.unlink(self.job)
            self.job = str(path)

    def close(self) -> None:
        """Ends the processes, at once."""
        super().close()
        self.job = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def size(self) -> int:
        return self.workers

    def hire(self) -> "_Process":
        return _Process()


class _Process:
    """A process: a pool of one, so that it is known who died."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        heard, self._line = context.Pipe(duplex=False)
        self._pool = ProcessPoolExecutor(
            1, mp_context=context, initializer=_begin, initargs=(heard,)
        )
        self.ready: Future[int] = self._pool.submit(os.getpid)
        heard.close()  # the process has its own end

    def submit(self, job: str, unit: str, carries: bytes | None) -> Future[bytes]:
        return self._pool.submit(_run, job, unit, carries)

    def leave(self) -> None:
        self._line.close()
        self._pool.shutdown(wait=True, cancel_futures=True)


def _begin(line: Connection) -> None:
    # Ctrl-C is for the process that started this one, which then hangs up.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with, args=(line,), daemon=True).start()


def _leave_with(line: Connection) -> None:
    """Ends this process when the other end of the line is closed: when the process that
    started it wants that, or is no more itself."""
    with contextlib.suppress(EOFError, OSError):
        line.recv_bytes()
    os._exit(1)


def _run(job: str, unit: str, carries: bytes | None) -> bytes:
    return work_at(job, Path(job).read_bytes).run(unit, carries)
