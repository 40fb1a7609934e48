"""freeze: a graph and its arrays, rewritten together for inference.

A capsule is `Y = cap(sum of W (x) Y_in + B)`. With `r = 1 / sqrt(variance + epsilon)`,
standardize in inference is `Y = r U - r mean`, and so is

    sum of (r W) (x) Y_in + (r B - r mean)

wherever r can go into every W. A capsule without a function of its own (the identity)
that one other capsule reads, scaled by w or as it is, becomes part of that one's sum:
`w Y = sum of (w W) (x) Y_in + w B`. And what scales, or shifts, the source of products
goes into these: `W (x) (w Y + b) = (W w) (x) Y + W (x) b`.

A shared weight stays what it is; a capsule that several read is not written twice.
"""

import collections
import dataclasses
from collections.abc import Mapping
from typing import Any

import jax

from capsjax import caps
from capsjax.caps.base import wide
from capsjax.compiler.inference.scaling import (
    SCALES,
    is_scalable,
    scaled,
    takes_scale,
    with_scale,
)
from capsjax.compiler.parameters import Name, weight_name
from capsjax.compiler.precision import common
from capsjax.graph.typed import (
    Term,
    TypedCapsule,
    TypedEdge,
    TypedGraph,
    TypedGroup,
    TypedRun,
)
from capsjax.weightings import ChannelScale

IDENTITIES = (caps.dropout, caps.spatial_dropout, caps.drop_path, caps.noise)
"""Capsule functions that are the identity in inference."""

Arrays = dict[Name, Any]


def freeze(
    typed: TypedGraph, arrays: Mapping[Name, Any], state: Mapping[str, Any]
) -> tuple[TypedGraph, Arrays, list[str]]:
    """Rewrites a graph for inference, and its parameters with it.

    Args:
        typed: The graph; every capsule is needed, no pass has run.
        arrays: Its parameters by name.
        state: What its capsule functions carry, by name.

    Returns:
        The graph, its parameters by name, and notes on what was done. It has the same
        outputs, and no losses. Running statistics are in the parameters.
    """
    work = _Work(typed, arrays, state)
    for item in typed.capsules:
        work.add(item)
    for name in list(work.items):
        work.hand_on(name)
    return work.result(), work.arrays, work.notes


