"""The typed graph: the declaration with every shape known.

It is what the checks produce and what the compiler's passes rewrite. All shapes are
per example. Capsules stand in topological order.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from capsjax.graph.kinds import Shape


class Merged(NamedTuple):
    """Where an edge's product stands in one that it shares with its siblings.

    The weights of siblings stand side by side in one array, and so do their products:
    along the last axis.

    Attributes:
        capsule: Name of the capsule under which the array stands.
        key: Its key there, `x+2` for the edge `x` and two siblings.
        offset: Where this edge's part begins.
        size: Size of all parts together.
    """

    capsule: str
    key: str
    offset: int
    size: int


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
        merged: Where its product stands, if it is one with its siblings'.
        backward: How the error signal travels back over it; None if exactly.
    """

    source: str
    key: str
    weighting: Any
    source_shape: Shape
    shape: Shape
    weight_shape: Shape | None
    weight: str | None = None
    merged: Merged | None = None
    backward: Any = None

    @property
    def feedback_shape(self) -> Shape | None:
        """Shape of what its backward rule carries in the state."""
        if self.backward is None:
            return None
        return self.backward.feedback_shape(self.weight_shape)


@dataclasses.dataclass(frozen=True)
class Concatenation:
    """Edges that fill U slot by slot along an axis: one term instead of many."""

    edges: tuple[TypedEdge, ...]
    axis: int


Term = TypedEdge | Concatenation


class Received(NamedTuple):
    """What a capsule receives as dL/dY in place of what its readers send.

    Attributes:
        rule: The backward rule.
        outputs: Names and shapes of U of the outputs whose error signals it takes.
    """

    rule: Any
    outputs: tuple[tuple[str, Shape], ...]


@dataclasses.dataclass(frozen=True)
class TypedCapsule:
    """A capsule with its shapes: `U = sum of terms + B`, `Y = cap(U)`.

    A learned input has no terms: `U = B`. `backward` is the rule on its function, and
    `received` that on what it receives; None where they are exact.
    """

    name: str
    terms: tuple[Term, ...]
    cap: Any
    bias_shape: Shape | None
    total_input: Shape
    output: Shape
    backward: Any = None
    received: Received | None = None

    @property
    def edges(self) -> tuple[TypedEdge, ...]:
        """All edges, also those inside concatenations."""
        edges: list[TypedEdge] = []
        for term in self.terms:
            edges += term.edges if isinstance(term, Concatenation) else (term,)
        return tuple(edges)

    def with_edges(
        self, edge: Callable[[TypedEdge], TypedEdge], **more: Any
    ) -> "TypedCapsule":
        """The capsule with other edges, those inside concatenations too.

        Args:
            edge: Makes another edge of each, in order.
            **more: What else is another.
        """

        def term(old: Term) -> Term:
            if isinstance(old, Concatenation):
                return Concatenation(tuple(map(edge, old.edges)), old.axis)
            return edge(old)

        return dataclasses.replace(self, terms=tuple(map(term, self.terms)), **more)

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the capsules read, each once, in order."""
        return tuple(dict.fromkeys(edge.source for edge in self.edges))

    @property
    def made(self) -> dict[str, Shape]:
        """The arrays that others read: names and shapes."""
        return {self.name: self.output}

    @property
    def stands_for(self) -> tuple[str, ...]:
        """Names of the declaration's capsules that it holds."""
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
    def received_shapes(self) -> dict[str, Shape]:
        """Shapes of what carries the outputs' error signals to it, by output."""
        size = math.prod(self.output)
        outputs = () if self.received is None else self.received.outputs
        return {name: (math.prod(shape), size) for name, shape in outputs}

    @property
    def feedback_shapes(self) -> dict[str, Shape]:
        """Shapes of what backward rules carry in the state, by edge or output."""
        edges = {edge.key: edge.feedback_shape for edge in self.edges}
        own = {key: shape for key, shape in edges.items() if shape is not None}
        return own | self.received_shapes

    @property
    def ruled(self) -> bool:
        """Whether a backward rule acts on it or on an edge into it."""
        own = self.backward is not None or self.received is not None
        return own or any(edge.backward is not None for edge in self.edges)

    @property
    def learning_rules(self) -> bool:
        """Whether a rule on an edge into it carries what changes in training."""
        return any(e.backward is not None and e.backward.learns for e in self.edges)

    @property
    def draws(self) -> bool:
        """Whether its function, or a rule on an edge into it, draws in training."""
        rules = (edge.backward for edge in self.edges)
        return self.cap.draws or any(rule and rule.draws for rule in rules)

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
        backward: How the error signal travels back over its edges; None if exactly.
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
    backward: Any = None

    @property
    def ruled(self) -> bool:
        """Whether a backward rule acts on its edges."""
        return self.backward is not None

    @property
    def learning_rules(self) -> bool:
        """Whether that rule carries what changes in training."""
        return self.backward is not None and self.backward.learns

    @property
    def feedback_shapes(self) -> dict[str, Shape]:
        """Shape of what its backward rule carries in the state for all edges."""
        if self.backward is None or self.weight_shape is None:
            return {}
        shape = self.backward.feedback_shape(self.weight_shape)
        return {} if shape is None else {"edges": (len(self.edge_sources), *shape)}

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
    def made(self) -> dict[str, Shape]:
        """The arrays that others read: names and shapes."""
        return {each.name: self.written(each) for each in self.writings}

    @property
    def stands_for(self) -> tuple[str, ...]:
        """Names of the declaration's capsules that it holds; its own for neurons."""
        return self.members or (self.name,)

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


