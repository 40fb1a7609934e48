"""load_run: what was saved comes back bit by bit, and every damaged file is named."""

import dataclasses
import random
import re

import jax
import numpy as np
import pandas as pd
import pytest
import safetensors.numpy

import capsjax as cj
from capsjax.training import load

CONFIGURATION = {"data": "none", "optimizer": {"kind": "adam", "rate": 1e-3}, "z": None}


def small():
    x = cj.input("x", (4,))
    h = cj.capsule("h", cj.matmul(x, 3), cap="standardize", bias=None)
    y = cj.capsule("y", cj.channel_scale(h), cap="softmax")
    return cj.compile(cj.graph(y, name="tiny", losses={"y": "cross_entropy"}))


def examples(count=20):
    chance = np.random.default_rng(0)
    x = chance.normal(size=(count, 4)).astype(np.float32)
    return {"x": x, "y": np.argmax(x[:, :3], axis=1).astype(np.int32)}


@pytest.fixture(scope="module")
def run():
    data = examples()
    fitted = cj.fit(small(), data, validation=data, epochs=3, progress=False)
    return dataclasses.replace(fitted, configuration=CONFIGURATION)


@pytest.fixture
def folder(run, tmp_path):
    return run.save(tmp_path / "run")


def same(one, two):
    return jax.tree.all(
        jax.tree.map(
            lambda a, b: np.asarray(a).tobytes() == np.asarray(b).tobytes(), one, two
        )
    )


def test_all_comes_back_bit_by_bit(run, folder):
    again = cj.load_run(folder)
    assert again.net.graph == run.net.graph
    assert same(again.params, run.params) and same(again.state, run.state)
    pd.testing.assert_frame_equal(again.history, run.history, check_exact=True)
    assert again.configuration == CONFIGURATION
    assert repr(again) == repr(run)


def test_a_run_that_was_read_is_saved_as_the_same_files(folder, tmp_path):
    cj.load_run(folder).save(tmp_path / "again")
    for path in sorted(folder.iterdir()):
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


def test_the_configuration_is_canonical(run, folder, tmp_path):
    turned = dict(reversed(CONFIGURATION.items()))
    dataclasses.replace(run, configuration=turned).save(tmp_path / "other")
    text = (folder / "run.json").read_text()
    assert text == (tmp_path / "other" / "run.json").read_text()
    with pytest.raises(
        ValueError, match="configuration: rate .*\n.*\n.*expected: a finite"
    ):
        bad = dataclasses.replace(run, configuration={"rate": float("nan")})
        bad.save(tmp_path / "bad")
    assert not (tmp_path / "bad").exists()


def test_without_what_is_not_needed(run, folder):
    (folder / "run.json").unlink()
    assert cj.load_run(folder).configuration is None
    (folder / "history.csv").write_text("\n")
    assert len(cj.load_run(folder).history) == 0
    assert repr(cj.load_run(folder)) == "Run('tiny', 0 epochs)"


def test_neurons(tmp_path):
    net = cj.compile(cj.zoo.graph("mlp"))
    params, state = net.init(jax.random.key(0))
    history = pd.DataFrame([{"epoch": 1, "loss": 0.1}])
    folder = cj.Run(net, params, state, history).save(tmp_path / "run")
    again = cj.load_run(folder)
    assert same(again.params, params) and same(again.state, state)


def test_a_network_of_ones_own(run, folder):
    net = cj.compile(run.net.graph, backward="autodiff")
    assert cj.load_run(folder, net).net is net
    x = cj.input("x", (4,))
    other = cj.compile(cj.graph(cj.capsule("y", cj.matmul(x, 3)), name="other"))
    with pytest.raises(ValueError, match=r"graph.json: found another .*'other'.*cure:"):
        cj.load_run(folder, other)


def test_missing(folder, tmp_path):
    with pytest.raises(
        FileNotFoundError, match="nowhere: found no such folder; .*cure"
    ):
        cj.load_run(tmp_path / "nowhere")
    (folder / "state.safetensors").unlink()
    text = r"run: found no state.safetensors; .*'tiny' carries h:mean, h:variance.*cure"
    with pytest.raises(FileNotFoundError, match=text):
        cj.load_run(folder)
    (folder / "parameters.safetensors").unlink()
    text = (
        "found no parameters.safetensors among graph.json, history.csv, run.json; exp"
    )
    with pytest.raises(FileNotFoundError, match=text):
        cj.load_run(folder)
    (folder / "checkpoints").mkdir()
    with pytest.raises(FileNotFoundError, match="cure: the run was broken off; go on"):
        cj.load_run(folder)


