"""Shape inference: every shape of a graph from its declaration, in one walk.

Pure Python integers throughout, so that a declaration of any size is judged before
anything is allocated. Faults are collected; what lies behind one is passed over.
"""

import math
from collections.abc import Iterable

from capsjax.graph.declaration import Capsule, Edge, Graph
from capsjax.graph.errors import Path, Problem, ShapeError
from capsjax.graph.kinds import CapKind, LossKind, Shape, WeightingKind
from capsjax.graph.typed import TypedCapsule, TypedEdge, TypedGraph, TypedLoss

BYTES_PER_NUMBER = 4  # float32


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
    problems: list[Problem] = []
    known = {each.name: each.shape for each in graph.inputs}
    position = {each.name: i for i, each in enumerate(graph.capsules)}
    typed = []
    for name in order:
        if name in position and name not in known:
            index = position[name]
            result = _type_capsule(graph.capsules[index], index, known, problems)
            if result is not None:
                known[name] = result.output
                typed.append(result)
    caps = {capsule.name: capsule for capsule in typed}
    problems += _check_losses(graph, caps)
    losses = tuple(TypedLoss(name, loss) for name, loss in graph.losses)
    inputs = tuple((each.name, each.shape) for each in graph.inputs)
    whole = TypedGraph(graph, inputs, tuple(typed), graph.outputs, losses)
    return whole, problems + _check_memory(whole)


def _type_capsule(
    capsule: Capsule, index: int, known: dict[str, Shape], problems: list[Problem]
) -> TypedCapsule | None:
    place = f"capsule {capsule.name!r}"
    path: Path = ("capsules", index)
    before = len(problems)
    edges = [
        _type_edge(capsule.edges, i, known, place, (*path, "from", i), problems)
        for i in range(len(capsule.edges))
    ]
    whole = [edge for edge in edges if edge is not None]
    for i, edge in enumerate(edges):
        if edge is not None and edge.shape != whole[0].shape:
            problems.append(_disagreement(place, (*path, "from", i), whole[0], edge))
    if len(whole) < len(edges) or len(problems) > before:
        return None
    total = whole[0].shape
    if type(capsule.cap) is CapKind:
        return None
    cap_place = f"{place}, capsule function {capsule.cap}"
    output = _apply_rule(
        capsule.cap.output_shape, (total,), cap_place, (*path, "cap"), problems
    )
    if output is None:
        return None
    bias = {"full": total, "channel": total[-1:], None: None}[capsule.bias]
    return TypedCapsule(capsule.name, tuple(whole), capsule.cap, bias, total, output)


def _type_edge(
    edges: tuple[Edge, ...],
    index: int,
    known: dict[str, Shape],
    place: str,
    path: Path,
    problems: list[Problem],
) -> TypedEdge | None:
    edge = edges[index]
    source_shape = known.get(edge.source)
    if source_shape is None or type(edge.weighting) is WeightingKind:
        return None
    place = f"{place}, edge from {edge.source!r} ({edge.weighting})"
    weighting = _resolve(edges, index, known, place, path, problems)
    if weighting is None:
        return None
    shape = _apply_rule(
        weighting.contribution_shape, (source_shape,), place, path, problems
    )
    if shape is None:
        return None
    before = len(problems)
    weight = _apply_rule(
        weighting.weight_shape, (source_shape,), place, path, problems, optional=True
    )
    if len(problems) > before:
        return None
    earlier = sum(other.source == edge.source for other in edges[:index])
    key = edge.source if earlier == 0 else f"{edge.source}#{earlier + 1}"
    return TypedEdge(edge.source, key, weighting, source_shape, shape, weight)


