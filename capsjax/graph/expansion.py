"""Blocks: named sub-graphs with parameters, used many times.

A document's `blocks` are templates. A *use* stands among the capsules in their place:

    {"name": "block", "block": "bottleneck", "from": ["stem"],
     "with": {"features": 64}, "repeat": 3}

It is expanded as plain data, before anything else looks at the document: every capsule
of the block becomes a capsule of the graph, its name behind the use's
(`block1/conv1`), what it says in terms of parameters replaced by values. Nothing is
computed: a parameter is put in the place of `{"parameter": "features"}` as it is.

* A use's name as a source stands for the block's output.
* `repeat` makes copies `block1`, `block2`, ...; each reads the one before it as its
  first input. `first` is the number of the first copy.
* A value `{"each": [...]}` gives each copy one of the list.
* Inside a block, sources are the block's inputs and its own capsules.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any

from capsjax.graph.declaration import Use
from capsjax.graph.errors import NAMELESS, Path, Problem, brief, listing, nearest
from capsjax.graph.faults import part_faults

MOST_CAPSULES = 1_000_000
"""A few lines of nested repetition could ask for any number."""

_DEEPEST = 50


@dataclasses.dataclass
class Expansion:
    """A document without blocks that declares the same capsules.

    Attributes:
        document: The document; the same as before if it has no blocks.
        origins: Where each capsule stands in the document with blocks.
        keys: For each capsule, its sources as they are written there.
        uses: The uses of blocks, outer ones first.
        problems: What is wrong with blocks and their uses.
    """

    document: Any
    origins: list[Path] = dataclasses.field(default_factory=list)
    keys: list[list[Any]] = dataclasses.field(default_factory=list)
    uses: list[Use] = dataclasses.field(default_factory=list)
    problems: list[Problem] = dataclasses.field(default_factory=list)
    unknown: set[Path] = dataclasses.field(default_factory=set)
    """Where an unknown parameter left null behind."""

    def place(self, problems: Iterable[Problem]) -> list[Problem]:
        """The expansion's problems, and those of the expanded document at their places.

        What is wrong with a block shows in every use of it, and is said once. What
        follows from a use that is not understood is not said.
        """
        if not self.origins:
            return [*self.problems, *problems]
        found: dict[Any, list[Problem]] = {}
        for problem in [*self.problems, *map(self._moved, problems)]:
            path = problem.path
            if self.problems and problem.found == repr(NAMELESS):
                continue
            if path in self.unknown and problem not in self.problems:
                continue
            found.setdefault(path if path[:1] == ("blocks",) else problem, []).append(
                problem
            )
        return [_said_once(each) for each in found.values()]

    def _moved(self, problem: Problem) -> Problem:
        path = problem.path
        if path[:1] != ("capsules",) or len(path) < 2:
            return problem
        origin = self.origins[int(path[1])]
        return dataclasses.replace(problem, path=(*origin, *path[2:]))


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
    if not isinstance(document, dict) or "blocks" not in document:
        return Expansion(document)
    return _Expander(document).run()


class _Expander:
    def __init__(self, document: dict[str, Any]):
        self.document = document
        self.found = Expansion(dict(document))
        self.blocks: dict[str, Any] = {}
        self.capsules: list[Any] = []
        self.alias: dict[str, str] = {}
        self.used: set[str] = set()
        self.faulty: set[str] = set()
        self.full = False

    def run(self) -> Expansion:
        given = self.document["blocks"]
        if isinstance(given, dict):
            for name, block in given.items():
                self._take_block(name, block)
        else:
            self._problem(("blocks",), "blocks", brief(given), "an object", "")
        self._body(self.document.get("capsules"), ("capsules",), "", {}, {}, ())
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
        del document["blocks"]
        document["capsules"] = self.capsules
        for key in ("outputs", "losses"):
            document[key] = self._named(document.get(key))
            if document[key] is None:
                del document[key]
        return self.found

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
        if not faults:
            self.blocks[name] = block
        else:
            self.faulty.add(name)

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
                entry = self._substituted(entry, values, where)
            if isinstance(entry, dict) and "block" in entry:
                self._use(entry, where, prefix, bindings, within)
            else:
                self._capsule(entry, where, prefix, bindings)

    def _capsule(
        self, entry: Any, where: Path, prefix: str, bindings: dict[str, str]
    ) -> None:
        if len(self.capsules) >= MOST_CAPSULES:
            if not self.full:
                self._problem(
                    where,
                    "the document",
                    f"more than {MOST_CAPSULES:,} capsules",
                    f"at most {MOST_CAPSULES:,}",
                    "fewer repetitions",
                )
            self.full = True
            return
        keys: list[Any] = []
        if isinstance(entry, dict):
            entry = dict(entry)
            if prefix and isinstance(entry.get("cap"), str):  # a parameter's value
                entry["cap"] = {"kind": entry["cap"]}
            edges = entry.get("from")
            if prefix and isinstance(entry.get("name"), str):
                entry["name"] = prefix + entry["name"]
            if isinstance(edges, list):
                keys = [e.get("source") if isinstance(e, dict) else None for e in edges]
                entry["from"] = [self._edge(e, prefix, bindings) for e in edges]
        self.capsules.append(entry)
        self.found.origins.append(where)
        self.found.keys.append(keys)

    def _edge(self, edge: Any, prefix: str, bindings: dict[str, str]) -> Any:
        if isinstance(edge, dict) and isinstance(edge.get("source"), str):
            return {**edge, "source": _source(edge["source"], prefix, bindings)}
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
        faults = part_faults("use", use, where, place)
        if not faults:
            faults = self._use_faults(use, where, place, within)
        if faults or use["block"] in self.faulty:
            self.found.problems += faults
            self.alias[f"{prefix}{use.get('name')}"] = NAMELESS
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
                read = [last, *read[1:]]
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
        if name in within or len(within) > _DEEPEST:
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

    def _substituted(self, value: Any, values: dict[str, Any], where: Path) -> Any:
        """The value with parameters replaced; at unknown ones a problem and null."""
        if isinstance(value, dict):
            if value.keys() == {"parameter"}:
                name = value["parameter"]
                if isinstance(name, str) and name in values:
                    return values[name]
                self.found.unknown.add(where)
                self._problem(
                    where,
                    f"block {brief(where[1])}",
                    f"parameter {brief(name)}",
                    f"one of {listing(values)}" if values else "no parameters",
                    nearest(name, values, "declare it among the block's parameters"),
                )
                return None
            return {
                key: self._substituted(inner, values, (*where, key))
                for key, inner in value.items()
            }
        if isinstance(value, list | tuple):
            return [
                self._substituted(inner, values, (*where, i))
                for i, inner in enumerate(value)
            ]
        return value

    def _resolve(self) -> None:
        """Sources that are uses become the capsules these give."""
        for capsule in self.capsules:
            if isinstance(capsule, dict) and isinstance(capsule.get("from"), list):
                for edge in capsule["from"]:
                    if isinstance(edge, dict) and "source" in edge:
                        edge["source"] = self._flat(edge["source"])

    def _flat(self, name: Any) -> Any:
        seen = 0
        while isinstance(name, str) and name in self.alias and seen < 2 * _DEEPEST:
            name, seen = self.alias[name], seen + 1
        return name

    def _problem(
        self, path: Path, place: str, found: str, expected: str, cure: str
    ) -> None:
        problem = Problem(path, place, found, expected, cure or "correct it")
        if problem not in self.found.problems:
            self.found.problems.append(problem)


def _numbers(use: dict[str, Any]) -> list[Any]:
    """What stands behind a use's name for each copy: nothing, if it stands alone."""
    repeat = use.get("repeat")
    if repeat is None:
        return [""]
    first = use.get("first", 1)
    return list(range(first, first + repeat))


def _source(name: str, prefix: str, bindings: dict[str, str]) -> str:
    return bindings.get(name, prefix + name)


def _output(block: dict[str, Any]) -> str:
    """The name of the block's output: as declared, or its last capsule."""
    last = block["capsules"][-1]
    name = last.get("name") if isinstance(last, dict) else None
    return block.get("output") or str(name)


def _is_each(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == {"each"}
        and isinstance(value["each"], list)
    )


def repr_values(values: Iterable[tuple[str, Any]]) -> tuple[tuple[str, str], ...]:
    """Parameters and their values as text, for tables and drawings."""
    return tuple((name, _text(value)) for name, value in values)


def _text(value: Any) -> str:
    if isinstance(value, dict) and "kind" in value:
        inside = ", ".join(f"{k}={_text(v)}" for k, v in value.items() if k != "kind")
        return f"{value['kind']}({inside})" if inside else str(value["kind"])
    if isinstance(value, list | tuple):
        return f"({', '.join(map(_text, value))})"
    return brief(value) if not isinstance(value, str) else value
