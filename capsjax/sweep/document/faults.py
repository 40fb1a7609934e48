"""Faults of a sweep's document in words of their own, each with its place and cure."""

from typing import Any

from capsjax.graph.errors import Path, Problem, brief, format_path, listing, nearest
from capsjax.sweep.document.axis_form import AXES, form_of_axis
from capsjax.sweep.document.form import KEYS, SEARCHES
from capsjax.training.documents.faults import MISPLACED, DocumentError

_PAIRS = ("linear", "log", "uniform", "log_uniform", "integers", "log_integers")


class SweepError(DocumentError):
    """Everything that is wrong with a sweep's document, collected and raised once.

    Attributes:
        problems: The faults as data, in the order of the document.
        source: The file it was read from, if it was.
    """

    noun = "sweep"


def place_of(path: Path) -> str:
    """A path for a reader: which axis, and the key within it."""
    if not path:
        return "the document"
    head, rest = path[:1], path[1:]
    first = f"key {brief(path[0])}"
    if head == ("over",) and rest:
        first, rest = f"axis {brief(rest[0])}", rest[1:]
    elif head == ("zip",) and rest and isinstance(rest[0], int):
        first, rest = f"zip number {rest[0] + 1}", rest[1:]
    return ", ".join([first, *([format_path(rest)] if rest else [])])


def fault(path: Path, found: str, expected: str, cure: str) -> Problem:
    """A fault at a place of the document."""
    return Problem(path, place_of(path), found, expected, cure)


def own_words(document: Any, path: Path, error: Any) -> Problem | None:
    """A fault that pydantic found in words of sweeps; None for the common ones."""
    kind, value = error["type"], error["input"]
    if kind.startswith("union_tag"):
        return _no_axis(path, value) if path[0] == "over" else _no_search(path, value)
    if kind == "extra_forbidden" and path[0] == "over" and path[-1] in AXES:
        found, expected = f"unknown key {brief(path[-1])}", known_keys(document, path)
        cure = "leave one of them: an axis has one form"
        return fault(path, found, f"one of {', '.join(expected)}", cure)
    if kind == "missing" and path[-1] == "count":
        cure = "add it: how many values, both ends among them"
        return fault(path, "no key 'count'", "the key 'count'", cure)
    if path and path[-1] in _PAIRS and not kind.endswith("_int"):
        expected = "the least and the largest value, [low, high]"
        return fault(path, brief(value), expected, "write two numbers")
    if len(path) > 2 and kind == "list_type" and path[-1] in KEYS:
        return fault(path, brief(value), "a list", MISPLACED)
    if kind == "string_pattern_mismatch":
        expected = 'a number of bytes, or text such as "2GiB"'
        return fault(path, brief(value), expected, "correct the value")
    return None


def known_keys(document: Any, path: Path) -> tuple[str, ...]:
    """The keys that may stand where an unknown one was found."""
    if path[0] == "over":
        form = form_of_axis(document["over"][path[1]])
        return (*list(AXES[str(form)].model_fields)[1:], "when")
    if path[0] == "search":
        return tuple(SEARCHES[document["search"]["kind"]].model_fields)
    return KEYS


def _no_axis(path: Path, value: Any) -> Problem:
    """An axis that is neither a list nor one of the objects."""
    name = path[-1]
    expected = f"a list of values, or an object with one of {', '.join(AXES)}"
    if not isinstance(value, dict):
        cure = MISPLACED if name in KEYS else "write a list, also of a single value"
        return fault(path, brief(value), expected, cure)
    cure = "name one of them"
    for key, inner in value.items():
        cure = nearest(key, AXES, cure)
        if cure.startswith("name") and key != "when" and isinstance(inner, list | dict):
            cure = f'a name with dots is written in quotes: "{name}.{key}"'
    keys = listing(map(brief, value)) or "nothing"
    return fault(path, f"an object with {keys}", expected, cure)


def _no_search(path: Path, value: Any) -> Problem:
    """A search that is unknown, or none."""
    expected = f"one of {', '.join(SEARCHES)}"
    if not isinstance(value, dict):
        cure = "name it, or leave it out"
        return fault(path, brief(value), expected, cure)
    path = (*path, "kind")
    if "kind" not in value:
        return fault(path, f"no kind, in {brief(value)}", expected, "name the kind")
    found = f"unknown kind {brief(value['kind'])}"
    return fault(path, found, expected, nearest(value["kind"], SEARCHES, "name one"))
