"""The layers hidden in a network of single neurons."""

import dataclasses

import numpy as np

from capsjax.neural.network import NeuralNetwork
from capsjax.neural.twins import twins


@dataclasses.dataclass(frozen=True, eq=False)
class Layer:
    """Nodes that one capsule, or one input, can stand for.

    Attributes:
        nodes: Their numbers in the network, ascending.
        sources: The layers that each of them reads as a whole, by their places in the
            list of layers; none if they are inputs.
        output: Whether nobody reads them.
    """

    nodes: np.ndarray
    sources: tuple[int, ...]
    output: bool


def layers(network: NeuralNetwork) -> list[Layer]:
    """The coarsest layers between which there is every connection or none.

    Args:
        network: The network.

    Returns:
        The layers, in topological order: by level, then by their first nodes.
    """
    size = len(network.inputs)
    colors = np.zeros(size + len(network.neurons), np.int32)
    colors[size:] = 1 + network.activation_of
    classes, above, below = twins(network.sources, network.targets, colors)
    _, first = np.unique(classes, return_index=True)
    order = np.lexsort((first, network.levels[first]))
    place = np.argsort(order)
    members = np.split(
        np.argsort(classes, kind="stable"), np.cumsum(np.bincount(classes))[:-1]
    )
    sources: list[list[int]] = [[] for _ in order]
    for source, target in zip(above.tolist(), below.tolist(), strict=True):
        sources[target].append(int(place[source]))
    read = set(above.tolist())
    return [
        Layer(members[each], tuple(sorted(sources[each])), each not in read)
        for each in order.tolist()
    ]


def matrices(
    network: NeuralNetwork, found: list[Layer], weights: np.ndarray
) -> dict[tuple[int, int], np.ndarray]:
    """The weights between layers as matrices.

    Args:
        network: The network.
        found: Its layers.
        weights: One for each connection, [|W|].

    Returns:
        For each pair of layers of which the second reads the first, W [nodes of the
        first, nodes of the second].
    """
    layer_of = np.empty(len(network.inputs) + len(network.neurons), np.int64)
    place = np.empty_like(layer_of)
    for number, layer in enumerate(found):
        layer_of[layer.nodes] = number
        place[layer.nodes] = np.arange(len(layer.nodes))
    above, below = layer_of[network.sources], layer_of[network.targets]
    order = np.argsort(above * len(found) + below, kind="stable")
    made, start = {}, 0
    pairs = sorted((s, t) for t, layer in enumerate(found) for s in layer.sources)
    for source, target in pairs:
        shape = len(found[source].nodes), len(found[target].nodes)
        edges = order[start : start + shape[0] * shape[1]]
        matrix = np.empty(shape)
        rows, columns = place[network.sources[edges]], place[network.targets[edges]]
        matrix[rows, columns] = weights[edges]
        made[source, target] = matrix
        start += len(edges)
    return made
