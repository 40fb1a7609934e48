"""Pass: many small capsules that are alike become one group."""

import dataclasses
import math
from collections.abc import Hashable

import numpy as np

from capsjax.caps.base import is_plain
from capsjax.graph.levels import levels
from capsjax.graph.traced import is_traced
from capsjax.graph.typed import (
    Reading,
    TypedCapsule,
    TypedEdge,
    TypedGraph,
    TypedGroup,
    Writing,
)

LEAST_MEMBERS = 32
"""Fewer capsules than these compile quickly one by one."""

LEAST_WIDTH = 8
"""Members of a level, on average: a chain has nothing to run at once."""

MOST_NUMBERS = 64
"""Numbers of U: the work of larger capsules outweighs what starting it costs."""


def batch(typed: TypedGraph) -> tuple[TypedGraph, list[str]]:
    """Gathers capsules that are alike into groups, whatever their wiring.

    Capsules are alike if U and Y have one shape and every edge is of one weighting
    operation, from sources of that shape; capsule functions may differ. A group must
    not read what depends on it: where a path leaves a group and comes back, the
    capsules behind it make another one. Outputs with a loss stay outside.
    """
    with_loss = {each.output for each in typed.losses}
    alike: dict[Hashable, list[TypedCapsule]] = {}
    for capsule in typed.capsules:
        if isinstance(capsule, TypedCapsule) and capsule.name not in with_loss:
            kind = _kind(capsule)
            if kind is not None:
                alike.setdefault(kind, []).append(capsule)
    notes: list[str] = []
    for capsules in alike.values():
        for members in _phases(typed, capsules):
            if len(members) < LEAST_MEMBERS:
                continue
            group = _group(typed, members)
            depth = _depth(group)
            if len(members) < LEAST_WIDTH * depth:
                continue
            typed = _replace(typed, group)
            first, last = members[0].name, members[-1].name
            notes.append(
                f"{len(members)} capsules, {first} to {last}, batched in {depth} levels"
            )
    return typed, notes


def _kind(capsule: TypedCapsule) -> Hashable | None:
    """What capsules of a group have in common; None for those that can't be in one."""
    unit = capsule.total_input
    if not capsule.terms or capsule.ruled:  # a learned input; a backward rule
        return None
    edge = capsule.terms[0]
    if capsule.output != unit or math.prod(unit) > MOST_NUMBERS:
        return None
    if not is_plain(capsule.cap, unit) or is_traced(capsule.cap):
        return None
    for term in capsule.terms:
        if not isinstance(term, TypedEdge) or not isinstance(edge, TypedEdge):
            return None
        if term.weight is not None or term.merged is not None:
            return None
        if (term.weighting, term.source_shape) != (edge.weighting, unit):
            return None
        if is_traced(term.weighting):
            return None
    assert isinstance(edge, TypedEdge)
    return edge.weighting, unit, edge.weight_shape, capsule.bias_shape


def _phases(
    typed: TypedGraph, capsules: list[TypedCapsule]
) -> list[list[TypedCapsule]]:
    """Capsules that may be computed together: no path between them leads outside.

    A capsule's phase is the number of times that paths to it enter the set from
    outside; two of one phase can't have something outside between them.
    """
    inside = {capsule.name for capsule in capsules}
    phase = {name: 0 for name, _ in typed.inputs}
    found: dict[int, list[TypedCapsule]] = {}
    for item in typed.capsules:
        own = max(
            (
                phase[source] + (item.name in inside and source not in inside)
                for source in item.sources
            ),
            default=0,
        )
        for name in item.made:
            phase[name] = own
        if item.name in inside:
            assert isinstance(item, TypedCapsule)
            found.setdefault(own, []).append(item)
    return list(found.values())


def _group(typed: TypedGraph, members: list[TypedCapsule]) -> TypedGroup:
    names = tuple(capsule.name for capsule in members)
    inside = set(names)
    outside = dict.fromkeys(
        source for c in members for source in c.sources if source not in inside
    )
    row = {name: number for number, name in enumerate((*outside, *names))}
    read = {
        source
        for item in typed.capsules
        if item.name not in inside
        for source in item.sources
    }
    caps = tuple(dict.fromkeys(capsule.cap for capsule in members))
    edges = [(edge, c.name) for c in members for edge in c.edges]
    weighting = edges[0][0].weighting
    return TypedGroup(
        name=f"{names[0]}+{len(names) - 1}",
        unit=members[0].total_input,
        weighting=weighting,
        weight_shape=edges[0][0].weight_shape,
        bias_shape=members[0].bias_shape,
        caps=caps,
        cap_of=np.array([caps.index(capsule.cap) for capsule in members]),
        readings=tuple(Reading(source, None) for source in outside),
        writings=tuple(
            Writing(name, number)
            for number, name in enumerate(names)
            if name in read or name in typed.outputs
        ),
        edge_sources=np.array([row[edge.source] for edge, _ in edges]),
        edge_targets=np.array([row[name] - len(outside) for _, name in edges]),
        members=names,
        keys=tuple(edge.key for edge, _ in edges),
    )


def _depth(group: TypedGroup) -> int:
    rows = group.outer + group.size
    found = levels(group.edge_sources, group.outer + group.edge_targets, rows)
    return int(found.max())


def _replace(typed: TypedGraph, group: TypedGroup) -> TypedGraph:
    """The graph with a group in the place of its members, in topological order.

    The group stands where its last member stood; what reads it moves behind it.
    """
    members = set(group.members)
    last = group.members[-1]
    before, behind = [], []
    waiting: set[str] = set(members)
    placed = False
    for item in typed.capsules:
        if item.name == last:
            before.append(group)
            placed = True
        elif item.name not in members:
            late = not placed and not waiting.isdisjoint(item.sources)
            if late:
                waiting.update(item.made)
            (behind if late or placed else before).append(item)
    return dataclasses.replace(typed, capsules=(*before, *behind))
