"""Checkpoints under faults: damage, full disks, killed processes, a second run."""

import os
import random
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import pytest

import capsjax as cj
from bench.checkpoint_faults import attempt, mutated
from capsjax.training.checkpoints import Checkpointer, Checkpoints, Saved, newest
from capsjax.training.checkpoints import handler as handler_module
from capsjax.training.checkpoints import record as record_module
from capsjax.training.checkpoints.reading import numbers_in
from tests.training.checkpointing import (
    MORE,
    ROWS,
    carry_of,
    files,
    opened,
    same,
    tiny,
    write,
)

ROOT = Path(cj.__file__).parent.parent
ARRAYS = "arrays-00000-of-00001.safetensors"
RECORD = "checkpoint.json"


@pytest.fixture(scope="module")
def net() -> cj.Network:
    return cj.compile(tiny())


@pytest.fixture(scope="module")
def carry(net):
    return carry_of(net, seed=1)


@pytest.fixture(scope="module")
def made(net, carry, tmp_path_factory) -> Path:
    """A run with three checkpoints; tests take copies."""
    folder = tmp_path_factory.mktemp("made")
    write(folder, net, carry, 10, 20, 30)
    return folder


@pytest.fixture
def run(made, tmp_path) -> Path:
    return shutil.copytree(made, tmp_path / "run")


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-9] ^= 4
    path.write_bytes(content)


def empty_folder(path: Path) -> None:
    shutil.rmtree(path.parent.parent)
    path.parent.parent.mkdir()


def a_file(path: Path) -> None:
    shutil.rmtree(path.parent.parent)
    path.parent.parent.write_text("no folder")


DAMAGE: list[tuple[Any, str, str]] = [
    (truncate, ARRAYS, "has [0-9,]+ bytes of"),
    (truncate, RECORD, "checkpoint.json is no JSON"),
    (flip, ARRAYS, "is not as it was written: its SHA-256 differs"),
    (flip, RECORD, "checkpoint.json is "),
    (Path.unlink, ARRAYS, "is missing"),
    (Path.unlink, RECORD, "checkpoint.json is missing"),
    (empty_folder, RECORD, "checkpoint.json is missing"),
    (a_file, RECORD, "checkpoint.json is missing"),
    (lambda path: path.write_bytes(b"[" * 100_000), RECORD, "is no JSON"),
    (lambda path: path.write_bytes(b"9" * 10_000), RECORD, "is no JSON"),
    (lambda path: path.write_bytes(b"\xff"), RECORD, "is no JSON"),
    (lambda path: path.write_bytes(b"[]"), RECORD, "SHA-256 differs"),
]


@pytest.mark.parametrize("damage, name, why", DAMAGE)
def test_the_good_one_before_a_damaged_one_is_used(damage, name, why, run, net, carry):
    damage(files(run, 3) / name)
    truncate(files(run, 2) / ARRAYS)
    with opened(run, net) as checkpointer:
        saved = checkpointer.latest(carry)
        assert saved is not None and saved.steps == 10
        same(saved.carry, carry)
        assert len(checkpointer.warnings) == 2
        first, second = checkpointer.warnings
        assert f"{run}/checkpoints/000003 is damaged: " in first
        assert f"; {run}/checkpoints/000001 (step 10) is used" in first
        assert "000002 is damaged" in second
        checkpointer.latest(carry)
        assert len(checkpointer.warnings) == 2
        assert re.search(why, first), first
        # The run goes on: what is damaged counts for nothing, and goes in the end.
        checkpointer.save(Saved(11, carry, [], {}))
        checkpointer.wait()
        assert 1 in numbers_in(run / "checkpoints")
        for steps in (12, 13, 14):
            checkpointer.save(Saved(steps, carry, [], {}))
    with opened(run, net) as checkpointer:
        saved = checkpointer.latest(carry)
        assert saved is not None and saved.steps == 14
        assert not checkpointer.warnings


def test_if_none_is_sound_one_error_says_so(run, net, carry):
    for number in (1, 2, 3):
        truncate(files(run, number) / ARRAYS)
    with opened(run, net) as checkpointer:
        with pytest.raises(ValueError, match="no checkpoint in .* is sound") as caught:
            checkpointer.latest(carry)
    assert "3, each damaged: 000003: arrays-00000" in str(caught.value)
    assert "cure:     restore them from a copy" in str(caught.value)


def test_half_written_ones_are_removed(run, net, carry):
    half = run / "checkpoints" / "000004.orbax-checkpoint-tmp" / "run"
    shutil.copytree(files(run, 3), half)
    with opened(run, net) as checkpointer:
        saved = checkpointer.latest(carry)
        assert saved is not None and saved.steps == 30 and not checkpointer.warnings
        checkpointer.save(Saved(40, carry, [], {}))
    assert not half.parent.exists()


def test_another_run_is_refused(run, net, carry):
    other = {"seed": 1, "data": "b" * 64}
    with pytest.raises(ValueError, match="are of another run: data, seed differ") as e:
        Checkpointer.open(run, net, Checkpoints(), other)
    assert "seed 0, in the checkpoint" in str(e.value)
    assert "seed 1, of this run" in str(e.value)
    with pytest.raises(ValueError, match="of another run: seed differ"):
        newest(run / "checkpoints", net, carry, {"seed": False})
    opened(run, net).close()  # the lock was given back


