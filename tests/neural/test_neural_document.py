"""The document of a model: the round trip, the file beside it, the content hash."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

import capsjax as cj
from capsjax.graph import storage
from capsjax.neural import document, model, network, random_dag
from tests.helpers_capsjax import examples
from tests.neural.helpers_neural import networks

READOUTS = [
    ("identity", None),
    ("softmax", "cross_entropy"),
    (cj.caps.leaky_relu(0.3), cj.losses.mean_squared_error(weight=2.0)),
]


def same(one: cj.neural.Model, other: cj.neural.Model) -> None:
    """Asserts that two models are one, also in the order of what they hold."""
    assert one == other
    assert one.metadata == other.metadata
    for name in ("inputs", "neurons", "sources", "targets", "weights", "biases"):
        mine, theirs = getattr(one.network, name), getattr(other.network, name)
        assert (mine is None) == (theirs is None)
        if mine is not None:
            assert mine.dtype.kind == theirs.dtype.kind
            np.testing.assert_array_equal(mine, theirs)
    assert cj.content_hash(one) == cj.content_hash(other)


@examples(30)
@given(networks(), st.sampled_from(READOUTS), st.booleans())
def test_the_round_trip_is_lossless(tmp_path_factory, net, readout, beside):
    path = tmp_path_factory.getbasetemp() / "round-trip.json"
    declared = model(net, *readout, name="wired", metadata={"notes": [1, "[\n 1]"]})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(document, "MOST_INSIDE", 0 if beside else 1000)
        cj.save(declared, path)
    same(cj.load(path), declared)
    has_file = "arrays" in json.loads(path.read_text())["neurons"]
    assert has_file == (beside and len(net.sources) > 0)


def test_a_network_alone_is_saved_as_its_model(tmp_path):
    net = network(1, 1, [0], [1])
    cj.save(net, tmp_path / "net.json")
    same(cj.load(tmp_path / "net.json"), model(net))
    assert cj.content_hash(net) == cj.content_hash(model(net))


def test_the_text_of_a_document(tmp_path):
    net = network(["a", "b"], ["h"], [0, 1], [2, 2], "relu", weights=[0.1, -2])
    cj.save(model(net, name="tiny"), tmp_path / "tiny.json")
    assert (tmp_path / "tiny.json").read_text() == (
        '{\n  "format_version": 1,\n  "name": "tiny",\n  "neurons": {\n'
        '    "inputs": [\n      "a",\n      "b"\n    ],\n'
        '    "neurons": [\n      "h"\n    ],\n'
        '    "activations": {\n      "kind": "relu"\n    },\n'
        '    "sources": [0, 1],\n    "targets": [2, 2],\n    "weights": [0.1, -2.0]\n'
        '  },\n  "cap": {\n    "kind": "identity"\n  },\n  "loss": null\n}\n'
    )


def test_names_that_are_numbers_of_nodes_are_counted(tmp_path):
    def names(inputs, neurons):
        net = network(inputs, neurons, [0, 1], [2, 2])
        cj.save(net, tmp_path / "net.json")
        said = json.loads((tmp_path / "net.json").read_text())["neurons"]
        return said["inputs"], said["neurons"]

    assert names(2, 1) == names([0, 1], [2]) == (2, 1)
    assert names([1, 0], [2]) == ([1, 0], 1)
    assert names([0, 1], [5]) == (2, [5])


@pytest.fixture
def wired():
    """A model with more connections than a document holds."""
    rng = np.random.default_rng(0)
    net = random_dag("window", inputs=8, neurons=400, in_degree=4, window=50)
    count = len(net.neurons)
    net = network(
        8,
        count,
        net.sources,
        net.targets,
        ["tanh", "relu"] * (count // 2),
        weights=rng.normal(size=len(net.sources)),
        biases=rng.normal(size=count),
    )
    assert len(net.sources) > document.MOST_INSIDE
    return model(net, "softmax", "cross_entropy", name="wired")


def beside(path: Path) -> Path:
    """The file of arrays that a document names."""
    return path.parent / json.loads(path.read_text())["neurons"]["arrays"]


def test_large_arrays_stand_in_a_file_beside(tmp_path, wired):
    path = tmp_path / "wired.json"
    cj.save(wired, path)
    assert path.stat().st_size < 1000
    arrays = safetensors.numpy.load_file(beside(path))
    found = {name: str(each.dtype) for name, each in arrays.items()}
    assert found == {
        **dict.fromkeys(["activation_of", "sources", "targets"], "int32"),
        **dict.fromkeys(["biases", "weights"], "float64"),
    }
    same(cj.load(path), wired)


def test_saving_anew_leaves_the_old_arrays_whole(tmp_path, wired, monkeypatch):
    """Whoever is interrupted between both files has the old document and its arrays."""
    path = tmp_path / "wired.json"
    cj.save(wired, path)
    other = random_dag("window", inputs=8, neurons=500, in_degree=4, window=50)
    monkeypatch.setattr(storage, "write_atomically", _fails)
    with pytest.raises(OSError, match="no room"):
        cj.save(other, path)
    assert len(list(tmp_path.iterdir())) == 3
    same(cj.load(path), wired)


def _fails(path, content):
    raise OSError("no room")


def test_the_hash_is_of_what_is_meant_and_of_its_order(wired):
    net = wired.network
    said = cj.content_hash(wired)
    again = model(net, "softmax", "cross_entropy", name="wired", metadata={"a": 1})
    assert cj.content_hash(again) == said
    others = [
        model(net, "softmax", "cross_entropy", name="other"),
        model(net, "log_softmax", "cross_entropy", name="wired"),
        model(net, "softmax", "margin", name="wired"),
    ]
    changed = [
        dict(weights=np.r_[net.weights[:-1], 7]),
        dict(biases=np.r_[net.biases[:-1], 7]),
        dict(weights=None),
        dict(activations="tanh"),
        dict(sources=net.sources[::-1], targets=net.targets[::-1]),
    ]
    for change in changed:
        settings = dict(
            sources=net.sources,
            targets=net.targets,
            weights=net.weights,
            biases=net.biases,
            activations=[net.activations[i] for i in net.activation_of],
        )
        other = network(8, len(net.neurons), **(settings | change))
        others.append(model(other, "softmax", "cross_entropy", name="wired"))
    hashes = [cj.content_hash(each) for each in others]
    assert len({said, *hashes}) == 1 + len(others)


def test_what_is_no_declaration():
    for call in (cj.content_hash, lambda given: cj.save(given, "never.json")):
        with pytest.raises(TypeError) as raised:
            call(cj.compile(cj.zoo.graph("mlp")))
        assert str(raised.value) == (
            "expected a declaration (Graph, Model, NeuralNetwork), not Network; of a "
            "compiled network take net.graph"
        )
    assert not os.path.exists("never.json")
