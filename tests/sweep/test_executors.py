"""One contract for all executors: the same tables and parameters, to the bit.

Workers are real: processes of this machine, and those of a local cluster of Ray; they
are killed in mid-run, and what they did is done again.
"""

import os
import signal
import subprocess
import sys
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
import psutil
import pytest

import capsjax as cj
from capsjax.sweep.executors import crew
from capsjax.sweep.job import Work
from tests.sweep.helpers_sweep import plain, same, swept

pytestmark = [
    pytest.mark.processes,
    pytest.mark.xdist_group("executors"),  # one cluster, for one worker of pytest
]

RATES = [0.01, 0.03, 0.1]
LONG = {"epochs": None, "steps": 8000, "every": 1000, "strategy": "loop"}
"""A unit takes some tenths of a second: it can be killed while it runs."""

MEMBERS = 6
OTHERS = ["processes", "ray"]


class Kept:
    """An executor that outlives its sweeps, with its workers and their programs.

    Attributes:
        results: Members whose results have come, in their order.
        disturb: Called when a result has been taken, with how many have been.
        closes: Whether the sweep that is over closes it, as it does by itself.
    """

    remote = True

    def __init__(self, inner: Any):
        self.inner, self.results, self.closes = inner, [], False
        self.disturb: Any = lambda count: None

    def start(self, job: bytes) -> None:
        self.inner.start(job)

    def run(self, tasks: Any, programs: Any, choices: Any) -> Any:
        count = 0
        for task, result in self.inner.run(tasks, programs, choices):
            self.results.append([member.number for member in task.unit.members])
            yield task, result
            count += 1
            self.disturb(count)

    def close(self) -> None:
        if self.closes:
            self.inner.close()


def processes() -> set[psutil.Process]:
    """Those that this one has started, but for what `multiprocessing` needs."""
    found = set()
    for each in psutil.Process().children(recursive=True):
        try:
            if "resource_tracker" not in " ".join(each.cmdline()):
                found.add(each)
        except psutil.NoSuchProcess:
            pass
    return found


def workers(name: str) -> list[psutil.Process]:
    """Processes that run units of an executor."""
    sign = {"processes": "spawn_main", "ray": "ray::_Hand"}[name]

    def runs_units(each: psutil.Process) -> bool:
        try:
            return sign in " ".join(each.cmdline())
        except psutil.NoSuchProcess:
            return False

    return [each for each in processes() if runs_units(each)]


def workers_after(seconds: float, name: str) -> list[psutil.Process]:
    """The workers that are there still after a while."""
    end = time.monotonic() + seconds
    while workers(name) and time.monotonic() < end:
        time.sleep(0.05)
    return workers(name)


@pytest.fixture(scope="module")
def cluster():
    """A local cluster of Ray, which the sweeps below find."""
    ray = pytest.importorskip("ray")
    before = processes()
    held = cj.executors.Ray(workers=2)
    held.start(b"")
    yield
    assert ray.is_initialized(), "a sweep has shut down what it had not started"
    held.close()
    assert not ray.is_initialized()
    started = [each for each in processes() - before if "ray" in each.name()]
    assert not psutil.wait_procs(started, timeout=20)[1]


@pytest.fixture(scope="module")
def kept_processes():
    kept = Kept(cj.executors.Processes(2))
    yield kept
    kept.inner.close()
    kept.inner.close()
    assert not workers("processes")


@pytest.fixture(scope="module")
def kept_ray(cluster):
    kept = Kept(cj.executors.Ray())
    yield kept
    kept.inner.close()
    kept.inner.close()
    assert not workers_after(10, "ray")


@pytest.fixture
def kept(request, name):
    """The executor of that name, started when it is asked for first."""
    own = request.getfixturevalue(f"kept_{name}")
    own.results, own.closes, own.disturb = [], False, lambda count: None
    return own


@pytest.fixture(scope="module")
def expected():
    """The sweep in this process."""
    return long_sweep()


def long_sweep(executor: Any = None, **more: Any) -> Any:
    over = {"learning_rate": RATES}
    return swept(over, seeds=2, executor=executor, **LONG, **more)


def agree(result: Any, expected: Any) -> None:
    """Asserts equality to the bit, and that each member is there once."""
    pd.testing.assert_frame_equal(result.table, expected.table, check_exact=True)
    pd.testing.assert_frame_equal(result.history, expected.history, check_exact=True)
    assert list(result.table.index) == list(range(MEMBERS))
    for member in range(MEMBERS):
        assert same(result.params(member), expected.params(member))


def test_this_process_is_one_of_them(expected):
    agree(long_sweep(cj.executors.Local()), expected)


@pytest.mark.parametrize("name", OTHERS)
def test_all_find_the_same_bits(name, kept, expected):
    agree(long_sweep(kept), expected)
    assert sorted(kept.results) == [[number] for number in range(MEMBERS)]
    assert len(workers(name)) == 2


@pytest.mark.parametrize("name", OTHERS)
def test_halving_takes_the_same_members_as_far(name, kept):
    """Members go on from what they carry, in whatever process."""
    own = long_sweep(kept, search=cj.halving(2), keep=1)
    here = long_sweep(search=cj.halving(2), keep=1)
    pd.testing.assert_frame_equal(own.table, here.table, check_exact=True)
    pd.testing.assert_frame_equal(own.history, here.history, check_exact=True)
    assert set(own.table["status"]) == {"stopped", "done"}
    assert same(own.params(), here.params())


