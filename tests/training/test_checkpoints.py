"""Checkpoints: when they are due, which are kept, that a run goes on from them."""

import json
import logging
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

import capsjax as cj
from capsjax.training.checkpoints import Checkpoints, Saved, newest
from capsjax.training.checkpoints.reading import numbers_in
from tests.training.checkpointing import (
    ALL_PASSES,
    MORE,
    ROWS,
    blocks,
    carry_of,
    files,
    opened,
    same,
    tiny,
    write,
)


@pytest.fixture(scope="module")
def net() -> cj.Network:
    return cj.compile(tiny())


@pytest.fixture(scope="module")
def carry(net):
    return carry_of(net, seed=1)


def test_all_that_is_saved_comes_back(net, carry, tmp_path):
    rows = [*ROWS, {"epoch": 2, "loss": float("nan"), "accuracy": np.float32(0.1)}]
    with opened(tmp_path / "new" / "run", net) as checkpointer:
        assert checkpointer.latest(carry) is None
        checkpointer.save(Saved(7, carry, rows, MORE))
        saved = checkpointer.latest(carry)
    assert saved is not None
    same(saved.carry, carry)
    assert saved.more == MORE and saved.rows[0] == ROWS[0]
    assert np.isnan(saved.rows[1]["loss"])
    assert saved.rows[1]["accuracy"] == float(np.float32(0.1))
    assert checkpointer.warnings == []


def test_what_stands_on_disk_is_safetensors_and_json(net, carry, tmp_path):
    write(tmp_path, net, carry, 7)
    found = [path for path in tmp_path.rglob("*") if path.is_file()]
    orbaxs = {"_CHECKPOINT_METADATA", "commit_success.txt"}
    names = [str(p.relative_to(tmp_path)) for p in found if p.name not in orbaxs]
    arrays = "checkpoints/000001/run/arrays-00000-of-00001.safetensors"
    record = "checkpoints/000001/run/checkpoint.json"
    assert sorted(names) == [".lock", arrays, record]
    content = json.loads((tmp_path / record).read_text())
    assert (content["steps"], content["rows"], content["more"]) == (7, ROWS, MORE)
    stored = safetensors.numpy.load_file(tmp_path / arrays)
    assert stored.keys() == content["arrays"].keys()
    same(stored["params/y:W:x#2"], net.named(carry["params"])["y"]["W"]["x#2"])
    assert {"optimizer[0].mu/y:B", "optimizer[0].count", "key"} < stored.keys()


def test_saved_arrays_may_be_donated(net, carry, tmp_path):
    step = jax.jit(lambda c: jax.tree.map(lambda a: a + 1, c), donate_argnums=0)
    now = jax.tree.map(jnp.copy, carry)
    with opened(tmp_path, net, keep=5) as checkpointer:
        expected = []
        for steps in range(4):
            expected.append(jax.tree.map(np.array, now))
            checkpointer.save(Saved(steps, now, [], {}))
            now = step(now)
        for steps in reversed(range(4)):
            saved = checkpointer.latest(carry)
            assert saved is not None and saved.steps == steps
            same(saved.carry, expected[steps])
            (files(tmp_path, steps + 1) / "checkpoint.json").unlink()


def test_it_can_be_read_without_the_lock(net, carry, tmp_path):
    write(tmp_path, net, carry, 7)
    with opened(tmp_path, net):
        saved, warnings, damaged = newest(tmp_path / "checkpoints", net, carry)
    assert saved is not None and saved.steps == 7 and (warnings, damaged) == ([], [])
    assert newest(tmp_path / "none", net, carry) == (None, [], [])


def test_due_by_steps():
    due = _due(every_steps=10, every_seconds=None)
    assert [due(steps, 0.0) for steps in (0, 9, 10)] == [False, False, True]


def test_due_by_time():
    due = _due(every_seconds=60)
    assert [due(0, now) for now in (5.0, 64.0, 65.0)] == [False, False, True]
    assert not _due(every_seconds=None)(10**9, 1e9)


def _due(**policy):
    from capsjax.training.checkpoints.due import Due

    return Due(Checkpoints(**policy))


