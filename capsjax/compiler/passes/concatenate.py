"""Pass: several `place` edges become one concatenation."""

import dataclasses

from capsjax.graph.typed import Concatenation, Term, TypedCapsule, TypedEdge, TypedGraph
from capsjax.weightings import Place


def concatenate(typed: TypedGraph) -> tuple[TypedGraph, list[str]]:
    """Replaces `place` edges whose slots fill U exactly by one concatenation.

    A sum of zero-padded tensors with slots side by side is a concatenation: nothing
    is padded or added. Slots that overlap or leave gaps stay a sum.
    """
    notes: list[str] = []
    capsules = tuple(
        _concatenate(capsule, notes) if isinstance(capsule, TypedCapsule) else capsule
        for capsule in typed.capsules
    )
    return dataclasses.replace(typed, capsules=capsules), notes


def _concatenate(capsule: TypedCapsule, notes: list[str]) -> TypedCapsule:
    by_axis: dict[int, list[TypedEdge]] = {}
    for term in capsule.terms:
        if not isinstance(term, TypedEdge) or term.backward is not None:
            continue
        if isinstance(term.weighting, Place):
            axis = term.weighting.axis % len(term.shape)
            by_axis.setdefault(axis, []).append(term)
    terms: list[Term] = list(capsule.terms)
    for axis, edges in by_axis.items():
        edges.sort(key=lambda edge: edge.weighting.offset)
        if len(edges) > 1 and _tiles(edges, axis):
            joined = set(map(id, edges))
            terms = [term for term in terms if id(term) not in joined]
            terms.append(Concatenation(tuple(edges), axis))
            names = ", ".join(edge.key for edge in edges)
            notes.append(f"{capsule.name}: {names} concatenated on axis {axis}")
    return dataclasses.replace(capsule, terms=tuple(terms))


def _tiles(edges: list[TypedEdge], axis: int) -> bool:
    end = 0
    for edge in edges:
        if edge.weighting.offset != end:
            return False
        end += edge.source_shape[axis]
    return end == edges[0].shape[axis]
