"""evaluate, predict, runs, compare, report: what they print, write, and refuse."""

import gzip
import json
import os
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import capsjax as cj
from capsjax.cli import app

NEW = ("evaluate", "predict", "runs", "compare", "report")


def graph(units, name):
    image = cj.input("image", (8, 8, 1))
    flat = cj.capsule("flat", cj.reshape(image, (-1,)), bias=None)
    h = cj.capsule("h", cj.matmul(flat, units), cap="relu")
    digit = cj.capsule("digit", cj.matmul(h, 10), cap="softmax")
    return cj.graph(digit, name=name, losses={"digit": "cross_entropy"})


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two runs, trained for a little while."""
    folder = tmp_path_factory.mktemp("made")
    data = cj.load_data("digits")
    for name, units, rate in (("first", 8, 0.01), ("second", 12, 0.02)):
        run = cj.fit(
            cj.compile(graph(units, name)),
            data,
            optimizer="adam",
            epochs=2,
            batch_size=64,
            progress=False,
        )
        told = {"data": {"name": "digits"}, "rate": rate, "seed": 0}
        run = cj.Run(run.net, run.params, run.state, run.history, told)
        run.save(folder / "runs" / name)
    return folder


@pytest.fixture
def here(made, tmp_path, monkeypatch):
    """A copy of them in an empty folder."""
    shutil.copytree(made / "runs", tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    return tmp_path


def call(*arguments):
    return CliRunner().invoke(app, arguments, prog_name="capsjax")


def words(text):
    return " ".join(text.split())


def fails(*arguments):
    """The one message of a command that is refused."""
    result = call(*arguments)
    assert result.exit_code == 1, result.output
    assert result.stderr.startswith("capsjax: ") and "Traceback" not in result.stderr
    return result.stderr


@pytest.mark.parametrize("command", NEW)
def test_help_has_an_example(command):
    result = call(command, "--help")
    assert result.exit_code == 0
    assert f"capsjax {command}" in result.output.split("Example")[1]


def test_evaluate_is_the_last_row_of_training(here):
    arguments = ("--data", "digits", "--batch-size", "64", "--out", "deep/m.json")
    result = call("evaluate", "runs/first", *arguments)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(
        "Evaluate first (3 capsules, 610 parameters) on digits: 355 examples to judge"
    )
    assert result.stdout.endswith("Results in deep/m.json\n")
    found = json.loads((here / "deep/m.json").read_text())
    last = cj.load_run("runs/first").history.iloc[-1]
    assert found["loss"] == last["validation_loss"]
    assert found["accuracy"] == last["validation_accuracy"]
    assert f"({found['accuracy']:.2%})" in result.stdout


def test_evaluate_refuses(here):
    assert "no such name, folder" in fails("evaluate", "runs/first", "--data", "digit")
    assert "found no such folder" in fails("evaluate", "runs/third", "--data", "digits")
    bad = ("--data", "digits", "--out", "m.txt")
    assert "found the ending '.txt'; expected .json" in fails(
        "evaluate", "runs/first", *bad
    )
    (here / "runs/first/parameters.safetensors").write_bytes(b"x")
    text = fails("evaluate", "runs/first", "--data", "digits")
    assert "parameters.safetensors: found" in text and "cure" in text


@pytest.fixture
def images():
    return cj.load_data("digits").test.inputs[:3]


def expected(images):
    run = cj.load_run("runs/first")
    return np.asarray(
        run.net.apply(run.params, run.state, {"image": images})[0]["digit"]
    )


def test_predict_from_arrays(here, images):
    y = expected(images)
    np.save("x.npy", images)
    result = call("predict", "runs/first", "x.npy", "--out", "p.csv")
    assert result.exit_code == 0, result.output
    assert "for 3 examples of x.npy.\ndigit, probabilities:\n" in result.stdout
    for number, row in enumerate(y):
        assert f"{number}  class {row.argmax()}: {row.max():.4f}" in result.stdout
    table = pd.read_csv("p.csv")
    assert list(table["digit_class"]) == list(y.argmax(axis=1))
    columns = [f"digit_{i}" for i in range(10)]
    np.testing.assert_allclose(table[columns], y, rtol=1e-6)

    np.savez("x.npz", anything=images[..., 0])  # gray images without their axis
    assert call("predict", "runs/first", "x.npz", "--out", "p.npz").exit_code == 0
    with np.load("p.npz") as found:
        np.testing.assert_allclose(found["digit"], y, rtol=1e-6)
        assert list(found["digit_class"]) == list(y.argmax(axis=1))


def test_predict_from_an_image_and_from_bytes(here, images):
    from matplotlib.image import imsave

    whole = np.round(images * 255).astype(np.uint8)
    best = expected(whole / np.float32(255)).argmax(axis=1)
    imsave("d.png", whole[0, ..., 0], cmap="gray", vmin=0, vmax=255)
    result = call("predict", "runs/first", "d.png")
    assert (
        f"for 1 example of d.png.\ndigit, probabilities:\n  0  class {best[0]}: "
        in (result.stdout)
    )
    np.save("bytes.npy", whole[1])  # one example alone
    result = call("predict", "runs/first", "bytes.npy")
    assert f"0  class {best[1]}: " in result.stdout


def test_predict_refuses(here, images):
    from matplotlib.image import imsave

    def text(path, *more):
        return words(fails("predict", "runs/first", path, *more))

    np.save("x.npy", images[:, :4])
    assert "found: an array of shape (3, 4, 8, 1) expected: examples of shape" in text(
        "x.npy"
    )
    np.save("x.npy", np.array([{}], dtype=object), allow_pickle=True)
    assert "values of type object, where numbers are expected" in text("x.npy")
    np.save("x.npy", images.astype(int))
    assert "found: values of type int64" in text("x.npy")
    (here / "y.npy").write_bytes((here / "x.npy").read_bytes()[:-5])
    assert "found: a damaged file: ValueError: a header of (3, 8, 8, 1)" in text(
        "y.npy"
    )
    (here / "z.npz").write_bytes(b"PK")
    assert "found: a damaged file: BadZipFile" in text("z.npz")
    np.savez("w.npz", other=images, more=images)
    assert "found: the arrays other, more expected: some of image" in text("w.npz")
    (here / "e.png").write_bytes(b"no image")
    assert "found: a damaged image: " in text("e.png")
    imsave("f.png", np.zeros((9, 8)))
    assert "found: an image of 9 rows and 8 columns expected: one that fits" in text(
        "f.png"
    )
    assert "found: the ending '.txt'" in text("x.txt")
    assert "No such file" in text("absent.npy")
    assert "expected .csv or .npz" in text("x.npy", "--out", "p.txt")


def test_predict_where_the_class_is_an_input_in_training(here, images):
    image, label = cj.input("image", (8, 8, 1)), cj.input("label", (10,))
    flat = cj.capsule("flat", cj.reshape(image, (-1,)), bias=None)
    digit = cj.capsule("digit", cj.matmul(flat, 10), cap="softmax")
    again = cj.capsule("again", cj.matmul(digit, 64), cj.matmul(label, 64))
    losses = {"digit": "cross_entropy", "again": "mean_squared_error"}
    net = cj.compile(cj.graph(digit, again, name="both", losses=losses))
    cj.fit(net, cj.load_data("digits"), epochs=1, progress=False).save("runs/both")
    np.save("x.npy", images)
    result = call("predict", "runs/both", "x.npy")
    assert result.exit_code == 0, result.output
    assert "digit, probabilities:" in result.stdout and "again" not in result.stdout
    np.savez("x.npz", image=images, label=np.eye(10, dtype=np.float32)[:3])
    result = call("predict", "runs/both", "x.npz", "--out", "p.csv")
    assert "again: 64 each, from" in result.stdout
    np.savez("x.npz", label=np.eye(10, dtype=np.float32)[:3])
    text = fails("predict", "runs/both", "x.npz")
    assert "found no image among label; every output needs it; cure" in text


def test_predict_from_integers(here):
    token = cj.input("token", (4,), dtype="integer")
    found = cj.capsule("found", cj.embed(token, 10, 6), bias=None)
    row = cj.capsule("row", cj.reshape(found, (-1,)), bias=None)
    y = cj.capsule("y", cj.matmul(row, 3), cap="softmax")
    net = cj.compile(cj.graph(y, name="words", losses={"y": "cross_entropy"}))
    data = {"token": np.arange(8).reshape(2, 4), "y": np.array([0, 2])}
    cj.fit(net, data, epochs=1, progress=False).save("runs/words")
    np.save("x.npy", data["token"])
    result = call("predict", "runs/words", "x.npy")
    assert "for 2 examples of x.npy.\ny, probabilities:" in result.stdout
    np.save("x.npy", data["token"] / 2)
    assert "expected: integers" in fails("predict", "runs/words", "x.npy")


def test_runs_are_listed(here):
    result = call("runs")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    (first,) = (line for line in lines if line.split()[:1] == ["first"])
    last = cj.load_run("runs/first").history.iloc[-1]
    for word in ("first, digits", "610", " 2 ", "finished 20"):
        assert word in first
    assert f"{last['validation_accuracy']:.2%}" in first
    assert lines[-1] == "2 runs in runs; capsjax compare RUN RUN"


def test_runs_of_every_kind_are_listed(here, monkeypatch):
    os.makedirs("runs/deep/er")
    shutil.copytree("runs/first", "runs/deep/er/going")
    os.remove("runs/deep/er/going/parameters.safetensors")
    shutil.copytree("runs/first", "runs/bad")
    for name in ("history.csv", "run.json", "graph.json", "parameters.safetensors"):
        (here / "runs/bad" / name).write_bytes(b"{")
    told = json.loads((here / "runs/second/run.json").read_text())
    told["ended"] = "interrupted"
    (here / "runs/second/run.json").write_text(json.dumps(told))
    result = call("runs")
    assert result.exit_code == 0, result.output
    text = words(result.stdout)
    assert "not finished" in text and "damaged: " in text and "interrupted 20" in text
    assert "4 runs in runs" in text
    monkeypatch.setenv("COLUMNS", "80")
    for line in call("runs").stdout.splitlines():
        assert len(line) <= 80
    os.mkdir("empty")
    assert call("runs", "empty").stdout == "No run in empty; capsjax train makes one.\n"
    assert "nowhere: found no such folder" in fails("runs", "nowhere")


def test_compare_names_what_differs(here):
    result = call("compare", "runs/first", "runs/second", "--out", "deep/curves.svg")
    assert result.exit_code == 0, result.output
    text = words(result.stdout)
    assert text.startswith("Compare first, second. Settings that differ")
    assert re.search(r"rate +0\.01 +0\.02", result.stdout)
    assert "seed" not in text and "flat:" in text
    capsules = result.stdout.split("Capsules that differ")[1].split("Metrics")[0]
    assert " h " in capsules and " image " not in capsules
    assert "validation loss, best" in text
    assert text.endswith("Learning curves in deep/curves.svg")
    assert (here / "deep/curves.svg").read_text().startswith("<?xml")


def test_compare_the_same(here):
    shutil.copytree("runs/first", "again/first")
    result = call("compare", "runs/first", "again/first")
    assert "No setting that run.json tells differs." in result.stdout
    assert "The networks are the same." in result.stdout
    assert "runs/first" in result.stdout and "again/first" in result.stdout


def test_compare_refuses(here):
    assert call("compare", "runs/first").exit_code == 2
    assert "more than once; expected different" in fails(
        "compare", "runs/first", "runs/first"
    )
    bad = ("--out", "x.pdf")
    assert "expected .svg or .png" in fails(
        "compare", "runs/first", "runs/second", *bad
    )
    assert "found no such folder" in fails("compare", "runs/first", "runs/absent")


def test_report_is_written(here):
    rows = [(s, "h", "", "delta", 1 / (s + 1)) for s in (0, 10, 20)]
    columns = ["step", "capsule", "source", "quantity", "value"]
    trace = pd.DataFrame(rows, columns=columns)
    trace.to_csv("runs/first/trace.csv", index=False)
    result = call("report", "runs/first", "--data", "digits")
    assert result.exit_code == 0, result.output
    assert "Report in runs/first/report.html, " in result.stdout
    text = (here / "runs/first/report.html").read_text()
    assert "Signals and weights" in text and "Confusion of digit" in text
    result = call("report", "runs/second", "--out", "deep/r.html")
    assert result.exit_code == 0, result.output
    assert "Confusion" not in (here / "deep/r.html").read_text()


def test_report_refuses(here):
    (here / "runs/first/trace.csv").write_text("a\n1\n")
    assert "trace.csv: found" in fails("report", "runs/first")
    assert "found no such folder" in fails("report", "absent")


def test_a_profile_names_the_capsules(here):
    told = "--data digits --epochs 1 --out runs/traced --profile"
    assert call("train", "runs/first/graph.json", *told.split()).exit_code == 0
    (path,) = (here / "runs" / "traced" / "profile").rglob("*.trace.json.gz")
    events = json.loads(gzip.decompress(path.read_bytes()))["traceEvents"]
    found = {event.get("args", {}).get("capsule") for event in events}
    assert {"h", "h/backward", "digit", "digit/backward"} <= found
