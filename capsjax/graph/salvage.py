"""What a document's types say: its faults with their places, and its sound part.

A document that fails its types is not abandoned: the parts that are understood are
taken out, with a nameless kind in place of what is not, so that the structural checks
and shape inference still say what they can, and the user sees every problem at once.
"""

import json
from typing import Any

from pydantic import ValidationError

from capsjax.graph.declaration import Capsule, Edge, Graph, Input
from capsjax.graph.errors import Path, Problem, brief, format_path, nearest
from capsjax.graph.kinds import (
    CAPS,
    LARGEST,
    LOSSES,
    WEIGHTINGS,
    CapKind,
    LossKind,
    WeightingKind,
)
from capsjax.graph.schema import document_adapter, part_adapter


def validate(document: Any) -> tuple[Any, list[Problem]]:
    """Validates plain data against the document's types.

    Args:
        document: The document as plain data.

    Returns:
        The typed document, or None, and the problems that stand in the way.
    """
    try:
        text = json.dumps(document, default=_plain)
    except (TypeError, ValueError, RecursionError) as error:
        cure = "use plain JSON data: objects, lists, text, numbers"
        return None, [Problem((), "the document", str(error), "JSON data", cure)]
    try:
        return document_adapter().validate_json(text), []
    except ValidationError as error:
        return None, [_problem(document, each) for each in error.errors()]


def sound_part(document: Any) -> Graph:
    """The part of a faulty document that is understood, as a graph.

    Args:
        document: A document that `validate` refused.

    Returns:
        A graph; where a kind is not understood, the base class of kinds stands.
    """
    document = document if isinstance(document, dict) else {}
    inputs = tuple(
        Input(each["name"], _shape(each.get("shape")))
        for each in _objects(document.get("inputs"))
        if isinstance(each.get("name"), str)
    )
    capsules = tuple(
        Capsule(each["name"], _edges(each), _part("cap", each.get("cap")), None)
        for each in _objects(document.get("capsules"))
        if isinstance(each.get("name"), str)
    )
    outputs = document.get("outputs")
    if not isinstance(outputs, list):
        read = {edge.source for capsule in capsules for edge in capsule.edges}
        outputs = [each.name for each in capsules if each.name not in read]
    losses = document.get("losses")
    return Graph(
        document["name"] if isinstance(document.get("name"), str) else "network",
        inputs,
        capsules,
        tuple(name for name in outputs if isinstance(name, str)),
        tuple(
            (name, _part("loss", loss))
            for name, loss in (losses if isinstance(losses, dict) else {}).items()
        ),
    )


def _objects(value: Any) -> list[dict[str, Any]]:
    return [x for x in value if isinstance(x, dict)] if isinstance(value, list) else []


def _shape(value: Any) -> Any:
    """A shape, or None: inference passes over what it does not know."""
    sound = isinstance(value, list | tuple) and all(
        type(n) is int and 1 <= n <= LARGEST for n in value
    )
    return tuple(value) if sound else None


def _edges(capsule: dict[str, Any]) -> tuple[Edge, ...]:
    return tuple(
        Edge(each["source"], _part("edge", each))
        for each in _objects(capsule.get("from"))
        if isinstance(each.get("source"), str)
    )


def _part(part: Any, value: Any) -> Any:
    base = {"edge": WeightingKind, "cap": CapKind, "loss": LossKind}[part]
    table: Any = {"edge": WEIGHTINGS, "cap": CAPS, "loss": LOSSES}[part]
    if value is None and part == "cap":
        value = {"kind": "identity"}
    try:
        model = part_adapter(part).validate_json(json.dumps(value, default=_plain))
    except (TypeError, ValueError, RecursionError):
        return base()
    settings = {k: v for k, v in model.__dict__.items() if k not in ("kind", "source")}
    return table[model.kind](**settings)


def _plain(value: Any) -> Any:
    """numpy's numbers as Python's; anything else as text, which its type refuses."""
    return value.item() if getattr(value, "shape", None) == () else repr(value)


