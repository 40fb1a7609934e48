"""The four rules by which neural networks are generated, side conditions checked."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from capsjax.graph.errors import brief, listing
from capsjax.graph.kinds import CapKind
from capsjax.neural.conditions import (
    broken,
    check_drawn,
    check_name,
    listed,
    not_new,
    repeated,
)
from capsjax.neural.network import NeuralNetwork, network, require_network

Activation = str | CapKind


def variable(name: str | int) -> NeuralNetwork:
    """Rule of variable: for any variable z, `net = ({z}, {}, {}, {y_z = z})`.

    Args:
        name: The variable z.

    Returns:
        The network of that input alone, which is also its output.

    Raises:
        GraphError: The name is neither a string nor an integer.

    Example:
        >>> from capsjax.neural import variable
        >>> variable("x1")
        NeuralNetwork(1 input, 0 neurons, 0 connections, 1 level, 1 output)

    Source: Li & Shan, arXiv 1805.03551, Section 2.
    """
    return network([name], [], [], [])


def neuron(
    name: str | int,
    inputs: Sequence[Any],
    activation: Activation = "tanh",
    weights: Sequence[float] | None = None,
    bias: float | None = None,
) -> NeuralNetwork:
    """Rule of neuron: for S nonempty and h not in S, `net = (S, {h}, {w[z->h]}, Y)`.

    Y holds the values of S as well as that of h, as in every other network here: the
    rule follows from variable and convergence.

    Args:
        name: The neuron h.
        inputs: The variables S, by name.
        activation: An elementwise capsule function, by name or as a record.
        weights: Of the connections from S, in the same order; None: to be drawn.
        bias: Of h; None: to be drawn, which makes it zero.

    Returns:
        The network of h, which reads all of S.

    Raises:
        GraphError: A side condition does not hold.

    Example:
        >>> from capsjax.neural import convergence, neuron, variable
        >>> net = neuron("h", ["x1", "x2"])
        >>> net == convergence(
        ...     [variable("x1"), variable("x2")], "h", [["x1"], ["x2"]]
        ... )
        True

    Source: Li & Shan, arXiv 1805.03551, Section 2.
    """
    check_name("neuron", name)
    inputs = listed("neuron", "S", inputs)
    if not inputs:
        raise broken(
            "neuron",
            "S is empty",
            "S must be a nonempty set of variables",
            f"name what {brief(name)} reads",
        )
    if len(set(inputs)) < len(inputs):
        raise repeated("neuron", "S", inputs)
    if name in inputs:
        raise not_new("neuron", name, "one of the variables in S")
    count = len(inputs)
    biases = None if bias is None else [bias]
    edges = np.arange(count), np.full(count, count)
    return network(inputs, [name], *edges, activation, weights=weights, biases=biases)


def growth(
    net: NeuralNetwork,
    name: str | int,
    sources: Sequence[Any],
    activation: Activation = "tanh",
    weights: Sequence[float] | None = None,
    bias: float | None = None,
) -> NeuralNetwork:
    """Rule of growth: a new neuron that reads some nodes of one network.

    For `net = (S, H, W, Y)`, a nonempty subset N of S union H and a new neuron h:
    `net' = (S, H + {h}, W + {w[z->h] : z in N}, Y + {y_h})`.

    Args:
        net: The network that grows.
        name: The neuron h.
        sources: The nodes N, by name.
        activation: An elementwise capsule function, by name or as a record.
        weights: Of the connections from N, in the same order; None: to be drawn.
            Weights are given for all connections of a network or for none, and so
            are biases for its neurons.
        bias: Of h; None: to be drawn, which makes it zero.

    Returns:
        The grown network. It is a copy: to make a large network, give all of its
        connections to `network` at once.

    Raises:
        GraphError: A side condition does not hold.

    Example:
        >>> from capsjax.neural import growth, variable
        >>> net = growth(variable("x1"), "h1", ["x1"], "relu")
        >>> growth(net, "h2", ["x1", "h1"])
        NeuralNetwork(1 input, 2 neurons, 3 connections, 3 levels, 1 output)

    Source: Li & Shan, arXiv 1805.03551, Section 2.
    """
    require_network("growth", net)
    numbers = _numbers("growth", "N", net, sources)
    own = None if weights is None else [weights]
    return _join("growth", [net], name, [numbers], activation, own, bias)


def convergence(
    nets: Sequence[NeuralNetwork],
    name: str | int,
    sources: Sequence[Sequence[Any]],
    activation: Activation = "tanh",
    weights: Sequence[Sequence[float]] | None = None,
    bias: float | None = None,
) -> NeuralNetwork:
    """Rule of convergence: a new neuron that reads some nodes of every network.

    For K networks `net_k = (S_k, H_k, W_k, Y_k)` that share no node, nonempty subsets
    A_k of S_k union H_k, and a new neuron h: the union of the networks, with h and with
    connections to it from all A_k. With one network it is the rule of growth.

    Args:
        nets: The networks, one or more.
        name: The neuron h.
        sources: The subsets A_k by name, one for each network.
        activation: An elementwise capsule function, by name or as a record.
        weights: For each network, those of the connections from A_k in the same order;
            None: to be drawn. Weights are given for all connections of a network or
            for none, and so are biases for its neurons.
        bias: Of h; None: to be drawn, which makes it zero.

    Returns:
        The one network, with the nodes in the order of the networks.

    Raises:
        GraphError: A side condition does not hold.

    Example:
        >>> from capsjax.neural import convergence, neuron, variable
        >>> nets = [neuron("h1", ["x1", "x2"]), variable("x3")]
        >>> convergence(nets, "h2", [["x2", "h1"], ["x3"]])
        NeuralNetwork(3 inputs, 2 neurons, 5 connections, 3 levels, 1 output)

    Source: Li & Shan, arXiv 1805.03551, Section 2.
    """
    if not isinstance(nets, Sequence):
        raise TypeError(
            f"convergence takes a list of networks, not {type(nets).__name__}"
        )
    nets = list(nets)
    for net in nets:
        require_network("convergence", net)
    if not nets:
        raise broken(
            "convergence", "no network", "K must be at least 1", "give the networks"
        )
    for what, given in (("sources", sources), ("weights", weights)):
        if given is not None and not isinstance(given, Sequence | np.ndarray):
            raise broken(
                "convergence",
                f"{what} {brief(given)}",
                f"{what}: one sequence for each network",
                "give a list of lists",
            )
        if given is not None and len(given) != len(nets):
            raise broken(
                "convergence",
                f"{len(given)} {what} for {len(nets)} networks",
                f"{what}: one sequence for each network",
                "give as many as there are networks",
            )
    owner: dict[Any, int] = {}
    for k, net in enumerate(nets, 1):
        for node in net.names.tolist():
            if owner.setdefault(node, k) != k:
                raise broken(
                    "convergence",
                    f"networks {owner[node]} and {k} share node {brief(node)}",
                    "the networks must be pairwise disjoint",
                    "rename the nodes of one of them, or use the rule of growth",
                )
    numbers = [
        _numbers("convergence", f"A_{k}", net, subset)
        for k, (net, subset) in enumerate(zip(nets, sources, strict=True), 1)
    ]
    return _join("convergence", nets, name, numbers, activation, weights, bias)


def _numbers(
    rule: str, subset: str, net: NeuralNetwork, sources: Sequence[Any]
) -> np.ndarray:
    """The nodes of a subset by number."""
    sources = listed(rule, subset, sources)
    whole = f"{subset.replace('A', 'S')} union {subset.replace('A', 'H')}"
    whole = "S union H" if subset == "N" else whole
    must = f"{subset} must be a nonempty subset of {whole}"
    if not sources:
        raise broken(rule, f"{subset} is empty", must, "name what the neuron reads")
    known = {node: number for number, node in enumerate(net.names.tolist())}
    strange = [each for each in sources if each not in known]
    if strange:
        raise broken(
            rule,
            f"{listing(map(brief, strange), 8)} in {subset}",
            f"{must} = {{{listing(map(brief, known), 8)}}}",
            "name nodes of the network",
        )
    if len(set(sources)) < len(sources):
        raise repeated(rule, subset, sources)
    return np.array([known[each] for each in sources])


def _join(
    rule: str,
    nets: list[NeuralNetwork],
    name: Any,
    sources: list[np.ndarray],
    activation: Activation,
    weights: Any,
    bias: float | None,
) -> NeuralNetwork:
    """The union of disjoint networks, and a new neuron that reads their subsets."""
    check_name(rule, name)
    if any(name in net.Y for net in nets):
        raise not_new(rule, name, "a node already")
    for own, subset in zip(weights or (), sources, strict=weights is not None):
        if np.ndim(own) != 1 or len(own) != len(subset):
            raise broken(
                rule,
                f"weights {brief(own)} for a subset of {len(subset)} nodes",
                "one weight for each new connection",
                "give the weights in the order of the nodes",
            )
    if bias is not None and np.ndim(bias):
        raise broken(rule, f"bias {brief(bias)}", "one number", "give the bias of h")
    check_drawn(rule, "weights", weights, [n.weights for n in nets if len(n.sources)])
    check_drawn(rule, "biases", bias, [n.biases for n in nets if len(n.neurons)])

    input_start = np.cumsum([0] + [len(net.inputs) for net in nets])
    neuron_start = np.cumsum([0] + [len(net.neurons) for net in nets])
    neuron_start += input_start[-1]
    moved = [
        np.concatenate(
            [np.arange(len(net.inputs)) + i, np.arange(len(net.neurons)) + h]
        )
        for net, i, h in zip(nets, input_start[:-1], neuron_start[:-1], strict=True)
    ]
    read = [to[own] for to, own in zip(moved, sources, strict=True)]
    count = sum(map(len, read))
    old_sources = [to[net.sources] for to, net in zip(moved, nets, strict=True)]
    old_targets = [to[net.targets] for to, net in zip(moved, nets, strict=True)]
    caps = [net.activations[c] for net in nets for c in net.activation_of.tolist()]
    if weights is not None:
        old = [net.weights for net in nets if net.weights is not None]
        weights = np.concatenate([*old, *weights])
    biases = None
    if bias is not None:
        old = [net.biases for net in nets if net.biases is not None]
        biases = np.concatenate([*old, [bias]])
    return network(
        [each for net in nets for each in net.inputs.tolist()],
        [each for net in nets for each in net.neurons.tolist()] + [name],
        np.concatenate(old_sources + read),
        np.concatenate([*old_targets, np.full(count, neuron_start[-1])]),
        [*caps, activation],
        weights=weights,
        biases=biases,
    )
