"""Every fault of a model's document and of the file beside it, said with its cure."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

import capsjax as cj
from capsjax.graph import parse
from capsjax.neural import document, form, model, network
from tests.helpers_capsjax import examples

SOUND = {
    "format_version": 1,
    "name": "net",
    "neurons": {
        "inputs": 2,
        "neurons": 1,
        "activations": {"kind": "tanh"},
        "sources": [0, 1],
        "targets": [2, 2],
    },
    "cap": {"kind": "identity"},
    "loss": None,
}

GONE = object()


def changed(**changes) -> str:
    """The sound document as text with changes; `neurons__KEY` is a key of neurons."""
    said = json.loads(json.dumps(SOUND))
    for key, value in changes.items():
        inside = key.startswith("neurons__")
        part = said["neurons"] if inside else said
        part[key.removeprefix("neurons__")] = value
        if value is GONE:
            del part[key.removeprefix("neurons__")]
    return json.dumps(said)


def test_what_may_be_left_out():
    least = changed(name=GONE, cap=GONE, loss=GONE)
    assert parse(least) == model(network(2, 1, [0, 1], [2, 2]))


def test_a_document_of_capsules_is_one_though_it_has_the_key():
    with pytest.raises(cj.GraphError, match="unknown key 'neurons'"):
        parse(changed(capsules=[]))


FAULTS = {
    "unknown key": (
        dict(zzz=1, neurons__weight=[1]),
        "1. neurons.weight (neurons.weight)\n"
        "    found:    unknown key 'weight'\n"
        "    expected: one of inputs, neurons, activations, sources, targets, "
        "activation_of, weights, biases, arrays\n"
        "    cure:     did you mean 'weights'?\n"
        "2. zzz (zzz)\n"
        "    found:    unknown key 'zzz'\n"
        "    expected: one of format_version, name, neurons, cap, loss, metadata\n"
        "    cure:     remove it",
    ),
    "missing keys": (
        dict(format_version=GONE, neurons__inputs=GONE, neurons__targets=GONE),
        "1. neurons.inputs (neurons.inputs)\n"
        "    found:    no key 'inputs'\n"
        "    expected: the key 'inputs'\n"
        "    cure:     add it\n"
        "2. neurons.targets (neurons.targets)\n"
        "    found:    no key 'targets'\n"
        "    expected: the key 'targets', or arrays in a file: 'arrays'\n"
        "    cure:     add it\n"
        "3. format_version (format_version)\n"
        "    found:    no key 'format_version'\n"
        "    expected: the key 'format_version'\n"
        "    cure:     add it",
    ),
    "newer version": (
        dict(format_version=2),
        "1. format_version (format_version)\n"
        "    found:    2\n"
        "    expected: 1, the version known\n"
        "    cure:     use a newer capsjax",
    ),
    "no object": (
        dict(neurons=3),
        "1. neurons (neurons)\n"
        "    found:    3\n"
        "    expected: an object\n"
        '    cure:     write {"inputs": ..., "neurons": ..., "sources": [...], ...}',
    ),
    "names": (
        dict(neurons__inputs=True, neurons__neurons={"h": 1}),
        "1. neurons.inputs (neurons.inputs)\n"
        "    found:    True\n"
        "    expected: how many there are, or their names\n"
        "    cure:     write a count such as 64, or a list such as ['i1']\n"
        "2. neurons.neurons (neurons.neurons)\n"
        "    found:    {'h': 1}\n"
        "    expected: how many there are, or their names\n"
        "    cure:     write a count such as 64, or a list such as ['n1']",
    ),
    "half of a character": (
        dict(neurons__inputs=["a", "\ud800"], neurons__neurons=["h"]),
        "1. neurons.inputs[1] (neurons.inputs[1])\n"
        "    found:    '\\ud800'\n"
        "    expected: text in Unicode, without halves of surrogate pairs\n"
        "    cure:     replace the value",
    ),
    "more nodes than connections can join": (
        dict(neurons__inputs=2_000_000_000),
        "1. neurons (neurons)\n"
        "    found:    |S| + |H| = 2,000,000,000 + 1 nodes, |W| = 2\n"
        "    expected: at least 2,000,000,000 connections: the graph is connected\n"
        "    cure:     correct the counts, or add the connections that are missing",
    ),
    "entries of lists": (
        dict(neurons__sources=[0, 1.5], neurons__targets="2", neurons__weights=[True]),
        "1. neurons.sources[1] (neurons.sources[1])\n"
        "    found:    1.5\n"
        "    expected: an integer, of 32 bits\n"
        "    cure:     correct the value\n"
        "2. neurons.targets (neurons.targets)\n"
        "    found:    '2'\n"
        "    expected: a list\n"
        "    cure:     write a list\n"
        "3. neurons.weights[0] (neurons.weights[0])\n"
        "    found:    True\n"
        "    expected: a number\n"
        "    cure:     correct the value",
    ),
    "numbers too large": (
        dict(neurons__sources=[0, 2**31], neurons__weights=[1, 10**400]),
        "1. neurons.sources[1] (neurons.sources[1])\n"
        "    found:    2147483648\n"
        "    expected: an integer, of 32 bits\n"
        "    cure:     correct the value\n"
        "2. neurons.weights[1] (neurons.weights[1])\n"
        "    found:    an integer of about 398 digits\n"
        "    expected: a number\n"
        "    cure:     correct the value",
    ),
    "NaN": (
        dict(neurons__weights=[1, float("nan")]),
        "1. weights (neurons.weights[1])\n"
        "    found:    nan for connection 1\n"
        "    expected: finite numbers\n"
        "    cure:     look for a division by zero or a diverged training where they "
        "come from",
    ),
    "structure and readout": (
        dict(neurons__targets=[2, 3], loss={"kind": "mean_squarederror"}),
        "1. targets (neurons.targets[1])\n"
        "    found:    node 3 in connection 1\n"
        "    expected: numbers from 0 to 2, for |S| + |H| = 2 + 1 nodes\n"
        "    cure:     nodes are numbered from 0, the inputs first\n"
        "2. loss on 'y' (loss.kind)\n"
        "    found:    unknown kind 'mean_squarederror'\n"
        "    expected: one of binary_cross_entropy, cross_entropy, huber, margin, "
        "mean_squared_error, sum_squared_error\n"
        "    cure:     did you mean 'mean_squared_error'?",
    ),
    "readout": (
        dict(cap="softmax", metadata=[1]),
        "1. capsule 'y', cap (cap)\n"
        "    found:    'softmax'\n"
        '    expected: an object that names its kind, {"kind": ...}\n'
        '    cure:     write {"kind": "softmax"}\n'
        "2. metadata (metadata)\n"
        "    found:    [1]\n"
        "    expected: an object\n"
        "    cure:     correct the value",
    ),
    "an activation by its name alone": (
        dict(neurons__activations="relu"),
        "1. neurons.activations (neurons.activations)\n"
        "    found:    'relu'\n"
        '    expected: a capsule function, {"kind": ...}, or a list of them\n'
        '    cure:     write {"kind": "relu"}',
    ),
    "a setting of an activation": (
        dict(neurons__activations={"kind": "leaky_relu", "slope": 0.1}),
        "1. neurons.activations.slope (neurons.activations.slope)\n"
        "    found:    unknown key 'slope'\n"
        "    expected: one of kind, negative_slope\n"
        "    cure:     remove it",
    ),
    "activations without numbers": (
        dict(neurons__activations=[{"kind": "tanh"}]),
        "1. neurons.activation_of (neurons.activation_of)\n"
        "    found:    a list of activations, but no activation_of\n"
        "    expected: activation_of beside a list of activations, and only there\n"
        "    cure:     say by activation_of which of them each neuron has",
    ),
    "numbers without activations": (
        dict(neurons__activation_of=[0]),
        "1. neurons.activation_of (neurons.activation_of)\n"
        "    found:    one activation for all neurons\n"
        "    expected: activation_of beside a list of activations, and only there\n"
        "    cure:     remove activation_of, or write a list",
    ),
    "an activation that is not there": (
        dict(neurons__activations=[{"kind": "tanh"}], neurons__activation_of=[1]),
        "1. neurons.activation_of[0] (neurons.activation_of[0])\n"
        "    found:    1 for neuron 0, and 1 such in all\n"
        "    expected: places in the list activations, from 0, below 1\n"
        "    cure:     correct the number",
    ),
    "both ways at once": (
        dict(neurons__arrays="net.safetensors"),
        "1. neurons.arrays (neurons.arrays)\n"
        "    found:    a file of arrays, and sources, targets in the document\n"
        "    expected: one of both\n"
        "    cure:     remove one of both",
    ),
}


@pytest.mark.parametrize("changes, text", FAULTS.values(), ids=FAULTS)
def test_every_fault_is_said(changes, text):
    with pytest.raises(cj.GraphError) as raised:
        parse(changed(**changes), "net.json")
    count = text.count("found:    ")
    plural = "s" if count > 1 else ""
    head = f"graph 'net' in 'net.json' has {count} problem{plural}:\n"
    assert str(raised.value) == head + text


def test_a_list_of_activations_is_judged_one_by_one():
    kinds = [{"kind": "tanh"}, {"kind": "sigmod"}]
    text = changed(neurons__activations=kinds, neurons__activation_of=[0])
    with pytest.raises(cj.GraphError) as raised:
        parse(text)
    (problem,) = raised.value.problems
    assert problem.path == ("neurons", "activations", 1, "kind")
    assert problem.place == "neurons.activations[1].kind"
    assert problem.cure == "did you mean 'sigmoid'?"


def test_keys_that_stand_twice():
    text = changed().replace('"inputs": 2', '"inputs": 2, "inputs": 2')
    with pytest.raises(cj.GraphError, match=r"\(neurons.inputs\)\n.*it stands 2 times"):
        parse(text)


def _put(arrays: dict[str, np.ndarray], path: Path) -> None:
    path.write_bytes(safetensors.numpy.save(arrays))


def _spoiled(folder: Path) -> dict[str, str]:
    """Files in a folder that no document may name, and what is found in each."""
    ends = {"sources": np.array([0, 1]), "targets": np.array([2, 2])}
    _put(ends, folder / "sound.safetensors")
    _put({"sources": ends["sources"]}, folder / "lacking.safetensors")
    _put({**ends, "weight": ends["sources"]}, folder / "unknown.safetensors")
    _put({**ends, "weights": ends["sources"]}, folder / "integers.safetensors")
    _put({**ends, "biases": np.zeros((1, 1))}, folder / "square.safetensors")
    _put(ends, folder / "cut.safetensors")
    cut = (folder / "cut.safetensors").read_bytes()
    (folder / "cut.safetensors").write_bytes(cut[:-1])
    (folder / "empty.safetensors").write_bytes(b"")
    (folder / "folder.safetensors").mkdir()
    (folder / "link.safetensors").symlink_to(folder / "sound.safetensors")
    os.mkfifo(folder / "pipe.safetensors")
    name = "the plain name of a .safetensors file in the folder of the document"
    return {
        "lacking.safetensors": "no array 'targets'\n    expected: the array 'targets'",
        "unknown.safetensors": "an array 'weight'\n    expected: among sources, ",
        "integers.safetensors": "'weights' as I64 of shape (2,)\n    expected: F32 or ",
        "square.safetensors": "'biases' as F64 of shape (1, 1)\n    expected: F32 or ",
        "cut.safetensors": "Error while deserializing header: ",
        "empty.safetensors": "Error while deserializing header: ",
        "folder.safetensors": "a link, a folder or a device\n    expected: a whole ",
        "link.safetensors": "a link, a folder or a device\n    expected: a whole ",
        "pipe.safetensors": "a link, a folder or a device\n    expected: a whole ",
        "gone.safetensors": "no such file\n    expected: the file 'gone.safetensors' ",
        "../sound.safetensors": f"'../sound.safetensors'\n    expected: {name}",
        "a\\b.safetensors": f"'a\\\\b.safetensors'\n    expected: {name}",
        "sound.bin": f"'sound.bin'\n    expected: {name}",
        "": f"''\n    expected: {name}",
    }


def test_every_fault_of_a_file_of_arrays(tmp_path):
    path = tmp_path / "net.json"
    gone = dict(neurons__sources=GONE, neurons__targets=GONE)
    for name, found in [*_spoiled(tmp_path).items(), (7, "7\n    expected: the plain")]:
        path.write_text(changed(neurons__arrays=name, **gone))
        with pytest.raises(cj.GraphError) as raised:
            cj.load(path)
        head = f"graph 'net' in {str(path)!r} has 1 problem:\n1. arrays in {name!r} "
        text = str(raised.value)
        assert text.startswith(f"{head}(neurons.arrays)\n    found:    {found}"), text
    path.write_text(changed(neurons__arrays="sound.safetensors", **gone))
    assert cj.load(path).network == network(2, 1, [0, 1], [2, 2])


def test_arrays_of_a_document_in_no_file():
    gone = dict(neurons__sources=GONE, neurons__targets=GONE)
    with pytest.raises(cj.GraphError) as raised:
        parse(changed(neurons__arrays="sound.safetensors", **gone))
    assert "beside a document that was read from no file" in str(raised.value)
    assert "cure:     read it by cj.load(path)" in str(raised.value)


def test_arrays_larger_than_memory_are_not_read(tmp_path, monkeypatch):
    import psutil

    monkeypatch.setattr(psutil, "virtual_memory", lambda: _Memory)
    _spoiled(tmp_path)
    gone = dict(neurons__sources=GONE, neurons__targets=GONE)
    (tmp_path / "net.json").write_text(
        changed(neurons__arrays="sound.safetensors", **gone)
    )
    with pytest.raises(cj.GraphError) as raised:
        cj.load(tmp_path / "net.json")
    assert (
        "    found:    0.0 GiB of arrays\n"
        "    expected: at most the 0.0 GiB of memory now available\n"
        "    cure:     a smaller network, or more memory"
    ) in str(raised.value)


class _Memory:
    available = total = 10


JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=3)
    | st.sampled_from(["tanh", "x.safetensors", {"kind": "tanh"}, [0], 10**400]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["kind", "a", "weight"]), inner, max_size=2)
    ),
    max_leaves=5,
)
KEYS = [*document._KEYS, *(f"neurons__{key}" for key in form._KEYS)]


@examples(30)
@given(st.dictionaries(st.sampled_from(KEYS), JUNK, min_size=1, max_size=3))
def test_whatever_stands_in_a_document_is_refused_in_order_or_taken(changes):
    if "neurons" in changes:
        changes = {k: v for k, v in changes.items() if not k.startswith("neurons__")}
    try:
        declared = parse(changed(**changes), "net.json")
    except cj.GraphError as error:
        keys = [*changes, *SOUND]
        assert all(str(problem.place) for problem in error.problems)
        assert {each.path[0] for each in error.problems if each.path} <= {
            key.partition("__")[0] for key in keys
        }
        assert str(error)
    else:
        assert isinstance(declared, cj.neural.Model)