def _problem(document: Any, error: Any) -> Problem:
    """Turns one fault that pydantic found into ours."""
    path, inside = _real_path(document, error["loc"])
    place = _place(document, path) if path else "the document"
    kind, context = error["type"], error.get("ctx", {})
    found = brief(error["input"])
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        registry = _registry(path)
        tag = context.get("tag")
        known = f"one of {', '.join(sorted(registry))}"
        found = f"no kind, in {found}" if tag is None else f"unknown kind {tag!r}"
        cure = nearest(tag, registry, f"register it, or use {known}")
        return Problem((*path, "kind"), place, found, known, cure)
    if kind == "extra_forbidden":
        known = _known_keys(path, inside)
        cure = nearest(path[-1], known, "remove it")
        found = f"unknown key {path[-1]!r}"
        return Problem(path, place, found, f"one of {', '.join(known)}", cure)
    if kind == "missing":
        found = f"no key {path[-1]!r}"
        return Problem(path, place, found, f"the key {path[-1]!r}", "add it")
    if path == ("format_version",):
        cure = "use a newer capsjax, or save the document again with this one"
        return Problem(path, place, found, "format_version 1", cure)
    if kind == "string_pattern_mismatch":
        expected = "a name of letters, digits, '_', '.', '-', parts separated by '/'"
        return Problem(path, place, found, expected, "rename it")
    expected = error["msg"].removeprefix("Input should be ")
    return Problem(path, place, found, expected, "correct the value")


def _real_path(document: Any, loc: tuple[Any, ...]) -> tuple[Any, Any]:
    """Drops from a location the steps that name a union's branch, not a place.

    Returns:
        The path in the document, and the kind's name last stepped through.
    """
    path: list[Any] = []
    value: Any = document
    branch = None
    for i, step in enumerate(loc):
        inside = isinstance(value, dict) and step in value
        inside = inside or (isinstance(value, list) and isinstance(step, int))
        is_tag = isinstance(value, dict) and value.get("kind") == step
        if is_tag and not (inside and i == len(loc) - 1):
            branch = step
            continue
        path.append(step)
        if inside:
            try:
                value = value[step]
            except IndexError:
                value = None
        else:
            value = None
    return tuple(path), branch


def _place(document: Any, path: Path) -> str:
    """Names the capsule or input and, within it, the edge or key."""
    if len(path) < 2 or path[0] not in ("inputs", "capsules"):
        return f"key {format_path(path)!r}"
    noun = "input" if path[0] == "inputs" else "capsule"
    try:
        item = document[path[0]][path[1]]
        place = f"{noun} {brief(item['name'])}"
    except (LookupError, TypeError):
        return f"{noun} number {path[1]}"
    if len(path) > 3 and path[2] == "from":
        edge = item["from"][path[3]]
        source = edge.get("source") if isinstance(edge, dict) else None
        return f"{place}, edge from {brief(source)}"
    return f"{place}, {path[2]}" if len(path) > 2 else place


def _registry(path: Path) -> Any:
    if "from" in path:
        return WEIGHTINGS
    return CAPS if "cap" in path else LOSSES


def _known_keys(path: Path, branch: Any) -> list[str]:
    """The keys that may stand where an unknown one was found."""
    parent = path[:-1]
    if not parent:
        model = "Document"
    elif "from" in parent or "cap" in parent or parent[0] == "losses":
        registry = _registry(parent)
        first = ["source"] if "from" in parent else []
        record = registry[branch] if branch in registry else None
        fields = getattr(record, "__dataclass_fields__", {})
        return [*first, "kind", *fields]
    else:
        model = "Input" if parent[0] == "inputs" else "Capsule"
    return _MODEL_KEYS[model]


_MODEL_KEYS = {
    "Document": [
        "format_version",
        "name",
        "inputs",
        "capsules",
        "outputs",
        "losses",
        "metadata",
    ],
    "Input": ["name", "shape"],
    "Capsule": ["name", "from", "cap", "bias"],
}
