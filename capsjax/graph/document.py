"""The JSON document: reading, checking, writing, canonical form, content hash.

Every declaration passes through here, whether it is written in Python or in JSON:
`document -> upgrade -> types -> structure -> shapes -> Graph`. Nothing in a document
is ever executed: kinds are looked up in the registries.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from capsjax.graph import salvage
from capsjax.graph.checks import check
from capsjax.graph.declaration import (
    Capsule,
    Edge,
    Graph,
    Input,
    Node,
    edge_document,
    edges_document,
    kind_document,
    losses_document,
    reachable,
)
from capsjax.graph.errors import GraphError, Problem
from capsjax.graph.files import write_atomically
from capsjax.graph.kinds import CAPS, LOSSES, WEIGHTINGS, LossKind
from capsjax.graph.schema import FORMAT_VERSION

UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""For each older version of the format, the function to the next one."""


def graph(
    *outputs: Node,
    name: str = "network",
    losses: Mapping[str, LossKind | str] | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Graph:
    """Declares a graph: everything that the given capsules reach backwards.

    Args:
        *outputs: The capsules whose Y is asked for.
        name: What the network is called.
        losses: For outputs by name, a loss: `"cross_entropy"`, or
            `cj.losses.cross_entropy(weight=0.5)`.
        metadata: Free notes, kept in the document, without effect on meaning.

    Returns:
        The graph, checked, with shapes that fit.

    Raises:
        GraphError: Everything that is wrong with the declaration, at once.

    Example:
        >>> import capsjax as cj
        >>> image = cj.input("image", (64,))
        >>> digit = cj.capsule("digit", cj.matmul(image, 10), cap="softmax")
        >>> cj.graph(digit, name="tiny", losses={"digit": "cross_entropy"})
        Graph('tiny', 1 inputs, 1 capsules, outputs ['digit'])

    Source: Li & Shan, arXiv 1805.03551, section 3.
    """
    nodes = reachable(outputs)
    return from_document(
        {
            "format_version": FORMAT_VERSION,
            "name": name,
            "inputs": [
                {"name": node.name, "shape": list(node.shape)}
                for node in nodes
                if node.shape is not None
            ],
            "capsules": [
                {
                    "name": node.name,
                    "from": edges_document(node),
                    "cap": kind_document(node.cap),
                    "bias": node.bias,
                }
                for node in nodes
                if node.shape is None
            ],
            "outputs": [node.name for node in outputs],
            "losses": losses_document(losses or {}),
            "metadata": dict(metadata or {}),
        }
    )


def from_document(document: Any) -> Graph:
    """A graph from a document as plain data (what `json.loads` gives).

    Args:
        document: The document.

    Returns:
        The graph.

    Raises:
        GraphError: Everything that is wrong with the document, at once.
    """
    document = _upgrade(document)
    model, problems = salvage.validate(document)
    declared = _build(model) if model is not None else salvage.sound_part(document)
    _, more = check(declared)
    problems += more
    if problems:
        raise GraphError(declared.name, sorted(problems, key=_position))
    return declared


def to_document(graph: Graph) -> dict[str, Any]:
    """The document of a graph as plain data; settings at their defaults left out.

    Args:
        graph: The graph.

    Returns:
        Plain data that `from_document` turns into an equal graph.
    """
    document: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "name": graph.name,
        "inputs": [{"name": x.name, "shape": list(x.shape)} for x in graph.inputs],
        "capsules": [_capsule_document(capsule) for capsule in graph.capsules],
        "outputs": list(graph.outputs),
        "losses": losses_document(dict(graph.losses)),
    }
    return document | ({"metadata": graph.metadata} if graph.metadata else {})


def canonical(graph: Graph) -> str:
    """The canonical text of what a graph means: no notes, sorted keys, no blanks."""
    document = to_document(graph)
    document.pop("metadata", None)
    return json.dumps(document, sort_keys=True, separators=(",", ":"))


