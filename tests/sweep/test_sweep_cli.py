"""`capsjax sweep`: what it prints, its folder, how it goes on, and how it fails."""

import os
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

import capsjax as cj
from capsjax.cli import app
from capsjax.sweep.store import Store

SWEEP = """
format_version = 1
steps = 20
batch_size = 8
optimizer = "sgd"
strategy = "loop"

[over]
learning_rate = [0.01, 0.1]
initial_scale = [0.5, 1.0]
"""

FILES = {
    *("declared.toml", "graph.json", "heat-map.svg", "history.csv", "members"),
    *("learning-curves.svg", "parallel.svg", "response.svg", "sweep.json", "table.csv"),
    "units",
}


def call(*arguments: str):
    """Runs the command."""
    return CliRunner().invoke(app, ("sweep", *arguments), prog_name="capsjax")


def prepare(folder: Path) -> None:
    """A small network for the digits, and a sweep of it."""
    image = cj.input("image", (8, 8, 1))
    flat = cj.capsule("flat", cj.reshape(image, (-1,)), bias=None)
    digit = cj.capsule("digit", cj.matmul(flat, 10), cap="softmax")
    losses = {"digit": "cross_entropy"}
    cj.save(cj.graph(digit, name="linear", losses=losses), folder / "linear.json")
    cj.save(cj.graph(digit, name="lossless"), folder / "lossless.json")
    (folder / "sweep.toml").write_text(SWEEP)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder with a network and a sweep."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    prepare(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A folder where the sweep was run once, and what the command said."""
    folder = tmp_path_factory.mktemp("done")
    prepare(folder)
    before = os.getcwd()
    os.chdir(folder)
    try:
        result = call("linear.json", "sweep.toml")
    finally:
        os.chdir(before)
    assert result.exit_code == 0, result.output
    return folder, result.stdout


@pytest.fixture
def finished(done, monkeypatch):
    """The folder of the sweep that was run."""
    monkeypatch.chdir(done[0])
    return Path("runs/linear-digits-sweep")


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {str(x): x.read_bytes() for x in sorted(folder.rglob("*")) if x.is_file()}


def test_it_says_what_it_does_and_what_came_of_it(done):
    head, best, rest = done[1].partition("Best by ")
    assert head == (
        "Sweep linear (2 capsules, 650 parameters) on digits: 1,442 examples to learn "
        "from, 355 to judge by.\n"
        "4 members over learning_rate, initial_scale.\n"
        "Steps 20, batch size 8, optimizer sgd. Results will be in "
        "runs/linear-digits-sweep.\n"
    )
    lines = (best + rest).splitlines()
    assert lines[0].startswith(
        "Best by validation accuracy: member 2 with learning_rate=0.1, "
    )
    assert lines[0].endswith(", seed=0.")
    assert lines[1].startswith("Test loss ") and lines[1].endswith("%.")
    assert lines[2].startswith("4 members in 1 program, ")
    assert lines[3] == "Results in runs/linear-digits-sweep:"
    assert [line.split()[0] for line in lines[4:]] == sorted(FILES)
    assert not any("which graph.json names" in line for line in lines)


def test_its_folder_holds_tables_pictures_and_members(finished):
    assert set(os.listdir(finished)) == FILES
    assert (finished / "declared.toml").read_text() == SWEEP
    assert (
        cj.load_sweep(finished / "declared.toml").over
        == cj.load_sweep("sweep.toml").over
    )
    assert cj.load(finished / "graph.json") == cj.load("linear.json")
    table = pd.read_csv(finished / "table.csv", index_col="member")
    assert list(table["learning_rate"]) == [0.01, 0.01, 0.1, 0.1]
    assert list(table["initial_scale"]) == [0.5, 1.0, 0.5, 1.0]
    assert set(table["status"]) == {"done"} and set(table["step"]) == {20}
    assert len(os.listdir(finished / "members")) == 4
    for name in FILES:
        if name.endswith(".svg"):
            assert (finished / name).read_text("utf-8").rstrip().endswith("</svg>")


