"""The typed graph's invariants, checked after every pass.

1. Names are unique, and every source stands before its readers.
2. An edge's source shape is the source's output shape.
3. The terms of a capsule all have the shape of U; a concatenation's slots fill it,
   each edge in the slot it declares.
4. Edge keys are unique within a capsule: parameters are named by them.
5. A group reads arrays of whole units, and its edges make no cycle.
6. A run's body is a graph that keeps these; what it hands on has the shape of the slot
   that it goes into; every copy has as many capsules and edges.
7. Merged products read one source by one operation; their parts fill the whole.
8. Outputs are capsules; losses stand on outputs.

A breach is a defect of a pass, not of a declaration: `CompilerError`. What a pass must
keep of the graph that it was given, `capsjax.compiler.verify_passes` checks.
"""

import functools

import jax

from capsjax.compiler.merged import merged_fault
from capsjax.compiler.verify_caps import (
    BATCH,
    abstract,
    cap_fault,
    disagreement,
    in_words,
    per_example,
)
from capsjax.graph.errors import GraphError, Problem
from capsjax.graph.kinds import Shape
from capsjax.graph.levels import levels
from capsjax.graph.typed import (
    Concatenation,
    Term,
    TypedCapsule,
    TypedGraph,
    TypedGroup,
    TypedRun,
)
from capsjax.losses import PAIRS


class CompilerError(AssertionError):
    """A pass broke an invariant of the typed graph: a defect of the pass.

    Example:
        >>> import dataclasses
        >>> import capsjax as cj
        >>> def forget(typed):
        ...     return dataclasses.replace(typed, capsules=typed.capsules[1:]), []
        >>> x = cj.input("x", (4,))
        >>> graph = cj.graph(cj.capsule("y", cj.matmul(x, 3)))
        >>> try:
        ...     cj.compile(graph, passes=[cj.passes.Pass(forget, observable=False)])
        ... except cj.CompilerError as error:
        ...     print(error)
        after forget: output 'y' is no capsule
    """


def verify(typed: TypedGraph, after: str) -> None:
    """Checks the invariants at the head of this file.

    Args:
        typed: The graph.
        after: Name of the pass that made it, for the message.

    Raises:
        CompilerError: An invariant does not hold; names the capsule and its
            neighborhood.
    """
    known = dict(typed.inputs)
    for capsule in typed.capsules:
        if isinstance(capsule, TypedGroup):
            fault = _group_fault(capsule, known)
            if fault:
                raise CompilerError(f"after {after}: group {capsule.name!r}: {fault}")
            known |= capsule.made
            continue
        if isinstance(capsule, TypedRun):
            fault = _run_fault(capsule, known)
            if fault:
                raise CompilerError(f"after {after}: run {capsule.name!r}: {fault}")
            verify(capsule.body, f"{after}, body of run {capsule.name!r}")
            known |= capsule.made
            continue
        fault = _fault(capsule, known)
        if fault:
            terms = "; ".join(_describe(term) for term in capsule.terms)
            raise CompilerError(
                f"after {after}: capsule {capsule.name!r}: {fault}\n"
                f"    U {capsule.total_input} = {terms}\n"
                f"    Y {capsule.output} = {capsule.cap}(U)"
            )
        known[capsule.name] = capsule.output
    fault = merged_fault(typed)
    if fault:
        raise CompilerError(f"after {after}: {fault}")
    inputs = {name for name, _ in typed.inputs}
    for name in typed.outputs:
        if name not in known or name in inputs:
            raise CompilerError(f"after {after}: output {name!r} is no capsule")
    for each in typed.losses:
        if each.output not in typed.outputs:
            raise CompilerError(
                f"after {after}: loss {each.loss} on {each.output!r}, no output"
            )


def _fault(capsule: TypedCapsule, known: dict[str, Shape]) -> str:
    if capsule.name in known:
        return "stands twice"
    keys = [edge.key for edge in capsule.edges]
    if len(set(keys)) < len(keys):
        return f"edge keys {keys} are not unique"
    for edge in capsule.edges:
        if edge.source not in known:
            return f"reads {edge.source!r}, which does not stand before it"
        if known[edge.source] != edge.source_shape:
            shape = known[edge.source]
            return f"reads {edge.source!r} of shape {shape} as {edge.source_shape}"
    for term in capsule.terms:
        if _term_shape(term) != capsule.total_input:
            return f"term {_describe(term)} has not the shape of U"
        if isinstance(term, Concatenation) and not _in_order(term):
            return f"{_describe(term)} does not follow the order of the slots"
    return ""


def _group_fault(group: TypedGroup, known: dict[str, Shape]) -> str:
    for name, rows in group.readings:
        if name not in known:
            return f"reads {name!r}, which does not stand before it"
        expected = group.unit if rows is None else (rows, *group.unit)
        if known[name] != expected:
            return f"reads {name!r} of shape {known[name]} as {expected}"
    for each in group.writings:
        if each.name in known:
            return f"writes {each.name!r}, which stands before it"
    rows = group.outer + group.size
    found = levels(group.edge_sources, group.outer + group.edge_targets, rows)
    return "its edges make a cycle" if (found < 0).any() else ""


