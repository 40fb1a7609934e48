"""What a document's types say: its faults, each with its place and its cure."""

import re
from typing import Any

from pydantic import ValidationError

from capsjax.graph import plain
from capsjax.graph.errors import Path, Problem, brief, format_path, nearest
from capsjax.graph.kinds import BACKWARDS, CAPS, LOSSES, WEIGHTINGS
from capsjax.graph.schema import (
    FORMAT_VERSION,
    Part,
    document_adapter,
    known_keys,
    part_adapter,
)


def validate(document: Any, text: str | None = None) -> tuple[Any, list[Problem]]:
    """Validates plain data against the document's types.

    Args:
        document: The document as plain data.
        text: The same as JSON text, if it is at hand.

    Returns:
        The document with defaults not filled in and lists as the types want them, or
        None; and the problems that stand in the way.
    """
    try:
        if text is None:
            text = plain.write(document)
        form = document_adapter().validate_json(text)
        plain.write(form.get("metadata"))
        return form, []
    except ValidationError as error:
        errors = error.errors(include_url=False)
        if errors[0]["type"] != "json_invalid":
            return None, _problems(document, errors)
    except (TypeError, ValueError, RecursionError):
        pass
    document, problems = plain.clean(document)
    places = {problem.path for problem in problems}
    try:
        document_adapter().validate_json(plain.write(document))
    except ValidationError as error:
        more = _problems(document, error.errors(include_url=False))
        problems += [problem for problem in more if problem.path not in places]
    return None, problems


def part_faults(part: Part, value: Any, path: Path, place: str) -> list[Problem]:
    """What is wrong with a part of a document that has no alternatives inside.

    Args:
        part: Which part it is.
        value: The part as plain data.
        path: Where it stands in the document.
        place: The same for a reader.
    """
    try:
        part_adapter(part).validate_json(plain.write(value))
    except ValidationError as error:
        problems = []
        for each in error.errors(include_url=False):
            steps = tuple(step for step in each["loc"] if step != "[key]")
            where = (*path, *steps)
            kind = each["type"]
            name = ", ".join([place, *_rest(steps)])
            if kind == "extra_forbidden":
                known = known_keys(part)
                cure = nearest(steps[-1], known, "remove it")
                found = f"unknown key {brief(steps[-1])}"
                expected = f"one of {', '.join(known)}"
                problems.append(Problem(where, name, found, expected, cure))
            elif kind == "missing":
                found, expected = f"no key {steps[-1]!r}", f"the key {steps[-1]!r}"
                problems.append(Problem(where, name, found, expected, "add it"))
            else:
                problems.append(value_problem(where, name, each))
        return problems
    except (TypeError, ValueError, RecursionError):
        return []  # no JSON: said of the whole document
    return []


def _problems(document: Any, errors: list[Any]) -> list[Problem]:
    """One problem for each fault.

    Where a value may take several forms, pydantic says of each why it is not that
    one: the form that was understood farthest is meant; of equals, all are named.
    """
    found: dict[Any, list[tuple[Path, str | None, Any]]] = {}
    for number, error in enumerate(errors):
        path, branch, choice = _real_path(document, error["loc"])
        key = number if choice is None else choice
        found.setdefault(key, []).append((path, branch, error))
    problems = []
    for alternatives in found.values():
        farthest = max(len(path) for path, _, _ in alternatives)
        meant: dict[Path, list[Problem]] = {}
        for path, branch, error in alternatives:
            if len(path) == farthest:
                problem = _problem(document, path, branch, error)
                meant.setdefault(path, []).append(problem)
        problems += [_join(each) for each in meant.values()]
    return problems


def _join(forms: list[Problem]) -> Problem:
    first = forms[0]
    expected = " or ".join(dict.fromkeys(form.expected for form in forms))
    return Problem(first.path, first.place, first.found, expected, first.cure)


