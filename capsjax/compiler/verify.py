"""The typed graph's invariants, checked after every pass.

1. Names are unique, and every source stands before its readers.
2. An edge's source shape is the source's output shape.
3. The terms of a capsule all have the shape of U; a concatenation's slots fill it,
   each edge in the slot it declares.
4. Edge keys are unique within a capsule: parameters are named by them.
5. A group reads arrays of whole units, and its edges make no cycle.
6. Outputs are capsules; losses stand on outputs.

A breach is a defect of a pass, not of a declaration: `CompilerError`.
"""

import functools

import jax
import jax.numpy as jnp

from capsjax.graph.errors import GraphError, Problem
from capsjax.graph.kinds import Shape
from capsjax.graph.levels import levels
from capsjax.graph.typed import (
    Concatenation,
    Term,
    TypedCapsule,
    TypedGraph,
    TypedGroup,
)
from capsjax.losses import PAIRS

_BATCH = 3  # examples in the arrays that rules are tried on: not 1, which hides much


class CompilerError(AssertionError):
    """A pass broke an invariant of the typed graph: a defect of capsjax."""


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
            for each in capsule.writings:
                known[each.name] = capsule.written(each)
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
    """Holds the shape rules of users' kinds against what forward really gives.

    Traced abstractly, nothing is computed; remembered, so that each kind with its
    settings is traced once per shape. The library's own kinds are held to their rules
    by its tests, for all of the table: here they would cost a third of a trace.

    Args:
        typed: The graph.

    Raises:
        GraphError: A kind's forward fails, or disagrees with its shape rule; a loss
            gives anything but one number for each example.
    """
    problems = []
    shapes = {}
    for capsule in typed.capsules:
        place = f"capsule {capsule.name!r}"
        if isinstance(capsule, TypedGroup):  # neurons: passes have not run yet
            for cap in filter(lambda cap: not _is_ours(cap), capsule.caps):
                found = _cap_result(cap, capsule.unit)
                if found != capsule.unit:
                    where = f"{place}, capsule function {cap}"
                    problems.append(_disagreement(where, found, capsule.unit))
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
            found = _cap_result(capsule.cap, capsule.total_input)
            if found != capsule.output:
                where = f"{place}, capsule function {capsule.cap}"
                problems.append(_disagreement(where, found, capsule.output))
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
    w = None if weight is None else _abstract(weight)
    return _result(weighting.forward, w, _abstract((_BATCH, *source)))


@functools.lru_cache(maxsize=4096)
def _cap_result(cap, total_input: Shape) -> Shape | str:
    return _result(cap.forward, _abstract((_BATCH, *total_input)))


@functools.lru_cache(maxsize=4096)
def _loss_result(loss, output: Shape) -> Shape | str:
    y = _abstract((_BATCH, *output))
    return _result(loss.value, y, y)


def _abstract(shape: Shape) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def _result(function, *arguments) -> Shape | str:
    try:
        result = jax.eval_shape(function, *arguments)
    except Exception as error:  # a user's forward may raise anything
        return f"{type(error).__name__}: {(str(error) or 'no message').splitlines()[0]}"
    shape = getattr(result, "shape", None)
    if shape is None or len(shape) == 0:
        return f"{result}, without a batch axis"
    if shape[0] != _BATCH:
        return f"shape {shape} for a batch of {_BATCH}, which lost the batch axis"
    return tuple(shape[1:])


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
    what = f"forward gives shape {found}" if isinstance(found, tuple) else found
    return Problem(
        (),
        place,
        what,
        f"shape {expected}, says the kind's shape rule",
        "correct the kind: shape rule and forward must agree (shapes are per "
        "example; arrays have a batch axis in front)",
    )
