"""Which backward rule acts where: declared rules, and those given at compile time.

A rule is declared for an edge, for a capsule (for its function, for what it receives,
or for all edges into it, as the rule acts) or for the whole graph. The nearest one
counts: edge before capsule before graph. What is given when a graph is compiled goes
before what it declares, in the places where it acts; `exact` acts everywhere.

A rule for the whole graph acts where it fits. One for a capsule or an edge must fit.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from capsjax.graph.declaration import Graph
from capsjax.graph.errors import (
    Path,
    Problem,
    ShapeError,
    brief,
    listing,
    nearest,
    quoted,
)
from capsjax.graph.kinds import BACKWARDS, BackwardKind, Shape
from capsjax.graph.typed import (
    Concatenation,
    Received,
    Term,
    TypedCapsule,
    TypedEdge,
    TypedGraph,
    TypedRun,
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
            problems += _place_faults(place, shown, capsules)
            if rule is not None and (not problems or problems[-1].place != shown):
                found.edges[place[1], place[0]] = Given(rule)
    return found, problems


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
    if source not in keys:
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
        if isinstance(old, TypedRun):
            body = without_rules(old.body)
            return old if body is old.body else dataclasses.replace(old, body=body)
        if not isinstance(old, TypedCapsule) or not old.ruled:
            return old
        return _with_edges(old, edge, backward=None, received=None)

    items = tuple(map(item, typed.capsules))
    same = all(a is b for a, b in zip(items, typed.capsules, strict=True))
    return typed if same else dataclasses.replace(typed, capsules=items)


def _with_edges(
    capsule: TypedCapsule, edge: Callable[[TypedEdge], TypedEdge], **more: Any
) -> TypedCapsule:
    def term(old: Term) -> Term:
        if isinstance(old, Concatenation):
            return Concatenation(tuple(map(edge, old.edges)), old.axis)
        return edge(old)

    return dataclasses.replace(capsule, terms=tuple(map(term, capsule.terms)), **more)


class _Assignment:
    """Finds the rule of each place, and says what does not fit."""

    def __init__(self, typed: TypedGraph, layers: Sequence[Rules]):
        self.typed = typed
        self.layers = layers
        self.problems: list[Problem] = []
        self.with_loss = [each.output for each in typed.losses]
        self.leads_to = _leads_to(typed, self.with_loss)
        self.learned = _behind_parameters(typed)
        self.somewhere: set[BackwardKind] = set()

    def run(self) -> tuple[TypedGraph, list[Problem]]:
        items = tuple(
            self._capsule(item) if isinstance(item, TypedCapsule) else item
            for item in self.typed.capsules
        )
        for layer in self.layers:
            self._check_graph(layer.graph)
        return dataclasses.replace(self.typed, capsules=items), self.problems

    def _check_graph(self, given: Given | None) -> None:
        """A rule for the whole graph must act somewhere, and not on neurons."""
        if given is None or given.rule.acts == "everywhere" or _unknown(given.rule):
            return
        place = f"backward rule {given.rule}, for the whole graph"
        if self.typed.groups:
            found, expected = "a network of neurons", "a graph of capsules"
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
        return _with_edges(capsule, edge, backward=function, received=received)

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
        shapes = {c.name: c.total_input for c in self.typed.alone}
        return {
            output: shapes[output]
            for output, reached in self.leads_to.items()
            if name in reached and output in shapes
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