def _resolve(
    edges: tuple[Edge, ...],
    index: int,
    known: dict[str, Shape],
    place: str,
    path: Path,
    problems: list[Problem],
) -> WeightingKind | None:
    """Fills in what depends on siblings of the same kind (the slots of `place`)."""
    weighting = edges[index].weighting
    kind = type(weighting)
    if kind.resolve is WeightingKind.resolve:
        return weighting
    siblings = [i for i, edge in enumerate(edges) if type(edge.weighting) is kind]
    if any(known.get(edges[i].source) is None for i in siblings):
        return None
    shapes = [known[edges[i].source] for i in siblings]
    every = [edges[i].weighting for i in siblings]
    try:
        return weighting.resolve(siblings.index(index), shapes, every)
    except ShapeError as error:
        problems.append(_from_error(error, place, path))
        return None


def _apply_rule(
    rule, shapes, place: str, path: Path, problems, *, optional: bool = False
) -> Shape | None:
    """Runs a shape rule; a fault of the rule itself is reported like any other."""
    try:
        shape = rule(*shapes)
        if shape is None and optional:
            return None
        shape = tuple(shape)
    except ShapeError as error:
        problems.append(_from_error(error, place, path))
        return None
    except Exception as error:  # a user's rule may raise anything
        found = f"{type(error).__name__}: {error}"
        cure = "correct the shape rule of the kind"
        problems.append(
            Problem(path, place, found, "a shape rule that returns a shape", cure)
        )
        return None
    if not all(isinstance(n, int) and n > 0 for n in shape):
        cure = "a larger input, or smaller windows, strides and offsets"
        problems.append(
            Problem(path, place, f"shape {shape}", "every size at least 1", cure)
        )
        return None
    return shape


def _from_error(error: ShapeError, place: str, path: Path) -> Problem:
    return Problem(path, place, error.found, error.expected, error.cure)


def _disagreement(place: str, path: Path, one: TypedEdge, two: TypedEdge) -> Problem:
    return Problem(
        path,
        f"{place}, edges from {one.source!r} and {two.source!r}",
        f"{one.weighting} on {one.source!r} contributes {one.shape}, "
        f"{two.weighting} on {two.source!r} contributes {two.shape}",
        "contributions of one shape, because a capsule adds them up",
        f"change one of the two edges so that both give {one.shape} or {two.shape}, "
        "or use `place` on both to put them side by side",
    )


def _check_losses(graph: Graph, typed: dict[str, TypedCapsule]) -> list[Problem]:
    problems = []
    for name, loss in graph.losses:
        capsule = typed.get(name)
        if capsule is None or type(loss) is LossKind:
            continue
        try:
            loss.check(capsule.cap, capsule.output)
        except ShapeError as error:
            place = f"loss {loss} on capsule {name!r}"
            problems.append(_from_error(error, place, ("losses", name)))
    return problems


def _check_memory(typed: TypedGraph) -> list[Problem]:
    """Compares the sizes of parameters and of one example with the machine's memory."""
    import psutil  # here: reading the machine's state takes a while

    memory = psutil.virtual_memory().total
    problems = []
    largest = max(typed.capsules, key=lambda c: c.parameter_count, default=None)
    size = typed.parameter_count * BYTES_PER_NUMBER
    if largest is not None and size > memory:
        problems.append(
            Problem(
                (),
                f"graph {typed.graph.name!r}, parameters",
                f"{typed.parameter_count:,} parameters, {_gibibytes(size)}; the most, "
                f"{largest.parameter_count:,}, in capsule {largest.name!r}",
                f"at most {_gibibytes(memory)}, the memory of this machine",
                f"fewer features in {largest.name!r}, or a larger machine",
            )
        )
    for capsule in typed.capsules:
        numbers = math.prod(capsule.total_input) + math.prod(capsule.output)
        size = numbers * BYTES_PER_NUMBER
        if size > memory:
            problems.append(
                Problem(
                    (),
                    f"capsule {capsule.name!r}",
                    f"U {capsule.total_input} and Y {capsule.output} take "
                    f"{_gibibytes(size)} for one example",
                    f"at most {_gibibytes(memory)}, the memory of this machine",
                    "smaller shapes",
                )
            )
    return problems


def _gibibytes(size: int) -> str:
    """Integer arithmetic: a size may exceed what a float can hold."""
    return f"{size // 2**30:,}.{size % 2**30 * 10 // 2**30} GiB"
