"""Pass: products of one source by several weights become one product.

Siblings read the same source by products of equal geometry, on the same level: query,
key and value of a transformer, the 1x1 convolutions at the head of an inception block.
Their weights are stored side by side, so that nothing is joined in the step; forward
there is one product in place of several, and backward one for the gradient of all
weights and one for the source's, in place of a sum.

When that pays was measured on CPU (2 cores, float32, forward, backward and update;
`python -m bench.merge`), as ratios of the time of separate products:

| rows x inputs -> outputs                        | merged       | joined in the step |
|-------------------------------------------------|--------------|--------------------|
| 8 to 128 x 16 -> 2 to 4 times 16                | 0.78 to 1.00 | 0.96 to 1.04       |
| 8 to 32 x 64 -> 2 to 4 times 64                 | 0.83 to 1.01 | 0.94 to 1.04       |
| 128, 256 x 64 -> 3, 4 times 64                  | 0.97 to 1.39 | 0.94 to 1.21       |
| 32 x 128 -> 3 times 128                         | 1.60         | 1.69               |
| 8 to 128 x 256 -> 2 to 4 times 256              | 0.89 to 1.11 | 1.01 to 1.34       |
| 8 to 128 x 1024 -> 2 to 4 times 1024            | 0.90 to 1.21 | 0.84 to 3.8        |
| 512, 1040 x 64 -> 3 times 64                    | 0.90 to 0.98 | 0.90 to 0.94       |
| 512, 1040 x 512, 768 -> 3 times as many         | 1.02 to 1.12 | 0.87 to 1.12       |
| 392 x 832 -> 384, 192, 48 (inception 5b)        | 0.97         | 1.01               |
| 1568 x 480 -> 192, 96, 16 (inception 4a)        | 0.93         | 0.93               |
| 6272 x 192 -> 64, 96, 16 (inception 3a)         | 0.91         | 0.93               |
| 128 x 512 -> 3 times 48                         | 0.83         | 0.94               |

So it pays where the products are small (starting them costs), or one is narrow (alone
it runs far below the peak). Large ones gain nothing, and products of a size in between
lose, since the merged one is the first that is shared among cores. Of whole networks,
small ones gain the most: layers of 3 or 8 times 16 neurons take 0.68 to 0.78 of the
time, of 64 neurons 0.81 to 1.03; a transformer of width 64 takes 0.95, one of width 256
1.01, four inception blocks 0.97 (quartiles 0.93 and 1.01). On other platforms each
product is a launch, and all are merged: by rule, not measured.

Products of several sources into one capsule stay apart. As a product of the sources
side by side with the weights on top of each other they take 0.78 to 0.93 of the time
with batches of 8 to 32 and widths up to 256, but 1.0 to 1.4 with batches of 128 and
widths from 64 on (`python -m bench.merge sources`); and how large a batch will be is
not known when a graph is compiled.
"""

import dataclasses
import math
from collections.abc import Callable

import jax

from capsjax.graph.errors import listing
from capsjax.graph.typed import Merged, Term, TypedCapsule, TypedEdge, TypedGraph
from capsjax.weightings import Conv, Matmul, Weighting

MOST_WEIGHTS = 2**15
"""Weights of siblings together, up to which starting their products costs, on CPU."""

NARROW = 64
"""Outputs of a product that runs far below the peak alone, on CPU."""

Sibling = tuple[str, TypedEdge]
"""A capsule's name, and an edge into it."""


def merge(typed: TypedGraph) -> tuple[TypedGraph, list[str]]:
    """Merges siblings where one product is faster on this platform: a rule of cost."""
    on_cpu = jax.default_backend() == "cpu"
    return _merged(typed, _against_on_cpu if on_cpu else lambda siblings: "")


def merge_all(typed: TypedGraph) -> tuple[TypedGraph, list[str]]:
    """Merges all siblings."""
    return _merged(typed, lambda siblings: "")


def _against_on_cpu(siblings: list[Sibling]) -> str:
    """Why these had better stay apart; empty if merging pays."""
    edges = [edge for _, edge in siblings]
    kind = edges[0].weighting
    if isinstance(kind, Conv) and math.prod(kind.window) > 1:
        return "merging pays for windows of one pixel"
    weights = sum(math.prod(edge.weight_shape or ()) for edge in edges)
    least = min(edge.shape[-1] for edge in edges)
    if weights > MOST_WEIGHTS and least > NARROW:
        return f"{weights:,} weights, none of {NARROW} features or fewer"
    return ""


def _merged(
    typed: TypedGraph, against: Callable[[list[Sibling]], str]
) -> tuple[TypedGraph, list[str]]:
    notes: list[str] = []
    places: dict[tuple[str, str], Merged] = {}
    for siblings in _siblings(typed):
        names = listing([name for name, _ in siblings], 4)
        source = siblings[0][1].source
        reason = against(siblings)
        if reason:
            notes.append(f"{names}: products of {source} stay apart: {reason}")
            continue
        places |= _side_by_side(siblings)
        notes.append(f"{names}: one product of {source}")
    if not places:
        return typed, notes

    def term(name: str, old: Term) -> Term:
        if isinstance(old, TypedEdge) and (name, old.key) in places:
            return dataclasses.replace(old, merged=places[name, old.key])
        return old

    capsules = tuple(
        dataclasses.replace(c, terms=tuple(term(c.name, each) for each in c.terms))
        if isinstance(c, TypedCapsule)
        else c
        for c in typed.capsules
    )
    return dataclasses.replace(typed, capsules=capsules), notes


def _siblings(typed: TypedGraph) -> list[list[Sibling]]:
    """Edges that may be merged, two or more, in topological order.

    They must go into several capsules of one level: what many layers read alike would
    be computed long before it is needed, and the layers could no longer be folded.
    """
    level = {name: 0 for name, _ in typed.inputs}
    found: dict[tuple[int, str, Weighting], list[Sibling]] = {}
    for item in typed.capsules:
        own = 1 + max((level[source] for source in item.sources), default=0)
        level |= dict.fromkeys(item.made, own)
        if not isinstance(item, TypedCapsule):
            continue
        for edge in item.terms:
            geometry = _geometry(edge) if isinstance(edge, TypedEdge) else None
            if isinstance(edge, TypedEdge) and geometry is not None:
                alike = found.setdefault((own, edge.source, geometry), [])
                if item.name not in [name for name, _ in alike]:
                    alike.append((item.name, edge))
    return [siblings for siblings in found.values() if len(siblings) > 1]


def _geometry(edge: TypedEdge) -> Weighting | None:
    """What is equal in siblings: all but the number of features."""
    kind = edge.weighting
    if edge.weight is not None or edge.merged is not None or edge.backward is not None:
        return None
    plain = isinstance(kind, Matmul) and not kind.transposed
    plain |= isinstance(kind, Conv) and kind.groups == 1
    return dataclasses.replace(kind, features=1) if plain else None


def _side_by_side(siblings: list[Sibling]) -> dict[tuple[str, str], Merged]:
    """The place of each edge by capsule and key; the whole has the first one's name."""
    name, first = siblings[0]
    key = f"{first.key}+{len(siblings) - 1}"
    size = sum(edge.shape[-1] for _, edge in siblings)
    places = {}
    offset = 0
    for capsule, edge in siblings:
        places[capsule, edge.key] = Merged(name, key, offset, size)
        offset += edge.shape[-1]
    return places