def test_a_sweep_that_is_over_is_told_again(finished):
    before = contents(finished)
    result = call("linear.json", "sweep.toml", "--out", str(finished))
    assert result.exit_code == 0, result.output
    assert f"optimizer sgd. Goes on in {finished}.\n" in result.stdout
    assert "4 members in 1 program, " in result.stdout
    after = contents(finished)
    assert {name: after[name] for name in after if not name.endswith("svg")} == {
        name: before[name] for name in before if not name.endswith("svg")
    }


def test_another_sweep_is_not_overwritten(finished):
    before = contents(finished)
    Path("other.toml").write_text(SWEEP.replace("steps = 20", "steps = 10"))
    result = call("linear.json", "other.toml", "--out", str(finished))
    assert result.exit_code == 1
    assert result.stderr == (
        f"capsjax: {finished} holds another sweep: steps 20 there, 10 here; choose "
        "another folder, or remove this one; nothing was overwritten\n"
    )
    assert contents(finished) == before


def test_a_member_can_be_shown_and_read(finished):
    table = pd.read_csv(finished / "table.csv", index_col="member")
    result = CliRunner().invoke(
        app, ["check", str(finished / "members/00003/graph.json")]
    )
    assert result.exit_code == 0 and "Sound: linear" in result.stdout
    net = cj.compile(cj.load(finished / "members/00003/graph.json"))
    place = finished / "members/00003/parameters.safetensors"
    params = net.from_named(cj.load_parameters(place))
    data = cj.load_data("digits").test
    outputs, _ = net.apply(params, {}, {"image": data.inputs})
    accuracy = (outputs["digit"].argmax(-1) == data.targets).mean()
    assert float(accuracy) == pytest.approx(table["validation_accuracy"][3])


