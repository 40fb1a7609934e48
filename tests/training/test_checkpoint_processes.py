"""Checkpoints of processes that are killed, and of a second one in the same folder."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jax
import pytest

import capsjax as cj
from tests.training.checkpointing import opened, same, tiny
from tests.training.killed_run import carry_at, network

pytestmark = pytest.mark.processes

ROOT = Path(cj.__file__).parent.parent


@pytest.fixture(scope="module")
def net() -> cj.Network:
    return cj.compile(tiny())


def start(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.training.killed_run", str(folder)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_second_process_is_refused_and_a_dead_one_is_not_waited_for(tmp_path):
    """Killed several times at random moments, also in a checkpoint."""
    net, moments = network(), random.Random(0)
    for _ in range(4):
        process = start(tmp_path)
        assert process.stdout is not None
        line = process.stdout.readline().split()
        assert line[0] == "open", process.communicate()
        found = 0
        for text in process.stdout:
            found = int(text.split()[1])
            if found >= int(line[1]) + 4:
                break
        with pytest.raises(BlockingIOError, match="is being written to by") as caught:
            opened(tmp_path, net)
        assert f"process {process.pid} on host" in str(caught.value)
        time.sleep(moments.random() * 0.05)
        process.send_signal(signal.SIGKILL)
        rest, _ = process.communicate()
        begun = [found, *(int(each.split()[1]) for each in rest.splitlines())]
        with opened(tmp_path, net) as checkpointer:
            saved = checkpointer.latest(carry_at_32(net, 0))
            assert saved is not None and not checkpointer.warnings
            # The last but one that was begun is whole: each waits for the one before.
            assert begun[-1] - 1 <= saved.steps <= begun[-1] + 1
            same(saved.carry, carry_at_32(net, saved.steps))
            assert saved.more == {"step": saved.steps}


def carry_at_32(net: cj.Network, steps: int) -> Any:
    with jax.enable_x64(False):
        return carry_at(net, steps)


def test_the_lock_says_who_holds_it(net, tmp_path):
    with opened(tmp_path, net):
        with pytest.raises(BlockingIOError, match="which is this one\n") as caught:
            opened(tmp_path, net)
        assert f"process {os.getpid()} on host" in str(caught.value)
        (tmp_path / ".lock").write_text("[[")
        with pytest.raises(BlockingIOError, match="written to by another process\n"):
            opened(tmp_path, net)
    opened(tmp_path, net).close()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")
def test_children_do_not_hold_the_lock(net, tmp_path):
    checkpointer = opened(tmp_path, net)
    receive, send = os.pipe()
    ready, say = os.pipe()
    child = os.fork()
    if child == 0:  # holds what it was given until the parent is done
        os.close(send)
        os.write(say, b"x")
        os.read(receive, 1)
        os._exit(0)
    os.read(ready, 1)
    with pytest.raises(BlockingIOError):
        opened(tmp_path, net)
    assert checkpointer._lock is not None
    checkpointer._lock.forget()  # as the kernel does where a process is killed
    opened(tmp_path, net).close()
    os.close(send)
    os.waitpid(child, 0)
    for descriptor in (receive, ready, say):
        os.close(descriptor)
    checkpointer.close()
