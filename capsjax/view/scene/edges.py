"""The edges of a graph as a drawing has them: which box reads which."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from capsjax.graph.topology import topological_order
from capsjax.graph.typed import TypedCapsule, TypedGraph
from capsjax.view.folding import Folded


class Edge(NamedTuple):
    """An edge of the graph.

    Attributes:
        source: Name of what is read.
        target: Name of the capsule, or group, that reads.
        key: Name of the edge among those into it.
        weighting: The operation.
        weight: Name of the weight, if it is shared.
    """

    source: str
    target: str
    key: str
    weighting: Any
    weight: str | None


def edges_of(typed: TypedGraph) -> Iterator[Edge]:
    """All edges, in the order of the capsules that read."""
    producer = {made: each.name for each in typed.unfolded for made in each.made}
    for each in typed.unfolded:
        if isinstance(each, TypedCapsule):
            for e in each.edges:
                source = producer.get(e.source, e.source)
                yield Edge(source, each.name, e.key, e.weighting, e.weight)
        else:
            for name in each.sources:
                source = producer.get(name, name)
                yield Edge(source, each.name, name, each.weighting, None)


def depth_of(typed: TypedGraph, folded: Folded) -> int:
    """Number of layers of boxes."""
    read: dict[str, set[str]] = {}
    for source, target, *_ in edges_of(typed):
        a, b = folded.box_of.get(source, source), folded.box_of[target]
        if a != b:
            read.setdefault(a, set())
            read.setdefault(b, set()).add(a)
    depth: dict[str, int] = {}
    for name in topological_order({k: tuple(v) for k, v in read.items()})[0]:
        depth[name] = 1 + max([depth[source] for source in read[name]], default=0)
    return max(depth.values(), default=1)