def _run_fault(run: TypedRun, known: dict[str, Shape]) -> str:
    shapes = dict(run.body.inputs)
    for name in run.sources:
        if name not in known:
            return f"reads {name!r}, which does not stand before it"
    reads = [(each.source, each.slot) for each in run.carried]
    for source, slot in reads + [(name, name) for name in run.constants]:
        if known[source] != shapes[slot]:
            return f"reads {source!r} of shape {known[source]} as {shapes[slot]}"
    for each in run.carried:
        handed = run.capsule(each.output).output
        if handed != shapes[each.slot]:
            return f"hands on {each.output!r} of shape {handed} as {shapes[each.slot]}"
    capsules = len(run.body.capsules)
    edges = sum(len(capsule.edges) for capsule in run.body.alone)
    if {len(copy) for copy in run.copies} != {capsules}:
        return f"not every copy has {capsules} capsules"
    if [len(keys) for keys in run.keys] != [edges] * run.size:
        return f"not every copy has {edges} edges"
    for name in run.made:
        if name in known:
            return f"makes {name!r}, which stands before it"
    return ""


def _in_order(term: Concatenation) -> bool:
    start = 0
    for edge in term.edges:
        if edge.weighting.offset != start:
            return False
        start += edge.source_shape[term.axis]
    return True


def _term_shape(term: Term) -> Shape:
    if not isinstance(term, Concatenation):
        return term.shape
    first = term.edges[0].source_shape
    filled = sum(edge.source_shape[term.axis] for edge in term.edges)
    return (*first[: term.axis], filled, *first[term.axis + 1 :])


def _describe(term: Term) -> str:
    if isinstance(term, Concatenation):
        return f"concatenation of {', '.join(edge.key for edge in term.edges)}"
    return f"{term.weighting} on {term.source} {term.source_shape} -> {term.shape}"


def verify_rules(typed: TypedGraph) -> None:
    """Holds users' kinds against what they declare: shapes, state, gradients.

    Traced abstractly, nothing is computed; remembered, so that each kind with its
    settings is traced once per shape. The library's own kinds are held to their rules
    by its tests, for all of the table: here they would cost a third of a trace.

    Args:
        typed: The graph.

    Raises:
        GraphError: A kind's forward fails, or disagrees with its shape rule; a
            capsule function returns other state or other gradients than it declares; a
            loss gives anything but one number for each example.
    """
    problems = []
    shapes = {}
    for capsule in typed.unfolded:
        place = f"capsule {capsule.name!r}"
        if isinstance(capsule, TypedGroup):  # neurons: passes have not run yet
            for cap in filter(lambda cap: not _is_ours(cap), capsule.caps):
                fault = cap_fault(cap, capsule.unit, capsule.unit)
                if fault is not None:
                    where = f"{place}, capsule function {cap}"
                    problems.append(Problem((), where, *fault))
            continue
        for edge in capsule.edges:
            if _is_ours(edge.weighting):
                continue
            found = _weighting_result(
                edge.weighting, edge.source_shape, edge.weight_shape
            )
            if found != edge.shape:
                where = f"{place}, edge from {edge.source!r} ({edge.weighting})"
                problems.append(_disagreement(where, found, edge.shape))
        if not _is_ours(capsule.cap):
            fault = cap_fault(capsule.cap, capsule.total_input, capsule.output)
            if fault is not None:
                where = f"{place}, capsule function {capsule.cap}"
                problems.append(Problem((), where, *fault))
        shapes[capsule.name] = capsule.cap, capsule.output
    for each in typed.losses:
        cap, shape = shapes[each.output]
        if (type(cap), type(each.loss)) in PAIRS or _is_ours(each.loss):
            continue
        found = _loss_result(each.loss, shape)
        if found != ():
            where = f"loss {each.loss} on capsule {each.output!r}"
            problems.append(_loss_problem(where, found))
    if problems:
        raise GraphError(typed.graph.name, problems)


def _is_ours(kind: object) -> bool:
    return type(kind).__module__.startswith("capsjax.")


@functools.lru_cache(maxsize=4096)
def _weighting_result(weighting, source: Shape, weight: Shape | None) -> Shape | str:
    w = None if weight is None else abstract(weight)
    return _result(weighting.forward, w, abstract((BATCH, *source)))


@functools.lru_cache(maxsize=4096)
def _loss_result(loss, output: Shape) -> Shape | str:
    y = abstract((BATCH, *output))
    return _result(loss.value, y, y)


def _result(function, *arguments) -> Shape | str:
    try:
        result = jax.eval_shape(function, *arguments)
    except Exception as error:  # a user's forward may raise anything
        return in_words(error)
    return per_example(result)


def _loss_problem(place: str, found: Shape | str) -> Problem:
    if isinstance(found, tuple):
        found = f"value gives shape {found} for each example"
    return Problem(
        (),
        place,
        found,
        "one number for each example: an array of shape [batch]",
        "sum or average over every axis of Y but the first",
    )


def _disagreement(place: str, found: Shape | str, expected: Shape) -> Problem:
    return Problem((), place, *disagreement("forward", found, expected))