def _problem(document: Any, path: Path, branch: str | None, error: Any) -> Problem:
    """Turns one fault that pydantic found into ours."""
    place = _place(document, path)
    kind = error["type"]
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return _kind_problem(path, place, error["input"])
    if kind == "extra_forbidden":
        known = _known_keys(path, branch)
        cure = nearest(path[-1], known, "remove it")
        found = f"unknown key {brief(path[-1])}"
        return Problem(path, place, found, f"one of {', '.join(known)}", cure)
    if kind == "missing":
        cure = "add it"
        return Problem(
            path, place, f"no key {path[-1]!r}", f"the key {path[-1]!r}", cure
        )
    if path == ("format_version",):
        found = brief(error["input"])
        cure = f"write {FORMAT_VERSION}, without quotes"
        if type(error["input"]) is int:
            newer = error["input"] > FORMAT_VERSION
            cure = "use a newer capsjax" if newer else "write it anew in this format"
        return Problem(path, place, found, f"{FORMAT_VERSION}, the version known", cure)
    if kind == "dict_type" and path and _names_kind(path):
        return _kind_problem(path, place, error["input"])
    return value_problem(path, place, error)


def value_problem(path: Path, place: str, error: Any) -> Problem:
    """A value that has not the type it should have."""
    kind, context, found = error["type"], error.get("ctx", {}), brief(error["input"])
    if kind == "string_pattern_mismatch":
        expected = "a name of letters, digits, '_', '.', '-', parts separated by '/'"
        return Problem(path, place, found, expected, "rename it")
    expected = _expected(kind, context, error["msg"])
    cure = _cure(kind, expected, error["input"])
    return Problem(path, place, found, expected, cure)


def _kind_problem(path: Path, place: str, value: Any) -> Problem:
    """An unknown kind, or none."""
    registry = _registry(path)
    expected = f"one of {', '.join(sorted(registry))}"
    tag = value.get("kind") if isinstance(value, dict) else None
    if not isinstance(value, dict):
        found = brief(value)
        expected = 'an object that names its kind, {"kind": ...}'
        word = value if isinstance(value, str) and value in registry else "..."
        cure = f'write {{"kind": "{word}"}}'
    elif "kind" not in value:
        found = f"no kind, in {brief(value)}"
        cure = 'name the kind: {"kind": ...}'
    else:
        found = f"unknown kind {brief(tag)}"
        cure = nearest(tag, registry, f"use a known {registry.noun}, or register it")
    step = ("kind",) if isinstance(value, dict) else ()
    return Problem((*path, *step), place, found, expected, cure)


_EXPECTED = {
    "int_type": "an integer",
    "int_from_float": "an integer",
    "int_parsing_size": "a smaller integer",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text",
    "string_too_short": "text of at least {min_length} characters",
    "string_too_long": "text of at most {max_length} characters",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "an object",
    "none_required": "null",
    "too_short": "a list of at least {min_length}",
    "too_long": "a list of at most {max_length}",
    "literal_error": "{expected}",
    "greater_than": "a number above {gt}",
    "greater_than_equal": "a number of at least {ge}",
    "less_than": "a number below {lt}",
    "less_than_equal": "a number of at most {le}",
}


def _expected(kind: str, context: dict[str, Any], message: str) -> str:
    if kind not in _EXPECTED:
        return message.removeprefix("Input should be ")
    return _EXPECTED[kind].format(**context).replace("None", "null")


def _cure(kind: str, expected: str, value: Any) -> str:
    """What to do about a value that has not the type it should have."""
    word = value.strip() if isinstance(value, str) else None
    if kind in ("too_short", "too_long"):
        return "add what is missing" if kind == "too_short" else "leave some out"
    if "null" in expected and str(value).casefold() in ("none", "null", "false"):
        return "write null, without quotes; in Python, None"
    if word is not None and kind == "literal_error":
        for choice in re.findall("'([^']*)'", expected):
            if word.casefold() == choice.casefold():
                return f"did you mean {choice!r}?"
        return nearest(word, re.findall("'([^']*)'", expected), "correct the value")
    if expected in ("an integer", "a number") and word and len(word) < 20:
        if re.fullmatch(r"-?\d+", word):
            return f"write {word}, without quotes"
    if expected == "an integer" and isinstance(value, float) and value.is_integer():
        return f"write {int(value)}" if abs(value) < 1e15 else "a smaller number"
    return "correct the value"


