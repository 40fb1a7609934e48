"""The declaration: what a graph of capsules is, and how one is written in Python.

A `Graph` is plain, immutable, comparable data. In Python it is written functionally: a
capsule refers to its sources, and `graph` collects what its outputs reach. Both ways
of writing one, Python and JSON, pass through the same document and the same checks.
"""

import dataclasses
import json
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from capsjax.graph.kinds import (
    CAPS,
    LOSSES,
    WEIGHTINGS,
    CapKind,
    Kind,
    LossKind,
    Registry,
    Shape,
    WeightingKind,
)

Bias = Literal["full", "channel"] | None


@dataclasses.dataclass(frozen=True)
class Input:
    """A capsule without sources: Y is given. The shape is per example."""

    name: str
    shape: Shape


@dataclasses.dataclass(frozen=True)
class Edge:
    """One weighted edge, `W (x) Y_source`."""

    source: str
    weighting: WeightingKind


@dataclasses.dataclass(frozen=True)
class Capsule:
    """`Y = cap(sum over edges of W (x) Y_source + B)`."""

    name: str
    edges: tuple[Edge, ...]
    cap: CapKind
    bias: Bias


def sinks(capsules: tuple[Capsule, ...]) -> list[str]:
    """The capsules that no other reads: the outputs, where none are listed."""
    read = {edge.source for capsule in capsules for edge in capsule.edges}
    return [capsule.name for capsule in capsules if capsule.name not in read]


