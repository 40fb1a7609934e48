"""The typed graph: the declaration with every shape known.

It is what the checks produce and what the compiler's passes rewrite. All shapes are
per example. Capsules stand in topological order.
"""

import dataclasses
import math
from typing import Any, NamedTuple

import numpy as np

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
        weight: Name of W, if it is shared.
    """

    source: str
    key: str
    weighting: Any
    source_shape: Shape
    shape: Shape
    weight_shape: Shape | None
    weight: str | None = None


@dataclasses.dataclass(frozen=True)
class Concatenation:
    """Edges that fill U slot by slot along an axis: one term instead of many."""

    edges: tuple[TypedEdge, ...]
    axis: int


Term = TypedEdge | Concatenation


@dataclasses.dataclass(frozen=True)
class TypedCapsule:
    """A capsule with its shapes: `U = sum of terms + B`, `Y = cap(U)`.

    A learned input has no terms: `U = B`.
    """

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
    def produces(self) -> tuple[str, ...]:
        """Names of the arrays that others read."""
        return (self.name,)

    @property
    def shapes(self) -> tuple[Shape, Shape]:
        """Shapes of U and Y."""
        return self.total_input, self.output

    @property
    def state_shapes(self) -> dict[str, Shape]:
        """Shapes of what the capsule function carries from step to step."""
        return self.cap.state_shapes(self.total_input)

    @property
    def cap_shapes(self) -> dict[str, Shape]:
        """Shapes of parameters of the capsule function's own."""
        return self.cap.parameter_shapes(self.total_input)

    @property
    def learns(self) -> bool:
        """Whether it has parameters, shared ones among them."""
        return bool(self.parameter_count) or any(edge.weight for edge in self.edges)

    @property
    def parameter_count(self) -> int:
        """Number of weights, biases and parameters of the capsule function.

        Shared weights are no single capsule's: `TypedGraph.shared` has them.
        """
        shapes = [edge.weight_shape for edge in self.edges if edge.weight is None]
        shapes += [self.bias_shape, *self.cap_shapes.values()]
        return sum([math.prod(shape) for shape in shapes if shape is not None])


class Reading(NamedTuple):
    """An array that a group reads.

    Attributes:
        source: The capsule or input whose Y it is.
        rows: How many units Y holds along its first axis; None if Y is one unit.
    """

    source: str
    rows: int | None


class Writing(NamedTuple):
    """An array that a group gives to the rest of the graph.

    Attributes:
        name: What others read it by.
        members: The member whose Y it is, or the members whose Ys stand along its
            first axis.
    """

    name: str
    members: int | np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class TypedGroup:
    """Many small capsules that are alike, as one: a graph of units, held as arrays.

    Every member has U and Y of the same shape, the unit, and reads units, over edges of
    one weighting operation. Edges refer to rows: the units of the readings, then the
    members.

    Attributes:
        name: Its name among the capsules.
        unit: Shape of U and Y of a member.
        weighting: The operation of every edge (a `Weighting`).
        weight_shape: Shape of W of an edge, or None.
        bias_shape: Shape of B of a member, or None.
        caps: The distinct capsule functions.
        cap_of: Which of them each member has, [members].
        readings: The arrays that are read.
        writings: The arrays that others read.
        edge_sources: Row that each edge reads, [edges].
        edge_targets: Member that it goes into, [edges].
        weights: Declared values of W by edge, or None where they are drawn.
        biases: Declared values of B by member, or None where they are zero.
        members: Names of members that are capsules of the declaration; none for
            neurons, which are known by number.
        keys: The key of each edge among those into its member; none for neurons.
    """

    name: str
    unit: Shape
    weighting: Any
    weight_shape: Shape | None
    bias_shape: Shape | None
    caps: tuple[Any, ...]
    cap_of: np.ndarray
    readings: tuple[Reading, ...]
    writings: tuple[Writing, ...]
    edge_sources: np.ndarray
    edge_targets: np.ndarray
    weights: np.ndarray | None = None
    biases: np.ndarray | None = None
    members: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Number of members."""
        return len(self.cap_of)

    @property
    def shapes(self) -> tuple[Shape, Shape]:
        """Shapes of U and Y of all members."""
        shape = (self.size, *self.unit)
        return shape, shape

    @property
    def outer(self) -> int:
        """Number of rows that are read from outside."""
        return sum(1 if each.rows is None else each.rows for each in self.readings)

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the capsules read, each once, in order."""
        return tuple(dict.fromkeys(each.source for each in self.readings))

    @property
    def produces(self) -> tuple[str, ...]:
        """Names of the arrays that others read."""
        return tuple(writing.name for writing in self.writings)

    @property
    def learns(self) -> bool:
        """Whether it has parameters."""
        return bool(self.parameter_count)

    @property
    def parameter_count(self) -> int:
        """Number of weights and biases."""
        count = 0
        if self.weight_shape is not None:
            count += len(self.edge_sources) * math.prod(self.weight_shape)
        if self.bias_shape is not None:
            count += self.size * math.prod(self.bias_shape)
        return count

    def written(self, writing: Writing) -> Shape:
        """Shape of an array that others read, per example."""
        if isinstance(writing.members, np.ndarray):
            return (len(writing.members), *self.unit)
        return self.unit


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
    """A graph with every shape known, in topological order.

    Attributes:
        graph: The declaration, or what has its `name`, `inputs` and `losses`.
        inputs: Names and shapes of what is given, integers among them.
        capsules: Capsules, and groups of them.
        outputs: Names of capsules.
        losses: Losses on outputs.
        integers: Names of the inputs that hold integers.
    """

    graph: Any
    inputs: tuple[tuple[str, Shape], ...]
    capsules: tuple[TypedCapsule | TypedGroup, ...]
    outputs: tuple[str, ...]
    losses: tuple[TypedLoss, ...]
    integers: frozenset[str] = frozenset()

    @property
    def caps(self) -> dict[str, Any]:
        """Capsule function of every capsule that stands alone, by name."""
        return {c.name: c.cap for c in self.capsules if isinstance(c, TypedCapsule)}

    @property
    def groups(self) -> tuple[TypedGroup, ...]:
        """The groups."""
        return tuple(c for c in self.capsules if isinstance(c, TypedGroup))

    @property
    def shared(self) -> dict[str, tuple[TypedCapsule, TypedEdge]]:
        """Shared weights by name: the first edge that names each, and its capsule."""
        found: dict[str, tuple[TypedCapsule, TypedEdge]] = {}
        for capsule in self.capsules:
            if isinstance(capsule, TypedCapsule):
                for edge in capsule.edges:
                    if edge.weight is not None:
                        found.setdefault(edge.weight, (capsule, edge))
        return found

    @property
    def parameter_count(self) -> int:
        """Number of all parameters, a Python integer."""
        shapes = [edge.weight_shape or () for _, edge in self.shared.values()]
        shared = sum(math.prod(shape) for shape in shapes)
        return shared + sum(capsule.parameter_count for capsule in self.capsules)
