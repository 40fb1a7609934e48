"""Backward rules as they are given: in a declaration, or when a graph is compiled."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from capsjax.graph.declaration import Graph
from capsjax.graph.errors import (
    Path,
    Problem,
    brief,
    listing,
    nearest,
    quoted,
)
from capsjax.graph.kinds import BACKWARDS, BackwardKind
from capsjax.graph.typed import (
    TypedCapsule,
    TypedEdge,
    TypedGraph,
)


class Given(NamedTuple):
    """A rule, and where it was given."""

    rule: BackwardKind
    path: Path = ()


class Rules(NamedTuple):
    """Rules by the place that they are given for.

    Attributes:
        edges: For edges, by capsule and key of the edge.
        capsules: For capsules.
        graph: For all that it fits.
    """

    edges: dict[tuple[str, str], Given]
    capsules: dict[str, Given]
    graph: Given | None


def declared_rules(graph: Graph, typed: TypedGraph) -> Rules:
    """The rules that a declaration states."""
    known = {capsule.name: capsule for capsule in typed.alone}
    found = Rules({}, {}, graph.backward and Given(graph.backward, ("backward",)))
    for i, capsule in enumerate(graph.capsules):
        if capsule.backward is not None:
            path: Path = ("capsules", i, "backward")
            found.capsules[capsule.name] = Given(capsule.backward, path)
        if capsule.name not in known:
            continue
        typed_edges = known[capsule.name].edges
        for j, (edge, own) in enumerate(zip(capsule.edges, typed_edges, strict=False)):
            if edge.backward is not None:
                path = ("capsules", i, "from", j, "backward")
                found.edges[capsule.name, own.key] = Given(edge.backward, path)
    return found


def given_rules(typed: TypedGraph, backward: Any) -> tuple[Rules, list[Problem]]:
    """The rules given at compile time.

    Args:
        typed: The graph.
        backward: A rule, by name or as a record; or rules by capsule, by
            `(source, capsule)` and, for all others, by "*".

    Returns:
        The rules, and what is wrong with them.
    """
    found, problems = Rules({}, {}, None), []
    if not isinstance(backward, Mapping):
        rule = _record(backward, "backward", problems, ", or 'autodiff'")
        return found._replace(graph=rule and Given(rule)), problems
    capsules = {capsule.name: capsule for capsule in typed.alone}
    for place, value in backward.items():
        shown = f"backward[{brief(place)}]"
        rule = _record(value, shown, problems)
        if place == "*":
            found = found._replace(graph=rule and Given(rule))
        elif isinstance(place, str) and place in capsules:
            if rule is not None:
                found.capsules[place] = Given(rule)
        elif isinstance(place, str):
            expected = 'the name of a capsule, a pair (source, capsule), or "*"'
            cure = nearest(place, capsules, "name a capsule of the graph")
            what = f"no capsule {brief(place)}"
            problems.append(Problem((), shown, what, expected, cure))
        else:
            faults = _place_faults(place, shown, capsules)
            problems += faults
            if rule is not None and not faults:
                edges = _edges(place, capsules)
                with_weight = [e for e in edges if e.weight_shape is not None]
                for edge in (rule.weighted and with_weight) or edges:
                    found.edges[place[1], edge.key] = Given(rule)
    return found, problems


def _edges(
    place: tuple[str, str], capsules: Mapping[str, TypedCapsule]
) -> list[TypedEdge]:
    """The edges that a pair (source, capsule) means: all from that source, or one."""
    source, name = place
    return [
        edge
        for edge in capsules[name].edges
        if source in (edge.source, edge.key, edge.key.partition("#")[0])
    ]


def _place_faults(
    place: Any, shown: str, capsules: Mapping[str, TypedCapsule]
) -> list[Problem]:
    """What is wrong with a key of the mapping that is no capsule."""
    expected = 'the name of a capsule, a pair (source, capsule), or "*"'
    pair = isinstance(place, tuple) and len(place) == 2
    if not pair or not all(isinstance(name, str) for name in place):
        cure = 'write {"h1": rule, ("h1", "h2"): rule, "*": rule}'
        return [Problem((), shown, brief(place), expected, cure)]
    source, name = place
    if name not in capsules:
        cure = nearest(name, capsules, "name a capsule of the graph")
        return [Problem((), shown, f"no capsule {brief(name)}", expected, cure)]
    keys = [edge.key for edge in capsules[name].edges]
    if not _edges(place, capsules):
        what = f"no edge from {brief(source)} into {brief(name)}"
        expected = f"one of {listing(map(quoted, keys))}"
        cure = nearest(source, keys, "name a source of the capsule")
        return [Problem((), shown, what, expected, cure)]
    return []


def _record(
    value: Any, place: str, problems: list[Problem], more: str = ""
) -> BackwardKind | None:
    """A rule that is given by name or as a record."""
    if isinstance(value, BackwardKind) and type(value) is not BackwardKind:
        return value
    names = ", ".join(sorted(BACKWARDS))
    expected = f"one of {names}; cj.backward.NAME(settings){more}"
    cure = "give a rule by name, or as a record, such as cj.backward.scale(0.5)"
    if isinstance(value, str):
        if value in BACKWARDS:
            try:
                return BACKWARDS[value]()
            except TypeError:
                cure = f"cj.backward.{value}(...), with its settings"
                found = f"{value!r} without its settings"
                problems.append(Problem((), place, found, expected, cure))
                return None
        cure = nearest(value, BACKWARDS, cure)
    found = f"unknown rule {brief(value)}"
    problems.append(Problem((), place, found, expected, cure))
    return None
