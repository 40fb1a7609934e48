"""What is wrong with a block as it is written, whatever its uses make of it.

A block is judged once, so that a fault in it is said once, in the block's own names.
"""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from capsjax.graph.errors import Path, Problem, brief, listing, nearest

_PLACES = (
    "a parameter in the place of a setting, a capsule function, a bias, a backward "
    "rule, a shared weight's name, `repeat`, or a value for another block"
)


def template_faults(name: str, block: dict[str, Any]) -> list[Problem]:
    """What is wrong with a block whose keys are sound.

    Args:
        name: The block's name.
        block: The block as plain data.

    Returns:
        Names that stand twice, sources and parameters that the block does not have,
        inputs and parameters that nothing uses.
    """
    path: Path = ("blocks", name)
    place = f"block {brief(name)}"
    entries = block["capsules"]
    known = block.get("parameters", [])
    found = name_faults(entries, block["inputs"], path, place, all_names=True)
    own_names = [name for name in _names(entries) if isinstance(name, str)]
    names = [*block["inputs"], *own_names]
    read: set[str] = set()
    for where, source, entry in _sources(entries):
        read.add(source)
        if source not in names and not _is_inside(source, entries):
            own = entry.get("name")
            found.append(
                Problem(
                    (*path, "capsules", *where),
                    f"{place}, {brief(own)}",
                    f"a source named {brief(source)}",
                    f"an input of the block ({listing(block['inputs'])}) or a capsule "
                    "or use in it",
                    nearest(source, names, "make it an input of the block"),
                )
            )
    used = set()
    for i, entry in enumerate(entries):
        for step, parameter in _parameters(entry):
            where = (*path, "capsules", i, *step)
            used.add(parameter if isinstance(parameter, str) else None)
            found += _parameter_faults(where, step, place, parameter, known)
    output = block.get("output")
    if output is not None and output not in own_names:
        if not _is_inside(output, entries):
            cure = nearest(output, own_names, "remove it: the last one is meant")
            found.append(
                Problem(
                    (*path, "output"),
                    place,
                    f"an output named {brief(output)}",
                    "the name of a capsule or use in the block",
                    cure,
                )
            )
    for i, each in enumerate(block["inputs"]):
        if each not in read:
            cure = "give a capsule an edge from it, or remove the input"
            found.append(_unused((*path, "inputs", i), place, "input", each, cure))
    for i, each in enumerate(known):
        if each not in used:
            cure = "put it in the place of a setting, or remove it"
            found.append(
                _unused((*path, "parameters", i), place, "parameter", each, cure)
            )
    for each in block.get("defaults", {}):
        if each not in known:
            found.append(
                Problem(
                    (*path, "defaults", each),
                    place,
                    f"a default for {brief(each)}",
                    f"one of the parameters: {listing(known) or 'none'}",
                    nearest(each, known, "declare it under parameters"),
                )
            )
    return found


def name_faults(
    entries: list[Any],
    inputs: list[Any],
    path: Path,
    place: str,
    all_names: bool = False,
) -> list[Problem]:
    """Names that stand twice where capsules and uses stand side by side.

    Args:
        entries: The capsules and uses.
        inputs: Names of inputs.
        path: Where the capsules stand.
        place: The same for a reader, empty for the document.
        all_names: Whether names of capsules alone are judged, too.
    """
    uses = {
        entry["name"]: entry
        for entry in entries
        if isinstance(entry, dict)
        and "block" in entry
        and isinstance(entry.get("name"), str)
    }
    names = [*inputs, *_names(entries)]
    counts = Counter(name for name in names if isinstance(name, str))
    found = []
    for i, name in enumerate(names):
        if not isinstance(name, str):
            continue
        copied = next((u for u in uses if _is_copy(name, u, uses[u])), None)
        if copied is not None:
            what = f"also the name of a copy of use {brief(copied)}"
        elif name in names[:i] and (all_names or name in uses):
            what = f"{counts[name]} inputs, capsules or uses with this name"
        else:
            continue
        at = i - len(inputs)
        where = ("inputs", i) if at < 0 else ("capsules", at, "name")
        found.append(
            Problem(
                (*path, *where),
                f"{place}, name {brief(name)}" if place else f"name {brief(name)}",
                what,
                "a name of its own for each",
                "rename all but one",
            )
        )
    return found


def _parameter_faults(
    where: Path, step: Path, place: str, name: Any, known: list[str]
) -> list[Problem]:
    """What is wrong with one `{"parameter": name}`."""
    if not isinstance(name, str) or name not in known:
        expected = f"one of {listing(known)}" if known else "no parameters"
        cure = nearest(name, known, "declare it among the block's parameters")
        found = f"parameter {brief(name)}"
    elif not _may_stand(step):
        found, expected = f"parameter {brief(name)} in the place of a name", _PLACES
        if step[-1:] == ("kind",):
            found = f"parameter {brief(name)} in the place of a kind"
        cure = "write what is meant itself"
    else:
        return []
    return [Problem(where, place, found, expected, cure)]


def _may_stand(step: Path) -> bool:
    """Whether a parameter may stand there in a capsule or a use."""
    if step[:1] == ("from",):
        return len(step) > 2 and step[2] != "source" and step[-1] != "kind"
    if step[:1] == ("with",):
        return len(step) > 1
    first = step[:1] in (("cap",), ("bias",), ("backward",), ("repeat",))
    return first and step[1:] != ("kind",)


def _unused(path: Path, place: str, what: str, name: str, cure: str) -> Problem:
    found = f"{what} {brief(name)}, which nothing in the block "
    found += "reads" if what == "input" else "uses"
    return Problem(path, place, found, f"a use of every {what}", cure)


def _names(entries: list[Any]) -> list[Any]:
    return [e.get("name") if isinstance(e, dict) else None for e in entries]


def _sources(entries: list[Any]) -> Iterator[tuple[Path, str, dict[str, Any]]]:
    """Every source that is a name: where it stands, the name, its reader."""
    for i, entry in enumerate(entries):
        read = entry.get("from") if isinstance(entry, dict) else None
        for j, edge in enumerate(read if isinstance(read, list) else []):
            where: Path = (i, "from", j)
            if isinstance(edge, dict):
                where, edge = (*where, "source"), edge.get("source")
            if isinstance(edge, str):
                yield where, edge, entry


def _parameters(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every `{"parameter": name}` in plain data, and where."""
    if isinstance(value, dict):
        if value.keys() == {"parameter"}:
            yield path, value["parameter"]
            return
        for key, inner in value.items():
            yield from _parameters(inner, (*path, key))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from _parameters(inner, (*path, i))


def _is_inside(source: str, entries: list[Any]) -> bool:
    """Whether a source may be a copy of a use, or a capsule inside a use."""
    for entry in entries:
        use = entry.get("name") if isinstance(entry, dict) and "block" in entry else 0
        if isinstance(use, str) and source.startswith(use):
            if re.match(r"\d*(/|$)", source[len(use) :]):
                return True
    return False


def _is_copy(name: str, use_name: str, use: dict[str, Any]) -> bool:
    """Whether a repeated use has a copy of this name."""
    number = name.removeprefix(use_name)
    repeat, first = use.get("repeat"), use.get("first", 1)
    if not name.startswith(use_name) or not number.isdecimal() or len(number) > 12:
        return False
    if type(repeat) is not int or type(first) is not int or number != str(int(number)):
        return False
    return first <= int(number) < first + repeat
