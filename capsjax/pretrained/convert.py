"""Tensors of another framework as parameters and state of a network.

Each parameter and each running statistic asks for one tensor, by a name that follows
from the table of names and the framework's convention; every tensor must be asked for,
and once. What does not fit is collected and said in one error.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from capsjax.compiler import Network
from capsjax.compiler.parameters import Name, flatten, nest, show
from capsjax.graph.errors import Suggestions, listing
from capsjax.graph.kinds import Shape
from capsjax.graph.typed import TypedCapsule, TypedEdge
from capsjax.pretrained.flattened import is_map, rows_channels_last
from capsjax.pretrained.names import Names, Tensor, parse

_LONGEST_LIST = 50


@dataclasses.dataclass(frozen=True)
class Convention:
    """How a framework names and lays out its tensors.

    Attributes:
        title: What it is called.
        separator: Stands between module and tensor.
        weight: Name of W by the kind of its edge.
        default_weight: Name of W of all other kinds.
        bias: Name of B.
        shift: Name of B of a capsule that scales channels.
        state: Names of running statistics.
        layout: From its layout of W to ours, by the kind of the edge.
        features: The axis of its tensors along which features lie.
        channels_first: Whether maps are flattened with their channels first.
        counters: Tensors that are no weights and have no place here.
    """

    title: str
    separator: str
    weight: Mapping[str, str]
    default_weight: str
    bias: str
    shift: str
    state: Mapping[str, str]
    layout: Mapping[str, Callable[[np.ndarray], np.ndarray]]
    features: int
    channels_first: bool
    counters: tuple[str, ...]


def convert(
    net: Network,
    tensors: dict[str, Any],
    names: Mapping[str, str],
    convention: Convention,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parameters and state from tensors by name.

    Raises:
        ValueError: Something is missing, left over or of another shape.
    """
    key = jax.random.key(0)
    expected = jax.eval_shape(lambda key: _by_name(net, key), key)
    reading = _Reading(net, tensors, Names(names), convention)
    named, state = (
        {name: reading.take(name, each) for name, each in flatten(tree)}
        for tree in expected
    )
    reading.finish()
    return net.from_named(nest(named)), net.state_from_named(nest(state))


def _by_name(net: Network, key: jax.Array) -> tuple[Any, Any]:
    params, state = net.init(key)
    return net.named(params), net.named_state(state)


