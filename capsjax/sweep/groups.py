"""Groups: the members that one program can serve.

Members are of one group if their graphs are alike but for real numbers among the
settings, and so are their optimizers; if batches and types are the same. What differs
among the members of a group are numbers that its program is given: the settings of the
graph become traced ones, those of the optimizer arguments of what makes it. A number on
which code decides in Python can't be given: it makes a group of each of its values.
"""

import dataclasses
import json
from collections.abc import Hashable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

import capsjax.compiler as compiler
from capsjax.graph import Graph
from capsjax.graph.checks import check
from capsjax.graph.kinds import Kind
from capsjax.graph.traced import (
    Traced,
    real_settings,
    replaced,
    settings_of,
    with_kinds,
)
from capsjax.sweep.roles import Chosen, in_words
from capsjax.sweep.unit import Member
from capsjax.training.learner import Given, Learner, number

_UNTRACEABLE = (
    jax.errors.ConcretizationTypeError,  # also of conversions to bool
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
    TypeError,
    ValueError,
)


@dataclasses.dataclass(frozen=True, eq=False)
class Group:
    """Members that one program serves.

    Attributes:
        graph: The declaration of the first of them.
        learner: Its network, with settings traced, and what makes the optimizer.
        precision: The types to compute with.
        batch_size: Examples a step.
        places: The graph's settings that are given as numbers: the name of each, and
            where it stands.
        traced: The optimizer's settings that are given as numbers.
        built_in: Numbers that are built in because code decides on them in Python, and
            those of the graph that no other member has had another value of.
        signature: What its members have in common.
    """

    graph: Any
    learner: Learner
    precision: Any
    batch_size: int
    places: dict[str, list[str]]
    traced: tuple[str, ...]
    built_in: dict[str, float]
    signature: Hashable

    def member(self, chosen: Chosen, settings: dict[str, float]) -> Member | None:
        """A member as the program takes it, or None if it does not serve it.

        Args:
            chosen: What it is made of.
            settings: The real numbers of its graph.
        """
        numbers = {**settings, **chosen.numbers}
        if any(numbers[name] != value for name, value in self.built_in.items()):
            return None
        net = {}
        for name, places in self.places.items():
            values = {settings[place] for place in places}
            if len(values) > 1:
                return None
            net[name] = number(values.pop())
        own = {name: number(chosen.numbers[name]) for name in self.traced}
        given: Given = {"net": net, "optimizer": own}
        return Member(chosen.number, chosen.values, chosen.seed, given, chosen.scale)


