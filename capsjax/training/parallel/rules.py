"""Rules: on which axes of a mesh the axes of parameters are divided.

A rule goes from the name of an axis, as `capsjax.compiler.axes` gives it, to an axis of
the mesh, to several, or to None, for an axis that is not divided:

    {"out": "model"}                      every axis called "out"
    {"digit:out": None}                   of all parameters of capsule digit
    {"block*:W:out": "model"}             of the weights of capsules that match
    {"h:cap:weight:0": "model"}           an axis by its number, where it has no name

What stands before the last colon is the beginning of a parameter's name, as messages
write it (`c1:B`, `c1:W:image`), with `*` for anything. Rules for capsules go before
those for all, and else the first one counts. As with Flax's logical axis rules, a mesh
axis divides one axis of an array at most: where one is taken, the next rule is tried.
What no rule divides is on every device. Sizes must be multiples of the mesh's: JAX has
no uneven parts.
"""

import dataclasses
import fnmatch
import math
import os
from collections.abc import Iterable, Mapping, Sequence

from jax.sharding import Mesh, PartitionSpec

from capsjax.compiler.axes import NAMES, Leaf
from capsjax.compiler.parameters import Name, show
from capsjax.graph.errors import Problem, brief, listing, nearest, numbered

BATCH = "batch"
"""The name of the leading axis of inputs and targets."""

Given = Mapping[str, str | Sequence[str] | None]


@dataclasses.dataclass(frozen=True)
class Rule:
    """One rule.

    Attributes:
        key: As it was given.
        place: The beginning of parameters' names, a pattern; empty for all.
        axis: Name or number of an axis.
        onto: Axes of the mesh; none for what is not divided.
    """

    key: str
    place: str
    axis: str
    onto: tuple[str, ...]

    def covers(self, name: Name) -> bool:
        """Whether it is for a parameter."""
        if not self.place:
            return True
        length = self.place.count(":") + 1
        return fnmatch.fnmatchcase(show(name[:length]), self.place)


def parse(given: Given, mesh: Mesh) -> tuple[list[Rule], list[Problem]]:
    """Rules in the order in which they count, and what is wrong with some."""
    rules, problems = [], []
    for key, value in given.items():
        onto = () if value is None else (value,) if isinstance(value, str) else value
        place, _, axis = key.rpartition(":") if isinstance(key, str) else ("", "", "")
        named = isinstance(onto, Sequence) and all(isinstance(n, str) for n in onto)
        if not axis or not named:
            found = f"{brief(key)}: {brief(value)}"
            expected = (
                "an axis, or capsule:axis, and an axis of the mesh, some, or None"
            )
            cure = 'write it as {"out": "model", "digit:out": None}'
            problems.append(Problem((), "rules", found, expected, cure))
            continue
        for name in onto:
            if name not in mesh.axis_names:
                known = listing(map(repr, mesh.axis_names))
                cure = nearest(name, mesh.axis_names, "correct the rule or the mesh")
                place = f"rule {key!r}"
                found = f"the mesh axis {name!r}"
                problems.append(Problem((), place, found, f"one of {known}", cure))
        rules.append(Rule(key, place, axis, tuple(onto)))
    return sorted(rules, key=lambda rule: not rule.place), problems


def unused(rules: Iterable[Rule], leaves: Mapping[Name, Leaf]) -> list[Problem]:
    """Rules that are for nothing: a name is misspelled, most likely."""
    axes = {axis for leaf in leaves.values() for axis in leaf.axes if axis}
    names = [name for leaf in leaves.values() for name in leaf.names]
    problems = []
    for rule in rules:
        place = f"rule {rule.key!r}"
        if rule.place and not any(map(rule.covers, names)):
            capsules = dict.fromkeys(name[0] for name in names)
            cure = nearest(rule.place, capsules, "correct the rule, or remove it")
            expected = f"capsules with parameters: {listing(capsules)}"
            problems.append(Problem((), place, "no such parameter", expected, cure))
        elif rule.axis not in axes | NAMES | {BATCH} and not rule.axis.isdecimal():
            known = sorted(axes | NAMES | {BATCH})
            cure = nearest(rule.axis, known, "correct the rule, or remove it")
            found = f"the axis {rule.axis!r}"
            problems.append(Problem((), place, found, f"one of {listing(known)}", cure))
    return problems


