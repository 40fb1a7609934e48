"""The declaration: what a graph of capsules is, and how one is written in Python.

A `Graph` is plain, immutable, comparable data. In Python it is written functionally: a
capsule refers to its sources, and `graph` collects what its outputs reach. Both ways
of writing one, Python and JSON, pass through the same document and the same checks.
"""

import dataclasses
import json
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from capsjax.displayed import Displayed
from capsjax.graph.kinds import (
    BACKWARDS,
    CAPS,
    LOSSES,
    WEIGHTINGS,
    BackwardKind,
    CapKind,
    Kind,
    LossKind,
    Registry,
    Shape,
    WeightingKind,
)

Bias = Literal["full", "channel"] | None


Numbers = Literal["float", "integer"]


@dataclasses.dataclass(frozen=True)
class Input:
    """A capsule without sources: Y is given, or learned. The shape is per example.

    Attributes:
        name: Its name.
        shape: Shape of Y.
        dtype: What it holds; integers are read by `embed` alone.
        learned: Whether Y is a parameter, the same for every example.
    """

    name: str
    shape: Shape
    dtype: Numbers = "float"
    learned: bool = False


@dataclasses.dataclass(frozen=True)
class Edge:
    """One weighted edge, `W (x) Y_source`.

    Attributes:
        source: Name of the capsule that is read.
        weighting: The operation.
        key: Name of the source as it is written where the edge is declared, inside a
            block; parameters are named by it. None where that is the source's name.
        weight: Name of W, if other edges share it.
        backward: How the error signal travels back over it, if that is declared.
    """

    source: str
    weighting: WeightingKind
    key: str | None = None
    weight: str | None = None
    backward: BackwardKind | None = None


@dataclasses.dataclass(frozen=True)
class Capsule:
    """`Y = cap(sum over edges of W (x) Y_source + B)`."""

    name: str
    edges: tuple[Edge, ...]
    cap: CapKind
    bias: Bias
    backward: BackwardKind | None = None


@dataclasses.dataclass(frozen=True)
class Use:
    """One copy of a block in a graph.

    Attributes:
        name: The capsules of the copy are called `name/...`.
        block: The block's name.
        values: Its parameters, name and value as text.
    """

    name: str
    block: str
    values: tuple[tuple[str, str], ...]


def sinks(capsules: tuple[Capsule, ...]) -> list[str]:
    """The capsules that no other reads: the outputs, where none are listed."""
    read = {edge.source for capsule in capsules for edge in capsule.edges}
    return [capsule.name for capsule in capsules if capsule.name not in read]


@dataclasses.dataclass(frozen=True)
class Graph(Displayed):
    """A connected acyclic graph of capsules; made by `capsjax.graph` and `load`.

    Attributes:
        name: What the network is called.
        inputs: The capsules without sources.
        capsules: The others, in the order declared, those of blocks among them.
        outputs: Names of the capsules whose Y is asked for.
        losses: Output name and loss, in the order declared.
        backward: How error signals travel where nothing nearer says it.
        notes: Free metadata as JSON text: never affects meaning or equality.
        declared: Blocks and their uses as JSON text; empty where there are none.
        uses: Every copy of a block, outer ones before those inside.
    """

    name: str
    inputs: tuple[Input, ...]
    capsules: tuple[Capsule, ...]
    outputs: tuple[str, ...]
    losses: tuple[tuple[str, LossKind], ...] = ()
    backward: BackwardKind | None = None
    notes: str = dataclasses.field(default="{}", compare=False, repr=False)
    declared: str = dataclasses.field(default="", repr=False)
    uses: tuple[Use, ...] = dataclasses.field(default=(), compare=False, repr=False)

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
    cap: "CapKind | Parameter | str" = "identity"
    bias: "Bias | Parameter" = "channel"
    dtype: Numbers = "float"
    learned: bool = False
    backward: "BackwardKind | Parameter | str | None" = None

    @property
    def sources(self) -> "tuple[Node, ...]":
        """The nodes that it reads."""
        return tuple([each.source for each in self.incoming])

    def __repr__(self) -> str:
        what = "input" if self.shape is not None else "capsule"
        return f"<{what} {self.name!r}>"


