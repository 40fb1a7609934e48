"""Shape inference: every shape of a graph from its declaration, in one walk.

Pure Python integers throughout, so that a declaration of any size is judged before
anything is allocated. Faults are collected; what lies behind one is passed over.
"""

import operator
from collections import Counter
from collections.abc import Iterable
from typing import Any

from capsjax.graph.declaration import Capsule, Edge, Graph, Input
from capsjax.graph.errors import Path, Problem, ShapeError, quoted
from capsjax.graph.kinds import (
    CAPS,
    LARGEST_RANK,
    CapKind,
    LossKind,
    Shape,
    WeightingKind,
)
from capsjax.graph.memory import check_memory
from capsjax.graph.typed import TypedCapsule, TypedEdge, TypedGraph, TypedLoss


def infer(graph: Graph, order: Iterable[str]) -> tuple[TypedGraph, list[Problem]]:
    """Types a graph whose structure has been checked.

    A capsule whose kinds are unknown (in a faulty document, the base class stands in
    their place), or whose sources could not be typed, is passed over.

    Args:
        graph: The declaration.
        order: Names in topological order.

    Returns:
        The typed graph of what could be typed, and the problems found. It is whole
        if there are none.
    """
    counts = Counter(each.name for each in (*graph.inputs, *graph.capsules))
    known = {
        each.name: each.shape
        for each in graph.inputs
        if each.shape is not None and counts[each.name] == 1
    }
    integers = frozenset(each.name for each in graph.inputs if each.dtype == "integer")
    walk = _Walk(known, integers)
    position = {each.name: i for i, each in enumerate(graph.capsules)}
    learned = [each for each in graph.inputs if each.learned and each.shape is not None]
    typed = [_learned(each) for each in learned]
    for name in order:
        if name in position:
            index = position[name]
            result = walk.type_capsule(graph.capsules[index], ("capsules", index))
            if result is not None:
                typed.append(result)
                if counts[name] == 1:  # else it is not known which one is meant
                    known[name] = result.output
    caps = {capsule.name: capsule for capsule in typed}
    problems = walk.problems + _check_shared(typed, position)
    problems += _check_losses(graph, caps)
    losses = tuple(TypedLoss(name, loss) for name, loss in graph.losses)
    inputs = tuple((each.name, each.shape) for each in graph.inputs if not each.learned)
    whole = TypedGraph(graph, inputs, tuple(typed), graph.outputs, losses, integers)
    return whole, problems + check_memory(whole, position)


def _learned(given: Input) -> TypedCapsule:
    """A learned input: `U = B`, nothing else in the sum."""
    shape = given.shape
    return TypedCapsule(given.name, (), CAPS["identity"](), shape, shape, shape)