def divided(
    rules: Sequence[Rule], leaves: Mapping[Name, Leaf], mesh: Mesh
) -> tuple[dict[Name, PartitionSpec], list[Problem]]:
    """How each array of the compiled layout is divided.

    Args:
        rules: Rules, in the order in which they count.
        leaves: The arrays of the compiled layout.
        mesh: The mesh.

    Returns:
        By array, the mesh axes of each of its axes; and what does not fit.
    """
    specs: dict[Name, PartitionSpec] = {}
    problems: list[Problem] = []
    local = [rule for rule in rules if rule.place]
    for own, leaf in leaves.items():
        # Without rules for capsules, all that stands in an array is divided alike.
        names = leaf.names if local else leaf.names[:1]
        ways = {_way(rules, name, leaf): name for name in reversed(names)}
        if len(ways) > 1:
            problems.append(_torn(list(ways.values())))
        (*_, way) = ways
        problems += _uneven(leaf, way, mesh)
        specs[own] = PartitionSpec(*(onto or None for onto in way))
    return specs, problems


Way = tuple[tuple[str, ...], ...]


def _way(rules: Sequence[Rule], name: Name, leaf: Leaf) -> Way:
    """The mesh axes of each axis of a parameter."""
    found: dict[int, tuple[str, ...]] = {}
    taken: set[str] = set()
    for rule in rules:
        if not rule.covers(name):
            continue
        for at, axis in enumerate(leaf.axes):
            if at in found or rule.axis not in (axis, str(at - leaf.stacked)):
                continue
            if taken.isdisjoint(rule.onto):
                found[at] = rule.onto
                taken.update(rule.onto)
    return tuple(found.get(at, ()) for at in range(len(leaf.axes)))


def _torn(names: list[Name]) -> Problem:
    shown = listing([show(name) for name in names], 4)
    return Problem(
        (),
        f"parameters {shown}",
        "rules that divide them in different ways",
        "one way: they stand in one array of the compiled network",
        "one rule for all of them; or leave out the pass that joins them "
        "(cj.explain names it): cj.compile(graph, passes=...)",
    )


def _uneven(leaf: Leaf, way: Way, mesh: Mesh) -> list[Problem]:
    problems = []
    more = len(leaf.names) - 1
    place = f"parameter {show(leaf.names[0])}"
    place += f" and {more:,} more that stand in one array" if more else ""
    for at, onto in enumerate(way):
        parts = math.prod(mesh.shape.get(name, 1) for name in onto)
        if leaf.shape[at] % parts:
            axis = leaf.axes[at] or str(at - leaf.stacked)
            found = f"size {leaf.shape[at]} of axis {axis!r} (shape {leaf.shape})"
            axes = " x ".join(map(repr, onto))
            expected = f"a multiple of {parts}, the size of mesh axis {axes}"
            cure = f"a rule that leaves it whole, {_exception(leaf, axis)!r}: None; or "
            cure += "another size"
            problems.append(Problem((), place, found, expected, cure))
    return problems


def _exception(leaf: Leaf, axis: str) -> str:
    """The key of a rule for one axis of an array."""
    first, *more = leaf.names
    if not more:
        return f"{show(first)}:{axis}"
    capsules = {name[0] for name in leaf.names}
    some = "*" if len(capsules) > 1 else ""
    return f"{os.path.commonprefix(sorted(capsules))}{some}:{first[1]}:{axis}"


def refuse(problems: Sequence[Problem], network: str) -> None:
    """Raises `ValueError` with all problems, if there are any."""
    if problems:
        count = f"{len(problems)} problem{'s' * (len(problems) > 1)}"
        raise ValueError(
            f"placement of network {network!r} has {count}:\n{numbered(problems)}"
        )
