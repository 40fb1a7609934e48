"""The capsule that reads the output neurons: declared and checked as a graph of one.

`Y = cap(U)`, U the values of the output neurons. What surrounds the neurons of a
model, its name, capsule function, loss and notes, is thereby held to the rules of
capsule graphs, and its faults are said in their words.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

from capsjax.graph.declaration import Graph
from capsjax.graph.document import from_document
from capsjax.graph.errors import GraphError, Path, Problem, format_path
from capsjax.graph.schema import FORMAT_VERSION

INPUT = "x"
OUTPUT = "y"

_SURROUNDINGS = ("format_version", "name", "metadata")


def readout(
    width: int | None, document: dict[str, Any], activations: Sequence[Any] = ()
) -> tuple[Graph | None, list[Problem]]:
    """The readout of a model as a graph, or what is wrong with it.

    Args:
        width: Number of output neurons; None, if it is not known.
        document: The document of the model; what it says of neurons is not read.
        activations: Document forms of the neurons' capsule functions, judged with it.

    Returns:
        The graph: capsule "y", then one capsule for each activation; None if there
        are problems. And the problems, their paths in the model's document.
    """
    source = {"source": INPUT, "kind": "identity"}
    caps = [document.get("cap", {"kind": "identity"}), *activations]
    loss = document.get("loss")
    graph = {
        "format_version": FORMAT_VERSION,
        **{key: document[key] for key in _SURROUNDINGS if key in document},
        # A shape that is not known is passed over by inference.
        "inputs": [{"name": INPUT, "shape": None if width is None else [width]}],
        "capsules": [
            {
                "name": f"a{number}" if number else OUTPUT,
                "from": [source],
                "cap": cap,
                "bias": None,
            }
            for number, cap in enumerate(caps)
        ],
        "losses": {} if loss is None else {OUTPUT: loss},
    }
    try:
        return from_document(graph), []
    except GraphError as error:
        problems = [_placed(each) for each in error.problems]
        return None, [each for each in problems if each.path[:1] != ("inputs",)]


def _placed(problem: Problem) -> Problem:
    """The same problem with its path in the model's document."""
    path = problem.path
    if path[:1] == ("losses",):
        return dataclasses.replace(problem, path=("loss", *path[2:]))
    if path[:1] != ("capsules",) or len(path) < 2:
        return problem
    number = int(path[1])
    if number == 0:
        return dataclasses.replace(problem, path=path[2:] or ("cap",))
    inner: Path = ("neurons", "activations", number - 1, *path[3:])
    return dataclasses.replace(problem, path=inner, place=format_path(inner))
