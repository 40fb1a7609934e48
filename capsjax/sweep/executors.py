"""Who runs units: this process, other processes, or a cluster.

An executor is given units and gives their results as they come, in any order. Units are
idempotent, so one whose process died is run again.
"""

import dataclasses
import multiprocessing
import os
import tempfile
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, Protocol

from capsjax.sweep.files import carries_bytes, result_of, unit_text
from capsjax.sweep.job import Work
from capsjax.sweep.program import Program
from capsjax.sweep.strategy import Choice
from capsjax.sweep.unit import Result, Unit, Watch, run_unit

MOST_TRIES = 5
"""How often a unit is begun before it is given up: its process died each time."""


@dataclasses.dataclass(frozen=True)
class Task:
    """A unit, and what its run needs.

    Attributes:
        unit: The unit.
        carries: What its members carry at its start; None for the beginning.
        so_far: What came of it in an earlier run that was broken off.
        watch: Who follows it.
    """

    unit: Unit
    carries: Any
    so_far: Result | None
    watch: Watch


class Executor(Protocol):
    """Who runs units."""

    remote: bool
    """Whether units run in other processes, which are given a job."""

    def run(
        self, tasks: Iterable[Task], programs: list[Program], choices: list[Choice]
    ) -> Iterator[tuple[Task, Result]]:
        """Runs units; gives each with its result as it comes."""
        ...

    def start(self, job: bytes) -> None:
        """Makes ready; called before the first units, and when there is more."""
        ...

    def close(self) -> None:
        """Lets go of all that was taken."""
        ...


class Local:
    """This process: groups one after the other, several programs at a time."""

    remote = False

    def start(self, job: bytes) -> None:
        """Nothing is needed."""

    def close(self) -> None:
        """Nothing was taken."""

    def run(
        self, tasks: Iterable[Task], programs: list[Program], choices: list[Choice]
    ) -> Iterator[tuple[Task, Result]]:
        """Runs units; gives each with its result as it comes."""
        waiting = list(tasks)
        for group in dict.fromkeys(task.unit.group for task in waiting):
            own = [task for task in waiting if task.unit.group == group]
            yield from self._group(own, programs[group], choices[group].threads)

    def _group(
        self, tasks: list[Task], program: Program, threads: int
    ) -> Iterator[tuple[Task, Result]]:
        leaving = threading.Event()

        def one(task: Task) -> Result:
            compiled = program.with_lanes(task.unit.lanes)
            watch = dataclasses.replace(task.watch, stopped=leaving.is_set)
            return run_unit(compiled, task.unit, task.carries, task.so_far, watch)

        with ThreadPoolExecutor(min(threads, len(tasks))) as pool:
            futures = {pool.submit(one, task): task for task in tasks}
            try:
                for future in _as_they_come(futures):
                    yield futures.pop(future), future.result()
            except BaseException:
                # What is under way is left off at the next call, and kept.
                leaving.set()
                for future, task in futures.items():
                    if not future.cancel() and task.watch.save is not None:
                        task.watch.save(future.result())
                raise


def _as_they_come(futures: dict[Future[Any], Any]) -> Iterator[Future[Any]]:
    """Futures as they are done, in an order that does not depend on the clock where
    several are."""
    waiting = list(futures)
    while waiting:
        done, _ = wait(waiting, return_when=FIRST_COMPLETED)
        for future in [each for each in waiting if each in done]:
            waiting.remove(future)
            yield future


class Processes:
    """Processes of this machine, each with JAX of its own.

    Args:
        workers: How many.

    Example:
        >>> import capsjax as cj
        >>> cj.executors.processes(2)
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
                for future in _as_they_come(dict(futures)):
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


def sent(task: Task, programs: list[Program]) -> tuple[str, bytes | None]:
    """A task as text and bytes."""
    program = programs[task.unit.group]
    return unit_text(task.unit), carries_bytes(program, task.carries)


def received(task: Task, programs: list[Program], content: bytes) -> Result:
    """What came of a task, told who follows."""
    program = programs[task.unit.group]
    found = result_of(program, content, brief_unit(task.unit))
    rows = (task.unit.stop - task.unit.start) // program.lengths.row
    task.watch.tell(rows * len(task.unit.members))
    return found


def brief_unit(unit: Unit) -> str:
    """A unit in words."""
    first, last = unit.members[0].number, unit.members[-1].number
    if first == last:
        return f"member {first}"
    return f"members {first} to {last}"


_WORK: list[Work] = []
"""The job of this process, if it is one of `Processes`."""


def _begin(path: str) -> None:
    _WORK[:] = [Work(Path(path).read_bytes())]


def _run(unit: str, carries: bytes | None) -> bytes:
    return _WORK[0].run(unit, carries)