@dataclasses.dataclass(frozen=True)
class Graph:
    """A connected acyclic graph of capsules; made by `capsjax.graph` and `load`.

    Attributes:
        name: What the network is called.
        inputs: The capsules without sources.
        capsules: The others, in the order declared.
        outputs: Names of the capsules whose Y is asked for.
        losses: Output name and loss, in the order declared.
        notes: Free metadata as JSON text: never affects meaning or equality.
    """

    name: str
    inputs: tuple[Input, ...]
    capsules: tuple[Capsule, ...]
    outputs: tuple[str, ...]
    losses: tuple[tuple[str, LossKind], ...] = ()
    notes: str = dataclasses.field(default="{}", compare=False, repr=False)

    @property
    def metadata(self) -> dict[str, Any]:
        """Free notes, such as the layout of a drawing; a fresh copy."""
        return json.loads(self.notes)

    def __repr__(self) -> str:
        return (
            f"Graph({self.name!r}, {len(self.inputs)} inputs, "
            f"{len(self.capsules)} capsules, outputs {list(self.outputs)})"
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Node:
    """A capsule under construction; refers to its sources. Made by `input`, `capsule`.

    Attributes:
        name: The capsule's name.
        declared: An input's shape, or a capsule's edges, capsule function and bias.
    """

    name: str
    shape: tuple[int, ...] | None = None
    incoming: "tuple[Incoming, ...]" = ()
    cap: CapKind | str = "identity"
    bias: Bias = "channel"

    def __repr__(self) -> str:
        what = "input" if self.shape is not None else "capsule"
        return f"<{what} {self.name!r}>"


@dataclasses.dataclass(frozen=True, eq=False)
class Incoming:
    """An edge under construction: a source and the operation on it."""

    source: Node
    weighting: WeightingKind


def input(name: str, shape: tuple[int, ...]) -> Node:
    """Declares an input: a capsule whose Y is given.

    Args:
        name: Its name; the batch names the array by it.
        shape: Shape of one example. The batch axis is never declared.

    Returns:
        A node to be the source of edges.

    Raises:
        TypeError: The shape is no tuple.

    Example:
        >>> import capsjax as cj
        >>> cj.input("image", (28, 28, 1))
        <input 'image'>
    """
    if isinstance(shape, str | int) or not isinstance(shape, Iterable):
        raise TypeError(
            f"input {name!r}: a shape is a tuple of sizes without the batch, such as "
            f"(28, 28, 1) or (64,), not {shape!r}"
        )
    return Node(name, shape=tuple(shape))


def edge(source: Node, weighting: WeightingKind) -> Incoming:
    """Declares a weighted edge with a registered weighting operation.

    The operations of the library have a function each (`matmul`, `conv`, ...); this
    one serves operations that users register.

    Args:
        source: The input or capsule whose Y is weighted.
        weighting: The operation, with its settings.

    Returns:
        An edge to be given to `capsule`.

    Raises:
        TypeError: The source or the operation is something else, or the operation
            is in no table.

    Example:
        >>> import capsjax as cj
        >>> image = cj.input("image", (64,))
        >>> cj.edge(image, cj.weightings.Matmul(10)).weighting
        Matmul(features=10)
    """
    if not isinstance(source, Node):
        raise TypeError(
            f"an edge's source is what cj.input or cj.capsule returned, "
            f"not {type(source).__name__}: {source!r}"
        )
    _require_record(
        weighting, WEIGHTINGS, "an edge's operation", "cj.weightings.Matmul(10)"
    )
    return Incoming(source, weighting)


def capsule(
    name: str,
    *incoming: Incoming,
    cap: CapKind | str = "identity",
    bias: Bias = "channel",
) -> Node:
    """Declares a capsule, `Y = cap(sum of W (x) Y_in + B)`.

    Args:
        name: Its name; parameters, error signals and targets are named by it.
        *incoming: One or several edges, such as `cj.matmul(source, 10)`.
        cap: The capsule function: a name, or `cj.caps.NAME(settings)`.
        bias: `"full"`, a tensor of U's shape, as in the paper; `"channel"`, one
            number per entry of the last axis; `None`, no bias.

    Returns:
        A node to be the source of further edges.

    Raises:
        TypeError: An edge is not what the weighting operations return, or the
            capsule function is neither a name nor a record.

    Example:
        >>> import capsjax as cj
        >>> image = cj.input("image", (64,))
        >>> cj.capsule("digit", cj.matmul(image, 10), cap="softmax")
        <capsule 'digit'>

    Source: Li & Shan, arXiv 1805.03551, section 3.
    """
    for given in incoming:
        if not isinstance(given, Incoming):
            raise TypeError(
                f"capsule {name!r} takes edges, such as cj.matmul(source, 10) or "
                f"cj.identity(source), not {given!r}"
            )
    if not isinstance(cap, str):
        what = f"capsule {name!r}: a capsule function"
        _require_record(cap, CAPS, what, 'cj.caps.route(3), or a name, "relu"')
    return Node(name, incoming=incoming, cap=cap, bias=bias)


def reachable(outputs: tuple[Node, ...]) -> list[Node]:
    """The nodes that outputs reach backwards, sources before their readers."""
    done: dict[int, Node] = {}
    stack = [(node, False) for node in reversed(outputs)]
    while stack:
        node, expanded = stack.pop()
        if id(node) in done:
            continue
        if expanded:
            done[id(node)] = node
        else:
            stack.append((node, True))
            stack += [(each.source, False) for each in reversed(node.incoming)]
    return list(done.values())


def edges_document(node: Node) -> list[dict[str, Any]]:
    """A node's edges as they stand in the document."""
    return [edge_document(each.source.name, each.weighting) for each in node.incoming]


def edge_document(source: str, weighting: WeightingKind) -> dict[str, Any]:
    """An edge as it stands in the document."""
    return {"source": source, **kind_document(weighting)}


def kind_document(kind: CapKind | WeightingKind | LossKind | str) -> dict[str, Any]:
    """A kind with its settings as it stands in the document."""
    if isinstance(kind, str):
        return {"kind": kind}
    return {"kind": kind.kind, **kind.settings()}


def _require_record(
    record: Any, registry: Registry[Any], what: str, example: str
) -> None:
    """Raises unless a document can name the record."""
    if isinstance(record, type) and issubclass(record, Kind):
        raise TypeError(
            f"{what} is a record, such as {example}, not the class "
            f"{record.__name__}: write {record.__name__}(...)"
        )
    kind = record.kind if isinstance(record, Kind) else ""
    known = registry[kind] if kind in registry else None
    # By name, because a notebook's cell that registers may have been run twice.
    if known is None or known.__qualname__ != type(record).__qualname__:
        cure = f": not registered as a {registry.noun}"
        raise TypeError(
            f"{what} is a record, such as {example}, not {record!r}"
            f"{cure if isinstance(record, Kind) else ''}"
        )


def losses_document(losses: Mapping[str, LossKind | str]) -> dict[str, Any]:
    """The losses as they stand in the document.

    Raises:
        TypeError: They are no mapping of names to losses.
    """
    example = 'cj.losses.margin(), or a name, "margin"'
    if not isinstance(losses, Mapping):
        raise TypeError(
            'losses are given by output: losses={"digit": "cross_entropy"}, '
            f"not {losses!r}"
        )
    for name, loss in losses.items():
        if not isinstance(loss, str):
            _require_record(loss, LOSSES, f"the loss on {name!r}", example)
    return {name: kind_document(loss) for name, loss in losses.items()}