def test_a_sweep_that_was_broken_off_goes_on(here, done, monkeypatch):
    write, written = Store.write, []

    def once(*arguments):
        write(*arguments)
        written.append(arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(Store, "write", once)
    result = call("linear.json", "sweep.toml", "--out", "my sweep")
    assert result.exit_code == 130
    assert result.stderr.endswith(
        "\ncapsjax: interrupted; what was done is in my sweep; to go on:\n"
        "    capsjax sweep linear.json sweep.toml --data digits --out 'my sweep'\n"
    )
    assert written and 0 < len(os.listdir("my sweep/units")) < 4
    assert not os.path.exists("my sweep/response.svg")
    monkeypatch.setattr(Store, "write", write)
    result = call("linear.json", "sweep.toml", "--out", "my sweep")
    assert result.exit_code == 0, result.output
    assert set(os.listdir("my sweep")) == FILES
    for name in ("table.csv", "history.csv"):
        whole = done[0] / "runs/linear-digits-sweep" / name
        assert Path("my sweep", name).read_text() == whole.read_text()


def test_an_interrupt_before_anything_is_kept(here, monkeypatch):
    def interrupted(*arguments, **more):
        raise KeyboardInterrupt

    monkeypatch.setattr(cj, "sweep", interrupted)
    result = call("linear.json", "sweep.toml")
    assert result.exit_code == 130
    assert result.stderr == "\ncapsjax: interrupted; nothing was saved\n"


@pytest.fixture
def given_to_sweep(here, monkeypatch):
    """What the command gives to `cj.sweep`, which then fails."""
    found = []

    def failing(graph, data, **arguments):
        found.append(arguments)
        raise RuntimeError("member 3: its process died 5 times")

    monkeypatch.setattr(cj, "sweep", failing)
    return found


def test_who_runs_the_members(given_to_sweep, monkeypatch):
    ray = [lambda address, workers: (address, workers)]
    monkeypatch.setattr(cj.executors, "Ray", ray[0], raising=False)
    for options in ((), ("--workers", "2"), ("--ray", "local"), ("--ray", "a:1")):
        call("linear.json", "sweep.toml", *options)
    call("linear.json", "sweep.toml", "--ray", "local", "--workers", "3")
    found = [each["executor"] for each in given_to_sweep]
    assert str(found) == "[None, Processes(2), ('local', None), ('a:1', None), " + (
        "('local', 3)]"
    )


def test_what_others_raise_is_one_message(given_to_sweep):
    result = call("linear.json", "sweep.toml")
    assert result.exit_code == 1
    assert result.stderr == "capsjax: member 3: its process died 5 times\n"


def test_folders_are_numbered(given_to_sweep):
    for name in ("linear-digits-sweep", "linear-digits-sweep-2"):
        call("linear.json", "sweep.toml")
        assert given_to_sweep[-1]["out"] == Path("runs", name)
        os.makedirs(f"runs/{name}")


MEMBERS = {
    "seeds": (
        "epochs = 2\nseeds = 3\nover.b1 = [0.8, 0.9]",
        "6 members over b1, 3 seeds each.\nEpochs 2, batch size 32, optimizer adam.",
    ),
    "one": (
        'over.optimizer = ["sgd"]',
        "1 member over optimizer.\nEpochs 20, batch size 32.",
    ),
    "drawn": (
        "samples = 4\nzip = [{ batch_size = [8, 9], b1 = [0.8, 0.9] }]\n"
        'search = "halving"\noptimizer = { kind = "adamw" }\nover.b2.uniform = [0, 1]',
        "8 members over b2, batch_size+b1; search: halving.\nEpochs 20, optimizer "
        "adamw.",
    ),
    "proposed": (
        'seeds = 2\nsearch = { kind = "bayesian", trials = 5 }\nover.b1.uniform = '
        "[0, 1]",
        "10 members over b1, 2 seeds each; search: bayesian.\nEpochs 20, batch",
    ),
}


@pytest.mark.parametrize(("text", "said"), MEMBERS.values(), ids=MEMBERS)
def test_how_many_members_there_will_be(given_to_sweep, text, said):
    Path("own.toml").write_text(f"format_version = 1\n{text}\n")
    result = call("linear.json", "own.toml")
    assert said in result.stdout, result.stderr


def test_where_none_is_best_the_tables_are_named(finished, monkeypatch):
    def best(self):
        raise ValueError("of 4 members none is over with a finite loss; 4 diverged")

    monkeypatch.setattr(cj.SweepResult, "best", best)
    result = call("linear.json", "sweep.toml", "--out", str(finished))
    assert result.exit_code == 1
    assert result.stderr.endswith(
        "capsjax: of 4 members none is over with a finite loss; 4 diverged; all of it "
        f"is in {finished}\n"
    )


FAULTS = {
    "no-file": (
        ("linear.json", "swep.toml"),
        "no file 'swep.toml'; did you mean 'sweep.toml'?\n",
    ),
    "far": (("linear.json", "x/y"), "no file 'x/y'; check the path\n"),
    "spec": (
        ("liner.json", "sweep.toml"),
        "no file and no known network 'liner.json'; did you mean 'linear.json'?\n",
    ),
    "loss": (
        ("lossless.json", "sweep.toml"),
        "lossless.json declares no loss, so that nothing can be trained; add "
        '"losses": {...} to the document',
    ),
    "document": (
        ("linear.json", "linear.json"),
        "sweep 'linear.json' has ",
    ),
    "folder": (("linear.json", "."), ".: Is a directory\n"),
    "data": (("linear.json", "sweep.toml", "--data", "digit"), "data source 'digit'\n"),
    "out": (
        ("linear.json", "sweep.toml", "--out", "full"),
        "full exists and is not an empty folder; choose another for --out\n",
    ),
}


@pytest.mark.parametrize(("arguments", "message"), FAULTS.values(), ids=FAULTS)
def test_bad_input_is_one_message(here, arguments, message):
    os.makedirs("full/of/things")
    result = call(*arguments)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"capsjax: {message}")
    assert result.stdout == "" and not os.path.exists("runs")


def test_an_unknown_axis_offers_the_nearest(here):
    Path("bad.toml").write_text("format_version = 1\nover.learning_rat = [0.1]\n")
    result = call("linear.json", "bad.toml", "--out", "first")
    assert result.exit_code == 1
    assert "over: found the axis 'learning_rat'" in result.stderr
    assert result.stderr.endswith("did you mean 'learning_rate'?\n")
    assert not os.path.exists("first")


@pytest.mark.parametrize(
    "options", [(), ("sweep.toml", "--workers", "0"), ("sweep.toml", "--epochs", "1")]
)
def test_wrong_use_exits_with_2(here, options):
    result = call("linear.json", *options)
    assert result.exit_code == 2
    assert "Usage: capsjax sweep [OPTIONS]" in result.stderr