class _Walk:
    """The walk over the capsules: shapes known so far, problems found so far.

    Rules are run once for each kind and shape: many edges of a large graph are alike.
    """

    def __init__(self, known: dict[str, Shape], integers: frozenset[str]):
        self.known = known
        self.integers = integers
        self.problems: list[Problem] = []
        self._shapes_of: dict[Any, Any] = {}
        self._outputs_of: dict[Any, Any] = {}

    def type_capsule(self, capsule: Capsule, path: Path) -> TypedCapsule | None:
        """The capsule with its shapes; None if something is wrong or unknown."""
        before = len(self.problems)
        edges = self._type_edges(capsule, path)
        whole = [edge for edge in edges if edge is not None]
        for i, edge in enumerate(edges):
            if edge is not None and edge.shape != whole[0].shape:
                where = (*path, "from", i)
                self.problems.append(_disagreement(capsule, where, whole[0], edge))
        if len(whole) < len(edges) or len(self.problems) > before or not edges:
            return None
        total = whole[0].shape
        if type(capsule.cap) is CapKind:
            return None
        result = self._output(capsule.cap, total)
        if isinstance(result, ShapeError):
            where = f"{_place(capsule)}, capsule function {capsule.cap}"
            self.problems.append(_from_error(result, where, (*path, "cap")))
            return None
        bias = {"full": total, "channel": total[-1:], None: None}[capsule.bias]
        return TypedCapsule(
            capsule.name, tuple(whole), capsule.cap, bias, total, result
        )

    def _type_edges(self, capsule: Capsule, path: Path) -> list[TypedEdge | None]:
        weightings = self._resolve(capsule, path)
        seen: dict[str, int] = {}
        result: list[TypedEdge | None] = []
        for i, (edge, weighting) in enumerate(
            zip(capsule.edges, weightings, strict=True)
        ):
            written = edge.key or edge.source
            number = seen[written] = seen.get(written, 0) + 1
            key = written if number == 1 else f"{written}#{number}"
            source = self.known.get(edge.source)
            if source is None or type(weighting) is WeightingKind:
                result.append(None)
                continue
            shape, weight, fault = self._shapes(weighting, source)
            fault = fault or self._misread(edge, weight)
            if fault is not None:
                where = _edge_place(capsule, edge)
                self.problems.append(_from_error(fault, where, (*path, "from", i)))
                result.append(None)
                continue
            typed = TypedEdge(
                edge.source, key, weighting, source, shape, weight, edge.weight
            )
            result.append(typed)
        return result

    def _misread(self, edge: Edge, weight: Shape | None) -> ShapeError | None:
        """Integers where real numbers belong or the reverse; a name for no weight."""
        kind = edge.weighting.kind
        holds, reads = edge.source in self.integers, edge.weighting.reads_integers
        if holds and not reads:
            return ShapeError(
                f"{kind} on integers",
                "an operation that reads integers, embed",
                'use embed; or declare the input with dtype "float"',
            )
        if reads and not holds:
            return ShapeError(
                f"{kind} on real numbers",
                "an input that holds integers",
                'declare the source as an input with dtype "integer"',
            )
        if edge.weight is not None and weight is None:
            return ShapeError(
                f"weight {quoted(edge.weight)} on {kind}, which has no weight",
                "a weight's name on edges that have one",
                "remove the weight's name",
            )
        return None

    def _shapes(self, weighting: Any, source: Shape) -> tuple[Any, Any, Any]:
        """Shape of the contribution, shape of W, and what is wrong with either."""
        found = self._shapes_of.get((id(weighting), source))
        if found is None:
            shape, weight = _run(weighting.contribution_shape, source), None
            if not isinstance(shape, ShapeError):
                weight = _run(weighting.weight_shape, source)
            faults = [x for x in (shape, weight) if isinstance(x, ShapeError)]
            fault = faults[0] if faults else None
            # The kind is kept beside: an id is unique only among the living.
            found = (shape, weight, fault), weighting
            self._shapes_of[id(weighting), source] = found
        return found[0]

    def _resolve(self, capsule: Capsule, path: Path) -> list[WeightingKind]:
        """Fills in what depends on siblings of the same kind (the slots of `place`)."""
        edges = capsule.edges
        weightings = [edge.weighting for edge in edges]
        for kind in {type(each) for each in weightings}:
            if kind.resolve.__func__ is WeightingKind.resolve.__func__:
                continue
            alike = [i for i, each in enumerate(weightings) if type(each) is kind]
            shapes = [self.known.get(edges[i].source) for i in alike]
            try:
                known = [shape for shape in shapes if shape is not None]
                resolved = [WeightingKind()] * len(alike)
                if len(known) == len(alike):
                    resolved = kind.resolve(known, [weightings[i] for i in alike])
                for i, each in zip(alike, resolved, strict=True):
                    weightings[i] = each
            except Exception as error:  # a user's rule may raise anything
                first = alike[0]
                self.problems.append(
                    _from_error(
                        _as_shape_error(error),
                        _edge_place(capsule, edges[first]),
                        (*path, "from", first),
                    )
                )
                for i in alike:
                    weightings[i] = WeightingKind()
        return weightings

    def _output(self, cap: CapKind, total: Shape) -> Any:
        """Shape of Y, or what is wrong; an error is a value like any other."""
        found = self._outputs_of.get((id(cap), total))
        if found is None:
            found = self._outputs_of[id(cap), total] = (
                _run(cap.output_shape, total),
                cap,
            )
        return found[0]