def _real_path(document: Any, loc: tuple[Any, ...]) -> tuple[Path, str | None, Any]:
    """Drops from a location the steps that name a form, not a place.

    Returns:
        The path in the document; the kind stepped through, if any; and the path of
        the value that may take several forms, if the location lies in one of them.
    """
    kinds = [at for at in _kind_steps(loc) if at < len(loc)]
    branch = loc[kinds[-1]] if kinds else None
    steps = [step for i, step in enumerate(loc) if i not in kinds]
    path: list[Any] = []
    choice = None
    value = document
    for i, step in enumerate(steps):
        if isinstance(value, dict) and isinstance(step, str):
            if step not in value and i < len(steps) - 1:
                choice = choice or tuple(path)
                continue
            if step == "[key]" and step not in value:
                continue
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int):
            value = value[step] if step < len(value) else None
        elif step != "[key]":
            choice = choice or tuple(path)
            continue
        else:
            continue
        path.append(step)
    return tuple(path), branch, choice


def _kind_steps(loc: tuple[Any, ...]) -> list[int]:
    """Which steps of a location are a kind's name: the form is one of a tagged union.

    An edge has two: its own, and that of its backward rule.
    """
    if loc[:1] == ("backward",):
        return [1]
    if loc[:1] == ("losses",):
        return [2] if len(loc) > 2 and loc[2] != "[key]" else []
    if len(loc) < 3 or loc[0] != "capsules":
        return []
    if loc[2] == "from":
        return [4, 6] if loc[5:6] == ("backward",) else [4]
    return [3] if loc[2] in ("cap", "backward") else []


def _place(document: Any, path: Path) -> str:
    """Names the capsule or input and, within it, the edge and the key."""
    if not path:
        return "the document"
    part = path[0]
    if part == "losses" and len(path) > 1:
        return ", ".join([f"loss on {brief(path[1])}", *_rest(path[2:])])
    if part not in ("inputs", "capsules") or len(path) < 2:
        return format_path(path)
    item = document[part][path[1]]
    noun = "input" if part == "inputs" else "capsule"
    place = f"{noun} number {int(path[1]) + 1}"
    if isinstance(item, dict) and isinstance(item.get("name"), str):
        place = f"{noun} {brief(item['name'])}"
    if len(path) > 3 and path[2] == "from":
        edge = item["from"][path[3]]
        source = edge.get("source") if isinstance(edge, dict) else None
        which = f"edge {int(path[3]) + 1}"
        if isinstance(source, str):
            which = f"edge from {brief(source)}"
        return ", ".join([place, which, *_rest(path[4:])])
    return ", ".join([place, *_rest(path[2:])])


def _rest(path: Path) -> list[str]:
    return [format_path(path)] if path else []


def _names_kind(path: Path) -> bool:
    """Whether an edge, a capsule function, a loss or a backward rule stands there."""
    if path[0] == "losses":
        return len(path) == 2
    if path[0] == "capsules":
        part = path[2:3] + path[4:]
        return part in (("cap",), ("from",), ("backward",), ("from", "backward"))
    return path == ("backward",)


def _part_of(path: Path) -> str:
    """What kind of thing a path leads to or into."""
    if path[0] == "losses":
        return "loss"
    if path[0] == "backward" or path[2:3] == ("backward",):
        return "backward"
    if path[2:3] == ("from",):
        return "backward" if path[4:5] == ("backward",) else "edge"
    return "cap"


def _registry(path: Path) -> Any:
    tables: dict[str, Any] = {"edge": WEIGHTINGS, "cap": CAPS, "loss": LOSSES}
    return tables.get(_part_of(path), BACKWARDS)


def _known_keys(path: Path, branch: str | None) -> list[str]:
    """The keys that may stand where an unknown one was found."""
    if len(path) == 1:
        return known_keys("published")
    if path[0] == "inputs" and len(path) == 3:
        return known_keys("input")
    if path[0] == "capsules" and len(path) == 3:
        return known_keys("capsule")
    if branch is None:
        return []
    return known_keys(_part_of(path[:-1] if len(path) > 1 else path), branch)