def test_due_again_after_a_save(net, carry, tmp_path):
    with opened(tmp_path, net, every_steps=10, every_seconds=60) as checkpointer:
        assert not checkpointer.due(0, 0.0)
        assert checkpointer.due(12, 1.0)
        checkpointer.save(Saved(12, carry, [], {}))
        assert [checkpointer.due(n, 2.0) for n in (13, 19, 20)] == [False, False, True]
        assert [checkpointer.due(13, t) for t in (60.5, 61.0)] == [False, True]


def test_due_after_the_best_epoch(net, carry, tmp_path):
    policy = dict(every_seconds=None, best="loss", keep=1)
    with opened(tmp_path, net, **policy) as checkpointer:
        for steps, loss in enumerate([0.5, float("nan"), 0.7, 0.2, 0.4]):
            row = {"loss": loss}
            if checkpointer.due(steps, 0.0, row):
                checkpointer.save(Saved(steps, carry, [row], {}), measured=True)
        checkpointer.save(Saved(9, carry, [{"loss": 0.0}], {}))
        with pytest.raises(ValueError, match="checkpoints: best='loss'\n.*'accuracy'"):
            checkpointer.due(10, 0.0, {"accuracy": 1})
    assert numbers_in(tmp_path / "checkpoints") == [2, 3]
    with opened(tmp_path, net, **policy) as checkpointer:  # it is known again
        assert not checkpointer.due(10, 0.0, {"loss": 0.3})
        assert checkpointer.due(10, 0.0, {"loss": 0.1})
        checkpointer.save(Saved(10, carry, [], {}))
        checkpointer.save(Saved(11, carry, [], {}))
    assert numbers_in(tmp_path / "checkpoints") == [2, 5]
    best = json.loads((files(tmp_path, 2) / "checkpoint.json").read_text())
    assert (best["steps"], best["value"]) == (3, 0.2)


@pytest.mark.parametrize("maximize, kept", [(False, {2, 4}), (True, {1, 4})])
def test_the_best_is_kept_beside_the_last(maximize, kept):
    policy = Checkpoints(keep=1, best="loss", maximize=maximize)
    assert policy.kept([1, 2, 3, 4], {1: 3.0, 2: 0.5, 3: 1.0}) == kept
    assert Checkpoints(keep=2).kept([1, 2, 3], {1: 0.0}) == {2, 3}


@pytest.mark.parametrize("keep", [1, 3])
def test_the_last_ones_are_kept(keep, net, carry, tmp_path):
    write(tmp_path, net, carry, 1, 2, 3, 4, 5, keep=keep)
    assert numbers_in(tmp_path / "checkpoints") == list(range(6 - keep, 6))


def test_a_run_may_go_back(net, carry, tmp_path):
    other = carry_of(net, seed=2)
    write(tmp_path, net, carry, 50)
    write(tmp_path, net, other, 40, 40)
    with opened(tmp_path, net) as checkpointer:
        saved = checkpointer.latest(carry)
    assert saved is not None and saved.steps == 40
    same(saved.carry, other)


@pytest.mark.parametrize(
    "wrong, text",
    [
        ({"keep": 0}, "checkpoints: keep is 0; expected a whole number, at least 1"),
        ({"keep": True}, "keep is True"),
        ({"every_steps": 1.5}, "every_steps is 1.5; .* at least 1, or None"),
        ({"every_seconds": 0}, "every_seconds is 0; expected a number of seconds"),
        ({"every_seconds": float("nan")}, "every_seconds is nan"),
        ({"every_seconds": True}, "every_seconds is True"),
        ({"best": ""}, "best is ''; expected a column of the history, or None"),
        ({"maximize": 1}, "maximize is 1; expected True or False"),
    ],
)
def test_a_policy_that_is_none_is_refused(wrong, text):
    with pytest.raises(ValueError, match=text):
        Checkpoints(**wrong)


def test_what_is_no_plain_data_is_refused(net, carry, tmp_path):
    with opened(tmp_path, net) as checkpointer:
        with pytest.raises(
            ValueError, match="what is saved more of a checkpoint\n.*ob"
        ):
            checkpointer.save(Saved(1, carry, [], {"place": object()}))
        with pytest.raises(ValueError, match="the history of a checkpoint"):
            checkpointer.save(Saved(1, carry, [{"loss": {1, 2}}], {}))
        checkpointer.save(Saved(1, carry, [], {}))
    with pytest.raises(ValueError, match="closed; open it again"):
        checkpointer.save(Saved(1, carry, [], {}))