class Groups:
    """The groups of a sweep: more members may come, and join the groups there are."""

    def __init__(self) -> None:
        self.all: list[Group] = []
        self._typed: dict[int, tuple[Any, Any, dict[str, float]]] = {}
        self._seen: dict[Hashable, list[Chosen]] = {}

    def place(self, chosen: Sequence[Chosen]) -> list[tuple[int, Member]]:
        """Members, each with the number of the group that serves it.

        Args:
            chosen: What they are made of.

        Raises:
            GraphError: A graph can't be compiled.
        """
        parted: dict[Hashable, list[Chosen]] = {}
        for each in chosen:
            parted.setdefault(self._signature(each), []).append(each)
        found: list[tuple[int, Member]] = []
        for signature, members in parted.items():
            self._seen.setdefault(signature, []).extend(members)
            waiting = members
            while waiting:
                placed, waiting = self._served(signature, waiting)
                found += placed
                if waiting:
                    self.all.append(self._new(signature, waiting))
        return sorted(found, key=lambda each: each[1].number)

    def _served(
        self, signature: Hashable, members: list[Chosen]
    ) -> tuple[list[tuple[int, Member]], list[Chosen]]:
        """Members that some group serves, and the others."""
        found, rest = [], []
        for each in members:
            settings = self._typed_of(each)[2]
            for index, group in enumerate(self.all):
                if group.signature == signature:
                    member = group.member(each, settings)
                    if member is not None:
                        found.append((index, member))
                        break
            else:
                rest.append(each)
        return found, rest

    def _typed_of(self, chosen: Chosen) -> tuple[Any, Any, dict[str, float]]:
        """A member's graph, typed, and the real numbers in it."""
        key = id(chosen.graph)
        if key not in self._typed:
            graph = chosen.graph
            typed = check(graph)[0] if isinstance(graph, Graph) else graph.typed()
            self._typed[key] = graph, typed, settings_of(typed)
        return self._typed[key]

    def _signature(self, chosen: Chosen) -> Hashable:
        """What members of one group have in common."""

        def without_numbers(kind: Kind, place: str) -> Kind:
            holes = dict.fromkeys(real_settings(type(kind)), Traced(0.0, "any"))
            return replaced(kind, holes)

        typed = self._typed_of(chosen)[1]
        shape = dataclasses.replace(with_kinds(typed, without_numbers), graph=None)
        optimizer = chosen.optimizer
        settings = json.dumps(dict(optimizer.given), sort_keys=True, default=repr)
        numbers = tuple(sorted(chosen.numbers))
        code = id(optimizer.make) if optimizer.document is None else None
        document = json.dumps(optimizer.document, sort_keys=True)
        others = chosen.batch_size, chosen.precision
        return shape, optimizer.name, code, document, settings, numbers, others

    def _new(self, signature: Hashable, members: list[Chosen]) -> Group:
        """A group that serves the first of some members, and others as far as it can.

        What differs among all members of the signature that were ever seen is given.
        """
        first, built_in = members[0], []
        seen = [self._typed_of(each)[2] for each in self._seen[signature]]
        while True:
            places = _places(seen, built_in)
            net = compiler.compile(
                first.graph, traced=places, precision=first.precision
            )
            numbers = [name for name in first.numbers if name not in built_in]
            fixed = {n: v for n, v in first.numbers.items() if n in built_in}
            learner = Learner(net, first.optimizer.having(fixed))
            culprit = _untraceable(learner, numbers, first)
            if culprit is None:
                break
            built_in.append(culprit)
        traced = {place for own in places.values() for place in own}
        settings = self._typed_of(first)[2]
        rest = {place: v for place, v in settings.items() if place not in traced}
        return Group(
            first.graph,
            learner,
            first.precision,
            first.batch_size,
            places,
            tuple(numbers),
            {**rest, **fixed},
            signature,
        )


def _places(seen: list[dict[str, float]], built_in: list[str]) -> dict[str, list[str]]:
    """The settings of graphs that differ: a name for each, and where it stands.

    Settings that are the same in every graph are given as one number, so that equal
    copies of a block stay equal.
    """
    found: dict[tuple[float, ...], list[str]] = {}
    for place in seen[0]:
        if place not in built_in:
            values = tuple(float(row[place]) for row in seen)
            if len(set(values)) > 1:
                found.setdefault(values, []).append(place)
    return {places[0]: places for places in found.values()}


def _untraceable(learner: Learner, numbers: list[str], first: Chosen) -> str | None:
    """A number on which code decides in Python, if there is one."""
    zero = jax.ShapeDtypeStruct((), jnp.result_type(float))
    net, own = learner.net, dict.fromkeys(numbers, zero)
    given = {"net": dict.fromkeys(net.settings, zero), "optimizer": own}
    try:
        _trace(learner, given)
        return None
    except _UNTRACEABLE as error:
        fault = error
    for name in numbers:
        rest = {n: first.numbers[n] for n in numbers if n != name}
        alone = Learner(net, learner.optimizer.having(rest))
        try:
            _trace(alone, {"net": given["net"], "optimizer": {name: zero}})
        except _UNTRACEABLE:
            return name
    for name, places in ((n, [n]) for n in net.settings):
        alone = compiler.compile(first.graph, traced=places, precision=first.precision)
        try:
            _trace(
                Learner(alone, learner.optimizer.having(first.numbers)),
                {"net": {name: zero}, "optimizer": {}},
            )
        except _UNTRACEABLE:
            return name
    fault.add_note(f"in member {first.number} ({in_words(first.values)})")
    raise fault


def _trace(learner: Learner, given: Any) -> None:
    """Traces a step, without compiling or running anything."""
    net = learner.net

    def step(given: Any) -> Any:
        carry = learner.initial(0, given)
        return learner.step(carry, _batch(net), given)

    jax.eval_shape(step, given)


def _batch(net: Any) -> dict[str, Any]:
    """Two examples of zeros."""
    integers = net.typed.integers
    batch = {
        name: jnp.zeros((2, *shape), jnp.int32 if name in integers else None)
        for name, shape in net.typed.inputs
    }
    return batch | {
        name: jnp.zeros((2, *net.shapes[name].output)) for name, _ in net.graph.losses
    }
