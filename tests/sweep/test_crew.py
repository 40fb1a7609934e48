"""A crew: who is given which unit, and what becomes of those whose process died."""

import collections
import errno
import os
import socket
import sys
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest

from capsjax.sweep.executors import Processes, Ray, crew
from capsjax.sweep.executors.base import Task
from capsjax.sweep.unit import Member, Unit, Watch


class Died(Exception):
    """What a worker's futures hold when its process is no more."""


class Hand(crew.Worker):
    """A worker that is done at once, as the test has written."""

    def __init__(self, script: "Script"):
        self.script, self.dead, self.left = script, False, 0
        self.ready: Future[Any] = script.ready()
        self.given: list[tuple[int, Future[Any]]] = []

    def submit(self, job: Any, unit: Any, carries: bytes | None) -> Future[Any]:
        if self.dead or self.script.idle_deaths:
            self.script.idle_deaths -= not self.dead
            raise Died
        number = unit.members[0].number
        future: Future[Any] = Future()
        self.given.append((number, future))
        self.script.begun[number] += len(self.given) == 1
        if number != self.script.waits:
            self.script.go_on(self)
        return future

    def leave(self) -> None:
        self.left += 1


class Script(crew.Crew):
    """A crew whose workers do what is written here.

    Attributes:
        deaths: How often a unit kills its process, by number.
        errors: What a unit raises.
        starts: What becomes of workers that are started: None is there, an error is
            not, and "never" is still on its way.
        idle_deaths: Workers that die between units.
        waits: A unit that comes to nothing before its worker has a second one.
    """

    died = (Died,)

    def __init__(self, size: int = 1, **script: Any):
        super().__init__()
        self._size, self.hired = size, []
        self.deaths = collections.Counter(script.get("deaths", {}))
        self.errors = script.get("errors", {})
        self.starts = collections.deque(script.get("starts", ()))
        self.idle_deaths = script.get("idle_deaths", 0)
        self.waits = script.get("waits")
        self.begun = collections.Counter()

    def __repr__(self) -> str:
        return "Script()"

    def start(self, job: bytes) -> None:
        self.job = job

    def size(self) -> int:
        return self._size

    def hire(self) -> Hand:
        self.hired.append(Hand(self))
        return self.hired[-1]

    def ready(self) -> Future[Any]:
        future: Future[Any] = Future()
        how = self.starts.popleft() if self.starts else None
        if isinstance(how, Exception):
            future.set_exception(how)
        elif how is None:
            future.set_result(None)
        return future

    def go_on(self, hand: Hand) -> None:
        """A worker does what it was given, or dies at it."""
        given, hand.given = hand.given, []
        for number, future in given:
            hand.dead = hand.dead or self.deaths[number] > 0
            if hand.dead:
                self.deaths[number] -= 1
                future.set_exception(Died())
            elif number in self.errors:
                future.set_exception(self.errors[number])
            else:
                future.set_result(f"result {number}")


@pytest.fixture(autouse=True)
def units_as_they_are(monkeypatch):
    """Units and results are not turned into bytes."""
    monkeypatch.setattr(crew, "sent", lambda task, programs: (task.unit, None))
    monkeypatch.setattr(crew, "received", lambda task, programs, content: content)


def tasks(count: int) -> list[Task]:
    given: Any = {"net": {}, "optimizer": {}}
    members = [Member(number, {}, 0, given) for number in range(count)]
    return [Task(Unit(0, (m,), 1, 0, 1), None, None, Watch()) for m in members]


def results(script: Script, count: int) -> list[tuple[int, Any]]:
    done = script.run(tasks(count), [], [])
    return [(task.unit.members[0].number, result) for task, result in done]


def once(count: int) -> list[tuple[int, str]]:
    return [(number, f"result {number}") for number in range(count)]


@pytest.mark.parametrize("size", [1, 3, 20])
@pytest.mark.parametrize("deaths", [{}, {0: 1}, {4: 4}, {0: 2, 3: 1, 6: 3}])
def test_every_result_comes_once(size, deaths):
    script = Script(size, deaths=deaths)
    assert sorted(results(script, 7)) == once(7)
    assert len(script.hired) <= min(size, 7) + sum(deaths.values())


def test_what_dies_again_and_again_is_given_up():
    script = Script(2, deaths={3: 99})
    with pytest.raises(RuntimeError) as raised:
        results(script, 7)
    assert str(raised.value) == (
        "member 3: its process died 5 times; expected it to end; memory may be short: "
        "fewer workers, or a smaller strategy"
    )
    assert all(hand.left == 1 for hand in script.hired)


