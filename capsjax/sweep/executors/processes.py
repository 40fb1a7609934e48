"""Processes of this machine that run units, each with JAX of its own."""

import multiprocessing
import os
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from capsjax.sweep.executors.base import (
    MOST_TRIES,
    Task,
    as_they_come,
    brief_unit,
    received,
    sent,
)
from capsjax.sweep.job import Work
from capsjax.sweep.program import Program
from capsjax.sweep.strategy import Choice
from capsjax.sweep.unit import Result


class Processes:
    """Processes of this machine, each with JAX of its own.

    Args:
        workers: How many.

    Example:
        >>> import capsjax as cj
        >>> cj.executors.Processes(2)
        Processes(2)
    """

    remote = True

    def __init__(self, workers: int):
        if workers < 1:
            raise ValueError(f"workers is {workers}; expected at least 1")
        self.workers = workers
        self._folder: Any = None
        self._pool: ProcessPoolExecutor | None = None

    def __repr__(self) -> str:
        return f"Processes({self.workers})"

    def start(self, job: bytes) -> None:
        """Writes the job where the processes find it."""
        self.close()
        self._folder = tempfile.TemporaryDirectory(prefix="capsjax-sweep-")
        Path(self._folder.name, "job").write_bytes(job)

    def close(self) -> None:
        """Ends the processes."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def run(
        self, tasks: Iterable[Task], programs: list[Program], choices: list[Choice]
    ) -> Iterator[tuple[Task, Result]]:
        """Runs units; a unit whose process died is run again by another."""
        waiting = {number: task for number, task in enumerate(tasks)}
        tries = dict.fromkeys(waiting, 0)
        while waiting:
            pool = self._started()
            futures: dict[Future[bytes], int] = {}
            try:
                for number, task in waiting.items():
                    futures[pool.submit(_run, *sent(task, programs))] = number
                for future in as_they_come(dict(futures)):
                    number = futures[future]
                    content = future.result()
                    task = waiting.pop(number)
                    yield task, received(task, programs, content)
            except BrokenProcessPool:
                # Nobody knows whose process it was: what has begun counts as a try.
                for number in waiting:
                    tries[number] += 1
                    if tries[number] >= MOST_TRIES:
                        raise RuntimeError(
                            f"{brief_unit(waiting[number].unit)}: its process died "
                            f"{MOST_TRIES} times; expected it to end; memory may be "
                            "short: fewer workers, or a smaller strategy"
                        ) from None
                self._pool = None

    def _started(self) -> ProcessPoolExecutor:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self.workers,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_begin,
                initargs=(os.path.join(self._folder.name, "job"),),
            )
        return self._pool


_WORK: list[Work] = []
"""The job of this process, if it is one of `Processes`."""


def _begin(path: str) -> None:
    _WORK[:] = [Work(Path(path).read_bytes())]


def _run(unit: str, carries: bytes | None) -> bytes:
    return _WORK[0].run(unit, carries)
