"""Names of the nodes of a neural network, and what is wrong with them."""

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from capsjax.graph.errors import Problem, brief, listing

Problems = list[Problem]

MOST_SHOWN = 8
"""So many nodes, connections or components a message shows."""

MOST_NODES = 2**31 - 1
"""Nodes are numbered by integers of 32 bits."""

_UNWRITABLE = re.compile("[\0\ud800-\udfff]")


class Names(NamedTuple):
    """Names of the nodes; a node's number is its position in `inputs + neurons`."""

    inputs: np.ndarray
    neurons: np.ndarray

    @property
    def size(self) -> int:
        return len(self.inputs) + len(self.neurons)

    def show(self, numbers: Iterable[int]) -> list[str]:
        """Nodes by name, for messages."""
        size = len(self.inputs)
        return [
            brief((self.inputs[n] if n < size else self.neurons[n - size]).item())
            for n in numbers
        ]

    def edges(self, sources: np.ndarray, targets: np.ndarray) -> str:
        """Connections by name, no more than a message can bear."""
        most = MOST_SHOWN
        pairs = zip(self.show(sources[:most]), self.show(targets[:most]), strict=True)
        shown = [f"{source} -> {target}" for source, target in pairs]
        rest = len(sources) - len(shown)
        return ", ".join(shown + [f"and {rest:,} more"] * (rest > 0))


def check_names(inputs: Any, neurons: Any, problems: Problems) -> Names | None:
    """Names of inputs and neurons as arrays of one type; None if they are unusable."""
    columns, start = [], 0
    for what, given in (("inputs", inputs), ("neurons", neurons)):
        column = _names(what, given, start, problems)
        if column is None:
            return None
        columns.append(column)
        start += len(column)
    if not len(columns[0]):
        problems.append(
            Problem(
                ("inputs",),
                "inputs",
                "none",
                "at least one input: S is not empty",
                "declare the nodes that read nothing as inputs",
            )
        )
    kinds = {column.dtype.kind for column in columns if len(column)}
    if len(kinds) > 1:
        shown = [
            f"{brief(c[0].item())} among the {w}"
            for c, w in zip(columns, ("inputs", "neurons"), strict=True)
        ]
        problems.append(_mixed(("neurons",), "names", " and ".join(shown)))
        return None
    kind = next((c.dtype for c in columns if len(c)), np.dtype(np.int64))
    names = Names(*(c if len(c) else c.astype(kind) for c in columns))
    if not (isinstance(inputs, int) and isinstance(neurons, int)):
        _check_unique(names, problems)
    return names


def _names(what: str, given: Any, start: int, problems: Problems) -> np.ndarray | None:
    if isinstance(given, int | np.integer) and not isinstance(given, bool):
        if 0 <= given <= MOST_NODES - start:
            return np.arange(start, start + int(given), dtype=np.int64)
        if given > 0:
            problems.append(too_many(what, int(given)))
            return None
    column = np.asarray(given, object)
    if column.ndim == 0:
        problems.append(
            Problem(
                (what,),
                what,
                brief(given),
                "how many there are, or their names",
                f"give a count such as 64, or a list such as ['{what[0]}1']",
            )
        )
        return None
    each: list[Any] = column.tolist()
    types = {type(name) for name in each}
    integers = all(issubclass(t, int | np.integer) and t is not bool for t in types)
    if not integers and not all(issubclass(t, str) for t in types):
        strange = next((n for n in each if not is_name(n)), None)
        if strange is not None or None in each:
            found = brief(strange)
        else:
            strings = next(n for n in each if isinstance(n, str))
            other = next(n for n in each if not isinstance(n, str))
            found = f"{brief(other)} and {brief(strings)}"
        problems.append(_mixed((what,), f"names of {what}", found))
        return None
    if integers:
        big = next((n for n in each if not -(2**63) <= n < 2**63), None)
        if big is None:
            return np.array(each, np.int64)
        problems.append(_mixed((what,), f"names of {what}", brief(big)))
        return None
    # Arrays of strings drop zero characters at the end, so that names would collide.
    # Halves of surrogate pairs can't be written to a document.
    if _UNWRITABLE.search("".join(each)):
        odd = next(name for name in each if _UNWRITABLE.search(name))
        problems.append(
            Problem(
                (what,),
                f"names of {what}",
                ascii(odd)[:80],
                "names of Unicode characters other than the one of number zero",
                "rename the node",
            )
        )
        return None
    return np.array(each, np.str_)


def is_name(name: Any) -> bool:
    """Whether a node may be called so."""
    return isinstance(name, str | int | np.integer) and not isinstance(name, bool)


def too_many(what: str, count: int) -> Problem:
    """More nodes than there are numbers for."""
    return Problem(
        (what,),
        what,
        brief(count),
        f"at most {MOST_NODES:,} nodes in all",
        "a smaller network",
    )


def _mixed(path: tuple[str, ...], place: str, found: str) -> Problem:
    return Problem(
        path,
        place,
        found,
        "names that are all strings, or all integers of 64 bits",
        "rename the nodes, such as 'x1', 'h1'",
    )


def _check_unique(names: Names, problems: Problems) -> None:
    each = names.inputs.tolist() + names.neurons.tolist()
    if len(set(each)) == len(each):
        return
    seen: set[Any] = set()
    repeated = {name: None for name in each if name in seen or seen.add(name)}
    problems.append(
        Problem(
            (),
            "names",
            f"{listing(map(brief, repeated), MOST_SHOWN)} more than once",
            "a name of its own for every node: S and H are disjoint sets",
            "rename one of the nodes",
        )
    )