def test_orbax_is_silent_and_leaves_no_thread(net, carry, tmp_path, caplog, capfd):
    before = threading.active_count()
    caplog.set_level(logging.DEBUG, logger="absl")
    write(tmp_path, net, carry, 1, 2, 3, 4)
    assert threading.active_count() <= before
    assert capfd.readouterr() == ("", "") and not caplog.records
    logging.getLogger("absl").warning("others' messages are as they were")
    assert len(caplog.records) == 1


def test_orbax_is_imported_where_checkpoints_are_written():
    code = (
        "import sys, capsjax.training.checkpoints; "
        "assert not {'orbax', 'tensorstore', 'safetensors'} & set(sys.modules)"
    )
    root = Path(cj.__file__).parent.parent
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, cwd=root)


def test_parts_of_several_processes_make_one_carry(net, carry, tmp_path):
    """A checkpoint of one is split as four processes would have written it."""
    from capsjax.training.checkpoints.arrays import digest, file_name

    write(tmp_path, net, carry, 7)
    folder = files(tmp_path, 1)
    whole = safetensors.numpy.load_file(folder / file_name(0, 1))
    os.unlink(folder / file_name(0, 1))
    shares: list[dict[str, np.ndarray]] = [{}, {}, {}, {}]
    for number, (name, array) in enumerate(sorted(whole.items())):
        if array.ndim == 2:  # 4 rows, 3 columns
            for rows in range(4):
                shares[rows][f"{name}@{rows},0"] = array[rows : rows + 1, :2].copy()
                shares[(rows + 1) % 4][f"{name}@{rows},2"] = array[rows : rows + 1, 2:]
        else:
            shares[number % 4][name] = array
    content = json.loads((folder / "checkpoint.json").read_text())
    content["files"] = {}
    for number, share in enumerate(shares):
        path = folder / file_name(number, 4)
        share = {name: np.array(array, order="C") for name, array in share.items()}
        safetensors.numpy.save_file(share, path)
        size, sha256 = digest(path)
        content["files"][path.name] = {"bytes": size, "sha256": sha256}
    _seal(folder, content)
    saved, warnings, _ = newest(tmp_path / "checkpoints", net, carry)
    assert saved is not None and not warnings
    same(saved.carry, carry)


def _seal(folder: Path, content: dict) -> None:
    from capsjax.training.checkpoints.record import write_record

    content = {
        k: v for k, v in content.items() if k not in ("sha256", "format_version")
    }
    (folder / "checkpoint.json").write_bytes(write_record(folder, content))


@pytest.mark.processes
def test_sharded_arrays_are_saved_by_part_and_loaded_in_any_sharding(tmp_path):
    root = Path(cj.__file__).parent.parent
    flags = "--xla_force_host_platform_device_count=8"
    done = subprocess.run(
        [sys.executable, "-m", "tests.training.sharded_checkpoints", str(tmp_path)],
        env={**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        cwd=root,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "equal\n", done.stderr


@pytest.mark.processes
def test_several_processes_write_one_checkpoint_and_one_reads_it(tmp_path):
    """And the other way round: four read what one has written."""
    root = Path(cj.__file__).parent.parent
    with socket.create_server(("localhost", 0)) as server:
        port = server.getsockname()[1]
    network = cj.compile(blocks(), passes=ALL_PASSES)
    with jax.enable_x64(False):
        alone = carry_of(network)
    write(tmp_path, network, alone, 7)
    started = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.training.distributed_checkpoints"),
                *(str(rank), str(port), str(tmp_path)),
            ],
            env={**os.environ, "JAX_PLATFORMS": "cpu"},
            cwd=root,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(4)
    ]
    for process in started:
        out, errors = process.communicate()
        assert "equal" in out, errors
    assert len(list(files(tmp_path, 3).glob("arrays-*-of-00004.safetensors"))) == 4
    with opened(tmp_path, network) as checkpointer:
        saved = checkpointer.latest(alone)
    assert saved is not None and saved.steps == 9 and not checkpointer.warnings
    same(saved.carry, jax.tree.map(lambda a: a + 1, alone))
