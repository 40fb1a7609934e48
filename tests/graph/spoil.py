"""A sound document, and changes to it by path. Used by the tests of errors."""

import copy
from typing import Any

import pytest

from capsjax.graph import GraphError, Problem, from_document

DELETE = object()

SOUND: dict[str, Any] = {
    "format_version": 1,
    "name": "small",
    "inputs": [{"name": "image", "shape": [8, 8, 1]}],
    "capsules": [
        {
            "name": "c1",
            "from": [
                {"source": "image", "kind": "conv", "features": 4, "window": [3, 3]}
            ],
            "cap": {"kind": "relu"},
        },
        {
            "name": "flat",
            "from": [{"source": "c1", "kind": "reshape", "shape": [-1]}],
            "bias": None,
        },
        {
            "name": "digit",
            "from": [{"source": "flat", "kind": "matmul", "features": 10}],
            "cap": {"kind": "softmax"},
        },
    ],
    "outputs": ["digit"],
    "losses": {"digit": {"kind": "cross_entropy"}},
}


def changed(*changes: tuple[str, Any]) -> dict[str, Any]:
    """The sound document with values set (or deleted) at paths `capsules.0.cap`.

    A list's position that is one too large appends.
    """
    document = copy.deepcopy(SOUND)
    for path, value in changes:
        last: Any
        *way, last = [int(step) if step.isdigit() else step for step in path.split(".")]
        inside: Any = document
        for step in way:
            inside = inside[step]
        if value is DELETE:
            del inside[last]
        elif isinstance(inside, list) and last == len(inside):
            inside.append(value)
        else:
            inside[last] = value
    return document


def refused(document: Any) -> GraphError:
    """The error of a document, whose problems all point into it."""
    with pytest.raises(GraphError) as caught:
        from_document(document)
    for problem in caught.value.problems:
        assert_reachable(document, problem)
    return caught.value


def assert_reachable(document: Any, problem: Problem) -> None:
    """Walks the path of a problem; only its last step may be a missing key."""
    value = document
    for i, step in enumerate(problem.path):
        if isinstance(value, dict):
            last = i == len(problem.path) - 1
            assert step in value or last, problem
            value = value.get(step)
        else:
            assert isinstance(value, list) and isinstance(step, int), problem
            value = value[step]
