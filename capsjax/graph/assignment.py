"""Which backward rule acts where.

A rule is declared for an edge, for a capsule (for its function, for what it receives,
or for all edges into it, as the rule acts) or for the whole graph. The nearest one
counts: edge before capsule before graph. What is given when a graph is compiled goes
before what it declares, in the places where it acts; `exact` acts everywhere.

A rule for the whole graph acts where it fits. One for a capsule or an edge must fit.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from capsjax.graph.backward import Given, Rules
from capsjax.graph.errors import Problem, ShapeError, listing, quoted
from capsjax.graph.kinds import BACKWARDS, BackwardKind, Shape
from capsjax.graph.typed import (
    Received,
    TypedCapsule,
    TypedEdge,
    TypedGraph,
    TypedGroup,
    TypedRun,
)


def apply_rules(
    typed: TypedGraph, layers: Sequence[Rules]
) -> tuple[TypedGraph, list[Problem]]:
    """Puts rules where they act.

    Args:
        typed: The graph, without rules.
        layers: What is given; of two rules for one place, that of the first.

    Returns:
        The graph with rules on its edges and capsules; and what does not fit.
    """
    if not any(any(layer) for layer in layers):
        return typed, []
    return _Assignment(typed, layers).run()


def without_rules(typed: TypedGraph) -> TypedGraph:
    """The same graph, all its error signals exact."""

    def edge(old: TypedEdge) -> TypedEdge:
        return old if old.backward is None else dataclasses.replace(old, backward=None)

    def item(old: Any) -> Any:
        if isinstance(old, TypedGroup) and old.backward is not None:
            return dataclasses.replace(old, backward=None)
        if isinstance(old, TypedRun):
            body = without_rules(old.body)
            return old if body is old.body else dataclasses.replace(old, body=body)
        if not isinstance(old, TypedCapsule) or not old.ruled:
            return old
        return old.with_edges(edge, backward=None, received=None)

    items = tuple(map(item, typed.capsules))
    same = all(a is b for a, b in zip(items, typed.capsules, strict=True))
    return typed if same else dataclasses.replace(typed, capsules=items)


class _Assignment:
    """Finds the rule of each place, and says what does not fit."""

    def __init__(self, typed: TypedGraph, layers: Sequence[Rules]):
        self.typed = typed
        self.layers = layers
        self.problems: list[Problem] = []
        self.with_loss = [each.output for each in typed.losses]
        self.leads_to = _leads_to(typed, self.with_loss)
        self.shapes = {c.name: c.total_input for c in typed.alone}
        self.learned = _behind_parameters(typed)
        self.somewhere: set[BackwardKind] = set()

    def run(self) -> tuple[TypedGraph, list[Problem]]:
        items = tuple(map(self._item, self.typed.capsules))
        for layer in self.layers:
            self._check_graph(layer.graph)
        return dataclasses.replace(self.typed, capsules=items), self.problems

    def _item(self, item: Any) -> Any:
        if isinstance(item, TypedCapsule):
            return self._capsule(item)
        if isinstance(item, TypedGroup) and item.weight_shape is not None:
            rule = self._find(
                "edge",
                item.name,
                None,
                lambda rule, own: None if rule.swaps_weight else _NO_EDGES,
            )
            return dataclasses.replace(item, backward=rule) if rule else item
        return item

    def _check_graph(self, given: Given | None) -> None:
        """A rule for the whole graph must act somewhere, and not on neurons."""
        if given is None or given.rule.acts == "everywhere" or _unknown(given.rule):
            return
        place = f"backward rule {given.rule}, for the whole graph"
        if self.typed.groups and not given.rule.swaps_weight:
            found = "a network of neurons"
            names = (k for k in sorted(BACKWARDS) if BACKWARDS[k].swaps_weight)
            expected = f"a graph of capsules; for neurons one of {', '.join(names)}"
            cure = "declare the layers as capsules (cj.neural.lift finds them)"
        elif given.rule in self.somewhere:
            return
        elif given.rule.acts == "capsule" and not self.with_loss:
            found, expected = "a graph without losses", "a loss on an output"
            cure = 'declare one: cj.graph(..., losses={"digit": "cross_entropy"})'
        else:
            found = f"no place that it fits: it acts on {_PLACES[given.rule.acts]}"
            expected, cure = "at least one", "remove the rule, or choose another"
        self.problems.append(Problem(given.path, place, found, expected, cure))

    def _capsule(self, capsule: TypedCapsule) -> TypedCapsule:
        self._check_own(capsule)

        def edge(old: TypedEdge) -> TypedEdge:
            fits = lambda rule, own: self._edge_fault(rule, old, own)  # noqa: E731
            rule = self._find("edge", capsule.name, old.key, fits)
            return dataclasses.replace(old, backward=rule) if rule else old

        function = self._find(
            "function",
            capsule.name,
            None,
            lambda rule, own: _raised(
                rule.check_function, capsule.cap, capsule.total_input, capsule.output
            ),
        )
        outputs = self._outputs(capsule.name)
        received = self._find(
            "capsule",
            capsule.name,
            None,
            lambda rule, own: self._received_fault(rule, capsule, own),
        )
        if received is not None:
            own = capsule.name in self.with_loss
            names = received.outputs(own, [*outputs])
            taken = tuple((name, outputs[name]) for name in names)
            received = Received(received, taken)
        ruled = capsule.with_edges(edge, backward=function, received=received)
        self._check_names(ruled)
        return ruled

    def _check_names(self, capsule: TypedCapsule) -> None:
        """An array for an edge and one for an output may not stand under one name.

        Inside a block, a source may be called what an output of the graph is called.
        """
        keys = [edge.key for edge in capsule.edges if edge.feedback_shape is not None]
        for name in capsule.received_shapes:
            if name in keys:
                place = f"capsule {quoted(capsule.name)}"
                found = f"feedback weights of an edge and of an output, both {name!r}"
                cure = "rename the output, or the source inside the block"
                problem = Problem((), place, found, "two names in the state", cure)
                self.problems.append(problem)

    def _find(
        self,
        place: str,
        name: str,
        key: str | None,
        fault: Callable[[Any, bool], ShapeError | None],
    ) -> Any:
        """The rule that acts in a place; None if it is exact."""
        for layer in self.layers:
            levels = (
                (layer.edges.get((name, key)) if key is not None else None, True),
                (layer.capsules.get(name), key is None),
                (layer.graph, False),
            )
            for given, own in levels:
                if given is None or _unknown(given.rule):
                    continue
                if given.rule.acts == "everywhere":
                    return None
                if given.rule.acts == place and fault(given.rule, own) is None:
                    self.somewhere.add(given.rule)
                    return given.rule
        return None

    def _check_own(self, capsule: TypedCapsule) -> None:
        """Rules for a capsule, and for edges into it, must fit."""
        for layer in self.layers:
            given = layer.capsules.get(capsule.name)
            place = f"capsule {quoted(capsule.name)}"
            if given is not None and not _unknown(given.rule):
                self._say(given, place, self._own_fault(given.rule, capsule))
            for edge in capsule.edges:
                given = layer.edges.get((capsule.name, edge.key))
                if given is not None and not _unknown(given.rule):
                    where = f"{place}, edge from {quoted(edge.source)}"
                    fault = self._edge_fault(given.rule, edge, True)
                    self._say(given, f"{where} ({edge.weighting})", fault)

    def _say(self, given: Given, place: str, fault: ShapeError | None) -> None:
        if fault is not None:
            place = f"{place}, backward rule {given.rule}"
            what = fault.found, fault.expected, fault.cure
            self.problems.append(Problem(given.path, place, *what))

    def _own_fault(self, rule: Any, capsule: TypedCapsule) -> ShapeError | None:
        """Why a rule for a capsule acts nowhere on it."""
        if rule.acts == "function":
            return _raised(
                rule.check_function, capsule.cap, capsule.total_input, capsule.output
            )
        if rule.acts == "capsule":
            return self._received_fault(rule, capsule, True)
        if rule.acts == "edge":
            faults = [self._edge_fault(rule, edge, True) for edge in capsule.edges]
            if None not in faults:
                return faults[0] if faults else _NO_EDGES
        return None

    def _edge_fault(self, rule: Any, edge: TypedEdge, own: bool) -> ShapeError | None:
        """Why a rule does not fit an edge; `own` if it was given for it."""
        if rule.acts == "everywhere":
            return None
        if rule.acts != "edge":
            return ShapeError(
                f"a rule that acts on {_PLACES[rule.acts]}",
                f"one that acts on edges: {listing(_acting('edge'), 20)}",
                "give it to the capsule",
            )
        if rule.weighted and edge.weight_shape is None:
            return ShapeError(
                f"{edge.weighting.kind}, which has no weight",
                "an edge with a weight, such as matmul or conv",
                "remove the rule, or give it to an edge with a weight",
            )
        if edge.source in self.typed.integers:
            return ShapeError(
                "an edge from integers, to which no error signal travels",
                "an edge from real numbers",
                "remove the rule",
            )
        carries = rule.feedback_shape(edge.weight_shape) is not None
        if carries and not own and edge.source not in self.learned:
            return ShapeError("a source that learns nothing", "", "")  # never said
        return None

    def _received_fault(
        self, rule: Any, capsule: TypedCapsule, own: bool
    ) -> ShapeError | None:
        if not own and not capsule.learns:
            return ShapeError("a capsule that learns nothing", "", "")  # never said
        has_loss = capsule.name in self.with_loss
        return _raised(rule.outputs, has_loss, [*self._outputs(capsule.name)])

    def _outputs(self, name: str) -> dict[str, Shape]:
        """The outputs with a loss that a capsule leads to, and the shapes of U."""
        return {
            output: self.shapes[output]
            for output, reached in self.leads_to.items()
            if name in reached and output in self.shapes
        }


_PLACES = {
    "edge": "edges",
    "function": "capsule functions",
    "capsule": "what a capsule receives",
}

_NO_EDGES = ShapeError(
    "a learned input, which has no edges", "a capsule with edges", "remove the rule"
)


def _unknown(rule: Any) -> bool:
    """Whether it stands for a rule of a faulty document that is not understood."""
    return type(rule) is BackwardKind


def _acting(place: str) -> Iterator[str]:
    return (kind for kind in sorted(BACKWARDS) if BACKWARDS[kind].acts == place)


def _raised(check: Any, *arguments: Any) -> ShapeError | None:
    """What a check raises; of one's own rule, that may be anything."""
    try:
        check(*arguments)
    except ShapeError as error:
        return error
    except Exception as error:
        found = f"{type(error).__name__}: {error}"
        return ShapeError(found, "a check that passes", "correct the rule")
    return None


def _leads_to(typed: TypedGraph, outputs: Iterable[str]) -> dict[str, set[str]]:
    """For each output, the capsules that a path leads from to it."""
    found = {}
    for output in outputs:
        reached: set[str] = {output}
        for item in reversed(typed.capsules):
            if not reached.isdisjoint(item.made):
                reached.update(item.sources)
        found[output] = reached - {output}
    return found


def _behind_parameters(typed: TypedGraph) -> set[str]:
    """The capsules whose Y depends on a parameter."""
    found: set[str] = set()
    for item in typed.capsules:
        if item.learns or not found.isdisjoint(item.sources):
            found.update((item.name, *item.made))
    return found
