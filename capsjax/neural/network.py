"""NeuralNetwork: the paper's 4-tuple (S, H, W, Y), its edges held as arrays."""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from capsjax.graph.errors import GraphError, brief
from capsjax.graph.kinds import CapKind
from capsjax.graph.levels import levels
from capsjax.graph.typed import TypedGraph
from capsjax.neural.checks import check_activations, check_edges, check_numbers
from capsjax.neural.names import check_names
from capsjax.neural.structure import check_structure


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class NeuralNetwork:
    """A neural network `net = (S, H, W, Y)`: inputs, neurons, connections, outputs.

    A neuron h computes `y_h = f_h(sum over z of w[z->h] y_z + b_h)`; Y holds the value
    of every node, an input's being itself. Nodes are numbered: the inputs first, then
    the neurons. Immutable: the arrays are read-only. Made by `network`, by the rules,
    and by `induced_network`, which check it.

    Two networks are equal if their 4-tuples are, taken as sets: the same inputs, the
    same neurons with their activations and biases, the same connections with their
    weights. The order in which they were declared does not matter.

    Attributes:
        inputs: Names of S, in the order of the columns of the input array; strings or
            integers, [|S|].
        neurons: Names of H, of the same type, [|H|].
        activations: The distinct capsule functions, each elementwise.
        activation_of: Which of them each neuron has, [|H|].
        sources: Number of the node that each connection leaves, [|W|].
        targets: Number of the neuron that it enters, [|W|].
        weights: float64 [|W|], or None where they are to be drawn.
        biases: float64 [|H|], or None where they are to be drawn (zero).
    """

    inputs: np.ndarray
    neurons: np.ndarray
    activations: tuple[CapKind, ...]
    activation_of: np.ndarray
    sources: np.ndarray
    targets: np.ndarray
    weights: np.ndarray | None
    biases: np.ndarray | None

    @property
    def names(self) -> np.ndarray:
        """Names of all nodes by number, [|S| + |H|]: the vertices of G_net."""
        return np.concatenate([self.inputs, self.neurons])

    @property
    def S(self) -> frozenset[Any]:
        """The paper's set of inputs, by name. A view for small networks."""
        return frozenset(self.inputs.tolist())

    @property
    def H(self) -> frozenset[Any]:
        """The paper's set of neurons, by name. A view for small networks."""
        return frozenset(self.neurons.tolist())

    @property
    def W(self) -> frozenset[tuple[Any, Any, float | None]]:
        """The paper's set of connections: source, target, weight (None: to be drawn).

        A view for small networks.
        """
        names = self.names
        weights = [None] * len(self.sources) if self.weights is None else self.weights
        ends = names[self.sources].tolist(), names[self.targets].tolist()
        return frozenset(zip(*ends, np.asarray(weights).tolist(), strict=True))

    @property
    def Y(self) -> frozenset[Any]:
        """Whose values the paper's set of outputs holds: every node, by name.

        A view for small networks.
        """
        return self.S | self.H

    @cached_property
    def levels(self) -> np.ndarray:
        """Topological level of every node, the longest path that ends in it, [|V|]."""
        found = levels(self.sources, self.targets, self._size)
        found.setflags(write=False)
        return found

    @property
    def output_neurons(self) -> np.ndarray:
        """Numbers of the nodes that nobody reads, ascending.

        These are neurons, except in the network of a single input, whose output it is.
        """
        return np.flatnonzero(np.bincount(self.sources, minlength=self._size) == 0)

    @property
    def hidden_neurons(self) -> np.ndarray:
        """Numbers of the neurons that some neuron reads, ascending."""
        read = np.bincount(self.sources, minlength=self._size) > 0
        read[: len(self.inputs)] = False
        return np.flatnonzero(read)

    def named(self) -> dict[str, dict[str, Any]]:
        """The parameters that the network declares, in the order declared.

        Returns:
            `{"neurons": {"B": biases [|H|], "W": {"edges": weights [|W|]}}}`.

        Raises:
            ValueError: Weights or biases are to be drawn.
        """
        both = {"weights": self.weights, "biases": self.biases}
        if drawn := " and ".join(name for name, each in both.items() if each is None):
            raise ValueError(
                f"{self} declares no {drawn}: they are to be drawn; "
                f"give {drawn} to the network, or take parameters from net.init"
            )
        return {"neurons": {"B": self.biases, "W": {"edges": self.weights}}}

    def with_named(self, named: Mapping[str, Mapping[str, Any]]) -> "NeuralNetwork":
        """The network with other parameters: the way back of `named`.

        Args:
            named: As `named` of this network gives them, or of what it was compiled
                to: `network.with_named(net.named(params))`.

        Returns:
            A network that declares these weights and biases.

        Raises:
            ValueError: They are no parameters of a network of neurons.
            GraphError: They do not fit this network, or are not finite.

        Example:
            >>> from capsjax.neural import neuron
            >>> net = neuron("h", ["x1", "x2"])
            >>> named = {"neurons": {"B": [0.5], "W": {"edges": [1.0, 2.0]}}}
            >>> sorted(net.with_named(named).W)
            [('x1', 'h', 1.0), ('x2', 'h', 2.0)]
        """
        try:
            own = named["neurons"]
            weights, biases = own["W"]["edges"], own["B"]
        except (KeyError, TypeError, IndexError):
            weights = biases = None
        if weights is None or biases is None:
            raise ValueError(
                f"with_named: found {brief(named)}; expected "
                '{"neurons": {"B": biases, "W": {"edges": weights}}}; '
                "take them from net.named(params)"
            )
        problems: list[Any] = []
        count = len(self.neurons)
        biases = check_numbers("biases", biases, count, "neuron", problems)
        count = len(self.sources)
        weights = check_numbers("weights", weights, count, "connection", problems)
        if problems:
            raise GraphError("network", problems)
        return _frozen(dataclasses.replace(self, weights=weights, biases=biases))

    def typed(self) -> TypedGraph:
        """The network as `cj.compile` takes it: a model with nothing but it."""
        from capsjax.neural.model import model  # models are made of networks

        return model(self).typed()

    def __repr__(self) -> str:
        counts = {
            "input": len(self.inputs),
            "neuron": len(self.neurons),
            "connection": len(self.sources),
            "level": int(self.levels.max()) + 1,
            "output": len(self.output_neurons),
        }
        texts = [f"{n:,} {noun}{'s' * (n != 1)}" for noun, n in counts.items()]
        return f"NeuralNetwork({', '.join(texts)})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, NeuralNetwork):
            return NotImplemented
        sizes = [(len(n.inputs), len(n.neurons), len(n.sources)) for n in (self, other)]
        return sizes[0] == sizes[1] and all(
            np.array_equal(mine, theirs)
            for mine, theirs in zip(self._canonical(), other._canonical(), strict=True)
        )

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        # Adding 0.0 makes -0.0 and 0.0, which are equal, one. Names are hashed as
        # Python's: arrays of equal strings may differ in the width of their elements.
        return hash(
            tuple(
                (each + 0.0).tobytes()
                if each.dtype.kind in "if"
                else tuple(each.tolist())
                for each in self._canonical()
            )
        )

    @property
    def _size(self) -> int:
        return len(self.inputs) + len(self.neurons)

    def _canonical(self) -> list[np.ndarray]:
        """The 4-tuple without the order of its declaration."""
        inputs, neurons = np.argsort(self.inputs), np.argsort(self.neurons)
        place = np.empty(self._size, np.int64)
        place[inputs] = np.arange(len(inputs))
        place[neurons + len(inputs)] = np.arange(len(inputs), self._size)
        edges = place[self.targets] * self._size + place[self.sources]
        order = np.argsort(edges)
        texts = np.array([repr(each) for each in self.activations], np.str_)
        ranks = np.argsort(np.argsort(texts))
        return [
            self.inputs[inputs],
            self.neurons[neurons],
            np.sort(texts),
            ranks[self.activation_of[neurons]],
            edges[order],
            # Numbers to be drawn are none: they equal others that are none.
            np.zeros(0) if self.weights is None else self.weights[order],
            np.zeros(0) if self.biases is None else self.biases[neurons],
        ]


