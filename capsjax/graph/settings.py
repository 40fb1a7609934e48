"""Settings of a declaration by name: what may be changed, and the changed declaration.

    c1.features          of the capsule's one operation, or its function, that has it
    c1.cap, c1.bias      what the capsule declares beside its edges; also c1.backward
    c1.cap.rate          of the capsule function
    c1.from.x.features   of the weighting operation on the edge from x; of the second
                         edge from there c1.from.x#2.features; also c1.from.x.backward
    digit.loss           the loss of an output; digit.loss.weight, one of its settings
    backward             the rule for all error signals, and backward.norm
    image.shape          of an input
    stage1.repeat        copies of a block's use; stage1.features, one of its parameters
    residual/c1.features of a capsule within the block `residual`, in all its uses

A declaration is changed as a document and judged anew, so that what does not fit is
said as for any other, with its place. An output that a use gives stays the output of
that use when its copies become more or fewer. Where kinds are among the settings, they
are put in their places first: the others may be settings of theirs.
"""

import functools
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from capsjax.graph.block import Each
from capsjax.graph.declaration import Graph, kind_document, plain_value
from capsjax.graph.document import from_document, to_document
from capsjax.graph.errors import GraphError, Path, Problem, Suggestions, brief, listing
from capsjax.graph.expansion import expand
from capsjax.graph.kinds import (
    BACKWARDS,
    CAPS,
    LOSSES,
    WEIGHTINGS,
    Kind,
    Registry,
    kind_fields,
)

Places = Mapping[str, tuple[Path, ...]]
"""Names of settings, and where they stand; a short name may stand for several."""

NONE: Mapping[str, Any] = types.MappingProxyType({})

_OWN = ("cap", "bias", "backward")
"""What a capsule declares itself: no short names of settings of its kinds."""


def with_settings(graph: Graph, settings: Mapping[str, Any]) -> Graph:
    """The same declaration with other settings.

    Args:
        graph: The declaration.
        settings: By name, as at the head of `capsjax.graph.settings`: numbers, text,
            lists; for a capsule function, a loss or a backward rule its name, or a
            record of it. A loss or a backward rule that is None is taken away.

    Returns:
        The graph, checked.

    Raises:
        GraphError: There is no such setting, or several it could be; or all that is
            wrong with the changed declaration.
        TypeError: What is given is no graph of capsules, or no settings by name; or a
            value is a class in place of a record.

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
            expected: one of h.cap, h.bias, h.backward, h.features, h.transposed
            cure:     did you mean 'h.features'?
    """
    if not isinstance(graph, Graph):
        raise TypeError(
            f"cj.with_settings takes a Graph, not {type(graph).__name__}: only the "
            "declaration of capsules has settings by name"
        )
    if not isinstance(settings, Mapping) or not all(
        isinstance(name, str) for name in settings
    ):
        raise TypeError(
            'cj.with_settings takes settings by name, {"c1.features": 32}, not '
            f"{brief(settings)}"
        )
    places, document = _places(graph), _document(graph)
    kinds = _put_kinds(document, places, settings)
    if kinds:
        places = _grouped(_document_places(document, graph))
    problems: list[Problem] = []
    for name, value in settings.items():
        place = kinds.get(name) or _place(places, name)
        if isinstance(place, Problem):
            problems.append(place)
        elif name not in kinds:
            _put(document, place, _plain(name, value))
    if problems:
        raise GraphError(graph.name, problems)
    return from_document(document)


def known_settings(graph: Graph, settings: Mapping[str, Any] = NONE) -> Places:
    """All settings by name, each with its place; short names may have several.

    Args:
        graph: The declaration.
        settings: Values by name: the kinds among them are put in their places first.
    """
    places = _places(graph)
    if any(_kind_place(places, name) for name in settings):
        document = _document(graph)
        _put_kinds(document, places, settings)
        places = _grouped(_document_places(document, graph))
    return places


def _place(places: Places, name: str) -> Path | Problem:
    """Where in the document a setting stands, or what is wrong with its name."""
    found = places.get(name, ())
    if len(found) == 1:
        return found[0]
    where = f"setting {brief(name)}"
    if found:
        full = [each for each, own in places.items() if own and own[0] in found]
        full = [each for each in full if each != name]
        cure = f"name one of them: {listing(full)}" if full else "rename a capsule"
        expected = "the name of one setting"
        what = f"{len(found)} settings of this name"
        return Problem((), where, what, expected, cure)
    own = name.rpartition(".")[0]
    near = [each for each in places if each.rpartition(".")[0] == own]
    near = [each for each in near if len(places[each]) == 1] or list(places)
    cure = Suggestions(places).cure(name, "name one of these")
    what = "no such setting"
    return Problem((), where, what, f"one of {listing(near)}", cure)