HEAD = "epoch,loss\n"
DAMAGED = {
    "history.csv": {
        HEAD + "1,0.5\n2\n": r"history.csv, line 3: found 1 cells; expected 2.*cure",
        HEAD
        + "1,0_5\n": r"line 2, column 'loss': found '0_5'; expected a number.*cure",
        HEAD + "1,x\n": r"line 2, column 'loss': found 'x'; expected a number; cure",
        "loss,loss\n": r"line 1: found the names \['loss', 'loss'\]; expected one for",
        "epoch,\n": r"line 1: found the names \['epoch', ''\]; expected one for each",
        b"\xff": r"history.csv: found byte 0xff at position 0.*expected CSV; cure",
        '"epoch': r"history.csv: found .*; expected CSV; cure",
    },
    "run.json": {
        "": "run.json: found nothing: the document is empty; expected JSON; cure",
        "[1]": r"run.json: found \[1\]; expected a JSON object; cure",
        '{"a": 1, "a": 2}': r"run.json: key 'a' \(a\)\n.*it stands 2 times",
        '{"a": NaN}': r"run.json: a \(a\)\n.*found: .*nan\n.*expected: a finite number",
        "{": "run.json: found Expecting .*; expected JSON; cure",
        '{"a": ' + "[" * 100_000: "run.json: found .*; expected JSON; cure",
    },
    "graph.json": {
        "{}": r"graph .*graph.json.* problems?:",
        "{": r"graph.json.*\n.*\n.*found: .*\n.*expected: JSON\n.*cure",
    },
    "parameters.safetensors": {
        b"": "parameters.safetensors: found .*; expected a whole safetensors file",
        b"\xff" * 64: "parameters.safetensors: found .*; expected a whole",
        safetensors.numpy.save(
            {"y:B": np.zeros(3)}
        ): "parameters.safetensors: param.*\n.*h:W:x: missing; expected shape",
        safetensors.numpy.save({"y:B": np.zeros(3, np.int32)}): "found parameters of "
        "type int32; expected floating point; cure",
    },
    "state.safetensors": {
        b"": "state.safetensors: found .*; expected a whole safetensors file; cure",
        safetensors.numpy.save(
            {"h:mean": np.zeros(3)}
        ): "state.safetensors: state does not fit",
    },
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged(folder, name):
    for content, message in DAMAGED[name].items():
        content = content.encode() if isinstance(content, str) else content
        (folder / name).write_bytes(content)
        with pytest.raises(ValueError, match=message):
            cj.load_run(folder)


@pytest.mark.parametrize("name", [*DAMAGED])
def test_whatever_stands_in_a_file_is_read_or_refused(folder, name):
    sound, chance = (folder / name).read_bytes(), random.Random(0)
    for _ in range(60):
        content = bytearray(sound)
        for _ in range(chance.choice([1, 1, 2, 8])):
            at = chance.randrange(len(content))
            content[at : at + chance.choice([0, 1, 1, 1, 40])] = chance.choice(
                [b"", bytes([chance.randrange(256)]), b'"', b"}", b"9" * 30]
            )
            content = content or bytearray(b"0")
        (folder / name).write_bytes(content)
        try:
            cj.load_run(folder)
        except (ValueError, FileNotFoundError) as error:
            assert re.search(r"found|expected", str(error)), error
            assert len(str(error)) < 20_000


def test_histories_of_any_numbers(tmp_path):
    table = pd.DataFrame(
        {"epoch": [1, 2, 3], "loss": [1 / 3, np.nan, np.inf], "x": [1e-300, -0.0, 2e22]}
    )
    table.to_csv(tmp_path / "h.csv", index=False)
    again = load.read_history(tmp_path / "h.csv")
    pd.testing.assert_frame_equal(again, table, check_exact=True)


def test_a_moving_average_comes_back_and_is_what_is_measured(tmp_path):
    data = examples()
    fitted = cj.fit(
        small(), data, validation=data, epochs=2, average=0.9, progress=False
    )
    again = cj.load_run(fitted.save(tmp_path / "averaged"))
    assert same(again.average, fitted.average)
    assert not same(again.average, again.params)
    measured = cj.evaluate(again, data, batch_size=32)
    assert measured["loss"] == fitted.history["validation_loss"].iloc[-1]
    assert cj.judge(again, data).loss.mean() == pytest.approx(measured["loss"], 1e-5)
    last = cj.evaluate(again, data, params=again.params, batch_size=32)
    assert last["loss"] != measured["loss"]