@dataclasses.dataclass(frozen=True)
class Parameter:
    """Stands for a parameter of a block while the block is declared."""

    name: str
    block: str

    def _computed_with(self, *others: Any) -> Any:
        raise TypeError(
            f"parameter {self.name!r} of block {self.block!r} has no value where the "
            "block is declared: it can be given on as a setting, not computed with; "
            "make what is computed a parameter of its own"
        )

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _computed_with
    __truediv__ = __rtruediv__ = __floordiv__ = __rfloordiv__ = _computed_with
    __mod__ = __pow__ = __neg__ = __lt__ = __le__ = __gt__ = __ge__ = _computed_with
    __bool__ = __len__ = __iter__ = __index__ = __int__ = __float__ = _computed_with
    __getitem__ = __call__ = _computed_with


@dataclasses.dataclass(frozen=True, eq=False)
class Incoming:
    """An edge under construction: a source and the operation on it."""

    source: Node
    weighting: WeightingKind
    weight: "str | Parameter | None" = None
    backward: "BackwardKind | Parameter | str | None" = None


def input(name: str, shape: tuple[int, ...], dtype: Numbers = "float") -> Node:
    """Declares an input: a capsule whose Y is given.

    Args:
        name: Its name; the batch names the array by it.
        shape: Shape of one example. The batch axis is never declared.
        dtype: "float", or "integer" for what `cj.embed` looks up, such as tokens.

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
    return Node(name, shape=tuple(shape), dtype=dtype)


def learned(name: str, shape: tuple[int, ...]) -> Node:
    """Declares a learned input: Y is a parameter, the same for every example.

    It is `B` of the paper's total input with nothing else in the sum; zero at first.

    Args:
        name: Its name: the parameter is `{name: {"B": array}}`.
        shape: Shape of Y.

    Returns:
        A node to be the source of edges.

    Example:
        >>> import capsjax as cj
        >>> patches = cj.input("patches", (196, 64))
        >>> token = cj.learned("token", (1, 64))
        >>> both = cj.place(token, axis=0), cj.place(patches, axis=0)
        >>> tokens = cj.capsule("tokens", *both, bias="full")
        >>> cj.compile(cj.graph(tokens)).shapes["tokens"].output
        (197, 64)
    """
    return dataclasses.replace(input(name, shape), learned=True)


def share(edge: Incoming, weight: str) -> Incoming:
    """Gives the weight of an edge a name: edges that name the same weight share it.

    Its gradients add up. It stands among the parameters as `{weight: {"W": array}}`.
    Inside a block the name means the same weight in every use.

    Args:
        edge: An edge with a weight, such as `cj.matmul(x, 10)`.
        weight: The weight's name, which no capsule has.

    Returns:
        The edge.

    Raises:
        TypeError: The first argument is no edge.

    Example:
        >>> import capsjax as cj, jax
        >>> a, b = cj.input("a", (8,)), cj.input("b", (8,))
        >>> left = cj.capsule("left", cj.share(cj.matmul(a, 4), "twin"))
        >>> right = cj.capsule("right", cj.share(cj.matmul(b, 4), "twin"))
        >>> far = cj.capsule("far", cj.identity(left), cj.scale(right), bias=None)
        >>> params, state = cj.compile(cj.graph(far)).init(jax.random.key(0))
        >>> params["twin"]["W"].shape
        (8, 4)
    """
    if not isinstance(edge, Incoming):
        raise TypeError(
            f"cj.share takes an edge, such as cj.matmul(source, 10), not {edge!r}"
        )
    return dataclasses.replace(edge, weight=weight)


def with_backward(edge: Incoming, rule: "BackwardKind | Parameter | str") -> Incoming:
    """Says how the error signal travels back over an edge.

    Args:
        edge: An edge, such as `cj.matmul(x, 10)`.
        rule: A backward rule: a name, or `cj.backward.NAME(settings)`.

    Returns:
        The edge.

    Raises:
        TypeError: The first argument is no edge, or the rule is neither a name nor a
            record.

    Example:
        >>> import capsjax as cj
        >>> x = cj.input("x", (8,))
        >>> h = cj.capsule("h", cj.matmul(x, 4), cap="tanh")
        >>> halved = cj.with_backward(cj.matmul(h, 2), cj.backward.scale(0.5))
        >>> net = cj.compile(cj.graph(cj.capsule("y", halved)))
    """
    if not isinstance(edge, Incoming):
        raise TypeError(
            "cj.with_backward takes an edge, such as cj.matmul(source, 10), not "
            f"{edge!r}"
        )
    require_rule(rule, f"the edge from {edge.source.name!r}")
    return dataclasses.replace(edge, backward=rule)


def require_rule(rule: Any, place: str) -> None:
    """Raises `TypeError` unless it is a backward rule that a document can name."""
    if not isinstance(rule, str | Parameter):
        example = 'cj.backward.scale(0.5), or a name, "stop"'
        _require_record(rule, BACKWARDS, f"{place}: a backward rule", example)


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
        Matmul(features=10, transposed=False)
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
    cap: "CapKind | Parameter | str" = "identity",
    bias: "Bias | Parameter" = "channel",
    backward: "BackwardKind | Parameter | str | None" = None,
) -> Node:
    """Declares a capsule, `Y = cap(sum of W (x) Y_in + B)`.

    Args:
        name: Its name; parameters, error signals and targets are named by it.
        *incoming: One or several edges, such as `cj.matmul(source, 10)`.
        cap: The capsule function: a name, or `cj.caps.NAME(settings)`.
        bias: `"full"`, a tensor of U's shape, as in the paper; `"channel"`, one
            number per entry of the last axis; `None`, no bias.
        backward: How error signals travel here, exactly if left out: a name, or
            `cj.backward.NAME(settings)`. A rule that acts on edges holds for all edges
            into the capsule that it fits.

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
    if not isinstance(cap, str | Parameter):
        what = f"capsule {name!r}: a capsule function"
        _require_record(cap, CAPS, what, 'cj.caps.route(3), or a name, "relu"')
    if backward is not None:
        require_rule(backward, f"capsule {name!r}")
    return Node(name, incoming=incoming, cap=cap, bias=bias, backward=backward)


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
            stack += [(source, False) for source in reversed(node.sources)]
    return list(done.values())


