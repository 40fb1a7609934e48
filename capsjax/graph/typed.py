"""The typed graph: the declaration with every shape known.

It is what the checks produce and what the compiler's passes rewrite. All shapes are
per example. Capsules stand in topological order.
"""

import dataclasses
import math
from typing import Any

from capsjax.graph.declaration import Graph
from capsjax.graph.kinds import Shape


@dataclasses.dataclass(frozen=True)
class TypedEdge:
    """A weighted edge with its shapes.

    Attributes:
        source: Name of the capsule that is read.
        key: Name of the edge among those into its capsule: the source's name, with
            `#2`, `#3`, ... for further edges from the same source.
        weighting: The operation (a `Weighting`), all settings resolved. The records'
            array functions are the compiler's business: to graph they are `Any`.
        source_shape: Shape of Y of the source.
        shape: Shape of the contribution to U.
        weight_shape: Shape of W, or None.
    """

    source: str
    key: str
    weighting: Any
    source_shape: Shape
    shape: Shape
    weight_shape: Shape | None


@dataclasses.dataclass(frozen=True)
class Concatenation:
    """Edges that fill U slot by slot along an axis: one term instead of many."""

    edges: tuple[TypedEdge, ...]
    axis: int


Term = TypedEdge | Concatenation


@dataclasses.dataclass(frozen=True)
class TypedCapsule:
    """A capsule with its shapes: `U = sum of terms + B`, `Y = cap(U)`."""

    name: str
    terms: tuple[Term, ...]
    cap: Any
    bias_shape: Shape | None
    total_input: Shape
    output: Shape

    @property
    def edges(self) -> tuple[TypedEdge, ...]:
        """All edges, also those inside concatenations."""
        edges: list[TypedEdge] = []
        for term in self.terms:
            edges += term.edges if isinstance(term, Concatenation) else (term,)
        return tuple(edges)

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the capsules read, each once, in order."""
        return tuple(dict.fromkeys(edge.source for edge in self.edges))

    @property
    def parameter_count(self) -> int:
        """Number of weights and biases."""
        shapes = [edge.weight_shape for edge in self.edges]
        shapes.append(self.bias_shape)
        return sum([math.prod(shape) for shape in shapes if shape is not None])


@dataclasses.dataclass(frozen=True)
class TypedLoss:
    """A loss on an output.

    Attributes:
        output: Name of the capsule.
        loss: The loss (a `Loss`).
        from_total_input: Whether cap and loss are computed as one, from U.
    """

    output: str
    loss: Any
    from_total_input: bool = False


@dataclasses.dataclass(frozen=True)
class TypedGraph:
    """A graph with every shape known, in topological order."""

    graph: Graph
    inputs: tuple[tuple[str, Shape], ...]
    capsules: tuple[TypedCapsule, ...]
    outputs: tuple[str, ...]
    losses: tuple[TypedLoss, ...]

    @property
    def parameter_count(self) -> int:
        """Number of weights and biases of all capsules, a Python integer."""
        return sum(capsule.parameter_count for capsule in self.capsules)
