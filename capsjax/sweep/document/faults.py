"""From what pydantic finds to ours: each fault with its place and its cure."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import ValidationError

from capsjax.graph import plain
from capsjax.graph.errors import (
    Path,
    Problem,
    brief,
    format_path,
    listing,
    nearest,
    numbered,
)
from capsjax.graph.faults import value_problem
from capsjax.sweep.document.axis_form import AXES, form_of_axis
from capsjax.sweep.document.form import FORMAT_VERSION, KEYS, SEARCHES, Sweep

_PAIRS = ("linear", "log", "uniform", "log_uniform", "integers", "log_integers")

MISPLACED = "write it above all tables: in TOML, what stands below one belongs to it"


class SweepError(ValueError):
    """Everything that is wrong with a sweep's document, collected and raised once.

    Attributes:
        problems: The faults as data, in the order of the document.
        source: The file it was read from, if it was.
    """

    def __init__(self, problems: Iterable[Problem], source: str = ""):
        self.problems = tuple(problems)
        self.source = source
        super().__init__(self.problems, source)

    def __str__(self) -> str:
        count = len(self.problems)
        what = f"sweep {self.source!r}" if self.source else "sweep"
        plural = "s" if count > 1 else ""
        return f"{what} has {count} problem{plural}:\n{numbered(self.problems)}"


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


def validated(document: Any) -> tuple[Sweep | None, list[Problem]]:
    """A document by its types alone: the form, or the faults that stand in the way."""
    problems: list[Problem] = []
    try:
        text = plain.write(document)
    except (TypeError, ValueError, RecursionError):
        document, problems = plain.clean(document)
        problems = [
            each if each.place.startswith("key ") else _named(each) for each in problems
        ]
        text = plain.write(document)
    try:
        form = Sweep.model_validate_json(text)
        return (None if problems else form), problems
    except ValidationError as error:
        places = {problem.path for problem in problems}
        more = _problems(document, error.errors(include_url=False))
        return None, problems + [each for each in more if each.path not in places]


def _named(problem: Problem) -> Problem:
    return dataclasses.replace(problem, place=place_of(problem.path))


def _problems(document: Any, errors: Sequence[Any]) -> list[Problem]:
    """One problem for each fault.

    Where a value may take several forms, pydantic says of each why it is not that
    one: the form that was understood farthest is meant; of equals, all are named.
    """
    found: dict[Any, list[tuple[Path, Any]]] = {}
    for error in errors:
        path = _real_path(document, error["loc"])
        found.setdefault(error["loc"][:1] if _many(path) else path, []).append(
            (path, error)
        )
    problems = []
    for alternatives in found.values():
        farthest = max(len(path) for path, _ in alternatives)
        meant: dict[Path, list[Problem]] = {}
        for path, error in alternatives:
            if len(path) == farthest:
                own = _problem(document, path, error)
                meant.setdefault(path, []).append(own)
        problems += [_joined(each) for each in meant.values()]
    return problems


def _many(path: Path) -> bool:
    """Whether a key is one whose value may take several forms."""
    return path[:1] in (("seeds",), ("keep",), ("strategy",), ("memory_limit",))


def _joined(forms: list[Problem]) -> Problem:
    first = forms[0]
    expected = " or ".join(dict.fromkeys(form.expected for form in forms))
    near = [form.cure for form in forms if form.cure.startswith("did you mean")]
    cure = near[0] if near else first.cure
    return Problem(first.path, first.place, first.found, expected, cure)


def _real_path(document: Any, loc: tuple[Any, ...]) -> Path:
    """Drops from a location the steps that name a form, not a place."""
    tag = {"over": 2, "search": 1}.get(loc[0]) if loc else None
    path: list[Any] = []
    value = document
    for number, step in enumerate(loc):
        if number == tag or (tag is None and not _leads_on(value, step)):
            continue
        path.append(step)
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int):
            value = value[step] if step < len(value) else None
    return tuple(path)


def _leads_on(value: Any, step: Any) -> bool:
    return isinstance(value, dict) or (
        isinstance(value, list) and isinstance(step, int)
    )


def _problem(document: Any, path: Path, error: Any) -> Problem:
    """Turns one fault that pydantic found into ours."""
    kind, value = error["type"], error["input"]
    if kind.startswith("union_tag"):
        return _no_axis(path, value) if path[0] == "over" else _no_search(path, value)
    if kind == "extra_forbidden":
        return _unknown_key(document, path)
    if kind == "missing":
        return _missing(path)
    if path == ("format_version",):
        cure = f"write {FORMAT_VERSION}, without quotes"
        if type(value) is int and value > FORMAT_VERSION:
            cure = "use a newer capsjax"
        expected = f"{FORMAT_VERSION}, the version known"
        return fault(path, brief(value), expected, cure)
    if path and path[-1] in _PAIRS and not kind.endswith("_int"):
        expected = "the least and the largest value, [low, high]"
        return fault(path, brief(value), expected, "write two numbers")
    if len(path) > 2 and kind == "list_type" and path[-1] in KEYS:
        return fault(path, brief(value), "a list", MISPLACED)
    if kind == "string_pattern_mismatch":
        expected = 'a number of bytes, or text such as "2GiB"'
        return fault(path, brief(value), expected, "correct the value")
    return value_problem(path, place_of(path), error)


def _missing(path: Path) -> Problem:
    key = path[-1]
    cure = "add it"
    if key == "format_version":
        cure = f"add it, at the head: {key} = {FORMAT_VERSION}"
    if key == "count":
        cure = "add it: how many values, both ends among them"
    return fault(path, f"no key {key!r}", f"the key {key!r}", cure)


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


def _unknown_key(document: Any, path: Path) -> Problem:
    head, key, known = path[0], path[-1], KEYS
    if head == "over":
        form = form_of_axis(document["over"][path[1]])
        known = (*list(AXES[str(form)].model_fields)[1:], "when")
    elif head == "search":
        known = tuple(SEARCHES[document["search"]["kind"]].model_fields)
    cure = nearest(key, known, "remove it")
    if len(path) > 1 and key in KEYS and key not in known:
        cure = MISPLACED
    elif head == "over" and key in AXES:
        cure = "leave one of them: an axis has one form"
    expected = f"one of {', '.join(known)}"
    return fault(path, f"unknown key {brief(key)}", expected, cure)
