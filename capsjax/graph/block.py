"""Blocks in Python: a function that declares a sub-graph, used many times.

The function is called once, with stand-ins for its sources and its parameters, and
becomes a template in the document; the uses become entries that name it.
"""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from capsjax.graph.declaration import Node, Parameter, capsule_document, plain_value
from capsjax.graph.declaration import reachable as reachable_nodes

_RESERVED = ("name", "repeat", "first")


@dataclasses.dataclass(frozen=True)
class Each:
    """A value for each copy of a repeated block; made by `each`."""

    values: tuple[Any, ...]


def each(values: Iterable[Any]) -> Each:
    """Gives each copy of a repeated block a value of its own.

    Args:
        values: As many values as there are copies.

    Returns:
        What a use of a block takes as a parameter's value.

    Example:
        >>> import capsjax as cj
        >>> @cj.block
        ... def dense(x, *, features):
        ...     return cj.capsule("h", cj.matmul(x, features), cap="relu")
        >>> x = cj.input("x", (8,))
        >>> y = dense("layer", x, features=cj.each([32, 16]), repeat=2)
        >>> cj.compile(cj.graph(y)).shapes["layer2/h"].output
        (16,)
    """
    return Each(tuple(values))


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class UseNode(Node):
    """A use of a block under construction; as a source, the block's output.

    `node["conv1"]` is the capsule `conv1` inside; of a repeated block,
    `node["2/conv1"]` that of the second copy.
    """

    block: "Block" = None  # type: ignore
    read: tuple[Node, ...] = ()
    values: tuple[tuple[str, Any], ...] = ()
    repeat: Any = None
    first: int = 1

    @property
    def sources(self) -> tuple[Node, ...]:
        """The nodes that it reads."""
        return self.read

    def __getitem__(self, path: str) -> Node:
        between = "" if self.repeat is not None else "/"
        return InnerNode(f"{self.name}{between}{path}", use=self)

    def document(self) -> dict[str, Any]:
        """The use as it stands in the document."""
        entry: dict[str, Any] = {
            "name": self.name,
            "block": self.block.name,
            "from": [source.name for source in self.read],
        }
        if self.values:
            entry["with"] = {key: _value(value) for key, value in self.values}
        if self.repeat is not None:
            entry["repeat"] = plain_value(self.repeat)
        if self.first != 1:
            entry["first"] = self.first
        return entry

    def __repr__(self) -> str:
        return f"<use {self.name!r} of block {self.block.name!r}>"


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class InnerNode(Node):
    """A capsule inside the use of a block."""

    use: UseNode = None  # type: ignore

    @property
    def sources(self) -> tuple[Node, ...]:
        """The use."""
        return (self.use,)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Source(Node):
    """Stands for an input of a block while it is declared."""


