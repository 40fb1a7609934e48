"""Pass: chains of edges that only move numbers become one edge."""

import collections
import dataclasses

from capsjax import caps
from capsjax.graph.typed import TypedCapsule, TypedEdge, TypedGraph
from capsjax.weightings import Cut, Identity, Place, Reshape, Transpose, Weighting


def simplify(typed: TypedGraph) -> tuple[TypedGraph, list[str]]:
    """Joins reshapes with reshapes and transposes with transposes.

    A capsule that only moves the numbers of its source is read through where its edge
    and the reader's are one of these, and goes when nobody reads it any more:

        reshape of a reshape                    reshape to the last shape
        transpose of a transpose                transpose by the composed order
        the only identity of one of these       that reshape or transpose
        transpose that moves axes of size 1     reshape
        reshape, transpose, place or cut that   identity
          changes nothing

    Numbers are never touched: the result is equal bit by bit.
    """
    notes: list[str] = []
    while True:  # what is gone may leave a single reader behind
        typed, more = _once(typed)
        if not more:
            return typed, notes
        notes += more


def _once(typed: TypedGraph) -> tuple[TypedGraph, list[str]]:
    notes: list[str] = []
    readers = collections.Counter(typed.outputs)
    for item in typed.capsules:
        edges = item.edges if isinstance(item, TypedCapsule) else ()
        readers.update([edge.source for edge in edges] or item.sources)
    moves: dict[str, TypedEdge] = {}
    through: set[str] = set()
    capsules = []
    for item in typed.capsules:
        if isinstance(item, TypedCapsule):
            item = _simplified(item, moves, readers, through, notes)
            if _only_moves(item) and item.name not in typed.outputs:
                moves[item.name] = item.edges[0]
        capsules.append(item)
    kept = []
    read = set(typed.outputs)
    for item in reversed(capsules):
        if item.name in through and item.name not in read:
            continue
        read.update(item.sources)
        kept.append(item)
    gone = through - {item.name for item in kept}
    notes += [f"dropped {c.name}: read through" for c in capsules if c.name in gone]
    return dataclasses.replace(typed, capsules=tuple(reversed(kept))), notes


def _only_moves(capsule: TypedCapsule) -> bool:
    return (
        len(capsule.terms) == 1
        and isinstance(capsule.terms[0], TypedEdge)
        and isinstance(capsule.terms[0].weighting, Identity | Reshape | Transpose)
        and capsule.bias_shape is None
        and isinstance(capsule.cap, caps.identity)
        and not capsule.ruled
    )


def _simplified(
    capsule: TypedCapsule,
    moves: dict[str, TypedEdge],
    readers: collections.Counter[str],
    through: set[str],
    notes: list[str],
) -> TypedCapsule:
    terms = []
    for old in capsule.terms:
        if not isinstance(old, TypedEdge) or old.backward is not None:
            terms.append(old)
            continue
        edge = _simplest(old)
        while (inner := moves.get(edge.source)) is not None:
            joined = _joined(inner, edge, alone=readers[edge.source] == 1)
            if joined is None:
                break
            through.add(edge.source)
            edge = _simplest(
                dataclasses.replace(
                    edge,
                    source=inner.source,
                    source_shape=inner.source_shape,
                    weighting=joined,
                )
            )
        if edge != old:
            before, now = (f"{e.weighting} on {e.source}" for e in (old, edge))
            notes.append(f"{capsule.name}: {before} is {now}")
        terms.append(edge)
    if tuple(terms) == capsule.terms:
        return capsule
    return dataclasses.replace(capsule, terms=tuple(terms))


def _joined(inner: TypedEdge, outer: TypedEdge, alone: bool) -> Weighting | None:
    """The operation that does both; None if there is none, or nothing is gained.

    An identity that is not the only reader shares its array with the others: what is
    moved, and kept for the backward pass, would be two.
    """
    first, second = inner.weighting, outer.weighting
    if isinstance(second, Identity):
        moved = isinstance(first, Reshape | Transpose)  # or `drop_identities` does it
        return first if moved and alone else None
    if not isinstance(second, Reshape | Transpose):
        return None
    if isinstance(first, Identity):
        return second
    if isinstance(first, Reshape) and isinstance(second, Reshape):
        return Reshape(outer.shape)
    if isinstance(first, Transpose) and isinstance(second, Transpose):
        return Transpose(tuple(first.axes[axis] for axis in second.axes))
    return None


def _simplest(edge: TypedEdge) -> TypedEdge:
    """The same edge by the simplest operation."""
    kind, shape = edge.weighting, edge.source_shape
    if isinstance(kind, Transpose):
        moved = [axis for axis in kind.axes if shape[axis] != 1]
        if moved == sorted(moved):
            kind = Reshape(edge.shape)
    if isinstance(kind, Reshape | Place | Cut) and edge.shape == shape:
        kind = Identity()
    return edge if kind is edge.weighting else dataclasses.replace(edge, weighting=kind)