@pytest.mark.parametrize("seed", range(120))
def test_mutated_checkpoints_are_refused_or_equal(seed, made, net, carry, tmp_path):
    folder = tmp_path / "checkpoints"
    shutil.copytree(files(made, 3), files(tmp_path, 1))
    mutated(random.Random(seed), files(tmp_path, 1))
    outcome = attempt(folder, net, carry, MORE)
    assert outcome.result in ("refused", "equal", "another"), outcome


# Disks


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file becomes longer than this, as where a disk is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [0, 100, 1000, 3000])
def test_a_full_disk_leaves_the_others_as_they_were(size, run, net, carry):
    before, large = _content(run), {**carry, "padding": jnp.zeros(1000)}
    with opened(run, net) as checkpointer:
        with full_disk(size):
            with pytest.raises(OSError, match="the checkpoint can't be wri") as caught:
                checkpointer.save(Saved(40, large, ROWS, MORE))
                checkpointer.wait()
            checkpointer.wait()  # it is said once
        assert "found:    File too large" in str(caught.value)
        assert "000003 (step 30) is as it was" in str(caught.value)
        assert _content(run) == before
        checkpointer.save(Saved(50, carry, ROWS, MORE))
        saved = checkpointer.latest(carry)
    assert saved is not None and saved.steps == 50


def _content(run: Path) -> dict[str, bytes]:
    found = {str(p.relative_to(run)): p for p in run.rglob("*") if p.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if name != ".lock"}


@pytest.mark.parametrize("when", ["next save", "wait", "latest", "close"])
def test_an_error_in_the_background_is_never_lost(when, run, net, carry, monkeypatch):
    def fail(*arguments: Any) -> None:
        raise MemoryError("none left")

    checkpointer = opened(run, net)
    with monkeypatch.context() as patch:
        patch.setattr(handler_module, "write_arrays", fail)
        checkpointer.save(Saved(40, carry, [], {}))
        calls = {
            "next save": lambda: checkpointer.save(Saved(41, carry, [], {})),
            "wait": checkpointer.wait,
            "latest": lambda: checkpointer.latest(carry),
            "close": checkpointer.close,
        }
        with pytest.raises(OSError, match="found:    MemoryError: none left"):
            calls[when]()
    checkpointer.close()
    with opened(run, net) as checkpointer:
        saved = checkpointer.latest(carry)
    assert saved is not None and saved.steps == 30


def test_an_error_in_the_background_hides_no_other(run, net, carry, monkeypatch):
    def fail(*arguments: Any) -> None:
        raise OSError(28, "full")

    monkeypatch.setattr(handler_module, "write_arrays", fail)
    with pytest.raises(KeyError, match="another") as caught, opened(run, net) as one:
        one.save(Saved(40, carry, [], {}))
        raise KeyError("another")
    assert "No space left on device" in caught.value.__notes__[0]
    opened(run, net).close()


def test_a_folder_that_is_none_is_refused(net, tmp_path):
    (tmp_path / "checkpoints").write_text("mine")
    with pytest.raises(OSError, match="the checkpoint can't be written to") as caught:
        opened(tmp_path, net)
    assert "there is no earlier one" in str(caught.value)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OSError, match="run folder .*\n    found:    "):
        opened(tmp_path / "file", net)
    (tmp_path / "checkpoints").unlink()
    opened(tmp_path, net).close()  # the lock was given back


@pytest.mark.parametrize("new", [True, False])
def test_a_folder_that_cannot_be_written_to_is_refused(new, run, net, tmp_path):
    """In a process that is not the administrator, whom nothing is refused."""
    if os.getuid() == 0 and not shutil.which("setpriv"):
        pytest.skip("no setpriv")
    folder = tmp_path / "own" if new else run
    folder.mkdir(exist_ok=True)
    locked = [p for p in (folder, *folder.rglob("*")) if p.is_dir()]
    code = (
        "import os, sys\n"
        "from tests.training.checkpointing import *\n"
        "net = cj.compile(tiny())\n"
        "if os.getuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "try: opened(sys.argv[1], net)\n"
        "except PermissionError as error: print(error)\n"
    )
    for path in [p for p in tmp_path.parents if p.stat().st_uid == os.getuid()]:
        if str(path).startswith("/tmp/"):
            path.chmod(0o755)
    tmp_path.chmod(0o755)
    for path in locked:
        path.chmod(0o555)
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    for path in locked:
        path.chmod(0o755)
    assert f"run folder {folder}\n    found:    Permission denied" in done.stdout, done


def test_a_history_too_long_to_be_read_back_is_refused(run, net, carry, monkeypatch):
    monkeypatch.setattr(record_module, "LARGEST", 2000)
    with opened(run, net) as checkpointer:
        checkpointer.save(Saved(40, carry, ROWS * 100, {}))
        with pytest.raises(ValueError, match="fewer rows of the history"):
            checkpointer.wait()
    assert numbers_in(run / "checkpoints") == [1, 2, 3]
