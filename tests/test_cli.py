"""The command line: what it prints, where results are, and how it fails."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import cast

import jax
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import capsjax as cj
from capsjax.cli import app
from capsjax.cli.tracing import read_trace, recorded

COMMANDS = (
    *("train", "sweep", "check", "show", "explain", "export"),
    *("evaluate", "predict", "runs", "compare", "report"),
)
RESULTS = {
    ".lock",
    "checkpoints",
    "graph.json",
    "graph.svg",
    "history.csv",
    "learning-curves.svg",
    "parameters.safetensors",
    "report.html",
    "run.json",
}


def call(*arguments: str):
    return CliRunner().invoke(app, arguments, prog_name="capsjax")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    return call


def save_document(folder):
    """A small network for the digits, as a document."""
    image = cj.input("image", (8, 8, 1))
    flat = cj.capsule("flat", cj.reshape(image, (-1,)), bias=None)
    digit = cj.capsule("digit", cj.matmul(flat, 10), cap="softmax")
    graph = cj.graph(digit, name="linear", losses={"digit": "cross_entropy"})
    cj.save(graph, folder / "linear.json")
    return "linear.json"


@pytest.fixture
def document(tmp_path):
    return save_document(tmp_path)


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    """A folder with a run of it, and what its command has said."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("COLUMNS", "100")
        arguments = ("--epochs", "3", "--out", "deep/er/first")
        return folder, call("train", save_document(folder), *arguments)


@pytest.fixture
def trained(training, tmp_path):
    """A copy of that run."""
    shutil.copytree(training[0] / "deep/er/first", tmp_path / "first")


def test_help_names_commands_and_networks(run):
    result = run("--help")
    assert result.exit_code == 0
    text = " ".join(result.output.split())
    for word in (*COMMANDS, *cj.zoo.names(), "capsjax train capsnet-digits"):
        assert word in text


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_has_an_example(run, command):
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"capsjax {command} " in result.output.split("Example")[1]


def test_train_saves_a_run_folder(training, monkeypatch):
    folder, result = training
    monkeypatch.chdir(folder)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(
        "Train linear (2 capsules, 650 parameters) on digits: 1,442 examples to learn "
        "from, 355 to judge by.\nEpochs 3, batch size 32, seed 0, optimizer adam "
        "(learning_rate 0.001). Results will be in deep/er/first.\nTest loss "
    )
    assert "Results in deep/er/first:\n  checkpoints " in result.stdout
    assert set(os.listdir("deep/er/first")) == RESULTS
    assert cj.load("deep/er/first/graph.json") == cj.load("linear.json")
    history = pd.read_csv("deep/er/first/history.csv")
    assert list(history["epoch"]) == [1, 2, 3]
    assert history["loss"].iloc[-1] < history["loss"].iloc[0]


def test_train_numbers_its_folders_and_repeats_itself(run, document):
    for _ in range(2):
        assert run("train", document, "--epochs", "1", "--seed", "7").exit_code == 0
    assert sorted(os.listdir("runs")) == ["linear-digits", "linear-digits-2"]
    first, second = (
        cj.load_parameters(f"runs/{name}/parameters.safetensors")
        for name in ("linear-digits", "linear-digits-2")
    )
    assert (first["digit"]["W"]["flat"] == second["digit"]["W"]["flat"]).all()


@pytest.mark.usefixtures("library_kinds")  # where there are others, nothing is kept
def test_train_keeps_its_programs_and_finds_them_again(run, document, monkeypatch):
    settings = "jax_persistent_cache_min_compile_time_secs", "jax_compilation_cache_dir"
    before = {name: jax.config.values[name] for name in settings}
    monkeypatch.setenv("CAPSJAX_CACHE", "programs")
    stored = []
    try:
        for name in ("first", "second"):
            result = run("train", document, "--epochs", "2", "--out", name)
            assert result.exit_code == 0, result.output
            files = sorted(Path("programs").glob("steps/*"))
            stored.append([(path.name, path.stat().st_mtime_ns) for path in files])
            assert list(Path("programs").glob("xla-*/*-cache"))
    finally:
        cj.use_cache("off")
        for name, value in before.items():
            jax.config.update(name, value)
    assert stored[0] == stored[1] and len(stored[0]) == 2  # training and evaluation
    first, second = (
        Path(name, "parameters.safetensors").read_bytes()
        for name in ("first", "second")
    )
    assert first == second


def test_a_run_trained_can_be_shown(run, trained):
    result = run("show", "first/graph.json")
    assert result.exit_code == 0 and "linear: 650 parameters" in result.output


