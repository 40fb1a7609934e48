"""lift: the capsule network hidden in a network of single neurons."""

import collections
import dataclasses
from typing import Any

import numpy as np

from capsjax.graph import Graph, Node, capsule, graph, input
from capsjax.graph.kinds import CapKind
from capsjax.neural.layers import Layer, layers, matrices
from capsjax.neural.model import Model, model
from capsjax.neural.network import NeuralNetwork
from capsjax.neural.readout import OUTPUT
from capsjax.weightings import identity, matmul, place


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Lifted:
    """A capsule network recovered from neurons.

    Attributes:
        graph: The graph of capsules.
        named: The network's weights and biases by name, for `net.from_named`; None
            where it declares no weights. Biases that it does not declare are zero.
        inputs: For each input, the columns of the network's input array that it takes.
        of: For each capsule that holds neurons, their numbers in the network, in the
            order of its entries.
    """

    graph: Graph
    named: dict[str, Any] | None
    inputs: dict[str, np.ndarray]
    of: dict[str, np.ndarray]

    def __repr__(self) -> str:
        named = "no parameters" if self.named is None else "parameters"
        neurons = sum(map(len, self.of.values()))
        return f"Lifted({self.graph}, of {neurons:,} neurons, {named})"


def lift(network: NeuralNetwork | Model) -> Lifted:
    """Recovers layers: `Y_H = cap(sum over Z of W[Z->H] x Y_Z + B_H)`, neurons no more.

    Neurons that have one activation, read the same nodes and are read by the same
    nodes become one capsule, inputs that are read by the same neurons one input, and
    the connections between two of these one matrix product. No coarser grouping is
    exact. The paper's Figure 1, an MLP drawn neuron by neuron, becomes its Figure 10.

    Args:
        network: The network; or a model of one, whose capsule function and loss the
            graph then has.

    Returns:
        The graph, input "x", hidden capsules "h1", "h2", ..., output "y"; "x1", "x2",
        ... and "y1", "y2", ... where there are several. Parameters and numbers of the
        nodes by these names.

    Raises:
        ValueError: Nothing is gained, because a matrix product would stand for fewer
            than two connections on average. Or a model's readout takes its output
            neurons in an order that no concatenation of capsules has.
        TypeError: It is no network.

    Example:
        >>> import capsjax as cj
        >>> mlp = cj.neural.network(2, 4, [0, 1, 0, 1, 0, 1, 2, 3, 4],
        ...                         [2, 2, 3, 3, 4, 4, 5, 5, 5])
        >>> lifted = cj.neural.lift(mlp)
        >>> lifted.graph
        Graph('neurons', 1 inputs, 2 capsules, outputs ['y'])
        >>> lifted.of["h1"]
        array([2, 3, 4])

    Source: Li & Shan, arXiv 1805.03551, Figures 1 and 10.
    """
    declared = model(network) if isinstance(network, NeuralNetwork) else network
    if not isinstance(declared, Model):
        raise TypeError(
            "lift takes a NeuralNetwork or a Model of one, not "
            f"{type(network).__name__}"
        )
    found = layers(declared.network)
    _require_gain(declared.network, found)
    last = [layer for layer in found if layer.output]
    cap = _one_cap(declared, last)
    apart = cap is None and (declared.loss is not None or not _is_identity(declared))
    names = _names(found, apart)
    made: list[Node] = []
    for name, layer in zip(names, found, strict=True):
        width = len(layer.nodes)
        if not layer.sources:
            made.append(input(name, (width,)))
            continue
        incoming = [matmul(made[source], width) for source in layer.sources]
        own = cap if layer.output and cap else _activation(declared.network, layer)
        made.append(capsule(name, *incoming, cap=own))
    outputs = [node for node, layer in zip(made, found, strict=True) if layer.output]
    if apart:
        outputs = [_readout(declared, outputs, last)]
    losses = {} if declared.loss is None else {OUTPUT: declared.loss}
    notes = declared.metadata
    lifted = graph(*outputs, name=declared.name, losses=losses, metadata=notes)
    named = dict(zip(names, found, strict=True))
    return Lifted(
        lifted,
        _named(declared.network, found, names),
        {name: layer.nodes for name, layer in named.items() if not layer.sources},
        {name: layer.nodes for name, layer in named.items() if layer.sources},
    )


def _require_gain(network: NeuralNetwork, found: list[Layer]) -> None:
    products = sum(len(layer.sources) for layer in found)
    connections = len(network.sources)
    if connections and 2 * products <= connections:
        return
    capsules = sum(bool(layer.sources) for layer in found)
    raise ValueError(
        f"nothing is gained by lifting {network}: its {len(network.neurons):,} neurons "
        f"make {capsules:,} capsules, joined by {products:,} matrix products for "
        f"{connections:,} connections; expected at least two connections a product. "
        "It is no network of layers: compile it as it is, cj.compile(network)"
    )


def _one_cap(declared: Model, last: list[Layer]) -> CapKind | None:
    """The capsule function that makes Y in the output neurons' own capsule, if one can.

    Neurons that apply nothing leave their place to the readout's function, and a
    readout that applies nothing leaves it to theirs.
    """
    if len(last) > 1:
        return None
    own = _activation(declared.network, last[0])
    if own.kind == "identity":
        return declared.cap
    return own if _is_identity(declared) else None


def _is_identity(declared: Model) -> bool:
    return declared.cap.kind == "identity"


def _activation(network: NeuralNetwork, layer: Layer) -> CapKind:
    neuron = layer.nodes[0] - len(network.inputs)
    return network.activations[network.activation_of[neuron]]


def _names(found: list[Layer], apart: bool) -> list[str]:
    """x, h1, h2, ..., y; and numbers for inputs and outputs where there are several."""
    letters = [
        "x" if not layer.sources else "y" if layer.output and not apart else "h"
        for layer in found
    ]
    counts = collections.Counter(letters)
    seen: collections.Counter[str] = collections.Counter()
    names = []
    for letter in letters:
        seen[letter] += 1
        alone = letter != "h" and counts[letter] == 1
        names.append(letter if alone else f"{letter}{seen[letter]}")
    return names


def _readout(declared: Model, outputs: list[Node], last: list[Layer]) -> Node:
    """A capsule of its own for the model's capsule function and loss."""
    if len(outputs) == 1:
        return capsule(OUTPUT, identity(outputs[0]), cap=declared.cap, bias=None)
    order = sorted(range(len(last)), key=lambda number: last[number].nodes[0])
    placed = np.concatenate([last[number].nodes for number in order])
    if np.any(placed[:-1] > placed[1:]):
        raise ValueError(
            f"the output neurons of {declared.network} fall into {len(last)} capsules "
            "that take turns in their order, so that no concatenation has it; number "
            "output neurons that read the same nodes one after the other, or lift the "
            "network without a readout, model.network"
        )
    slots = [place(outputs[number]) for number in order]
    return capsule(OUTPUT, *slots, cap=declared.cap, bias=None)


def _named(
    network: NeuralNetwork, found: list[Layer], names: list[str]
) -> dict[str, Any] | None:
    if network.weights is None:
        return None
    size = len(network.inputs)
    biases = np.zeros(len(network.neurons))
    biases = biases if network.biases is None else network.biases
    weights = matrices(network, found, network.weights)
    return {
        name: {
            "B": biases[layer.nodes - size],
            "W": {names[s]: weights[s, number] for s in layer.sources},
        }
        for number, (name, layer) in enumerate(zip(names, found, strict=True))
        if layer.sources
    }
