"""Products of siblings as one, forward and backward (see `passes.merge`).

With W = [W1 W2 ...] side by side, and so the siblings' error signals,

    [U1 U2 ...] = W (x) Y
    dL/dW = [delta1 delta2 ...] . dU/dW,    dL/dY += [delta1 delta2 ...] . dU/dY

Where an error reaches only some of them, such as heads without a loss, each goes back
by itself, so that nothing is computed for the others.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from capsjax.graph.typed import Merged, TypedEdge, TypedGraph

Arrays = dict[str, jax.Array]
Key = tuple[str, str]
"""Where the weights stand: a capsule's name, and a key there."""


def part_of(
    products: dict[Key, jax.Array], params: Any, edge: TypedEdge, output: Arrays
) -> jax.Array:
    """An edge's part of a merged product.

    Args:
        products: Those computed so far, to which its own is added.
        params: Parameters in compiled layout.
        edge: The edge.
        output: Y by name.

    Returns:
        The edge's contribution to U.
    """
    place = place_of(edge)
    key = place.capsule, place.key
    if key not in products:
        whole = _whole(edge)
        w = weights_of(params, whole)
        with jax.named_scope(f"merged {key[1]}"):
            products[key] = whole.weighting.forward(w, output[edge.source])
    return products[key][..., place.offset : place.offset + edge.shape[-1]]


def weights_of(params: Any, edge: TypedEdge) -> jax.Array:
    """The weights of an edge, a part of those of all siblings."""
    place = place_of(edge)
    w = params[place.capsule]["W"][place.key]
    end = place.offset + edge.shape[-1]
    return w if edge.shape[-1] == place.size else w[..., place.offset : end]


def place_of(edge: TypedEdge) -> Merged:
    """Where the edge's product stands; it is merged."""
    assert edge.merged is not None
    return edge.merged


def _whole(edge: TypedEdge) -> TypedEdge:
    """All siblings together, as one edge."""
    size = place_of(edge).size
    weighting = dataclasses.replace(edge.weighting, features=size)
    return dataclasses.replace(
        edge,
        weighting=weighting,
        shape=(*edge.shape[:-1], size),
        weight_shape=(*(edge.weight_shape or ())[:-1], size),
        merged=place_of(edge)._replace(offset=0),
    )


def merged_fault(typed: TypedGraph) -> str:
    """What is wrong with the merged products of a graph; empty if nothing is."""
    found: dict[Key, list[TypedEdge]] = {}
    for capsule in typed.alone:
        for edge in capsule.edges:
            if edge.merged is not None:
                found.setdefault(edge.merged[:2], []).append(edge)
    for (name, key), edges in found.items():
        edges.sort(key=lambda edge: place_of(edge).offset)
        end = 0
        for edge in edges:
            if place_of(edge).offset != end:
                return f"parts of merged product {key!r} of {name!r} leave gaps"
            end += edge.shape[-1]
        if {place_of(edge).size for edge in edges} != {end}:
            return f"parts of merged product {key!r} of {name!r} do not fill it"
        alike = {
            (edge.source, dataclasses.replace(edge.weighting, features=1))
            for edge in edges
        }
        if len(alike) > 1:
            return f"merged product {key!r} of {name!r} is not one product"
    return ""


class Gathering:
    """Error signals of siblings, until all are there."""

    def __init__(self, typed: TypedGraph):
        self._waiting: dict[Key, int] = {}
        self._found: dict[Key, dict[int, tuple[TypedEdge, Any]]] = {}
        for capsule in typed.alone:
            for edge in capsule.edges:
                if edge.merged is not None:
                    key = edge.merged[:2]
                    self._waiting[key] = self._waiting.get(key, 0) + 1

    def add(
        self, edge: TypedEdge, delta: jax.Array | None
    ) -> dict[TypedEdge, jax.Array | None]:
        """Takes a sibling's error signal, or that none reaches it.

        Returns:
            Nothing before the last one of the siblings. Then, if an error reaches all
            of them, one edge that is all of them, with the signals side by side; if
            not, every sibling in order, with the signal that reaches it.
        """
        place = place_of(edge)
        key = place.capsule, place.key
        found = self._found.setdefault(key, {})
        found[place.offset] = edge, delta
        if len(found) < self._waiting[key]:
            return {}
        siblings = [found[offset] for offset in sorted(found)]
        signals = [signal for _, signal in siblings if signal is not None]
        if len(signals) < len(siblings):
            return dict(siblings)
        return {_whole(edge): jnp.concatenate(signals, axis=-1)}