class _Work:
    """The graph as far as it is rewritten, and what is known of it."""

    def __init__(
        self, typed: TypedGraph, arrays: Mapping[Name, Any], state: Mapping[str, Any]
    ):
        self.typed = typed
        self.arrays = dict(arrays)
        self.state = state
        self.items: dict[str, TypedCapsule | TypedGroup | TypedRun] = {}
        self.notes: list[str] = []
        self.type = common(self.arrays) or common(state)
        self.readers = collections.Counter(typed.outputs)
        for item in typed.capsules:
            edges = item.edges if isinstance(item, TypedCapsule) else ()
            self.readers.update([edge.source for edge in edges] or item.sources)

    def result(self) -> TypedGraph:
        """The graph as it is now."""
        items = tuple(self.items.values())
        return dataclasses.replace(self.typed, capsules=items, losses=())

    def add(self, item: TypedCapsule | TypedGroup | TypedRun) -> None:
        """Rewrites the next capsule in topological order, and takes it in."""
        if not isinstance(item, TypedCapsule):  # neurons
            self.items[item.name] = item
            return
        if isinstance(item.cap, IDENTITIES):
            self.notes.append(f"{item.name}: {item.cap} is the identity in inference")
            item = dataclasses.replace(item, cap=caps.identity())
        for edge in item.edges:
            item = self._spliced(item, edge)
        if isinstance(item.cap, caps.standardize):
            item = self._standardized(item, item.cap)
        self.items[item.name] = item

    def _spliced(self, item: TypedCapsule, edge: TypedEdge) -> TypedCapsule:
        """With the sum of a source that only this capsule reads in the edge's place."""
        source = self.items.get(edge.source)
        if not isinstance(edge.weighting, SCALES) or edge.weight is not None:
            return item
        if not self._is_sum(source) or self.readers[edge.source] != 1:
            return item
        assert isinstance(source, TypedCapsule)
        by_channel = edge.weight_shape != () and bool(source.total_input)
        if not all(is_scalable(term, by_channel) for term in source.terms):
            return item
        w = self.arrays.pop(weight_name(item, edge), None)
        terms: list[Term] = []
        keys = {each.key for each in item.edges}
        for term in item.terms:
            if term is not edge:
                terms.append(term)
                continue
            for inner in source.edges:
                key = _unused(f"{source.name}.{inner.key}", keys)
                terms.append(self._moved(source, inner, item, key, w))
        bias = self.arrays.pop((source.name, "B"), None)
        if bias is not None and w is not None:
            bias = wide(w) * wide(bias)
        del self.items[source.name]
        self.notes.append(
            f"{source.name}: its sum folded into {item.name}"
            + (f", {edge.weighting} into its weights" if w is not None else "")
        )
        return self._shifted(dataclasses.replace(item, terms=tuple(terms)), bias)

    def _is_sum(self, source: Any) -> bool:
        """Whether it is a capsule that only adds up, and no output."""
        return (
            isinstance(source, TypedCapsule)
            and isinstance(source.cap, caps.identity)
            and bool(source.terms)
            and source.name not in self.typed.outputs
        )

    def _moved(
        self, source: TypedCapsule, edge: TypedEdge, to: TypedCapsule, key: str, by: Any
    ) -> TypedEdge:
        """An edge of one capsule as an edge of another, scaled; its weight goes too."""
        w = self.arrays.pop(weight_name(source, edge), None)
        if by is not None:
            edge, w = scaled(edge, w, wide(by))
        edge = dataclasses.replace(edge, key=key)
        if w is not None:
            self._enter(weight_name(to, edge), w)
        return edge

    def _standardized(self, item: TypedCapsule, cap: Any) -> TypedCapsule:
        """With the running statistics in the weights and the bias, or behind them."""
        own = self.state[item.name]
        r = jax.lax.rsqrt(wide(own["variance"]) + cap.epsilon)
        shift = -r * wide(own["mean"])
        item = dataclasses.replace(item, cap=caps.identity())
        if not all(is_scalable(term, True) for term in item.terms):
            self.notes.append(f"{item.name}: {cap} is a scale and a shift")
            return self._behind(item, r, shift)
        self.notes.append(f"{item.name}: {cap} folded into its weights and bias")
        terms = [self._moved(item, edge, item, edge.key, r) for edge in item.edges]
        bias = self.arrays.pop((item.name, "B"), None)
        shift = shift if bias is None else r * wide(bias) + shift
        item = dataclasses.replace(item, terms=tuple(terms), bias_shape=None)
        return self._shifted(item, shift)

    def _behind(self, item: TypedCapsule, r: Any, shift: Any) -> TypedCapsule:
        """The sum as a capsule of its own, before one that scales and shifts it."""
        taken = {name for name, _ in self.typed.inputs} | {*self.readers, *self.items}
        name = _unused(f"{item.name}.sum", taken)
        first = dataclasses.replace(item, name=name)
        for edge in item.edges:
            if edge.weight is None and edge.weight_shape is not None:
                w = self.arrays.pop(weight_name(item, edge))
                self.arrays[weight_name(first, edge)] = w
        if item.bias_shape is not None:
            self.arrays[(name, "B")] = self.arrays.pop((item.name, "B"))
        self.items[name] = first
        self.readers[name] = 1
        shape = item.total_input
        edge = TypedEdge(name, name, ChannelScale(), shape, shape, shape[-1:])
        self._enter(weight_name(item, edge), r)
        item = dataclasses.replace(item, terms=(edge,), bias_shape=None)
        return self._shifted(item, shift)

    def hand_on(self, name: str) -> None:
        """Puts what a capsule only scales or shifts into the products that read it."""
        item = self.items[name]
        if not self._is_sum(item) or len(item.sources) != 1:
            return
        assert isinstance(item, TypedCapsule)
        edge = item.edges[0]
        if len(item.edges) > 1 or not isinstance(edge.weighting, SCALES):
            return
        shifted = item.bias_shape is not None
        if edge.weight is not None or (shifted and item.bias_shape != edge.shape[-1:]):
            return
        readers = [each for each in self.items.values() if name in each.sources]
        if not (edge.weight_shape is not None or shifted) or not readers:
            return
        for reader in readers:
            if not isinstance(reader, TypedCapsule):
                return
            for each in reader.edges:
                if each.source == name and not takes_scale(reader, each, shifted):
                    return
        by = self.arrays.pop(weight_name(item, edge), None)
        shift = self.arrays.pop((name, "B"), None)
        for reader in readers:
            assert isinstance(reader, TypedCapsule)
            self.items[reader.name] = self._with_scale(reader, edge, name, by, shift)
        del self.items[name]
        what = " and ".join(["scale"] * (by is not None) + ["shift"] * shifted)
        names = ", ".join(each.name for each in readers)
        self.notes.append(f"{name}: {what} folded into the weights of {names}")

    def _with_scale(
        self, reader: TypedCapsule, edge: TypedEdge, name: str, by: Any, shift: Any
    ) -> TypedCapsule:
        terms: list[Term] = []
        for each in reader.terms:
            if isinstance(each, TypedEdge) and each.source == name:
                place = weight_name(reader, each)
                wide_by = None if by is None else wide(by)
                w, added = with_scale(each, self.arrays[place], wide_by, shift)
                self._enter(place, w)
                reader = self._shifted(reader, added)
                each = dataclasses.replace(each, source=edge.source)
            terms.append(each)
        return dataclasses.replace(reader, terms=tuple(terms))

    def _shifted(self, item: TypedCapsule, bias: Any) -> TypedCapsule:
        """With something added to the bias."""
        if bias is None:
            return item
        if item.bias_shape is not None:
            bias = wide(self.arrays[(item.name, "B")]) + wide(bias)
        self._enter((item.name, "B"), bias)
        return dataclasses.replace(item, bias_shape=bias.shape)

    def _enter(self, name: Name, array: jax.Array) -> None:
        """Puts a parameter where it belongs, in the type that the others have."""
        self.arrays[name] = array.astype(self.type)


def _unused(name: str, taken: set[str]) -> str:
    """The name, or one like it that is not taken; it is taken now."""
    while name in taken:
        name += "_"
    taken.add(name)
    return name
