"""Writers: rows as they come, exact where a run goes on, and clear where they fail."""

import builtins

import numpy as np
import pandas as pd
import pytest

import capsjax as cj

ROWS = [
    {"epoch": n, "seconds": n / 8, "loss": 1 / (3 * n), "validation_loss": np.nan}
    for n in range(1, 6)
]


def write(writer, rows):
    for row in rows:
        writer(row)
    writer.close()


def test_the_file_is_that_of_the_history(tmp_path):
    path = tmp_path / "deep" / "run.csv"
    numbers = [
        {k: np.float64(v) if k == "loss" else v for k, v in r.items()} for r in ROWS
    ]
    write(cj.writers.csv(path), numbers)
    assert path.read_text() == pd.DataFrame(ROWS).to_csv(index=False)


def test_others_see_each_row_at_once(tmp_path):
    writer = cj.writers.csv(tmp_path / "run.csv")
    for count, row in enumerate(ROWS, 1):
        writer(row)
        assert len((tmp_path / "run.csv").read_text().splitlines()) == count + 1
    writer.close()
    writer.close()


@pytest.mark.parametrize("broken_off_at", range(5))
@pytest.mark.parametrize("resumed_at", range(5))
def test_going_on_is_exact(tmp_path, broken_off_at, resumed_at):
    path = tmp_path / "run.csv"
    write(cj.writers.csv(path), ROWS[:broken_off_at])
    with path.open("a") as file:
        file.write("5,0.6")  # a line that was not written to its end
    write(cj.writers.csv(path), ROWS[min(resumed_at, broken_off_at) :])
    assert path.read_text() == pd.DataFrame(ROWS).to_csv(index=False)


def test_a_run_that_is_rolled_back(tmp_path):
    write(cj.writers.csv(tmp_path / "run.csv"), [*ROWS[:4], ROWS[2]])
    found = pd.read_csv(tmp_path / "run.csv")
    assert list(found["epoch"]) == [1, 2, 3]


def test_a_column_that_comes_later(tmp_path):
    rows = [{"step": 10, "loss": 0.5}, {"step": 20, "loss": 0.25, "norm": 2.0}]
    write(cj.writers.csv(tmp_path / "run.csv"), [*rows, {"step": 30, "loss": 0.125}])
    assert (tmp_path / "run.csv").read_text() == (
        "step,loss,norm\n10,0.5,\n20,0.25,2.0\n30,0.125,\n"
    )


def test_files_and_rows_of_another_kind(tmp_path):
    path = tmp_path / "other.csv"
    path.write_text("a,b\n1,2\n")
    text = (
        "other.csv: found the columns a, b; expected those of a history, with 'epoch'"
    )
    with pytest.raises(ValueError, match=text):
        cj.writers.csv(path)(ROWS[0])
    assert path.read_text() == "a,b\n1,2\n"
    with pytest.raises(ValueError, match="found a row with loss; expected 'epoch' or"):
        cj.writers.csv(tmp_path / "new.csv")({"loss": 1.0})


def scalars(folder):
    """Tags, steps and values as they stand in the files of events."""
    event_of = pytest.importorskip("tensorboardX.proto.event_pb2").Event.FromString
    found = []
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        while content:
            size = int.from_bytes(content[:8], "little")
            event = event_of(content[12 : 12 + size])
            content = content[16 + size :]
            for value in event.summary.value:
                found.append((value.tag, event.step, value.simple_value))
    return found


def test_tensorboard(tmp_path):
    pytest.importorskip("tensorboardX")
    writer = cj.writers.tensorboard(tmp_path)
    write(writer, [{"epoch": 3, "loss": np.float32(0.5), "validation_y_loss": 0.25}])
    expected = [("training/loss", 3, 0.5), ("validation/y_loss", 3, 0.25)]
    assert scalars(tmp_path) == expected
    writer.close()


def test_tensorboard_forgets_later_steps_where_a_run_goes_on(tmp_path):
    event = pytest.importorskip("tensorboardX.proto.event_pb2")
    write(cj.writers.tensorboard(tmp_path), [{"step": 40, "loss": 0.5}])
    (path,) = tmp_path.iterdir()
    start = event.SessionLog(status=event.SessionLog.START)
    assert start.SerializeToString() in path.read_bytes()


def test_tensorboard_that_is_not_there(tmp_path, monkeypatch):
    real = builtins.__import__

    def absent(name, *rest):
        if name == "tensorboardX":
            raise ModuleNotFoundError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", absent)
    text = r"needs tensorboardX; cure: pip install 'capsjax\[tensorboard\]'"
    with pytest.raises(ModuleNotFoundError, match=text):
        cj.writers.tensorboard(tmp_path)