def _run(rule: Any, shape: Shape) -> Any:
    """Runs a shape rule; a fault of the rule itself is reported like any other."""
    try:
        given = rule(shape)
        if given is None:
            if rule.__name__ == "weight_shape":
                return None
            raise TypeError(f"{rule.__name__} returned None")
        result = tuple([operator.index(n) for n in given])
    except Exception as error:  # a user's rule may raise anything
        return _as_shape_error(error)
    if any(n < 1 for n in result):
        return ShapeError(
            f"shape {result}",
            "every size at least 1",
            "a larger input, or smaller windows, strides and offsets",
        )
    if len(result) > LARGEST_RANK:
        return ShapeError(
            f"a shape of {len(result)} axes",
            f"at most {LARGEST_RANK} axes",
            "fewer axes",
        )
    return result


def _as_shape_error(error: Exception) -> ShapeError:
    if isinstance(error, ShapeError):
        return error
    return ShapeError(
        f"{type(error).__name__}: {error}",
        "a shape rule that returns a shape",
        "correct the shape rule of the kind",
    )


def _place(capsule: Capsule) -> str:
    return f"capsule {quoted(capsule.name)}"


def _edge_place(capsule: Capsule, edge: Edge) -> str:
    return f"{_place(capsule)}, edge from {quoted(edge.source)} ({edge.weighting})"


def _from_error(error: ShapeError, place: str, path: Path) -> Problem:
    return Problem(path, place, error.found, error.expected, error.cure)


def _disagreement(
    capsule: Capsule, path: Path, one: TypedEdge, two: TypedEdge
) -> Problem:
    return Problem(
        path,
        f"{_place(capsule)}, edges from {quoted(one.source)} and {quoted(two.source)}",
        f"{one.weighting} on {quoted(one.source)} contributes {one.shape}, "
        f"{two.weighting} on {quoted(two.source)} contributes {two.shape}",
        "contributions of one shape, because a capsule adds them up",
        f"change one of the two edges so that both give {one.shape} or {two.shape}, "
        "or use `place` on both to put them side by side",
    )


def _check_shared(typed: list[TypedCapsule], position: dict[str, int]) -> list[Problem]:
    """Edges that name the same weight and want it in different shapes."""
    first: dict[str, tuple[TypedCapsule, TypedEdge]] = {}
    problems = []
    for capsule in typed:
        for i, edge in enumerate(capsule.edges):
            if edge.weight is None:
                continue
            other, one = first.setdefault(edge.weight, (capsule, edge))
            if one.weight_shape != edge.weight_shape:
                problems.append(
                    Problem(
                        ("capsules", position[capsule.name], "from", i, "weight"),
                        f"weight {quoted(edge.weight)}, shared by the edges "
                        f"{quoted(one.source)} -> {quoted(other.name)} and "
                        f"{quoted(edge.source)} -> {quoted(capsule.name)}",
                        f"shape {one.weight_shape} for {one.weighting} on the one, "
                        f"{edge.weight_shape} for {edge.weighting} on the other",
                        "one shape for all edges that name the same weight",
                        "change the settings or the source of one of them, or give it "
                        "a weight of its own",
                    )
                )
    return problems


def _check_losses(graph: Graph, typed: dict[str, TypedCapsule]) -> list[Problem]:
    problems = []
    for name, loss in graph.losses:
        capsule = typed.get(name)
        if capsule is None or type(loss) is LossKind:
            continue
        try:
            loss.check(capsule.cap, capsule.output)
        except Exception as error:  # a user's check may raise anything
            place = f"loss {loss} on capsule {quoted(name)}"
            error = _as_shape_error(error)
            problems.append(_from_error(error, place, ("losses", name)))
    return problems