@pytest.mark.parametrize("size", [(), ("--batch-size", "3")], ids=["any", "three"])
def test_a_run_trained_can_be_exported(run, document, trained, size):
    given = "first/parameters.safetensors"
    result = run("export", "first/graph.json", "--parameters", given, *size)
    assert result.exit_code == 0, result.output
    what = "3, this platform" if size else "any size, every platform"
    assert result.stdout.startswith(
        f"Export linear (2 capsules, 650 parameters): inference, batches of {what}, "
        f"with {given}. The result will be in exported/linear.\n"
        "Results in exported/linear:\n  graph.json "
    )
    outputs, _ = cj.load_exported("exported/linear")({"image": np.ones((3, 8, 8, 1))})
    net = cj.compile(cj.load(document))
    params = net.from_named(cj.load_parameters(given))
    expected, _ = net.apply(params, {}, {"image": np.ones((3, 8, 8, 1))})
    np.testing.assert_allclose(outputs["digit"], expected["digit"], rtol=1e-6)
    assert run("export", "linear.json").exit_code == 0
    assert sorted(os.listdir("exported")) == ["linear", "linear-2"]


def test_trained_parameters_without_their_statistics_are_not_exported(run):
    h = cj.capsule("h", cj.identity(cj.input("x", (3,))), cap="standardize")
    net = cj.compile(cj.graph(h))
    cj.save(net.graph, "statistics.json")
    params, state = net.init(jax.random.key(0))
    cj.save_parameters(net.named(params), "p.safetensors")
    arguments = ("export", "statistics.json", "--parameters", "p.safetensors")
    result = run(*arguments)
    assert result.exit_code == 1 and result.stdout == ""
    assert result.stderr == "capsjax: state.safetensors: No such file or directory\n"
    state = {"h": {name: array + 2 for name, array in state["h"].items()}}
    cj.save_state(net, state, "state.safetensors")
    assert run(*arguments).exit_code == 0
    model = cj.load_exported("exported/network")
    assert (model.state["h:mean"] == state["h"]["mean"]).all()


def test_check_says_what_is_sound(run):
    result = run("check", "lenet-5")
    assert result.exit_code == 0
    assert result.stdout == (
        "Sound: lenet-5 (8 capsules, 61,706 parameters).\n"
        "  input image: (28, 28, 1)\n"
        "  output digit: (10,), loss cross_entropy\n"
        f"  content hash {cj.content_hash(cj.zoo.graph('lenet-5'))}\n"
    )


def test_show_draws(run):
    for name in ("graph.svg", "graph.png"):
        result = run("show", "capsnet-digits", "--svg", name)
        assert result.exit_code == 0
        assert "capsnet-digits: 74,656 parameters" in result.stdout
        assert result.stdout.endswith(f"Drawing in {name}\n")
        assert os.path.getsize(name) > 1000


def test_show_all_lists_the_networks(run):
    result = run("show", "--all")
    assert result.exit_code == 0
    lines = [line for line in result.stdout.splitlines() if line.strip()]
    rows = {line.split()[0]: line for line in lines}
    assert set(cj.zoo.names()) < set(rows)
    assert " 224x224x3 " in rows["densenet-121"]
    for number in (" 367 ", " 7,978,856 ", " 83,648 "):
        assert number in rows["densenet-121"]


def test_explain_prints_the_stages(run):
    result = run("explain", "mlp")
    assert result.exit_code == 0
    assert result.stdout == f"{cj.explain(cj.zoo.graph('mlp'))}\n"


def test_a_file_wins_over_a_name(run, document):
    os.rename(document, "lenet-5")
    assert "Sound: linear (2 capsules" in run("check", "lenet-5").stdout


KNOWN = "    known networks: " + ", ".join(cj.zoo.names()) + "\n"
FAULTS = {
    "unknown": (
        ("check", "lenet5"),
        "capsjax: no file and no known network 'lenet5'; did you mean 'lenet-5'?\n"
        + KNOWN,
    ),
    "near-file": (
        ("check", "liner.json"),
        "capsjax: no file and no known network 'liner.json'; did you mean "
        "'linear.json'?\n" + KNOWN,
    ),
    "far": (
        ("explain", "zzz"),
        "capsjax: no file and no known network 'zzz'; check the path\n" + KNOWN,
    ),
    "folder": (("check", "folder"), "capsjax: folder: Is a directory\n"),
    "ending": (
        ("show", "mlp", "--svg", "mlp.jpeg"),
        "capsjax: mlp.jpeg: found the ending '.jpeg'; expected .svg, .png, .pdf or "
        ".tex\n",
    ),
    "out": (
        ("train", "linear.json", "--out", "full"),
        "capsjax: full exists and is not an empty folder; choose another for --out\n",
    ),
    "parameters": (
        ("export", "linear.json", "--parameters", "none.safetensors"),
        "capsjax: none.safetensors: No such file or directory\n",
    ),
    "locked": (
        ("train", "linear.json", "--out", "linear.json/run"),
        "capsjax: linear.json: File exists\n",
    ),
    "data": (
        ("train", "linear.json", "--data", "digit"),
        "capsjax: data source 'digit'\n"
        "    found:    no such name, folder or file\n"
        "    expected: 'digits', a folder of idx files (as MNIST has them) or of .npy "
        "files, or an .npz file\n"
        "    cure:     did you mean 'digits'?\n",
    ),
}