class Block:
    """A named sub-graph with parameters; made by `block`.

    Attributes:
        name: Its name in documents.
        inputs: Names of what it reads, in order.
        parameters: Names of its parameters.
        defaults: Values of those that may be left out.
    """

    def __init__(self, function: Callable[..., Node]):
        self._function = function
        self.name = function.__name__
        self.__doc__ = function.__doc__
        found = inspect.signature(function).parameters.values()
        kinds = inspect.Parameter
        self.inputs = tuple(x.name for x in found if x.kind in _POSITIONAL)
        settings = [x for x in found if x.kind is kinds.KEYWORD_ONLY]
        self.parameters = tuple(x.name for x in settings)
        self.defaults = {
            x.name: x.default for x in settings if x.default is not x.empty
        }
        others = [
            x.name for x in found if x.kind not in (*_POSITIONAL, kinds.KEYWORD_ONLY)
        ]
        reserved = [name for name in self.parameters if name in _RESERVED]
        if others or reserved or not self.inputs:
            raise TypeError(
                f"block {self.name!r}: found "
                + (f"{(others + reserved)[0]!r}" if others + reserved else "no sources")
                + "; expected a function of sources, then * and its parameters, none "
                f"of them named {', '.join(_RESERVED)}: def {self.name}(x, *, features)"
            )

    def __call__(
        self,
        name: str,
        *sources: Node,
        repeat: Any = None,
        first: int = 1,
        **values: Any,
    ) -> UseNode:
        """Uses the block.

        Args:
            name: The use's name: the block's capsules are called `name/...`; of a
                repeated block `name1/...`, `name2/...`.
            *sources: What it reads, one for each of its inputs.
            repeat: How many copies, each behind the other: it reads the one before it
                wherever the first copy reads its first source.
            first: Number of the first copy.
            **values: Its parameters; `cj.each([...])` gives each copy its own.

        Returns:
            A node: the output of the (last) copy.

        Raises:
            TypeError: A source is no node. What else is wrong, `cj.graph` says.
        """
        for given in sources:
            if not isinstance(given, Node):
                raise TypeError(
                    f"use {name!r} of block {self.name!r} takes as sources what "
                    f"cj.input, cj.capsule or a block returned, not {given!r}"
                )
        return UseNode(
            name,
            block=self,
            read=sources,
            values=tuple(values.items()),
            repeat=repeat,
            first=first,
        )

    @functools.cached_property
    def _nodes(self) -> list[Node]:
        """The nodes that the function declares, the output last."""
        stand_ins = [Source(name) for name in self.inputs]
        settings = {name: Parameter(name, self.name) for name in self.parameters}
        output = self._function(*stand_ins, **settings)
        if not isinstance(output, Node) or isinstance(output, Source | InnerNode):
            raise TypeError(
                f"block {self.name!r} returned {output!r}; expected a capsule or a use "
                "of a block, its output"
            )
        nodes = reachable_nodes((output,))
        unread = [each.name for each in stand_ins if each not in nodes]
        if unread:
            raise TypeError(
                f"block {self.name!r}: nothing reads {unread[0]!r}; give a capsule an "
                "edge from it, or remove it"
            )
        foreign = [n.name for n in nodes if n.shape is not None]
        if foreign:
            raise TypeError(
                f"block {self.name!r} reads the input {foreign[0]!r} from outside, or "
                "declares it; make it one of the block's sources"
            )
        return nodes

    def document(self) -> dict[str, Any]:
        """The block as it stands in the document."""
        form: dict[str, Any] = {"inputs": list(self.inputs)}
        if self.parameters:
            form["parameters"] = list(self.parameters)
        if self.defaults:
            form["defaults"] = {k: _value(v) for k, v in self.defaults.items()}
        form["capsules"] = entries(self._nodes)
        return form

    @property
    def blocks(self) -> "list[Block]":
        """The blocks that it uses itself."""
        return [node.block for node in self._nodes if isinstance(node, UseNode)]

    def __repr__(self) -> str:
        return f"<block {self.name!r} of {', '.join(self.inputs)}>"


_POSITIONAL = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
)


def block(function: Callable[..., Node]) -> Block:
    """Makes a block of a function that declares capsules, as a decorator.

    The function takes its sources by position and its parameters by keyword. It is
    called once, with stand-ins: parameters may be given on as settings, and not be
    computed with or branched on. Names inside are the block's own: the capsule `conv1`
    of the use `stage1` is called `stage1/conv1`.

    Args:
        function: `def name(x, *, features, stride=(1, 1))`; returns its output.

    Returns:
        The block; `block("stage1", source, features=64)` uses it.

    Raises:
        TypeError: The function's signature is another.

    Example:
        >>> import capsjax as cj
        >>> @cj.block
        ... def residual(x, *, features):
        ...     h = cj.capsule("h", cj.matmul(x, features), cap="relu")
        ...     return cj.capsule("out", cj.matmul(h, features), cj.identity(x))
        >>> x = cj.input("x", (16,))
        >>> y = residual("layer", x, features=16, repeat=3)
        >>> graph = cj.graph(y, name="residual")
        >>> [capsule.name for capsule in graph.capsules]
        ['layer1/h', 'layer1/out', 'layer2/h', 'layer2/out', 'layer3/h', 'layer3/out']
        >>> graph.outputs
        ('layer3/out',)
    """
    return Block(function)


def entries(nodes: Iterable[Node]) -> list[dict[str, Any]]:
    """Capsules and uses as they stand in a document, in order."""
    found = []
    for node in nodes:
        if isinstance(node, UseNode):
            found.append(node.document())
        elif node.shape is None and not isinstance(node, InnerNode | Source):
            found.append(capsule_document(node))
    return found


def blocks_document(nodes: Iterable[Node]) -> dict[str, Any]:
    """The blocks that nodes use, and those that these use, by name.

    Raises:
        TypeError: Two different blocks have one name.
    """
    known: dict[str, Block] = {}
    waiting = [node.block for node in nodes if isinstance(node, UseNode)]
    for found in waiting:
        there = known.setdefault(found.name, found)
        if there is found:
            waiting += [inner for inner in found.blocks if inner.name not in known]
        elif there.document() != found.document():
            raise TypeError(
                f"two different blocks are called {found.name!r}; rename one of them"
            )
    return {name: each.document() for name, each in known.items()}


def _value(value: Any) -> Any:
    """A parameter's value as it stands in the document."""
    if isinstance(value, Each):
        return {"each": [plain_value(v) for v in value.values]}
    if isinstance(value, Mapping):
        return {key: _value(v) for key, v in value.items()}
    return plain_value(value)