def _put_kinds(
    document: Any, places: Places, settings: Mapping[str, Any]
) -> dict[str, Path]:
    """Puts the kinds among the settings in their places, which are returned by name."""
    found: dict[str, Path] = {}
    for name, value in settings.items():
        place = _kind_place(places, name)
        if place is not None:
            found[name] = place
            _put(document, place, _plain(name, value))
    return found


def _kind_place(places: Places, name: str) -> Path | None:
    """The place of a setting, if a whole kind stands there."""
    found = places.get(name, ())
    return found[0] if len(found) == 1 and _holds_kind(found[0]) else None


def _places(graph: Graph) -> Places:
    try:
        return _kept_places(graph)
    except TypeError:  # a setting of a user's kind that can't be hashed
        return _kept_places.__wrapped__(graph)


@functools.lru_cache(maxsize=8)
def _kept_places(graph: Graph) -> Places:
    return _grouped(_document_places(_document(graph), graph))


def _grouped(found: Iterable[tuple[str, Path]]) -> Places:
    """Places by name."""
    places: dict[str, tuple[Path, ...]] = {}
    for name, path in found:
        places[name] = (*places.get(name, ()), path)
    return places


def _document(graph: Graph) -> Any:
    """The document, in which outputs that uses give are called as the uses."""
    document = to_document(graph)
    if any("/" in name for name in document["outputs"]):
        uses = [entry["name"] for entry in document["capsules"] if "block" in entry]
        ends = expand({**document, "outputs": uses}).document["outputs"]
        use_of = dict(zip(ends, uses, strict=True))
        document["outputs"] = [use_of.get(x, x) for x in document["outputs"]]
        losses = document["losses"].items()
        document["losses"] = {use_of.get(name, name): loss for name, loss in losses}
    return document


def _document_places(document: Any, graph: Graph) -> Iterator[tuple[str, Path]]:
    """All names of settings, each with a place."""
    for number, each in enumerate(document["inputs"]):
        yield f"{each['name']}.shape", ("inputs", number, "shape")
    blocks = document.get("blocks", {})
    yield from _entry_places(document["capsules"], (), "", blocks)
    for name, block in blocks.items():
        path: Path = ("blocks", name)
        yield from _entry_places(block["capsules"], path, f"{name}/", blocks)
    for output, name in zip(document["outputs"], graph.outputs, strict=True):
        path, loss = ("losses", output), document["losses"].get(output)
        for called in dict.fromkeys([name, output]):
            yield f"{called}.loss", path
            for setting, own in _kind_places(loss, LOSSES, path):
                yield f"{called}.loss.{setting}", own
    path, rule = ("backward",), document.get("backward")
    yield "backward", path
    for setting, own in _kind_places(rule, BACKWARDS, path):
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
    for own in _OWN:
        yield f"{name}.{own}", (*place, own)
    cap = entry.get("cap", {"kind": "identity"})
    for setting, path in _kind_places(cap, CAPS, (*place, "cap")):
        if setting not in _OWN:
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
            if setting not in _OWN:
                yield f"{name}.{setting}", path
            yield f"{key}.{setting}", path
        rule = edge.get("backward")
        yield f"{key}.backward", (*own, "backward")
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
    last = path[-1]
    if isinstance(value, str) and _holds_kind(path):
        value = kind_document(value)
    if value is None and _holds_kind(path) and last != "cap":
        there.pop(last, None)
    else:
        there[last] = value


def _holds_kind(path: Path) -> bool:
    """Whether a whole kind stands at a place, which may be given by its name."""
    if path[0] == "losses":
        return len(path) == 2
    of_entry = len(path) == 1 or isinstance(path[-2], int)
    return of_entry and path[-1] in ("cap", "backward")


def _plain(name: str, value: Any) -> Any:
    """A value as it stands in a document."""
    if isinstance(value, type) and issubclass(value, Kind):
        raise TypeError(
            f"setting {name!r} is a record, {value.kind}(...), or its name, "
            f"{value.kind!r}, not the class {value.__name__}"
        )
    if isinstance(value, Each):
        return {"each": [_plain(name, each) for each in value.values]}
    if isinstance(value, Mapping):
        return {key: _plain(name, each) for key, each in value.items()}
    return plain_value(value)
