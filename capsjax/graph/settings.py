"""Settings of a declaration by name: what may be changed, and the changed declaration.

    c1.features          of the capsule's one operation, or its function, that has it
    c1.cap, c1.bias      what the capsule declares beside its edges; also c1.backward
    c1.cap.rate          of the capsule function
    c1.from.x.features   of the weighting operation on the edge from x
    digit.loss           the loss of an output; digit.loss.weight, one of its settings
    image.shape          of an input
    stage1.repeat        copies of a block's use; stage1.features, one of its parameters
    residual/c1.features of a capsule within the block `residual`, in all its uses

A declaration is changed as a document and judged anew, so that what does not fit is
said as for any other, with its place.
"""

import copy
import functools
from collections.abc import Iterator, Mapping
from typing import Any

from capsjax.graph.declaration import Graph, kind_document, plain_value
from capsjax.graph.document import from_document, to_document
from capsjax.graph.errors import GraphError, Path, Problem, Suggestions, brief, listing
from capsjax.graph.kinds import (
    BACKWARDS,
    CAPS,
    LOSSES,
    WEIGHTINGS,
    Kind,
    Registry,
    kind_fields,
)

_KINDS = ("cap", "loss", "backward")
"""Last parts of names at which a whole kind stands."""


def with_settings(graph: Graph, settings: Mapping[str, Any]) -> Graph:
    """The same declaration with other settings.

    Args:
        graph: The declaration.
        settings: By name, as at the head of `capsjax.graph.settings`: numbers, text,
            lists; for a capsule function, a loss or a backward rule its name, or a
            record of it.

    Returns:
        The graph, checked.

    Raises:
        GraphError: There is no such setting, or several it could be; or all that is
            wrong with the changed declaration.
        TypeError: What is given is no graph of capsules.

    Example:
        >>> import capsjax as cj
        >>> x = cj.input("x", (8,))
        >>> h = cj.capsule("h", cj.matmul(x, 16), cap="relu")
        >>> y = cj.capsule("y", cj.matmul(h, 4), cap="softmax")
        >>> graph = cj.graph(y, losses={"y": "cross_entropy"})
        >>> wide = cj.with_settings(graph, {"h.features": 32, "h.cap": "tanh"})
        >>> cj.compile(wide).shapes["h"].output
        (32,)
        >>> cj.with_settings(graph, {"h.feature": 32})
        Traceback (most recent call last):
          ...
        capsjax.graph.errors.GraphError: graph 'network' has 1 problem:
        1. setting 'h.feature'
            found:    no such setting
            expected: one of h.features, h.transposed
            cure:     did you mean 'h.features'?
    """
    if not isinstance(graph, Graph):
        raise TypeError(
            f"cj.with_settings takes a Graph, not {type(graph).__name__}: only the "
            "declaration of capsules has settings by name"
        )
    document = to_document(graph)
    problems: list[Problem] = []
    for name, value in settings.items():
        place = find_setting(graph, name)
        if isinstance(place, Problem):
            problems.append(place)
        else:
            _put(document, place, _plain(name, value))
    if problems:
        raise GraphError(graph.name, problems)
    return from_document(document)


def find_setting(graph: Graph, name: str) -> Path | Problem:
    """Where in the document a setting stands, or what is wrong with its name."""
    places = _places(graph)
    found = places.get(name, ())
    if len(found) == 1:
        return found[0]
    where = f"setting {brief(name)}"
    if found:
        full = [each for each, own in places.items() if own and own[0] in found]
        full = [each for each in full if each != name]
        cure = f"name one of them: {listing(full)}"
        expected = "the name of one setting"
        what = f"{len(found)} settings of this name"
        return Problem((), where, what, expected, cure)
    own = name.rpartition(".")[0]
    near = [each for each in places if each.rpartition(".")[0] == own]
    near = [each for each in near if len(places[each]) == 1] or list(places)
    cure = Suggestions(places).cure(name, "name one of these")
    what = "no such setting"
    return Problem((), where, what, f"one of {listing(near)}", cure)


def known_settings(graph: Graph) -> dict[str, tuple[Path, ...]]:
    """All settings by name; a short name may stand for several."""
    return _places(graph)


