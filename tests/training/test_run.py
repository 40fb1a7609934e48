"""Run folders and parameter files: whole or absent, named, safe to load."""

import json
import os
import struct

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import capsjax as cj
from capsjax.training import run as run_module
from capsjax.training import saved


@pytest.fixture
def run():
    x = cj.input("x", (4,))
    y = cj.capsule("y", cj.matmul(x, 3), cj.matmul(x, 3), cap="softmax")
    net = cj.compile(cj.graph(y, name="tiny", losses={"y": "cross_entropy"}))
    params, state = net.init(jax.random.key(0))
    history = pd.DataFrame([{"epoch": 1, "seconds": 0.5, "loss": 1.25}])
    return cj.Run(net, params, state, history)


def test_a_folder_holds_all_that_is_needed_to_go_on(run, tmp_path):
    folder = run.save(tmp_path / "a" / "run", {"note.txt": b"hello"})
    assert sorted(path.name for path in folder.iterdir()) == [
        "graph.json",
        "history.csv",
        "note.txt",
        "parameters.safetensors",
    ]
    net = cj.compile(cj.load(folder / "graph.json"))
    params = net.from_named(cj.load_parameters(folder / "parameters.safetensors"))
    for one, two in zip(
        jax.tree.leaves(params), jax.tree.leaves(run.params), strict=True
    ):
        np.testing.assert_array_equal(one, two)
    assert pd.read_csv(folder / "history.csv").equals(run.history)
    assert (folder / "note.txt").read_bytes() == b"hello"


def test_nothing_is_overwritten(run, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="not empty; choose another folder"):
        run.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError, match="not empty"):
        run.save(tmp_path / "file")


def test_a_failure_leaves_nothing_behind(run, tmp_path, monkeypatch):
    def fail(*arguments):
        raise OSError("disk full")

    monkeypatch.setattr(run_module, "save_parameters", fail)
    with pytest.raises(OSError, match="disk full"):
        run.save(tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_a_run_says_what_it_reached(run):
    assert repr(run) == "Run('tiny', 1 epochs: loss 1.25)"


def test_keys_of_the_file(run, tmp_path):
    path = tmp_path / "p.safetensors"
    cj.save_parameters(run.net.named(run.params), path)
    content = path.read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + size])
    assert sorted(header) == ["y:B", "y:W:x", "y:W:x#2"]


def test_wrong_files_are_named(run, tmp_path):
    path = tmp_path / "p.safetensors"
    path.write_bytes(b"not a file of parameters")
    with pytest.raises(ValueError, match="p.safetensors: found .* expected a whole"):
        cj.load_parameters(path)
    with pytest.raises(FileNotFoundError):
        cj.load_parameters(tmp_path / "absent")


def test_keys_that_name_no_parameter(tmp_path):
    import safetensors.numpy

    path = tmp_path / "p.safetensors"
    path.write_bytes(safetensors.numpy.save({"y:Q": np.ones(3)}))
    with pytest.raises(ValueError, match="found the key 'y:Q'; expected capsule:B"):
        cj.load_parameters(path)
    for keys in (["y"], ["y:W:a:b"], ["y:cap"], ["y:B:a"], ["y:W", "y:W:a"], [":B"]):
        path.write_bytes(safetensors.numpy.save({key: np.ones(3) for key in keys}))
        with pytest.raises(ValueError, match="found the key .* expected capsule:B"):
            cj.load_parameters(path)


def test_parameters_of_capsule_functions_and_shared_weights(tmp_path):
    named = {
        "a": {"cap": {"slope": np.ones(2)}, "B": np.zeros(3)},
        "w": {"W": np.ones(4)},
    }
    cj.save_parameters(named, tmp_path / "p.safetensors")
    again = cj.load_parameters(tmp_path / "p.safetensors")
    assert jax.tree.map(np.shape, again) == jax.tree.map(np.shape, named)