class Carried(NamedTuple):
    """An array that each copy of a run hands to the next.

    Attributes:
        slot: The name by which the body reads it.
        source: The capsule or input that the first copy reads in its place.
        output: The body's capsule whose Y it is.
    """

    slot: str
    source: str
    output: str


@dataclasses.dataclass(frozen=True)
class TypedRun:
    """Equal copies of a sub-graph in a row, as one: each reads what the last one gave.

    The body is a graph of its own. Its capsules stand for those of every copy, and are
    called after the first of them: `layer1/h+23` for `layer1/h` to `layer24/h`. Its
    inputs are the slots of what is carried, and what all copies read alike.

    Attributes:
        name: Its name among the capsules.
        body: One copy.
        carried: What goes from copy to copy.
        copies: For each copy, the names of its capsules, in the order of the body.
        keys: For each copy, the keys of all edges, in the order of the body's.
    """

    name: str
    body: "TypedGraph"
    carried: tuple[Carried, ...]
    copies: tuple[tuple[str, ...], ...]
    keys: tuple[tuple[str, ...], ...]

    @property
    def size(self) -> int:
        """Number of copies."""
        return len(self.copies)

    @property
    def constants(self) -> tuple[str, ...]:
        """Names of what all copies read alike."""
        slots = {each.slot for each in self.carried}
        return tuple(name for name, _ in self.body.inputs if name not in slots)

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the capsules read, each once, in order."""
        first = (each.source for each in self.carried)
        return tuple(dict.fromkeys((*first, *self.constants)))

    @property
    def last(self) -> dict[str, str]:
        """The body's outputs, and the names of the last copy's, which others read."""
        names = [capsule.name for capsule in self.body.capsules]
        last = dict(zip(names, self.copies[-1], strict=True))
        return {each.output: last[each.output] for each in self.carried}

    @property
    def made(self) -> dict[str, Shape]:
        """The arrays that others read: names and shapes."""
        return {name: self.capsule(own).output for own, name in self.last.items()}

    @property
    def stands_for(self) -> tuple[str, ...]:
        """Names of the declaration's capsules that it holds."""
        return tuple(name for copy in self.copies for name in copy)

    @property
    def members(self) -> dict[str, tuple[str, ...]]:
        """The names that each capsule of the body stands for, copy by copy."""
        names = [capsule.name for capsule in self.body.capsules]
        return dict(zip(names, zip(*self.copies, strict=True), strict=True))

    @property
    def learns(self) -> bool:
        """Whether it has parameters, shared ones among them."""
        return any(capsule.learns for capsule in self.body.capsules)

    @property
    def parameter_count(self) -> int:
        """Number of weights and biases of all copies, without shared ones."""
        own = sum(capsule.parameter_count for capsule in self.body.capsules)
        return self.size * own

    def capsule(self, name: str) -> TypedCapsule:
        """A capsule of the body."""
        (found,) = (c for c in self.body.alone if c.name == name)
        return found


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
        capsules: Capsules, groups of them, and runs.
        outputs: Names of capsules.
        losses: Losses on outputs.
        integers: Names of the inputs that hold integers.
    """

    graph: Any
    inputs: tuple[tuple[str, Shape], ...]
    capsules: tuple[TypedCapsule | TypedGroup | TypedRun, ...]
    outputs: tuple[str, ...]
    losses: tuple[TypedLoss, ...]
    integers: frozenset[str] = frozenset()

    @property
    def alone(self) -> tuple[TypedCapsule, ...]:
        """The capsules that stand alone: not in a group or a run."""
        return tuple(c for c in self.capsules if isinstance(c, TypedCapsule))

    @property
    def unfolded(self) -> tuple[TypedCapsule | TypedGroup, ...]:
        """All but runs, which only the compiler makes."""
        return tuple(c for c in self.capsules if not isinstance(c, TypedRun))

    @property
    def caps(self) -> dict[str, Any]:
        """Capsule function of every capsule that stands alone, by name."""
        return {capsule.name: capsule.cap for capsule in self.alone}

    @property
    def groups(self) -> tuple[TypedGroup, ...]:
        """The groups."""
        return tuple(c for c in self.capsules if isinstance(c, TypedGroup))

    @property
    def runs(self) -> tuple[TypedRun, ...]:
        """The runs."""
        return tuple(c for c in self.capsules if isinstance(c, TypedRun))

    @property
    def shared(self) -> dict[str, tuple[TypedCapsule, TypedEdge]]:
        """Shared weights by name: the first edge that names each, and its capsule."""
        found: dict[str, tuple[TypedCapsule, TypedEdge]] = {}
        for each in self.capsules:
            if isinstance(each, TypedRun):
                found = each.body.shared | found
            elif isinstance(each, TypedCapsule):
                for edge in each.edges:
                    if edge.weight is not None:
                        found.setdefault(edge.weight, (each, edge))
        return found

    @property
    def parameter_count(self) -> int:
        """Number of all parameters, a Python integer."""
        shapes = [edge.weight_shape or () for _, edge in self.shared.values()]
        shared = sum(math.prod(shape) for shape in shapes)
        return shared + sum(capsule.parameter_count for capsule in self.capsules)
