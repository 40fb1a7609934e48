"""The generation theorem as a function: a connected DAG in, its derivation out."""

import dataclasses
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from capsjax.displayed import Displayed
from capsjax.graph.errors import GraphError, Problem, brief, listing
from capsjax.graph.kinds import CapKind
from capsjax.graph.levels import group
from capsjax.neural.components import networks_read
from capsjax.neural.network import NeuralNetwork, network
from capsjax.neural.representation import induced_network

_MOST_LINES = 40


class Step(NamedTuple):
    """One application of a rule.

    Attributes:
        number: Its position in the derivation, from 0.
        rule: `variable`, `growth` or `convergence`.
        name: The node that it adds.
        networks: Numbers of the steps that made the networks it is applied to.
        sources: For each of them, the nodes that the new neuron reads.
    """

    number: int
    rule: str
    name: Any
    networks: tuple[int, ...]
    sources: tuple[tuple[Any, ...], ...]

    def __str__(self) -> str:
        read = [
            f"{{{listing(map(brief, subset), 8)}}} of step {made}"
            for made, subset in zip(self.networks, self.sources, strict=True)
        ]
        head = f"step {self.number}: {self.rule} {brief(self.name)}"
        return f"{head} reads {listing(read, 8)}" if read else head


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Derivation(Displayed):
    """A sequence of rule applications that generates a network; made by `derive`.

    Every step adds one node. A step without sources is the rule of variable; one whose
    sources lie in one network is the rule of growth; otherwise the networks converge.
    The result of every step but the last is used by one later step: the steps are a
    tree. Immutable: the arrays are read-only. `len`, iteration and indexing give
    steps that can be read, `str` the tree.

    Attributes:
        names: The node that each step adds, [N].
        offsets: Where the connections of each step begin, [N + 1].
        sources: The step that added the node that each connection leaves, [E].
        operands: The step whose network that node is taken from, [E].
        activations: The distinct capsule functions.
        activation_of: Which of them each step's neuron has; -1 for a variable, [N].
        weights: Of the connections, [E], or None where they are to be drawn.
        biases: Of the nodes, 0 for a variable, [N]; None where they are to be drawn.
    """

    names: np.ndarray
    offsets: np.ndarray
    sources: np.ndarray
    operands: np.ndarray
    activations: tuple[CapKind, ...]
    activation_of: np.ndarray
    weights: np.ndarray | None
    biases: np.ndarray | None

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, number: int) -> Step:
        number = range(len(self))[number]
        own = slice(self.offsets[number], self.offsets[number + 1])
        read: dict[int, list[Any]] = {}
        names = self.names[self.sources[own]].tolist()
        for made, name in zip(self.operands[own].tolist(), names, strict=True):
            read.setdefault(made, []).append(name)
        rule = ("variable", "growth", "convergence")[min(len(read), 2)]
        made = sorted(read)
        subsets = tuple(tuple(read[each]) for each in made)
        return Step(number, rule, self.names[number].item(), tuple(made), subsets)

    def __iter__(self) -> Iterator[Step]:
        return (self[number] for number in range(len(self)))

    def __repr__(self) -> str:
        variables = int(np.count_nonzero(np.diff(self.offsets) == 0))
        first = self.operands[self.offsets[:-1][np.diff(self.offsets) > 0]]
        whole = np.repeat(first, np.diff(self.offsets)[np.diff(self.offsets) > 0])
        merging = np.unique(self._steps[self.operands != whole]).size
        growths = len(self) - variables - merging
        return (
            f"Derivation({len(self):,} steps: {variables:,} variable, "
            f"{growths:,} growth, {merging:,} convergence)"
        )

    def __str__(self) -> str:
        return self.tree(_MOST_LINES)

    def tree(self, most: int | None = None) -> str:
        """The derivation as a tree, the last step on top.

        What a step is applied to stands below it; the networks that converge are
        branches.

        Args:
            most: How many steps to show; None: all.
        """
        lines = []
        waiting = [(len(self) - 1, "", "")]
        while waiting and len(lines) != most:
            number, head, margin = waiting.pop()
            step = self[number]
            lines.append(head + str(step))
            branches = len(step.networks)
            for i, made in enumerate(reversed(step.networks)):
                if branches == 1:
                    waiting.append((made, margin, margin))
                else:
                    lead, below = ("└── ", "    ") if i == 0 else ("├── ", "│   ")
                    waiting.append((made, margin + lead, margin + below))
        if left := len(self) - len(lines):
            lines.append(f"... and {left:,} more steps; tree() shows all")
        return "\n".join(lines)

    @property
    def _steps(self) -> np.ndarray:
        """The step that each connection belongs to, [E]."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))


def derive(graph: Any) -> Derivation:
    """The generation theorem: a derivation of any connected DAG by the rules.

    The vertices are added in topological order. One that reads nothing is a variable.
    One whose sources lie in one of the networks made so far grows it; one whose
    sources lie in several makes them converge. This is the theorem's proof, which
    takes an output vertex away and goes on with the rest, read forwards. Near-linear.

    Args:
        graph: A `NeuralNetwork`, or whatever `induced_network` takes.

    Returns:
        The derivation; `replay` makes the network again.

    Raises:
        GraphError: The graph is not a connected DAG.

    Example:
        >>> from capsjax.neural import derive, network, replay
        >>> net = network(["x1", "x2"], ["h1", "h2"], [0, 1, 2], [2, 3, 3])
        >>> print(derive(net))
        step 3: convergence 'h2' reads {'x2'} of step 1, {'h1'} of step 2
        ├── step 1: variable 'x2'
        └── step 2: growth 'h1' reads {'x1'} of step 0
            step 0: variable 'x1'
        >>> replay(derive(net)) == net
        True

    Source: Li & Shan, arXiv 1805.03551, Section 2, the theorem on induced networks.
    """
    net = graph if isinstance(graph, NeuralNetwork) else induced_network(graph)
    count, inputs = len(net.names), len(net.inputs)
    if np.all(net.sources < net.targets):
        order = np.arange(count)  # an order that is topological is kept
    else:
        order = np.argsort(net.levels, kind="stable")
    step_of = np.empty(count, np.int32)
    step_of[order] = np.arange(count, dtype=np.int32)
    edges, offsets = group(step_of[net.targets], count)
    sources = step_of[net.sources[edges]]
    neurons = order[inputs:] - inputs
    codes = np.concatenate([np.full(inputs, -1), net.activation_of[neurons]])
    biases = None
    if net.biases is not None:
        biases = np.concatenate([np.zeros(inputs), net.biases[neurons]])
    derivation = Derivation(
        net.names[order],
        offsets,
        sources,
        networks_read(sources, offsets, inputs),
        net.activations,
        codes,
        None if net.weights is None else net.weights[edges],
        biases,
    )
    for each in vars(derivation).values():
        if isinstance(each, np.ndarray):
            each.setflags(write=False)
    return derivation


def replay(derivation: Derivation) -> NeuralNetwork:
    """The network that a derivation generates; every step's side conditions checked.

    Near-linear: no step builds a network of its own. Whether a node belongs to the
    network that a step made is read off the tree of steps, in which the steps that
    made a network are an interval.

    Args:
        derivation: The steps.

    Returns:
        The network, its nodes in the order of the steps.

    Raises:
        GraphError: A step breaks the condition of its rule, or the steps leave several
            networks.

    Example:
        >>> from capsjax.neural import derive, neuron, replay
        >>> replay(derive(neuron("h", ["x1", "x2"])))
        NeuralNetwork(2 inputs, 1 neuron, 2 connections, 2 levels, 1 output)

    Source: Li & Shan, arXiv 1805.03551, Section 2.
    """
    if not isinstance(derivation, Derivation):
        given: Any = derivation
        raise TypeError(
            f"replay takes a Derivation, not {type(given).__name__}; make one with "
            "cj.neural.derive(network)"
        )
    _check_steps(derivation)
    is_neuron = np.diff(derivation.offsets) > 0
    variables, neurons = np.flatnonzero(~is_neuron), np.flatnonzero(is_neuron)
    number = np.empty(len(derivation), np.int32)
    number[variables] = np.arange(len(variables))
    number[neurons] = np.arange(len(variables), len(derivation))
    biases = derivation.biases
    return network(
        derivation.names[variables],
        derivation.names[neurons],
        number[derivation.sources],
        number[derivation._steps],
        [derivation.activations[c] for c in derivation.activation_of[neurons].tolist()],
        weights=derivation.weights,
        biases=None if biases is None else biases[neurons],
    )


def _check_steps(derivation: Derivation) -> None:
    """The side conditions of all steps; raises at the first that is broken."""
    count, steps = len(derivation), derivation._steps
    for each in (derivation.sources, derivation.operands):
        _require(
            derivation,
            steps[(each < 0) | (each >= steps)],
            "a source or network of a step that does not come before it",
            "nodes and networks made by earlier steps",
        )
    _, first = np.unique(derivation.names, return_index=True)
    again = np.setdiff1d(np.arange(count), first, assume_unique=True)
    found = "a name that an earlier step has given"
    _require(derivation, again, found, "a new node: z or h is not among the others")

    used_by = np.full(count, -1)
    used_by[derivation.operands] = steps
    _require(
        derivation,
        steps[used_by[derivation.operands] != steps],
        "a network that another step uses too",
        "networks that are pairwise disjoint",
    )
    _require(
        derivation,
        np.flatnonzero(used_by[:-1] < 0),
        "a network that no later step uses",
        "one network at the end: every other one grows or converges",
    )
    start, size = _intervals(used_by.tolist())
    inside = start[derivation.sources] - start[derivation.operands]
    _require(
        derivation,
        steps[(inside < 0) | (inside >= size[derivation.operands])],
        "a source that is no node of the network it is taken from",
        "N and every A_k: subsets of S union H of the network that the step names",
    )


def _intervals(used_by: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Numbers the tree of steps so that what leads to a step is an interval.

    Args:
        used_by: The later step that each step's result goes into; that of the last
            step is not read.

    Returns:
        For each step the number where its interval starts, and the interval's length.
    """
    last = len(used_by) - 1
    size, start, free = [1] * (last + 1), [0] * (last + 1), [1] * (last + 1)
    for step in range(last):
        size[used_by[step]] += size[step]
    for step in range(last - 1, -1, -1):
        into = used_by[step]
        start[step] = free[into]
        free[into] += size[step]
        free[step] = start[step] + 1
    return np.array(start), np.array(size)


def _require(derivation: Derivation, wrong: Any, found: str, expected: str) -> None:
    if len(wrong):
        number = int(np.min(wrong))
        rule = "variable" if np.diff(derivation.offsets)[number] == 0 else "neuron"
        place = f"step {number}, {rule} {brief(derivation.names[number].item())}"
        cure = "take a derivation as derive returns it"
        problem = Problem(("steps", number), place, found, expected, cure)
        raise GraphError("derivation", [problem])