@pytest.mark.parametrize("name", OTHERS)
def test_what_a_killed_worker_did_is_done_again(name, kept, expected, monkeypatch):
    begun, killed = [], []
    sent = crew.sent

    def counted(task: Any, programs: Any) -> Any:
        begun.append(task.unit.members[0].number)
        return sent(task, programs)

    def kill(count: int) -> None:
        # Each worker has a second unit now, which it began at once.
        if count == 1:
            killed.append(workers(name)[0])
            os.kill(killed[0].pid, signal.SIGKILL)

    monkeypatch.setattr(crew, "sent", counted)
    kept.disturb = kill
    agree(long_sweep(kept), expected)
    assert killed[0] not in workers(name)
    assert sorted(kept.results) == [[number] for number in range(MEMBERS)]
    assert set(begun) == set(range(MEMBERS))
    assert len(begun) > MEMBERS


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_broken_off_goes_on(name, kept, expected, tmp_path):
    """Ctrl-C between two results: workers are gone at once, and what came stays."""
    kept.closes = True

    def interrupt(count: int) -> None:
        raise KeyboardInterrupt

    kept.disturb = interrupt
    with pytest.raises(KeyboardInterrupt):
        long_sweep(kept, out=tmp_path / "sweep")
    assert kept.results == kept.results[:1]
    assert not workers_after(5, name)
    kept.disturb, kept.closes = lambda count: None, False
    agree(long_sweep(kept, out=tmp_path / "sweep"), expected)
    assert sorted(kept.results) == [[number] for number in range(MEMBERS)]


class OnlyHere(cj.Cap):
    """A capsule function that no other process knows."""

    def run(self, u, context):
        return jnp.tanh(u), {}, ()

    def run_backward(self, residual, u, y, dy, u_shape, context):
        return dy * (1 - jnp.tanh(u) ** 2), {}


@pytest.mark.parametrize("name", OTHERS)
def test_an_error_in_a_unit_is_raised_here(name, kept, own_kinds):
    cj.register_cap("only_here")(OnlyHere)
    graph = cj.with_settings(plain(), {"h.cap": "only_here"})
    with pytest.raises(cj.GraphError) as raised:
        swept({"learning_rate": [0.1]}, graph, executor=kept, **LONG)
    assert "found:    unknown kind 'only_here'" in str(raised.value)
    assert raised.value.__notes__ == ["in member 0, in another process"]


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_code_can_not_be_sent(name):
    executor = {"processes": cj.executors.Processes(2), "ray": cj.executors.Ray()}[name]
    rates = {"learning_rate": [0.1]}
    with pytest.raises(ValueError) as raised:
        swept(rates, optimizer=optax.sgd, executor=executor)
    assert str(raised.value) == (
        "optimizer sgd: found a function, which other processes can't be sent; "
        'expected a declared one, such as {"kind": "adamw", "weight_decay": 1e-4}'
    )
    wired = cj.neural.random_dag("window", inputs=4, neurons=6, in_degree=2, window=4)
    neurons = cj.neural.model(wired, cap="softmax", loss="cross_entropy")
    data = {"x": np.zeros((8, 4)), "y": np.zeros(8, np.int32)}
    with pytest.raises(ValueError) as raised:
        cj.sweep(neurons, data, rates, executor=executor, progress=False)
    assert str(raised.value) == (
        "network 'neurons': found a network of neurons; expected a graph of capsules: "
        "others run in this process"
    )


class Taken(Exception):
    """The job has been taken."""


class Taker:
    """An executor that keeps the job, and runs nothing."""

    remote = True
    job = b""

    def start(self, job: bytes) -> None:
        self.job = job

    def run(self, tasks: Any, programs: Any, choices: Any) -> Any:
        raise Taken

    def close(self) -> None:
        pass


def job_of(over: Any, **more: Any) -> bytes:
    taker = Taker()
    with pytest.raises(Taken):
        swept(over, executor=taker, **more)
    return taker.job


def test_a_job_that_grows_keeps_its_programs():
    sizes = {"batch_size": [8], "learning_rate": RATES}
    first = Work(job_of(sizes))
    program = first._program(0)
    grown = Work(job_of({**sizes, "batch_size": [8, 12]}), first)
    assert grown._program(0) is program
    assert grown._program(1) is not program
    assert grown._program(1).train["x"] is program.train["x"]
    for other in (job_of(sizes, epochs=3), job_of(sizes, optimizer="sgd")):
        assert Work(other, first)._program(0) is not program


def test_errors_that_can_not_be_sent_are_told(monkeypatch):
    """Some of JAX's are made of a tracer: another process could not make them."""
    work = Work(job_of({"learning_rate": [0.1]}))

    def fails(unit: str, carries: bytes | None) -> bytes:
        jax.jit(lambda x: x if x > 0 else -x)(1.0)
        return b""

    monkeypatch.setattr(work, "_run", fails)
    with pytest.raises(RuntimeError) as raised:
        work.run("", None)
    assert str(raised.value).startswith("TracerBoolConversionError: Attempted boolean")


def test_workers_leave_with_the_process_that_started_them(tmp_path):
    """Also where it could not tell them."""
    script = tmp_path / "script.py"
    script.write_text(
        "import os\n"
        "from capsjax.sweep.executors.processes import _Process\n"
        "if __name__ == '__main__':\n"
        "    worker = _Process()\n"
        "    print(worker.ready.result(), flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL
    pid = int(done.stdout)
    for _ in range(100):
        if not psutil.pid_exists(pid):
            break
        time.sleep(0.05)
    assert not psutil.pid_exists(pid)