def test_what_waited_behind_it_is_not_to_blame():
    """Unit 1 is given ahead each time that unit 0 kills their process."""
    script = Script(1, deaths={0: 4}, waits=0)
    assert sorted(results(script, 4)) == once(4)
    assert script.begun[0] == 5


def test_processes_that_do_not_start_are_given_up():
    script = Script(2, starts=[Died(), Died(), None, *[Died()] * 9], deaths={0: 99})
    with pytest.raises(RuntimeError) as raised:
        results(script, 3)
    assert str(raised.value) == (
        "Script(): 5 processes died before they had begun a unit; expected them to "
        "start; cure: look at what they wrote; a script that starts processes needs "
        "`if __name__ == '__main__':` around what it does; memory may be short: fewer "
        "workers"
    )


def test_a_worker_that_can_not_be_made_says_why():
    script = Script(2, starts=[ImportError("no capsjax")])
    with pytest.raises(ImportError, match="no capsjax") as raised:
        results(script, 3)
    assert raised.value.__notes__ == ["as a worker was started"]


def test_one_that_dies_with_nothing_to_do_is_replaced():
    script = Script(1, idle_deaths=2)
    assert sorted(results(script, 3)) == once(3)
    assert [hand.left for hand in script.hired] == [1, 1, 0]


def test_those_on_their_way_hold_no_units():
    script = Script(3, starts=["never", None, "never"])
    assert sorted(results(script, 5)) == once(5)


def test_an_error_of_a_unit_is_raised_and_not_tried_again():
    script = Script(2, errors={2: ValueError("no kind of that name")})
    with pytest.raises(ValueError, match="no kind of that name") as raised:
        results(script, 5)
    assert raised.value.__notes__ == ["in member 2, in another process"]
    assert script.begun[2] == 1
    assert all(hand.left == 1 for hand in script.hired)


def test_who_leaves_off_ends_the_workers():
    script = Script(2)
    done = script.run(tasks(5), [], [])
    next(done)
    script.close()
    script.close()
    assert all(hand.left == 1 for hand in script.hired)
    assert list(done) == []
    assert sorted(results(script, 5)) == once(5)


def test_workers_stay_from_run_to_run():
    script = Script(2)
    assert results(script, 0) == []
    assert not script.hired
    for _ in range(3):
        assert sorted(results(script, 4)) == once(4)
    assert len(script.hired) == 2


def test_numbers_that_make_no_sense():
    for make in (Processes, lambda n: Ray(workers=n)):
        with pytest.raises(ValueError) as raised:
            make(0)
        assert str(raised.value) == "workers is 0; expected at least 1"
    with pytest.raises(ValueError) as raised:
        Ray(num_cpus=-1)
    assert str(raised.value) == "num_cpus is -1; expected 0 or more"


def test_ray_is_asked_for_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError) as raised:
        Ray().start(b"")
    assert str(raised.value) == (
        "cj.executors.Ray: found no package ray (import of ray halted; None in "
        "sys.modules); expected one that can be imported; cure: pip install "
        '"capsjax[ray]"'
    )


def test_a_machine_without_room_for_a_worker(monkeypatch):
    calls = []
    fake = SimpleNamespace(
        is_initialized=lambda: False,
        init=lambda *given, **options: calls.append((given, options)),
        cluster_resources=lambda: {"CPU": 2.0},
        shutdown=lambda: calls.append("shutdown"),
    )
    monkeypatch.setitem(sys.modules, "ray", fake)
    with pytest.raises(ValueError) as raised:
        Ray(workers=2, num_gpus=1).start(b"")
    assert str(raised.value) == (
        "Ray('local', workers=2): found 2 processors and 0 GPUs on this machine; "
        "expected at least num_cpus=1 and num_gpus=1 of a worker; cure: ask for less, "
        "or name the address of a cluster"
    )
    assert calls[0][0] == ("local",)
    assert calls[0][1]["num_cpus"] == 2
    assert calls[1] == "shutdown"


def test_an_address_where_nobody_answers():
    pytest.importorskip("ray")
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ConnectionError) as raised:
            Ray(address).start(b"")
    assert str(raised.value) == (
        f"Ray('{address}', workers=None): found no answer there ([Errno "
        f"{errno.ECONNREFUSED}] {os.strerror(errno.ECONNREFUSED)}); expected the "
        "address of a cluster of Ray, host:port; cure: `ray start --head` says which "
        "it is"
    )
