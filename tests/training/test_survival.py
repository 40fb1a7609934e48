"""A run that is broken off and gone on with is the run that never was, bit by bit."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import capsjax as cj
from capsjax.training import loop
from tests.training import surviving

pytestmark = pytest.mark.processes

BREAKS = {"plain": [1, 9], "masked": [22], "guarded": [13], "streamed": [13]}
"""Steps: within the first epoch, at its end, and behind it."""


@pytest.fixture(autouse=True)
def hearing():
    """What a shell starts in the background is deaf to SIGINT, and so are its tests."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def short_calls(monkeypatch):
    """Calls of four steps, so that signals are noticed in mid-epoch."""
    monkeypatch.setattr(loop.Loop, "_count", lambda self: 4)


def same(one: cj.Run, two: cj.Run) -> None:
    for a, b in zip(
        jax.tree.leaves((one.params, one.state, one.average)),
        jax.tree.leaves((two.params, two.state, two.average)),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)
    columns = [name for name in one.history if name != "seconds"]
    assert one.history[columns].equals(two.history[columns])


def breaking(at: int, number: int = signal.SIGINT):
    """What sends this process a signal behind a step."""

    def trace(step, params, state):
        if step == at:
            os.kill(os.getpid(), number)

    return trace


@pytest.mark.parametrize(
    ("way", "at"), [(way, at) for way, steps in BREAKS.items() for at in steps]
)
def test_a_run_that_a_signal_ended_goes_on(tmp_path, way, at):
    whole = surviving.fit(way)
    with pytest.raises(cj.Interrupted, match="SIGINT came: .* after step") as caught:
        surviving.fit(way, folder=tmp_path / "run", trace=breaking(at))
    assert caught.value.exit_code == 130
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    again = surviving.fit(way, folder=tmp_path / "run", resume=True)
    same(whole, again)
    if way == "plain":
        same(whole, cj.load_run(tmp_path / "run", again.net))


def test_sigterm_is_143(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(cj.Interrupted) as caught:
        stop = breaking(5, signal.SIGTERM)
        surviving.fit("plain", folder=tmp_path / "run", trace=stop)
    assert caught.value.exit_code == 143
    assert signal.getsignal(signal.SIGTERM) is before


def test_without_a_folder_a_signal_does_what_it_does():
    with pytest.raises(KeyboardInterrupt) as caught:
        surviving.fit("plain", trace=breaking(5))
    assert not isinstance(caught.value, cj.Interrupted)


def test_more_epochs_than_before(tmp_path):
    surviving.fit("plain", folder=tmp_path / "run", epochs=2)
    longer = surviving.fit("plain", folder=tmp_path / "run", epochs=5, resume=True)
    same(surviving.fit("plain", epochs=5), longer)


def test_a_run_that_is_over_is_read_again(tmp_path):
    first = surviving.fit("plain", folder=tmp_path / "run")
    same(first, surviving.fit("plain", folder=tmp_path / "run", resume=True))


def test_checkpoints_by_step_and_by_the_best(tmp_path):
    kept = cj.Checkpoints(every_steps=5, keep=2, best="validation_loss")
    surviving.fit("plain", folder=tmp_path / "run", checkpoints=kept)
    found = sorted((tmp_path / "run" / "checkpoints").iterdir())
    assert 2 <= len(found) <= 3


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({}, "holds a run already; .* resume=True"),
        ({"resume": True, "seed": 3}, "holds another run: seed 0 there, 3 here"),
        ({"resume": True, "batch_size": 5}, "batch size 8 there, 5 here"),
        ({"resume": True, "spoil": True}, "holds another run: other data"),
    ],
)
def test_another_run_is_refused_and_nothing_lost(tmp_path, more, message):
    folder = tmp_path / "run"
    surviving.fit("plain", folder=folder, epochs=1)
    files = [path for path in folder.rglob("*") if path.is_file()]
    before = {path: path.read_bytes() for path in files if path.name != ".lock"}
    with pytest.raises(FileExistsError, match=message):
        surviving.fit("plain", folder=folder, epochs=1, **more)
    assert {path: path.read_bytes() for path in before} == before


def test_a_folder_that_holds_something_else_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="not empty and holds no run"):
        surviving.fit("plain", folder=tmp_path, resume=True)


BEGUN = [".lock", "graph.json", ".run.json.x1"]
"""What a process leaves that is killed before run.json stands."""


@pytest.mark.parametrize("resume", [False, True])
def test_a_beginning_that_was_killed_is_begun_again(tmp_path, resume):
    (tmp_path / "checkpoints").mkdir()
    for name in BEGUN:
        (tmp_path / name).write_text("")
    surviving.fit("plain", folder=tmp_path, resume=resume, epochs=1)
    assert (tmp_path / "parameters.safetensors").exists()


@pytest.mark.parametrize("names", [BEGUN[1:], [*BEGUN, "notes.txt"]])
def test_nothing_else_is_taken_for_a_beginning(tmp_path, names):
    for name in names:
        (tmp_path / name).write_text("mine")
    with pytest.raises(FileExistsError, match="not empty and holds no run"):
        surviving.fit("plain", folder=tmp_path, resume=True)
    assert {each.read_text() for each in tmp_path.iterdir()} == {"mine"}


def test_resume_without_a_folder_is_refused():
    with pytest.raises(ValueError, match="resume was given without a folder"):
        surviving.fit("plain", resume=True)


def test_killed_at_any_moment_and_in_another_process_the_bits_are_the_same(tmp_path):
    """Kill -9, and twice the same seed: bench.survival kills fifty times."""

    def start(name):
        root = str(Path(__file__).parents[2])
        return subprocess.Popen(
            [sys.executable, surviving.__file__, str(tmp_path / name)],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": root, "JAX_ENABLE_X64": "1"},
        )

    def outcome(name):
        return (tmp_path / name / "parameters.safetensors").read_bytes()

    for name in ("one", "two"):
        process = start(name)
        process.communicate()
        assert process.returncode == 0
    killed = start("killed")
    assert killed.stdout is not None
    for _ in range(20):  # rows: it is at work, and keeps checkpoints all the while
        assert killed.stdout.readline() == "row\n"
    killed.kill()
    killed.communicate()
    assert not (tmp_path / "killed" / "parameters.safetensors").exists()
    again = start("killed")
    again.communicate()
    assert again.returncode == 0
    assert outcome("one") == outcome("two") == outcome("killed")
