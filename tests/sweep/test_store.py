"""A sweep's folder: what is done stays done, and nothing of others is touched."""

import json

import numpy as np
import pandas as pd
import pytest

import capsjax as cj
from capsjax.sweep import lengths, store, strategy
from capsjax.sweep import unit as sweep_unit
from capsjax.sweep.executors import base
from tests.sweep.helpers_sweep import examples, plain, same, swept

OVER = {"learning_rate": [0.003, 0.01, 0.03, 0.1, 1e-4]}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A sweep of five units that was never broken off, and its folder."""
    folder = tmp_path_factory.mktemp("whole") / "sweep"
    return swept(OVER, strategy="loop", out=folder), folder


def counted(monkeypatch):
    """Counts the units that are run from now on."""
    runs = []
    original = base.run_unit

    def run(compiled, unit, *more):
        runs.append([member.number for member in unit.members])
        return original(compiled, unit, *more)

    monkeypatch.setattr(base, "run_unit", run)
    return runs


def equal(one, two):
    pd.testing.assert_frame_equal(one.table, two.table, check_exact=True)
    pd.testing.assert_frame_equal(one.history, two.history, check_exact=True)


def test_what_stands_in_the_folder(whole):
    result, folder = whole
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["history.csv", "members", "sweep.json", "table.csv", "units"]
    table = pd.read_csv(folder / "table.csv", index_col="member")
    np.testing.assert_array_equal(table["loss"], result.table["loss"])
    assert len(pd.read_csv(folder / "history.csv")) == len(result.history) == 10
    members = sorted(path.name for path in (folder / "members").iterdir())
    assert members == ["00000", "00001", "00002", "00003", "00004"]
    own = folder / "members" / "00003"
    assert sorted(path.name for path in own.iterdir()) == [
        *("graph.json", "parameters.safetensors", "settings.json"),
    ]
    assert cj.load(own / "graph.json") == plain()
    settings = json.loads((own / "settings.json").read_text())
    assert settings == {"values": {"learning_rate": 0.1}, "seed": 0}
    net = cj.compile(plain())
    read = net.from_named(cj.load_parameters(own / "parameters.safetensors"))
    assert same(read, result.params(3))
    assert len(list((folder / "units").iterdir())) == 5


def test_called_again_nothing_is_trained(whole, monkeypatch):
    result, folder = whole
    runs = counted(monkeypatch)
    again = swept(OVER, strategy="loop", out=folder)
    assert runs == [] and again.compilations == 0
    equal(again, result)
    assert same(again.params(2), result.params(2))
    assert again.folder == folder


@pytest.mark.parametrize("after", [1, 3])
def test_broken_off_it_goes_on_and_ends_alike(whole, tmp_path, monkeypatch, after):
    """An interrupt after some units: only the others are run, and the end is equal."""
    result, _ = whole
    folder = tmp_path / "sweep"
    original, done = base.run_unit, []

    def until(compiled, unit, *more):
        if len(done) == after:
            raise KeyboardInterrupt
        done.append(unit)
        return original(compiled, unit, *more)

    with monkeypatch.context() as patch:
        patch.setattr(base, "run_unit", until)
        patch.setattr(strategy, "processors", lambda: 1)
        with pytest.raises(KeyboardInterrupt):
            swept(OVER, strategy="loop", out=folder)
    table = pd.read_csv(folder / "table.csv")
    assert (table["status"] == "done").sum() == after
    runs = counted(monkeypatch)
    again = swept(OVER, strategy="loop", out=folder)
    assert len(runs) == 5 - after
    equal(again, result)


def test_a_unit_that_is_broken_off_goes_on_where_it_was(tmp_path, monkeypatch):
    """In mid-row, from what it carries: nothing is learned twice, bit by bit."""
    more = {"epochs": 4, "every": 12, "strategy": "loop"}
    expected = swept({"learning_rate": [0.01]}, **more)
    monkeypatch.setattr(sweep_unit, "_AT_ONCE_S", 0.0)  # a block in each call
    monkeypatch.setattr(lengths, "_MOST_IN_BLOCK", 4)
    monkeypatch.setattr(sweep_unit, "_SAVED_EVERY_S", 0.0)
    original, blocks = sweep_unit._feeds, []

    def until(compiled, unit, start, stop):
        blocks.append(start)
        if len(blocks) == 5:
            raise KeyboardInterrupt
        return original(compiled, unit, start, stop)

    folder = tmp_path / "sweep"
    with monkeypatch.context() as patch:
        patch.setattr(sweep_unit, "_feeds", until)
        with pytest.raises(KeyboardInterrupt):
            swept({"learning_rate": [0.01]}, out=folder, **more)
    blocks.clear()
    monkeypatch.setattr(
        sweep_unit, "_feeds", lambda *a: blocks.append(a[2]) or original(*a)
    )
    again = swept({"learning_rate": [0.01]}, out=folder, **more)
    assert blocks[0] == 4  # of six, in the second row
    equal(again, expected)
    assert same(again.params(0), expected.params(0))


def test_only_the_best_are_kept(tmp_path):
    folder = tmp_path / "sweep"
    result = swept(OVER, out=folder, keep=2, strategy="loop")
    kept = sorted(int(path.name) for path in (folder / "members").iterdir())
    assert kept == sorted(result.best(2).index)
    result.params(kept[0])
    again = swept(OVER, out=folder, keep=2, strategy="loop")
    assert same(again.params(), result.params())
    equal(again, result)


@pytest.mark.parametrize(
    "change, part",
    [
        ({"over": {"learning_rate": [0.003]}}, "other axes and members"),
        ({"graph": plain(units=9)}, "other graphs"),
        ({"optimizer": "sgd"}, "other optimizers"),
        ({"epochs": 3}, "epochs 2 there, 3 here"),
        ({"batch_size": 4}, "other batch sizes, types and scales"),
        ({"strategy": "vmap"}, "strategy 'loop' there, 'vmap' here"),
        ({"validation": examples(9, 2)}, "other data"),
    ],
)
def test_the_folder_of_another_sweep_is_left_alone(whole, change, part):
    _, folder = whole
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    more = {"strategy": "loop", "out": folder, **change}
    over = more.pop("over", OVER)
    with pytest.raises(FileExistsError) as error:
        swept(over, **more)
    assert str(error.value) == (
        f"{folder} holds another sweep: {part}; choose another folder, or remove this "
        "one; nothing was overwritten"
    )
    assert before == {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_another_search_is_another_sweep(whole):
    _, folder = whole
    with pytest.raises(
        FileExistsError, match="search {'kind': 'all'} there, {'eta': 2"
    ):
        swept(OVER, strategy="loop", out=folder, search=cj.halving(2))


def test_what_is_wrong_leaves_no_folder(tmp_path):
    for wrong in ({"metric": "no"}, {"every": 5}, {"over": {"h.features": [0]}}):
        more = {"out": tmp_path / "sweep", **wrong}
        with pytest.raises(ValueError):
            swept(more.pop("over", OVER), **more)
    assert not (tmp_path / "sweep").exists()


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(FileExistsError, match="is not empty and holds no sweep; ch"):
        swept(OVER, out=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


@pytest.mark.parametrize("text", ["{", "[1]", '{"format_version": 7}'])
def test_a_damaged_description_is_said(tmp_path, text):
    (tmp_path / "sweep.json").write_text(text)
    with pytest.raises(FileExistsError) as error:
        swept(OVER, out=tmp_path)
    assert str(tmp_path) in str(error.value)
    assert (tmp_path / "sweep.json").read_text() == text


@pytest.mark.parametrize("damage", ["cut", "flipped", "other"])
def test_a_damaged_unit_is_named_with_its_cure(whole, tmp_path, damage):
    import shutil

    _, folder = whole
    copy = tmp_path / "sweep"
    shutil.copytree(folder, copy)
    path = sorted((copy / "units").iterdir())[0]
    content = path.read_bytes()
    spoiled = {
        "cut": content[: len(content) // 2],
        "flipped": content[:20] + bytes([content[20] ^ 255]) + content[21:],
        "other": b"not a file of arrays",
    }
    path.write_bytes(spoiled[damage])
    with pytest.raises(ValueError) as error:
        swept(OVER, strategy="loop", out=copy)
    assert str(path) in str(error.value) and "cure: remove it" in str(error.value)


def test_a_folder_that_can_not_be_written_is_said(tmp_path, monkeypatch):
    def refuse(*arguments):
        raise OSError(28, "No space left on device", "somewhere")

    monkeypatch.setattr(store, "write_atomically", refuse)
    with pytest.raises(OSError, match="No space left on device"):
        swept(OVER, out=tmp_path / "sweep")