@functools.lru_cache(maxsize=8)
def _places(graph: Graph) -> dict[str, tuple[Path, ...]]:
    """All settings by name, each with its place; short names may have several."""
    found: dict[str, list[Path]] = {}
    document = to_document(graph)
    for name, path in _document_places(document):
        found.setdefault(name, []).append(path)
    return {name: tuple(paths) for name, paths in found.items()}


def _document_places(document: Any) -> Iterator[tuple[str, Path]]:
    for number, each in enumerate(document["inputs"]):
        yield f"{each['name']}.shape", ("inputs", number, "shape")
    blocks = document.get("blocks", {})
    yield from _entry_places(document["capsules"], (), "", blocks)
    for name, block in blocks.items():
        path: Path = ("blocks", name)
        yield from _entry_places(block["capsules"], path, f"{name}/", blocks)
    for output, loss in document.get("losses", {}).items():
        path = ("losses", output)
        yield f"{output}.loss", path
        for setting, own in _kind_places(loss, LOSSES, path):
            yield f"{output}.loss.{setting}", own
    if "backward" in document:
        yield "backward", ("backward",)
        for setting, own in _kind_places(
            document["backward"], BACKWARDS, ("backward",)
        ):
            yield f"backward.{setting}", own


def _entry_places(
    entries: Any, path: Path, prefix: str, blocks: Any
) -> Iterator[tuple[str, Path]]:
    """Settings of capsules and uses that stand side by side."""
    for number, entry in enumerate(entries):
        place, name = (*path, "capsules", number), f"{prefix}{entry['name']}"
        if "block" in entry:
            if "repeat" in entry:
                yield f"{name}.repeat", (*place, "repeat")
            for parameter in blocks[entry["block"]].get("parameters", ()):
                yield f"{name}.{parameter}", (*place, "with", parameter)
        else:
            yield from _capsule_places(entry, place, name)


def _capsule_places(entry: Any, place: Path, name: str) -> Iterator[tuple[str, Path]]:
    yield f"{name}.cap", (*place, "cap")
    yield f"{name}.bias", (*place, "bias")
    yield f"{name}.backward", (*place, "backward")
    cap = entry.get("cap", {"kind": "identity"})
    for setting, path in _kind_places(cap, CAPS, (*place, "cap")):
        yield f"{name}.{setting}", path
        yield f"{name}.cap.{setting}", path
    rule = entry.get("backward")
    for setting, path in _kind_places(rule, BACKWARDS, (*place, "backward")):
        yield f"{name}.backward.{setting}", path
    seen: dict[str, int] = {}
    for number, edge in enumerate(entry["from"]):
        source, own = edge["source"], (*place, "from", number)
        count = seen[source] = seen.get(source, 0) + 1
        key = f"{name}.from.{source}" + (f"#{count}" if count > 1 else "")
        for setting, path in _kind_places(edge, WEIGHTINGS, own):
            yield f"{name}.{setting}", path
            yield f"{key}.{setting}", path
        rule = edge.get("backward")
        for setting, path in _kind_places(rule, BACKWARDS, (*own, "backward")):
            yield f"{key}.backward.{setting}", path


def _kind_places(
    form: Any, registry: Registry[Any], path: Path
) -> Iterator[tuple[str, Path]]:
    """The settings of a kind in a document, those at their defaults among them."""
    kind = form.get("kind") if isinstance(form, Mapping) else None
    if isinstance(kind, str) and kind in registry:
        for field in kind_fields(registry[kind]):
            yield field.name, (*path, field.name)


def _put(document: Any, path: Path, value: Any) -> None:
    """Puts a value at a place, where objects that are left out are made."""
    there = document
    for step in path[:-1]:
        if isinstance(there, dict):
            there = there.setdefault(step, {})
        else:
            there = there[step]
    there[path[-1]] = value


def _plain(name: str, value: Any) -> Any:
    """A value as it stands in a document."""
    whole = name.rpartition(".")[2] in _KINDS
    if whole and isinstance(value, str | Kind):
        return kind_document(value)
    return copy.deepcopy(plain_value(value))
