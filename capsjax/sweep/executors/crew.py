"""Workers in other processes: who is given which unit, and what if a process dies.

Each worker is a process of its own that is known by itself. So when one dies, it is
known which unit it was at; that is begun again by another one, and the others, with the
programs that they have compiled, don't notice. A worker has one unit under way, and a
second one ahead while there are enough for all: it does not wait while a result is
taken. What has been given ahead and not begun is no try.
"""

import abc
import collections
import dataclasses
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any, NoReturn, Protocol

from capsjax.sweep.executors.base import Task, brief_unit, received, sent
from capsjax.sweep.program import Program
from capsjax.sweep.strategy import Choice
from capsjax.sweep.unit import Result

MOST_TRIES = 5
"""How often a unit is begun before it is given up: its process died each time."""


class Worker(Protocol):
    """A process that runs units, one after the other."""

    ready: Future[Any]
    """Done when the process is there."""

    def submit(self, job: Any, unit: str, carries: bytes | None) -> Future[bytes]:
        """Gives it a unit of a job; the future holds what `Work.run` returns."""
        ...

    def leave(self) -> None:
        """Ends the process at once, whatever it does."""
        ...


@dataclasses.dataclass(eq=False)
class Post:
    """A worker and the units that it has been given, the first one under way."""

    worker: Worker
    there: bool = False
    units: dict[Future[bytes], int] = dataclasses.field(default_factory=dict)

    @property
    def awaited(self) -> list[Future[Any]]:
        """What it is expected to do."""
        return list(self.units) if self.there else [self.worker.ready]


class Crew(abc.ABC):
    """An executor whose units run in other processes."""

    remote = True

    died: tuple[type[BaseException], ...]
    """Errors which say that a worker's process is no more."""

    job: Any
    """Where workers find the job."""

    def __init__(self) -> None:
        self.job = None
        self._posts: list[Post] = []
        self._in_vain = 0
        self._under_way: Generator[tuple[Task, Result], None, None] | None = None

    @abc.abstractmethod
    def start(self, job: bytes) -> None:
        """Makes ready; called before the first units, and when groups were added."""

    @abc.abstractmethod
    def size(self) -> int:
        """How many workers there may be."""

    @abc.abstractmethod
    def hire(self) -> Worker:
        """Starts a worker."""

    def own_error(self, error: Exception) -> Exception:
        """The error that the code of a unit raised, out of what a worker tells."""
        return error

    def close(self) -> None:
        """Ends the workers, and what they do."""
        if self._under_way is not None:
            self._under_way.close()
            self._under_way = None
        self._end_all()

    def run(
        self, tasks: Iterable[Task], programs: list[Program], choices: list[Choice]
    ) -> Iterator[tuple[Task, Result]]:
        """Runs units; one whose process died is run again by another."""
        if self._under_way is not None:
            self._under_way.close()
        self._under_way = self._run(list(tasks), programs)
        return self._under_way

    def _run(
        self, given: list[Task], programs: list[Program]
    ) -> Generator[tuple[Task, Result], None, None]:
        waiting = collections.deque(range(len(given)))
        tries = [0] * len(given)
        self._in_vain = 0
        size = self.size() if given else 0
        try:
            while waiting or any(post.units for post in self._posts):
                self._hire(len(waiting), size)
                self._give(waiting, given, programs)
                for post, future in self._done():
                    number = post.units.pop(future)
                    content = self._content(future, given[number])
                    if content is not None:
                        self._in_vain = 0
                        yield given[number], received(given[number], programs, content)
                        continue
                    waiting.extendleft(reversed([number, *post.units.values()]))
                    self._dismiss(post)
                    tries[number] += 1
                    if tries[number] >= MOST_TRIES:
                        raise _given_up(given[number])
        except BaseException:
            self._end_all()
            raise

    def _end_all(self) -> None:
        while self._posts:
            self._posts.pop().worker.leave()

    def _hire(self, waiting: int, size: int) -> None:
        """As many workers as there are units for."""
        most = min(size, waiting + sum(bool(each.units) for each in self._posts))
        while len(self._posts) < most:
            self._posts.append(Post(self.hire()))

    def _give(
        self, waiting: "collections.deque[int]", given: list[Task], programs: Any
    ) -> None:
        """Units to those who have least to do."""
        while waiting:
            depth = 2 if len(waiting) > len(self._posts) else 1
            free = [p for p in self._posts if p.there and len(p.units) < depth]
            if not free:
                return
            post = min(free, key=lambda each: len(each.units))
            content = sent(given[waiting[0]], programs)
            try:
                future = post.worker.submit(self.job, *content)
            except self.died:
                if post.units:
                    return  # they tell that it died
                self._lost_in_vain(post)
                continue
            post.units[future] = waiting.popleft()

    def _done(self) -> Iterator[tuple[Post, Future[bytes]]]:
        """What units came to, as they were given; waits until there is something."""
        awaited = [future for post in self._posts for future in post.awaited]
        if not awaited:
            return
        done, _ = wait(awaited, return_when=FIRST_COMPLETED)
        for post in list(self._posts):
            if not post.there and post.worker.ready in done:
                self._greet(post)
            for future in list(post.units):
                # Its process may have died at the one before.
                if future in done and future in post.units and post in self._posts:
                    yield post, future

    def _greet(self, post: Post) -> None:
        """A worker is there, or died on its way."""
        try:
            post.worker.ready.result()
            post.there = True
        except self.died:
            self._lost_in_vain(post)
        except Exception as error:
            self._raise(error, "as a worker was started")

    def _lost_in_vain(self, post: Post) -> None:
        """A process died with no unit under way."""
        self._dismiss(post)
        self._in_vain += 1
        if self._in_vain >= MOST_TRIES:
            raise RuntimeError(
                f"{self!r}: {MOST_TRIES} processes died before they had begun a unit; "
                "expected them to start; cure: look at what they wrote; a script that "
                "starts processes needs `if __name__ == '__main__':` around what it "
                "does; memory may be short: fewer workers"
            )

    def _dismiss(self, post: Post) -> None:
        if post in self._posts:
            self._posts.remove(post)
            post.worker.leave()

    def _content(self, future: Future[bytes], task: Task) -> bytes | None:
        """What a unit came to; None if its process died.

        Raises:
            Exception: What the code of the unit raised.
        """
        try:
            return future.result()
        except self.died:
            return None
        except Exception as error:
            self._raise(error, f"in {brief_unit(task.unit)}, in another process")

    def _raise(self, error: Exception, note: str) -> NoReturn:
        own = self.own_error(error)
        own.add_note(note)
        if own is error:
            raise error
        raise own from error


def _given_up(task: Task) -> RuntimeError:
    return RuntimeError(
        f"{brief_unit(task.unit)}: its process died {MOST_TRIES} times; expected it to "
        "end; memory may be short: fewer workers, or a smaller strategy"
    )
