"""Traced settings: numbers of a graph that are given when its functions are called.

A record's settings are part of the program: another dropout rate is another program.
Those that are real numbers need not be. A traced setting is declared like any other,
so that it is checked, and shapes and passes see a number; in the typed graph a `Traced`
stands in its place, which `bind` replaces when the program runs.

Settings are named by where they stand in the graph, blocks expanded:

    drop.rate                of the capsule function of `drop`
    digit.loss.weight        of the loss on the output `digit`
    h.backward.deviation     of the backward rule on the capsule `h`
    h.from.x.factor          of the weighting operation of its edge from `x`
    h.from.x.backward.norm   of the backward rule on that edge
"""

import copy
import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from capsjax.graph.errors import Problem, Suggestions, brief, listing
from capsjax.graph.kinds import Kind, kind_fields
from capsjax.graph.typed import (
    Received,
    TypedEdge,
    TypedGraph,
    TypedGroup,
    TypedRun,
)


class Traced(float):
    """A declared number in whose place another is put when the program runs.

    Attributes:
        name: The name by which it is given.
    """

    name: str

    def __new__(cls, value: float, name: str) -> "Traced":
        made = super().__new__(cls, value)
        made.name = name
        return made

    def __eq__(self, other: object) -> bool:
        """Equal are those for which the same is given: passes may make them one."""
        same = isinstance(other, Traced) and self.name == other.name
        return same and float(self) == float(other)  # type: ignore

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash((self.name, float(self)))

    def __repr__(self) -> str:
        return f"{float(self)!r} ({self.name})"

    __str__ = __repr__


@functools.cache
def real_settings(kind: type[Kind]) -> tuple[str, ...]:
    """The settings of a record that are real numbers."""
    hints = get_type_hints(kind, include_extras=True)
    found = []
    for field in kind_fields(kind):
        hint = hints[field.name]
        if get_origin(hint) is Annotated:
            hint = get_args(hint)[0]
        if hint is float:
            found.append(field.name)
    return tuple(found)


def is_traced(kind: Kind) -> bool:
    """Whether a setting of a record is given when the program runs."""
    return any(isinstance(value, Traced) for value in vars(kind).values())


def with_kinds(typed: TypedGraph, change: Callable[[Any, str], Any]) -> TypedGraph:
    """The graph with other records in the places of its own; groups keep theirs.

    Args:
        typed: The graph.
        change: `change(record, place)` gives the record to put in its place, which is
            named as at the head of this file, `h.from.x.backward`.
    """

    def edge(each: TypedEdge, name: str) -> TypedEdge:
        place = f"{name}.from.{each.key}"
        weighting = change(each.weighting, place)
        rule = each.backward and change(each.backward, f"{place}.backward")
        if weighting is each.weighting and rule is each.backward:
            return each
        return dataclasses.replace(each, weighting=weighting, backward=rule)

    def capsule(each: Any) -> Any:
        if isinstance(each, TypedGroup):
            return each
        if isinstance(each, TypedRun):
            return dataclasses.replace(each, body=with_kinds(each.body, change))
        name = each.name
        more: dict[str, Any] = {"cap": change(each.cap, name)}
        if each.backward is not None:
            more["backward"] = change(each.backward, f"{name}.backward")
        if each.received is not None:
            rule = change(each.received.rule, f"{name}.backward")
            more["received"] = Received(rule, each.received.outputs)
        return each.with_edges(lambda own: edge(own, name), **more)

    capsules = tuple(map(capsule, typed.capsules))
    losses = tuple(
        dataclasses.replace(each, loss=change(each.loss, f"{each.output}.loss"))
        for each in typed.losses
    )
    return dataclasses.replace(typed, capsules=capsules, losses=losses)


def settings_of(typed: TypedGraph) -> dict[str, float]:
    """Every setting that is a real number, and may be traced, by name."""
    found: dict[str, float] = {}

    def look(kind: Kind, place: str) -> Kind:
        for name in real_settings(type(kind)):
            found[f"{place}.{name}"] = getattr(kind, name)
        return kind

    with_kinds(typed, look)
    return found


Names = Iterable[str] | Mapping[str, Iterable[str]]
"""Settings by name; or under a name of one's own several, for which one is given."""


def mark(typed: TypedGraph, names: Names) -> tuple[TypedGraph, list[Problem]]:
    """The graph in which the named settings are traced.

    Args:
        typed: What inference made of the declaration.
        names: Which settings.

    Returns:
        The graph, and a problem for each name that is no setting of it, for each
        setting that stands under two names, and for each name under which settings of
        different values stand.
    """
    if not isinstance(names, Mapping):
        names = {name: (name,) for name in names}
    declared = settings_of(typed)
    name_of: dict[str, str] = {}
    problems: list[Problem] = []
    suggestions = Suggestions(declared)
    for name, places in names.items():
        known = [place for place in places if place in declared]
        for place in places:
            where = f"traced setting {brief(place)}"
            if place not in declared:
                cure = suggestions.cure(place, "name one of these")
                expected = f"one of {listing(declared)}" if declared else "none"
                found = "no setting that is a real number"
                problems.append(Problem((), where, found, expected, cure))
            elif name_of.setdefault(place, name) != name:
                found = f"two names for it, {name_of[place]!r} and {name!r}"
                cure = "leave one of them out"
                problems.append(Problem((), where, found, "one name", cure))
        values = {declared[place] for place in known}
        if len(values) > 1:
            found = f"declared as {', '.join(map(str, sorted(values)))}"
            expected = "one value for all that stand under a name"
            cure = "declare them alike, or give each a name"
            where = f"traced settings {brief(name)}"
            problems.append(Problem((), where, found, expected, cure))

    def traced(kind: Kind, place: str) -> Kind:
        own = {
            name: Traced(getattr(kind, name), name_of[f"{place}.{name}"])
            for name in real_settings(type(kind))
            if f"{place}.{name}" in name_of
        }
        return replaced(kind, own)

    return with_kinds(typed, traced), problems


def bind(typed: TypedGraph, values: Mapping[str, Any]) -> TypedGraph:
    """The graph with values in the places of traced settings.

    Args:
        typed: The graph, at any stage.
        values: By name; where one is missing, the declared number is put back.
    """

    def bound(kind: Kind, place: str) -> Kind:
        own = {
            name: values.get(value.name, float(value))
            for name, value in vars(kind).items()
            if isinstance(value, Traced)
        }
        return replaced(kind, own)

    return with_kinds(typed, bound)


def traced_settings(typed: TypedGraph) -> dict[str, float]:
    """The traced settings of a graph: names and declared numbers."""
    found: dict[str, float] = {}

    def look(kind: Kind, place: str) -> Kind:
        values = [v for v in vars(kind).values() if isinstance(v, Traced)]
        found.update({value.name: float(value) for value in values})
        return kind

    with_kinds(typed, look)
    return found


def replaced(kind: Kind, settings: Mapping[str, Any]) -> Kind:
    """The record with other settings, not made anew: arrays are no plain data."""
    if not settings:
        return kind
    made = copy.copy(kind)
    for name, value in settings.items():
        object.__setattr__(made, name, value)
    return made