class _Reading:
    """Takes one tensor after the other, and notes what does not fit."""

    def __init__(
        self,
        net: Network,
        tensors: dict[str, Any],
        names: Names,
        convention: Convention,
    ):
        self._title = net.graph.name
        self._tensors, self._names, self._convention = tensors, names, convention
        capsules = [c for c in net.typed.capsules if isinstance(c, TypedCapsule)]
        self._capsules = {c.name: c for c in capsules}
        self._edges: dict[Name, TypedEdge] = {}
        for capsule in capsules:
            for edge in capsule.edges:
                self._edges.setdefault(_weight_name(capsule, edge), edge)
        self._scales = {
            e.source: c.name
            for c in reversed(capsules)
            for e in c.edges
            if e.weighting.kind == "channel_scale"
        }
        self._takers: dict[Tensor, str] = {}
        self._asked: set[str] = set()
        self._missing: list[tuple[str, str]] = []
        self._faults: list[str] = []

    def take(self, name: Name, expected: jax.ShapeDtypeStruct) -> jax.Array | None:
        """The array for a parameter or a statistic; None, and a fault, without it."""
        self._asked.add(show(name))
        try:
            tensor = self._find(name)
            if tensor.name not in self._tensors:
                self._missing.append((show(name), tensor.name))
                return None
            self._claim(tensor, show(name))
            array = self._read(tensor)
            found = array.shape
            array = self._laid_out(name, array, expected.shape)
        except ValueError as error:
            self._faults.append(f"{show(name)}: {error}")
            return None
        if array.shape != expected.shape:
            stored = "" if array.shape == found else f", stored as {found}"
            self._faults.append(
                f"{show(name)}: found {str(tensor)!r} of shape {array.shape}{stored}; "
                f"expected shape {expected.shape}"
            )
            return None
        return jnp.asarray(array, expected.dtype)

    def finish(self) -> None:
        """Raises if anything did not fit.

        Raises:
            ValueError: Says all of it.
        """
        used = {tensor.name for tensor in self._takers}
        counters = self._convention.counters
        unused = [
            name
            for name in self._tensors
            if name not in used and not name.endswith(counters)
        ]
        suggestions = Suggestions(unused)
        lines = [
            f"{ours}: missing; expected {theirs!r}; cure: "
            + suggestions.cure(theirs, "correct names, or give the tensor")
            for ours, theirs in self._missing
        ]
        lines += self._faults
        lines += [
            f"{name!r} of shape {tuple(np.shape(self._tensors[name]))}: left over; "
            "cure: name the capsule that it belongs to, or leave it out"
            for name in unused
        ]
        if not lines:
            return
        lines += self._unknown()
        counts = listing(
            f"{count} {what}"
            for count, what in (
                (len(self._missing), "missing"),
                (len(self._faults), "of another form"),
                (len(unused), "left over"),
            )
            if count
        )
        if len(lines) > _LONGEST_LIST:
            lines[_LONGEST_LIST:] = [f"... and {len(lines) - _LONGEST_LIST:,} more"]
        text = "\n    ".join(lines)
        raise ValueError(
            f"{self._convention.title} tensors do not fit network {self._title!r} "
            f"({counts}):\n    {text}"
        )

    def _unknown(self) -> list[str]:
        """Entries of the table of names that name nothing here."""
        known = {*self._capsules, *self._asked, *(name[0] for name in self._edges)}
        suggestions = Suggestions(known)
        return [
            f"names, {name!r}: unknown; cure: "
            + suggestions.cure(name, "name a capsule or a parameter of the network")
            for name in self._names.exact
            if name not in known
        ]

    def _find(self, name: Name) -> Tensor:
        """The tensor that a parameter or a statistic is."""
        if (own := self._names.find(show(name))) is not None:
            return parse(own)
        capsule, part = name[0], name[1]
        if part in self._convention.state:
            capsule = self._scales.get(capsule, capsule)
        module = self._names.find(capsule)
        if module is None:
            module = capsule.replace("/", self._convention.separator)
        found = parse(module)
        local = self._local(name)
        return found._replace(name=found.name + self._convention.separator + local)

    def _local(self, name: Name) -> str:
        """What the framework calls it within its module."""
        convention, part = self._convention, name[1]
        if part in convention.state:
            return convention.state[part]
        if part == "W":
            edge = self._edges.get(name)
            kind = edge.weighting.kind if edge is not None else ""
            return convention.weight.get(kind, convention.default_weight)
        if part == "B":
            edges = self._capsules[name[0]].edges
            scaled = any(e.weighting.kind == "channel_scale" for e in edges)
            return convention.shift if scaled else convention.bias
        return name[-1]

    def _claim(self, tensor: Tensor, taker: str) -> None:
        other = self._takers.setdefault(tensor, taker)
        if other != taker:
            raise ValueError(
                f"found {str(tensor)!r}, which {other} takes; expected a tensor of its "
                f"own; cure: list it in names, {taker!r}: NAME"
            )

    def _read(self, tensor: Tensor) -> np.ndarray:
        given = self._tensors[tensor.name]
        if hasattr(given, "detach"):  # a torch tensor, perhaps a parameter
            given = given.detach().cpu()
        array = np.asarray(given)
        if tensor.transposed:
            array = array.T
        if tensor.parts == 1:
            return array
        size = array.shape[self._convention.features] if array.ndim else 1
        if size % tensor.parts:
            raise ValueError(
                f"found {tensor.name!r} of {size} features; expected a multiple of "
                f"{tensor.parts}"
            )
        pieces = np.split(array, tensor.parts, self._convention.features)
        return pieces[tensor.part - 1]

    def _laid_out(self, name: Name, array: np.ndarray, shape: Shape) -> np.ndarray:
        """The array in our layout."""
        convention, edge = self._convention, self._edges.get(name)
        if edge is not None and edge.weighting.kind in convention.layout:
            array = convention.layout[edge.weighting.kind](array)
            if convention.channels_first and edge.weighting.kind == "matmul":
                array = rows_channels_last(self._capsules, edge, array)
            return array
        while array.ndim > len(shape) and array.shape[0] == 1:
            array = array[0]  # an axis for the batch
        if convention.channels_first and name[1] == "B" and array.ndim > 1:
            if is_map(self._capsules, name[0], shape):
                return np.moveaxis(array, 0, -1)
        return array


def _weight_name(capsule: TypedCapsule, edge: TypedEdge) -> Name:
    if edge.weight is not None:
        return (edge.weight, "W")
    return (capsule.name, "W", edge.key)
