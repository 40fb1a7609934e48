"""Blocks: named sub-graphs with parameters, used many times.

A document's `blocks` are templates. A *use* stands among the capsules in their place:

    {"name": "block", "block": "bottleneck", "from": ["stem"],
     "with": {"features": 64}, "repeat": 3}

It is expanded as plain data, before anything else looks at the document: every capsule
of the block becomes a capsule of the graph, its name behind the use's
(`block1/conv1`), what it says in terms of parameters replaced by values. Nothing is
computed: a parameter is put in the place of `{"parameter": "features"}` as it is.

* A use's name as a source stands for the block's output.
* `repeat` makes copies `block1`, `block2`, ...; each reads the one before it wherever
  the first copy reads its first source. `first` is the number of the first copy.
* A value `{"each": [...]}` gives each copy one of the list.
* Inside a block, sources are the block's inputs and its own capsules.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

from capsjax.graph.declaration import Use
from capsjax.graph.errors import NAMELESS, Path, Problem, brief, listing, nearest
from capsjax.graph.faults import part_faults
from capsjax.graph.plain import DEEPEST, clean
from capsjax.graph.schema import LONGEST_NAME
from capsjax.graph.templates import name_faults, template_faults

MOST_VALUES = 1_000_000
"""A few lines of nested repetition could ask for any number of names and settings."""

_DEEPEST = 50


@dataclasses.dataclass
class Expansion:
    """A document without blocks that declares the same capsules.

    Attributes:
        document: The document; the same as before if it has no blocks; None if it
            would be too large.
        given: The document with blocks, all of it plain data.
        origins: Where each capsule stands in the document with blocks.
        keys: For each capsule, its sources as they are written there.
        uses: The uses of blocks, outer ones first.
        problems: What is wrong with blocks and their uses.
    """

    document: Any
    given: Any = None
    origins: list[Path] = dataclasses.field(default_factory=list)
    keys: list[list[Any]] = dataclasses.field(default_factory=list)
    uses: list[Use] = dataclasses.field(default_factory=list)
    problems: list[Problem] = dataclasses.field(default_factory=list)
    said: set[Path] = dataclasses.field(default_factory=set)
    """Places of faults in blocks, which show again in what is expanded."""

    def place(self, problems: Iterable[Problem]) -> list[Problem]:
        """The expansion's problems, and those of the expanded document at their places.

        What is wrong with a block shows in every use of it, and is said once. What
        follows from a use that is not understood is not said.
        """
        if self.given is None:
            return list(problems)
        found: dict[Any, list[Problem]] = {}
        for problem in [*self.problems, *map(self._moved, problems)]:
            path = problem.path
            if self.problems and problem.found == repr(NAMELESS):
                continue
            if self.problems and path == ("capsules",) and self.given.get("capsules"):
                continue
            if path in self.said and problem not in self.problems:
                continue
            found.setdefault(path if path[:1] == ("blocks",) else problem, []).append(
                problem
            )
        return [_said_once(each) for each in found.values()]

    def _moved(self, problem: Problem) -> Problem:
        """The problem at its place in the document with blocks."""
        path = problem.path
        if path[:1] != ("capsules",) or len(path) < 2:
            return problem
        origin = self.origins[int(path[1])]
        steps: Path = (*origin, *path[2:])
        value: Any = self.given
        found = problem.found
        for i, step in enumerate(steps):
            if not isinstance(value, dict | list) or _is_parameter(value):
                steps = steps[:i]
                break
            value = _inner(value, step)
        if _is_parameter(value):
            found += f", given by parameter {brief(dict(value)['parameter'])}"
        return dataclasses.replace(problem, path=steps, found=found)


def _inner(value: Any, step: Any) -> Any:
    """What stands at a key, or at a position; None if nothing does."""
    if isinstance(value, list):
        return value[step] if step < len(value) else None
    return value.get(step)


def _said_once(problems: list[Problem]) -> Problem:
    first, more = problems[0], len(problems) - 1
    if not more:
        return first
    times = "once more" if more == 1 else f"{more} times more"
    place = f"{first.place}, and {times} where the block is used"
    return dataclasses.replace(first, place=place)


def expand(document: Any) -> Expansion:
    """Replaces the uses of blocks in a document by what the blocks declare.

    Args:
        document: The document as plain data, sound or not.

    Returns:
        The expansion. What is not understood of blocks and uses is left out, and
        stands among the problems.
    """
    if not isinstance(document, dict) or not _has_blocks(document):
        return Expansion(document)
    given, flawed = clean(document)
    return _Expander(given, flawed).run()


def _has_blocks(document: dict[str, Any]) -> bool:
    entries = document.get("capsules")
    entries = entries if isinstance(entries, list) else ()
    uses = (isinstance(entry, dict) and "block" in entry for entry in entries)
    return "blocks" in document or any(uses)


class _TooLarge(Exception):
    """Blocks within blocks that ask for more than a document may have."""

    def __init__(self, found: str, most: object, cure: str):
        self.found, self.expected, self.cure = found, f"at most {most}", cure


class _Expander:
    def __init__(self, document: dict[str, Any], problems: list[Problem]):
        self.document = document
        self.found = Expansion(dict(document), document, problems=problems)
        self.blocks: dict[str, Any] = {}
        self.capsules: list[Any] = []
        self.alias: dict[str, str] = {}
        self.used: set[str] = set()
        self.faulty: set[str] = set()
        self.lost: list[str] = []
        self.left = MOST_VALUES

    def run(self) -> Expansion:
        given, body = self.document.get("blocks", {}), self.document.get("capsules")
        if isinstance(given, dict):
            for name, block in given.items():
                self._take_block(name, block)
        else:
            self._problem(("blocks",), "blocks", brief(given), "an object", "")
        if isinstance(body, list):
            inputs = self.document.get("inputs")
            names = [
                each.get("name") if isinstance(each, dict) else None
                for each in (inputs if isinstance(inputs, list) else [])
            ]
            self._say(name_faults(body, names, (), ""))
        try:
            self._body(body, ("capsules",), "", {}, {}, ())
        except _TooLarge as error:
            place, found = "the document, blocks expanded", error.found
            self._problem(("blocks",), place, found, error.expected, error.cure)
            self.found.document = None
            return self.found
        for name in self.blocks if not self.found.problems else ():
            if name not in self.used:
                self._problem(
                    ("blocks", name),
                    f"block {brief(name)}",
                    "nothing uses it",
                    "a use among the capsules",
                    "use it, or remove it",
                )
        self._resolve()
        document = self.found.document
        document.pop("blocks", None)
        if isinstance(body, list):
            document["capsules"] = self.capsules
        for key in ("outputs", "losses"):
            if key in document:
                document[key] = self._named(document[key])
        return self.found

    def _say(self, problems: list[Problem]) -> None:
        self.found.problems += problems
        self.found.said.update(problem.path for problem in problems)

    def _named(self, value: Any) -> Any:
        """Names of uses in a list, or as keys, replaced by names of capsules."""
        if isinstance(value, list):
            return [self._flat(name) for name in value]
        if isinstance(value, dict):
            return {self._flat(name): loss for name, loss in value.items()}
        return value

    def _take_block(self, name: str, block: Any) -> None:
        path: Path = ("blocks", name)
        faults = part_faults("block", block, path, f"block {brief(name)}")
        self.found.problems += faults
        if faults:
            self.faulty.add(name)
        else:
            self.blocks[name] = block
            self._say(template_faults(name, block))

    def _body(
        self,
        body: Any,
        path: Path,
        prefix: str,
        bindings: dict[str, str],
        values: dict[str, Any],
        within: tuple[str, ...],
    ) -> None:
        """Expands a list of capsules and uses; of the document, or of a block."""
        for i, entry in enumerate(body if isinstance(body, list) else []):
            where = (*path, i)
            if within:
                entry = self._substituted(entry, values)
            self._count(entry)
            if isinstance(entry, dict) and "block" in entry:
                self._use(entry, where, prefix, bindings, within)
            else:
                self._capsule(entry, where, prefix, bindings)

    def _capsule(
        self, entry: Any, where: Path, prefix: str, bindings: dict[str, str]
    ) -> None:
        keys: list[Any] = []
        if isinstance(entry, dict):
            entry = dict(entry)
            for key in ("cap", "backward") if prefix else ():
                if isinstance(entry.get(key), str):  # a parameter's value
                    entry[key] = {"kind": entry[key]}
            edges = entry.get("from")
            if prefix and isinstance(entry.get("name"), str):
                entry["name"] = prefix + entry["name"]
                if len(entry["name"]) > LONGEST_NAME:
                    found = f"a name of {len(entry['name'])} characters, "
                    found += brief(entry["name"])
                    cure = "shorter names of uses, or fewer levels of blocks"
                    raise _TooLarge(found, f"{LONGEST_NAME} characters", cure)
            if isinstance(edges, list):
                keys = [e.get("source") if isinstance(e, dict) else None for e in edges]
                entry["from"] = [self._edge(e, prefix, bindings) for e in edges]
        self.capsules.append(entry)
        self.found.origins.append(where)
        self.found.keys.append(keys)

    def _edge(self, edge: Any, prefix: str, bindings: dict[str, str]) -> Any:
        if isinstance(edge, dict) and isinstance(edge.get("source"), str):
            edge = {**edge, "source": _source(edge["source"], prefix, bindings)}
            if prefix and isinstance(edge.get("backward"), str):
                edge["backward"] = {"kind": edge["backward"]}
        return edge

    def _use(
        self,
        use: dict[str, Any],
        where: Path,
        prefix: str,
        bindings: dict[str, str],
        within: tuple[str, ...],
    ) -> None:
        place = f"use {brief(prefix + str(use.get('name', '?')))}"
        said = any(path[: len(where)] == where for path in self.found.said)
        faults = [] if said else part_faults("use", use, where, place)
        if not said and not faults:
            faults = self._use_faults(use, where, place, within)
        if said or faults or use["block"] in self.faulty:
            self.found.problems += [
                fault for fault in faults if fault not in self.found.problems
            ]
            self.lost.append(f"{prefix}{use.get('name')}")
            return
        name = use["block"]
        block = self.blocks[name]
        self.used.add(name)
        read = [_source(source, prefix, bindings) for source in use["from"]]
        last = None
        for copy, number in enumerate(_numbers(use)):
            own = f"{prefix}{use['name']}{number}"
            values = dict(block.get("defaults", {}))
            for key, value in use.get("with", {}).items():
                values[key] = value["each"][copy] if _is_each(value) else value
            if last is not None:
                read = [last if each == read[0] else each for each in read]
            inner = dict(zip(block["inputs"], read, strict=True))
            given = tuple((key, values[key]) for key in block.get("parameters", ()))
            self.found.uses.append(Use(own, name, repr_values(given)))
            path: Path = ("blocks", name, "capsules")
            stack = (*within, name)
            self._body(block["capsules"], path, f"{own}/", inner, values, stack)
            self.alias[own] = f"{own}/{_output(block)}"
            last = own
        if last is not None:
            self.alias[f"{prefix}{use['name']}"] = self.alias[last]
        if ("blocks", name, "output") in self.found.said:
            self.lost.append(f"{prefix}{use['name']}")

    def _use_faults(
        self, use: dict[str, Any], where: Path, place: str, within: tuple[str, ...]
    ) -> list[Problem]:
        name = use["block"]
        block = self.blocks.get(name)
        if name in self.faulty:
            return []
        if block is None:
            cure = nearest(name, self.blocks, "declare it under blocks")
            known = listing(self.blocks) or "none"
            return [
                Problem(
                    (*where, "block"), place, f"no block {brief(name)}", known, cure
                )
            ]
        if name in within:
            circle = " -> ".join([*within[within.index(name) :], name])
            return [
                Problem(
                    (*where, "block"),
                    place,
                    f"blocks that use themselves: {circle}",
                    "blocks within blocks, and an end to it",
                    "remove one of these uses",
                )
            ]
        faults = []
        if len(within) > _DEEPEST:
            faults.append(
                Problem(
                    (*where, "block"),
                    place,
                    f"blocks within blocks, more than {_DEEPEST} deep",
                    f"at most {_DEEPEST}",
                    "fewer levels",
                )
            )
        if "first" in use and use.get("repeat") is None:
            faults.append(
                Problem(
                    (*where, "first"),
                    place,
                    "`first`, the number of the first copy, without `repeat`",
                    "both or none",
                    "remove it, or say how many copies by `repeat`",
                )
            )
        inputs, read = block["inputs"], use["from"]
        if len(inputs) != len(read):
            faults.append(
                Problem(
                    (*where, "from"),
                    place,
                    f"{len(read)} sources",
                    f"{len(inputs)}, for the inputs {listing(inputs)} of {name!r}",
                    "one source for each input, in their order",
                )
            )
        known, given = block.get("parameters", []), use.get("with", {})
        for key in given:
            if key not in known:
                expected = f"one of {listing(known)}" if known else "no parameters"
                cure = nearest(key, known, "remove it")
                found = f"no parameter {brief(key)} of block {name!r}"
                faults.append(
                    Problem((*where, "with", key), place, found, expected, cure)
                )
        missing = [
            key
            for key in known
            if key not in given and key not in block.get("defaults", {})
        ]
        if missing:
            faults.append(
                Problem(
                    (*where, "with"),
                    place,
                    f"no value for {listing(missing)}",
                    f"values for all parameters of block {name!r}",
                    "give them under `with`, or declare defaults",
                )
            )
        copies = len(_numbers(use))
        for key, value in given.items():
            if _is_each(value) and len(value["each"]) != copies:
                faults.append(
                    Problem(
                        (*where, "with", key),
                        place,
                        f"{len(value['each'])} values",
                        f"{copies}, one for each copy",
                        "as many values as `repeat` says",
                    )
                )
        return faults

    def _substituted(self, value: Any, values: dict[str, Any]) -> Any:
        """The value with parameters replaced; unknown ones, which are said, by null."""
        if isinstance(value, dict):
            if _is_parameter(value):
                name = value["parameter"]
                return values.get(name) if isinstance(name, str) else None
            return {key: self._substituted(v, values) for key, v in value.items()}
        if isinstance(value, list):
            return [self._substituted(inner, values) for inner in value]
        return value

    def _count(self, entry: Any) -> None:
        """Counts the values of an entry of the expanded document."""
        stack = [(entry, 0)]
        while stack:
            value, depth = stack.pop()
            self.left -= 1 + (len(value) // 100 if isinstance(value, str) else 0)
            if self.left < 0:
                cure = "fewer repetitions of blocks within blocks, or smaller values"
                found = f"more than {MOST_VALUES:,} names and settings"
                raise _TooLarge(found, f"{MOST_VALUES:,}", cure)
            if depth > DEEPEST:
                found = f"lists and objects nested more than {DEEPEST} deep"
                raise _TooLarge(found, DEEPEST, "replace the values of parameters")
            inner = value.values() if isinstance(value, dict) else value
            if isinstance(value, dict | list):
                stack += [(each, depth + 1) for each in inner]

    def _resolve(self) -> None:
        """Sources that are uses become the capsules these give."""
        for capsule in self.capsules:
            if isinstance(capsule, dict) and isinstance(capsule.get("from"), list):
                for edge in capsule["from"]:
                    if isinstance(edge, dict) and "source" in edge:
                        edge["source"] = self._flat(edge["source"])

    def _flat(self, name: Any) -> Any:
        if not isinstance(name, str):
            return name
        if self.lost and name.startswith(tuple(self.lost)):
            return NAMELESS
        while name in self.alias:
            name = self.alias[name]
        return NAMELESS if self.lost and name.startswith(tuple(self.lost)) else name

    def _problem(
        self, path: Path, place: str, found: str, expected: str, cure: str
    ) -> None:
        problem = Problem(path, place, found, expected, cure or "correct it")
        if problem not in self.found.problems:
            self.found.problems.append(problem)


def _numbers(use: dict[str, Any]) -> Sequence[Any]:
    """What stands behind a use's name for each copy: nothing, if it stands alone."""
    repeat = use.get("repeat")
    if repeat is None:
        return [""]
    first = use.get("first", 1)
    return range(first, first + repeat)


def _source(name: str, prefix: str, bindings: dict[str, str]) -> str:
    return bindings.get(name, prefix + name)


def _output(block: dict[str, Any]) -> str:
    """The name of the block's output: as declared, or its last capsule."""
    last = block["capsules"][-1]
    name = last.get("name") if isinstance(last, dict) else None
    return block.get("output") or str(name)


def _is_parameter(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"parameter"}


def _is_each(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == {"each"}
        and isinstance(value["each"], list)
    )


def repr_values(values: Iterable[tuple[str, Any]]) -> tuple[tuple[str, str], ...]:
    """Parameters and their values as text, for tables and drawings."""
    return tuple((name, _text(value)) for name, value in values)


def _text(value: Any, depth: int = 4) -> str:
    if isinstance(value, str):
        return value
    if depth and isinstance(value, dict) and "kind" in value:
        settings = [(k, v) for k, v in value.items() if k != "kind"]
        inside = ", ".join(f"{k}={_text(v, depth - 1)}" for k, v in settings)
        return f"{value['kind']}({inside})" if inside else str(value["kind"])
    if depth and isinstance(value, list):
        return f"({', '.join(_text(each, depth - 1) for each in value)})"
    return brief(value)
