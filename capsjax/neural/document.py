"""The document of a model: written, read, hashed.

    {"format_version": 1, "name": ...,
     "neurons": {"inputs": 64, "neurons": ["h1", ...],
                 "activations": {"kind": "tanh"},
                 "sources": [...], "targets": [...], "weights": [...], "biases": [...]},
     "cap": {"kind": "softmax"}, "loss": {"kind": "cross_entropy"}}

A node is given by its number, inputs first. With several activations, "activations" is
a list of them and "activation_of" tells each neuron's place in it. The arrays may
stand in a safetensors file in the folder of the document: "arrays" then names it.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from capsjax.graph.declaration import kind_document
from capsjax.graph.errors import GraphError, Problem
from capsjax.graph.schema import FORMAT_VERSION
from capsjax.graph.storage import FORMS, Form
from capsjax.neural import arrays as files
from capsjax.neural import form
from capsjax.neural.model import Model, model
from capsjax.neural.network import NeuralNetwork
from capsjax.neural.readout import readout

MOST_INSIDE = 1_000
"""Up to so many connections the arrays stand in the document."""

_KEYS = ("format_version", "name", "neurons", "cap", "loss", "metadata")


def write(given: Model | NeuralNetwork, path: Path) -> str:
    """The text of a model's document; large arrays are written beside it before."""
    declared = _as_model(given)
    document, arrays = _described(declared)
    if len(arrays["sources"]) > MOST_INSIDE:
        document["neurons"]["arrays"] = files.write(arrays, path)
    else:
        document["neurons"] |= {key: each.tolist() for key, each in arrays.items()}
    text = json.dumps(document, indent=2, ensure_ascii=False)
    # Lists of numbers on one line: text in quotes holds no line break.
    return re.sub(r"\[\n[-+.,\deE\s]*\]", lambda found: _line(found[0]), text)


def read(document: dict[str, Any], problems: list[Problem], source: str) -> Model:
    """The model that a document declares.

    Args:
        document: The document as plain data.
        problems: What is known to be wrong already.
        source: The file that it was read from; empty, if it was from none.

    Raises:
        GraphError: Everything that is wrong with the document, at once.
    """
    network, more = form.read(document["neurons"], source)
    faults = problems + form.judge_keys(document, _KEYS, ("format_version",), ()) + more
    width = None if network is None else len(network.output_neurons)
    graph, more = readout(width, document)
    faults += more
    if faults or network is None or graph is None:
        keys = [(key,) for key in document]
        faults.sort(key=lambda each: [*keys, each.path[:1]].index(each.path[:1]))
        name = document.get("name")
        raise GraphError(name if isinstance(name, str) else "neurons", faults, source)
    return Model(
        network,
        graph.capsules[0].cap,
        dict(graph.losses).get(graph.outputs[0]),
        document.get("name", "neurons"),
        graph.notes,
    )


def content(given: Model | NeuralNetwork) -> Iterator[bytes]:
    """The bytes of what a model means: its canonical text, then its arrays."""
    document, arrays = _described(_as_model(given))
    document.pop("metadata", None)
    document["lengths"] = {key: len(each) for key, each in arrays.items()}
    yield json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    for key in sorted(arrays):
        # Adding zero makes -0.0 and 0.0, which are equal, one.
        yield (arrays[key] + 0).astype(files.DTYPES[key]).tobytes()


def _described(declared: Model) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The document without its arrays, and the arrays."""
    network = declared.network
    used, first = np.unique(network.activation_of, return_index=True)
    used = used[np.argsort(first)]  # in the order in which neurons have them
    kinds = [kind_document(network.activations[number]) for number in used]
    place = np.zeros(len(network.activations), np.int32)
    place[used] = np.arange(len(used))
    arrays = {
        "activation_of": None if len(used) == 1 else place[network.activation_of],
        "sources": network.sources,
        "targets": network.targets,
        "weights": network.weights,
        "biases": network.biases,
    }
    notes = {"metadata": declared.metadata} if declared.metadata else {}
    document = {
        "format_version": FORMAT_VERSION,
        "name": declared.name,
        "neurons": {
            "inputs": _names(network.inputs, 0),
            "neurons": _names(network.neurons, len(network.inputs)),
            "activations": kinds[0] if len(kinds) == 1 else kinds,
        },
        "cap": kind_document(declared.cap),
        "loss": None if declared.loss is None else kind_document(declared.loss),
        **notes,
    }
    return document, {key: each for key, each in arrays.items() if each is not None}


def _names(names: np.ndarray, start: int) -> Any:
    """A count, where the names are those of nodes that are only counted."""
    counted = np.arange(start, start + len(names))
    same = names.dtype.kind in "iu" and np.array_equal(names, counted)
    return len(names) if same else names.tolist()


def _as_model(given: Model | NeuralNetwork) -> Model:
    return model(given) if isinstance(given, NeuralNetwork) else given


def _line(text: str) -> str:
    return " ".join(text.split()).replace("[ ", "[").replace(" ]", "]")


FORMS["neurons"] = Form((Model, NeuralNetwork), write, read, content)