@pytest.mark.parametrize(("arguments", "message"), FAULTS.values(), ids=FAULTS)
def test_bad_input_is_one_message(run, document, arguments, message):
    os.makedirs("folder")
    os.makedirs("full/of/things")
    result = run(*arguments)
    assert result.exit_code == 1
    assert result.stderr == message
    assert result.stdout == ""
    assert not os.path.exists("runs")


def test_faults_of_a_document_are_all_named(run, document):
    with open(document) as file:
        content = json.load(file)
    content["capsules"][1]["cap"]["kind"] = "sofmax"
    content["capsules"][0]["from"][0]["source"] = "imag"
    with open("bad.json", "w") as file:
        json.dump(content, file)
    result = run("check", "bad.json")
    assert result.exit_code == 1
    assert result.stderr.startswith("capsjax: graph 'linear' in 'bad.json' has 2 ")
    assert "did you mean 'softmax'?" in result.stderr
    assert "did you mean 'image'?" in result.stderr
    assert "Traceback" not in result.stderr


def test_data_that_does_not_fit(run):
    result = run("train", "lenet-5", "--epochs", "1")
    assert result.exit_code == 1
    assert result.stderr.startswith("capsjax: ") and "image" in result.stderr
    assert not os.path.exists("runs/lenet-5-digits")


@pytest.mark.parametrize(
    "arguments",
    [
        ("check",),
        ("train", "mlp", "--epochs", "0"),
        ("show", "mlp", "--sgv", "x.svg"),
        ("show",),
        ("show", "mlp", "--all"),
        ("show", "--all", "--svg", "x.svg"),
    ],
)
def test_wrong_use_exits_with_2(run, arguments):
    result = run(*arguments)
    assert result.exit_code == 2
    assert f"Usage: capsjax {arguments[0]} [OPTIONS]" in result.stderr


SCRIPT = [sys.executable, "-c", "from capsjax.cli import main; main()"]

# What a shell starts in the background is deaf to SIGINT, and so is what that starts.
HEARING = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "


def test_interrupted_training_exits_with_130(tmp_path, document):
    arguments = ["train", document, "--epochs", "100000", "--trace", "1"]
    python, option, code = SCRIPT
    process = subprocess.Popen(
        [python, option, HEARING + code, *arguments],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert b"Train linear" in process.stdout.readline()
    assert process.stderr is not None
    while process.stderr.read(1) != b"l":  # "epoch 1, loss ...": steps are running
        pass
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert b"capsjax: SIGINT came: the run ended after step" in errors
    (folder,) = (tmp_path / "runs").iterdir()
    assert f"to go on: the same again with resume=True, or --out {folder}" in (
        errors.decode().replace("runs/", f"{tmp_path}/runs/")
    )
    assert b"Traceback" not in errors
    assert any((folder / "checkpoints").iterdir())
    assert set(read_trace(folder / "trace.csv")["step"]) >= {0, 1}


def test_a_trace_goes_on_behind_what_was_recorded(tmp_path):
    """A run that goes on from step 2 takes steps 3 and 4 again, and 5."""

    def table(steps, value):
        rows = {"step": steps, "capsule": "y", "source": "", "quantity": "delta"}
        return pd.DataFrame({**rows, "value": value})

    class Recorded:
        table: pd.DataFrame

    path, tracer = tmp_path / "trace.csv", Recorded()
    for steps, value in (([0, 1, 2, 3, 4], 1.0), ([3, 4, 5], 2.0), ([], 3.0)):
        tracer.table = table(steps, value)
        found = recorded(cast(cj.Tracer, tracer), path)
        pd.testing.assert_frame_equal(found, read_trace(path))
    assert list(found["value"]) == [1.0, 1.0, 1.0, 2.0, 2.0, 2.0]


def test_a_real_process_fails_with_one_message(tmp_path):
    command = [*SCRIPT, "check", "nothing.json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == (
        "capsjax: no file and no known network 'nothing.json'; check the path\n" + KNOWN
    )