def content_hash(graph: Graph) -> str:
    """SHA-256 of the canonical text, as hexadecimal digits.

    Args:
        graph: The graph.

    Returns:
        64 hexadecimal digits; equal graphs have equal hashes.

    Example:
        >>> import capsjax as cj
        >>> len(cj.content_hash(cj.zoo.graph("lenet-5")))
        64
    """
    return hashlib.sha256(canonical(graph).encode()).hexdigest()


def save(graph: Graph, path: str | os.PathLike[str]) -> None:
    """Writes a graph as a JSON document, atomically.

    Args:
        graph: The graph.
        path: The file; an existing one is replaced only by a whole new one.

    Raises:
        OSError: The file can't be written.
    """
    text = json.dumps(to_document(graph), indent=2, ensure_ascii=False)
    write_atomically(path, (text + "\n").encode())


def load(path: str | os.PathLike[str]) -> Graph:
    """Reads a graph from a JSON document. Runs no code that the document names.

    Args:
        path: The file.

    Returns:
        The graph.

    Raises:
        GraphError: Everything that is wrong with the document, at once.
        OSError: The file can't be read.

    Example:
        >>> import os, tempfile, capsjax as cj
        >>> path = os.path.join(tempfile.mkdtemp(), "lenet-5.json")
        >>> cj.save(cj.zoo.graph("lenet-5"), path)
        >>> cj.load(path) == cj.zoo.graph("lenet-5")
        True
    """
    return parse(Path(path).read_bytes(), str(path))


def parse(text: str | bytes, name: str = "document") -> Graph:
    """Reads a graph from the text of a JSON document.

    Args:
        text: The document.
        name: What to call it in messages.

    Returns:
        The graph.

    Raises:
        GraphError: Everything that is wrong with the document, at once.
    """
    try:
        document = json.loads(text, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        cure = "correct the file with a JSON editor"
        problem = Problem((), f"document {name!r}", str(error), "JSON in UTF-8", cure)
        raise GraphError(name, [problem]) from None
    return from_document(document)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; a key that stands twice would silently hide the first value."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} stands twice in one object")
    return found


def _upgrade(document: Any) -> Any:
    """Brings an older document to the present format, version by version."""
    while isinstance(document, dict):
        version = document.get("format_version")
        if not isinstance(version, int) or version not in UPGRADES:
            break
        document = UPGRADES[version](document)
    return document


def _build(model: Any) -> Graph:
    capsules = tuple(
        Capsule(
            each.name,
            tuple(Edge(e.source, _record(WEIGHTINGS, e)) for e in each.from_),
            _record(CAPS, each.cap),
            each.bias,
        )
        for each in model.capsules
    )
    return Graph(
        model.name,
        tuple(Input(each.name, each.shape) for each in model.inputs),
        capsules,
        tuple(model.outputs or sinks(capsules)),
        tuple((name, _record(LOSSES, loss)) for name, loss in model.losses.items()),
        json.dumps(model.metadata, sort_keys=True),
    )


def _record(registry: Any, model: Any) -> Any:
    settings = {k: v for k, v in model.__dict__.items() if k not in ("kind", "source")}
    return registry[model.kind](**settings)


def sinks(capsules: Iterable[Capsule]) -> list[str]:
    """The capsules that no other reads: the outputs, where none are listed."""
    capsules = list(capsules)
    read = {edge.source for capsule in capsules for edge in capsule.edges}
    return [capsule.name for capsule in capsules if capsule.name not in read]


def _capsule_document(capsule: Capsule) -> dict[str, Any]:
    return {
        "name": capsule.name,
        "from": [edge_document(e.source, e.weighting) for e in capsule.edges],
        "cap": kind_document(capsule.cap),
        "bias": capsule.bias,
    }


def _position(problem: Problem) -> tuple[int, int]:
    """Order of the document: inputs, capsules, outputs, losses, then the rest."""
    parts = ("inputs", "capsules", "outputs", "losses")
    path = problem.path
    part = parts.index(path[0]) if path and path[0] in parts else len(parts)
    index = path[1] if len(path) > 1 and isinstance(path[1], int) else -1
    return part, index
