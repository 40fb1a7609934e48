"""The command line given a document of neurons; images for networks that take rows."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import capsjax as cj
from capsjax.cli import app
from capsjax.neural import model, random_dag
from capsjax.training.data import Split
from capsjax.training.dataset import bind
from tests.neural.helpers_layers import perceptron


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")

    def call(*arguments: str):
        return CliRunner().invoke(app, arguments, prog_name="capsjax")

    return call


def save_wired(path: str, neurons: int, in_degree: int) -> cj.neural.Model:
    """A randomly wired network for the digits, as a document."""
    wired = random_dag(
        "levels",
        inputs=64,
        neurons=neurons,
        outputs=10,
        levels=3,
        in_degree=in_degree,
        activations=["tanh"] * neurons + ["identity"] * 10,
    )
    declared = model(wired, "softmax", "cross_entropy", name="wired")
    cj.save(declared, path)
    return declared


def test_a_randomly_wired_network_trains_on_digits(run):
    """To above 96 % of the test set."""
    declared = save_wired("wired.json", neurons=300, in_degree=32)
    settings = ("--learning-rate", "0.003", "--epochs", "15")
    result = run("train", "wired.json", *settings)
    assert result.exit_code == 0, result.output
    count = len(declared.network.sources)
    assert result.stdout.startswith(
        f"Train wired (310 neurons, {count:,} connections, {count + 310:,} parameters) "
        "on digits: 1,442 examples to learn from, 355 to judge by.\n"
    )
    assert "Results in runs/wired-digits:\n" in result.stdout
    assert "  graph-" in result.stdout
    assert ".safetensors  the connections, which graph.json names\n" in result.stdout
    history = pd.read_csv("runs/wired-digits/history.csv")
    assert history["validation_accuracy"].iloc[-1] > 0.96
    # The run can be taken up.
    saved = Path("runs/wired-digits")
    again = cj.load(saved / "graph.json")
    assert again == declared
    net = cj.compile(again)
    params = net.from_named(cj.load_parameters(saved / "parameters.safetensors"))
    named = net.named(params)
    assert named["neurons"]["W"]["edges"].shape == declared.network.sources.shape


def test_check_says_what_is_sound(run):
    declared = save_wired("wired.json", neurons=30, in_degree=4)
    count = len(declared.network.sources)
    result = run("check", "wired.json")
    assert result.exit_code == 0
    assert result.stdout == (
        f"Sound: wired (40 neurons, {count} connections, {count + 40} parameters).\n"
        "  input x: (64,)\n"
        "  output y: (10,), loss cross_entropy\n"
        f"  content hash {cj.content_hash(declared)}\n"
    )


def test_show_and_explain(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")  # a line a capsule
    declared = save_wired("wired.json", neurons=30, in_degree=4)
    result = run("show", "wired.json", "--svg", "wired.svg")
    assert result.exit_code == 0, result.output
    rows = [line.split() for line in result.stdout.splitlines()]
    assert ["neurons", "x", "40", "tanh,", "identity", "40"] in [r[:6] for r in rows]
    assert os.path.getsize("wired.svg") > 1000
    result = run("explain", "wired.json")
    assert result.exit_code == 0
    assert result.stdout == f"{cj.explain(cj.compile(declared))}\n"


def test_a_faulty_document_is_one_message(run):
    save_wired("wired.json", neurons=400, in_degree=8)
    for name in os.listdir():
        if name.endswith(".safetensors"):
            os.remove(name)
    result = run("check", "wired.json")
    assert result.exit_code == 1
    assert result.stderr.startswith(
        "capsjax: graph 'wired' in 'wired.json' has 1 problem:\n1. arrays in 'wired-"
    )
    assert "    cure:     copy it too: it belongs to the document\n" in result.stderr


def bound(graph: cj.Graph, shape: tuple[int, ...]) -> np.ndarray:
    """What a network's input is given of examples of a shape."""
    inputs = np.arange(2 * np.prod(shape), dtype=np.float32).reshape(2, *shape)
    split = Split(inputs, np.zeros(2, np.int32))
    return np.asarray(bind(cj.compile(graph), split, "data").arrays["x"])


def test_images_are_flattened_where_a_row_of_as_many_numbers_is_taken():
    graph = cj.zoo.graph("mlp", sizes=(12, 3))
    np.testing.assert_array_equal(
        bound(graph, (2, 3, 2)), np.arange(24.0).reshape(2, 12)
    )
    with pytest.raises(ValueError) as raised:
        bound(graph, (2, 3, 1))
    assert str(raised.value) == (
        "data does not fit network 'mlp':\n"
        "    input 'x': found examples of shape (2, 3, 1); expected (12,)"
    )


def test_a_lifted_perceptron_trains_as_its_neurons_do():
    lifted = cj.neural.lift(
        model(perceptron([64, 16, 10], "relu"), "softmax", "cross_entropy")
    )
    net = cj.compile(lifted.graph)
    run = cj.fit(
        net,
        cj.load_data("digits"),
        epochs=2,
        params=net.from_named(lifted.named or {}),
        progress=False,
    )
    assert run.history["loss"].iloc[-1] < run.history["loss"].iloc[0]


def test_without_a_loss_nothing_is_trained(run):
    cj.save(random_dag("window", inputs=64, neurons=9, in_degree=9, window=9), "w.json")
    result = run("train", "w.json")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == (
        'capsjax: w.json declares no loss, so that nothing can be trained; add "loss": '
        '{...} to the document, with a loss such as {"kind": "mean_squared_error"}\n'
    )
    assert not os.path.exists("runs")