def input_document(given: Any) -> dict[str, Any]:
    """An `Input`, or the node of one, as it stands in the document."""
    form: dict[str, Any] = {"name": given.name, "shape": list(given.shape)}
    if given.dtype != "float":
        form["dtype"] = given.dtype
    return form | ({"learned": True} if given.learned else {})


def capsule_document(node: Node) -> dict[str, Any]:
    """A node as it stands in the document."""
    return {
        "name": node.name,
        "from": [edge_document(each.source.name, each) for each in node.incoming],
        "cap": kind_document(node.cap),
        "bias": plain_value(node.bias),
        **backward_document(node.backward),
    }


def edge_document(source: str, edge: Incoming | Edge) -> dict[str, Any]:
    """An edge as it stands in the document."""
    form = {"source": source, **kind_document(edge.weighting)}
    if edge.weight is not None:
        form["weight"] = plain_value(edge.weight)
    return form | backward_document(edge.backward)


def backward_document(rule: Any) -> dict[str, Any]:
    """A backward rule as it stands in an object of the document, if there is one."""
    return {} if rule is None else {"backward": kind_document(rule)}


def kind_document(kind: "Kind | Parameter | str") -> dict[str, Any]:
    """A kind with its settings as it stands in the document."""
    if isinstance(kind, str):
        return {"kind": kind}
    if isinstance(kind, Parameter):
        return plain_value(kind)
    settings = {key: plain_value(value) for key, value in kind.settings().items()}
    return {"kind": kind.kind, **settings}


def plain_value(value: Any) -> Any:
    """A setting as it stands in the document: parameters of blocks by name."""
    if isinstance(value, Parameter):
        return {"parameter": value.name}
    if isinstance(value, Kind):
        return kind_document(value)
    if isinstance(value, list | tuple):
        return [plain_value(inner) for inner in value]
    return value


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
