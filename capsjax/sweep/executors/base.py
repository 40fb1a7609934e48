"""What an executor is, and the one that is this process.

An executor is given units and gives their results as they come, in any order. Units are
idempotent, so one whose process died is run again.
"""

import dataclasses
import threading
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, Protocol

from capsjax.sweep.files import carries_bytes, result_of, unit_text
from capsjax.sweep.program import Program
from capsjax.sweep.strategy import Choice
from capsjax.sweep.threads import as_here
from capsjax.sweep.unit import Result, Unit, Watch, run_unit


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
        """Runs units; gives each with its result once, as it comes."""
        ...

    def start(self, job: bytes) -> None:
        """Makes ready; called before the first units, and when groups were added."""
        ...

    def close(self) -> None:
        """Leaves off what is under way, and lets go of all that was taken."""
        ...


class Local:
    """This process: groups one after the other, several programs at a time."""

    remote = False

    def __init__(self) -> None:
        self._under_way: Generator[tuple[Task, Result], None, None] | None = None

    def __repr__(self) -> str:
        return "Local()"

    def start(self, job: bytes) -> None:
        """Nothing is needed."""

    def close(self) -> None:
        """Leaves off what is under way, which its tasks' watches are given to keep.

        Whoever was broken off between two results holds on to the iterator as long as
        the exception lives, and with it the threads.
        """
        if self._under_way is not None:
            self._under_way.close()
            self._under_way = None

    def run(
        self, tasks: Iterable[Task], programs: list[Program], choices: list[Choice]
    ) -> Iterator[tuple[Task, Result]]:
        """Runs units; gives each with its result as it comes."""
        self._under_way = self._run(tasks, programs, choices)
        return self._under_way

    def _run(
        self, tasks: Iterable[Task], programs: list[Program], choices: list[Choice]
    ) -> Generator[tuple[Task, Result], None, None]:
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

        with ThreadPoolExecutor(max(threads, 1)) as pool:
            _prepare(pool, program, tasks)
            run = as_here(one)
            futures = {pool.submit(run, task): task for task in tasks}
            try:
                for future in as_they_come(futures):
                    yield futures.pop(future), future.result()
            except BaseException:
                # What is under way is left off at the next call, and kept.
                leaving.set()
                for future, task in futures.items():
                    if future.cancel() or task.watch.save is None:
                        continue
                    if future.exception() is None:
                        task.watch.save(future.result())
                raise


def _prepare(pool: ThreadPoolExecutor, program: Program, tasks: list[Task]) -> None:
    """Compiles the programs; meanwhile draws the first initial parameters, which
    compiles programs, too."""
    lanes = dict.fromkeys(task.unit.lanes for task in tasks)
    made = [pool.submit(as_here(program.with_lanes), each) for each in lanes]
    first = tasks[0].unit.members[0]
    if tasks[0].carries is None and tasks[0].so_far is None:
        program.initial(first.seed, first.given, first.scale)
    for each in made:
        each.result()


def as_they_come(futures: dict[Future[Any], Any]) -> Iterator[Future[Any]]:
    """Futures as they are done, in an order that does not depend on the clock where
    several are."""
    waiting = list(futures)
    while waiting:
        done, _ = wait(waiting, return_when=FIRST_COMPLETED)
        for future in [each for each in waiting if each in done]:
            waiting.remove(future)
            yield future


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