def test_parameters_of_every_type(tmp_path):
    types = ("bfloat16", "float16", "float32", "float64", "int32", "uint8", "bool")
    named = {kind: {"B": np.asarray(jnp.arange(2).astype(kind))} for kind in types}
    cj.save_parameters(named, tmp_path / "p.safetensors")
    again = cj.load_parameters(tmp_path / "p.safetensors")
    for kind in types:
        assert again[kind]["B"].dtype == kind
        np.testing.assert_array_equal(again[kind]["B"], named[kind]["B"])


# ---- state


@pytest.fixture
def carrying():
    """A run of a network with running statistics, after a step."""
    x = cj.input("x", (4,))
    h = cj.capsule("h", cj.matmul(x, 3), cap="standardize", bias=None)
    y = cj.capsule("y", cj.channel_scale(h))
    net = cj.compile(cj.graph(y, name="tiny", losses={"y": "mean_squared_error"}))
    params, state = net.init(jax.random.key(0))
    inputs = {"x": np.random.default_rng(0).normal(size=(5, 4))}
    _, state = net.apply(params, state, inputs, train=True)
    history = pd.DataFrame([{"epoch": 1, "seconds": 0.5, "loss": 1.25}])
    return cj.Run(net, params, state, history)


def test_a_folder_holds_running_statistics(carrying, tmp_path):
    folder = carrying.save(tmp_path / "run")
    assert (folder / "state.safetensors").exists()
    net = cj.compile(cj.load(folder / "graph.json"))
    params = net.from_named(cj.load_parameters(folder / "parameters.safetensors"))
    state = saved.load_state(net, folder / "state.safetensors")
    inputs = {"x": np.ones((2, 4))}
    found = net.apply(params, state, inputs)[0]["y"]
    expected = carrying.net.apply(carrying.params, carrying.state, inputs)[0]["y"]
    np.testing.assert_array_equal(found, expected)


def test_a_state_of_another_network_is_refused(carrying, tmp_path):
    path = tmp_path / "state.safetensors"
    saved.save_state(carrying.net, carrying.state, path)
    x = cj.input("x", (4,))
    h = cj.capsule("h", cj.matmul(x, 2), cap="standardize", bias=None)
    other = cj.compile(cj.graph(h))
    with pytest.raises(ValueError, match=r"state.safetensors: state does not fit .*\n"):
        saved.load_state(other, path)
    plain = cj.compile(cj.graph(cj.capsule("h", cj.matmul(x, 2))))
    text = "found the key 'h:mean'; expected capsule:name of what network 'network'"
    with pytest.raises(ValueError, match=text):
        saved.load_state(plain, path)
    with pytest.raises(ValueError, match="h: missing; expected"):
        saved.save_state(carrying.net, {}, path)


def test_the_state_of_neurons_is_their_wiring(tmp_path):
    """It stands in the graph; nothing is written, and all comes back."""
    net = cj.compile(cj.neural.network(2, 2, [0, 1, 2], [2, 2, 3]))
    state = net.init(jax.random.key(0))[1]
    saved.save_state(net, state, tmp_path / "s.safetensors")
    again = saved.load_state(net, tmp_path / "s.safetensors")
    assert jax.tree.structure(again) == jax.tree.structure(state)
    saved.save_state(net, again, tmp_path / "s.safetensors")


def test_damaged_files_never_do_anything_but_raise(run, tmp_path):
    path = tmp_path / "p.safetensors"
    cj.save_parameters(run.net.named(run.params), path)
    whole = path.read_bytes()
    generator = np.random.default_rng(0)
    refused = 0
    for _ in range(500):
        broken = bytearray(whole)
        for at in generator.integers(0, len(whole), size=3):
            broken[at] = generator.integers(0, 256)
        cut = generator.integers(1, len(whole)) if generator.random() < 0.3 else None
        path.write_bytes(bytes(broken[:cut]))
        try:
            run.net.from_named(cj.load_parameters(path))
        except ValueError:
            refused += 1
    assert refused > 100  # flips in the numbers themselves can't be seen


def test_permissions_are_those_of_any_new_file(run, tmp_path):
    folder = run.save(tmp_path / "run")
    plain = tmp_path / "plain"
    plain.write_text("")
    mode = os.stat(plain).st_mode & 0o777
    assert os.stat(folder / "graph.json").st_mode & 0o777 == mode