def network(
    inputs: int | Sequence[Any] | np.ndarray,
    neurons: int | Sequence[Any] | np.ndarray,
    sources: Any,
    targets: Any,
    activations: str | CapKind | Sequence[str | CapKind] = "tanh",
    *,
    weights: Any = None,
    biases: Any = None,
) -> NeuralNetwork:
    """A neural network from arrays of edges, checked: `net = (S, H, W, Y)`.

    The graph must be acyclic and connected; every neuron reads something, and no
    connection enters an input. A million neurons are ordinary.

    Args:
        inputs: How many, or their names, all strings or all integers. Nodes that are
            only counted are named by their numbers: inputs from 0, neurons from |S|.
        neurons: The same for the neurons.
        sources: Number of the node that each connection leaves, [|W|].
        targets: Number of the neuron that it enters, [|W|].
        activations: An elementwise capsule function, by name or as a record such as
            `capsjax.caps.leaky_relu(0.1)`; or a sequence of them, one a neuron.
        weights: Of the connections, [|W|]; None: to be drawn.
        biases: Of the neurons, [|H|]; None: to be drawn, which makes them zero.

    Returns:
        The network, immutable.

    Raises:
        GraphError: Everything that is wrong with it, collected.

    Example:
        >>> from capsjax.neural import network
        >>> net = network(["x1", "x2"], ["h1"], [0, 1], [2, 2], "tanh")
        >>> net
        NeuralNetwork(2 inputs, 1 neuron, 2 connections, 2 levels, 1 output)
        >>> sorted(net.W)
        [('x1', 'h1', None), ('x2', 'h1', None)]

    Source: Li & Shan, arXiv 1805.03551, Section 2.
    """
    problems: list[Any] = []
    names = check_names(inputs, neurons, problems)
    if names is None:
        raise GraphError("network", problems)
    table, activation_of = check_activations(activations, names.neurons, problems)
    ends = check_edges(sources, targets, names, problems)
    biases = check_numbers("biases", biases, len(names.neurons), "neuron", problems)
    if ends is None:
        raise GraphError("network", problems)
    weights = check_numbers("weights", weights, len(ends[0]), "connection", problems)
    found = check_structure(*ends, names, problems)
    if problems:
        raise GraphError("network", problems)
    net = NeuralNetwork(*names, table, activation_of, *ends, weights, biases)
    if found is not None:
        vars(net)["levels"] = found
    return _frozen(net)


def _frozen(net: NeuralNetwork) -> NeuralNetwork:
    """A network whose arrays nobody writes to."""
    for each in vars(net).values():
        if isinstance(each, np.ndarray):
            each.setflags(write=False)
    return net


def require_network(function: str, given: Any) -> None:
    """Raises TypeError unless a function was given a network."""
    if isinstance(given, NeuralNetwork):
        return
    raise TypeError(
        f"{function} takes a NeuralNetwork, not {type(given).__name__}; make one with "
        "cj.neural.network(inputs, neurons, sources, targets), or of a model take "
        "model.network"
    )
