"""Networks in layers, neuron by neuron, and a plain evaluation of any network."""

import numpy as np
from hypothesis import strategies as st

import capsjax as cj
from capsjax.neural import Lifted, NeuralNetwork, network

FUNCTIONS = {
    "identity": lambda u: u,
    "relu": lambda u: np.maximum(u, 0),
    "sigmoid": lambda u: 1 / (1 + np.exp(-u)),
    "tanh": np.tanh,
    "leaky_relu": lambda u: np.where(u > 0, u, 0.1 * u),
}
RECORDS = ["tanh", "relu", "sigmoid", "identity", cj.caps.leaky_relu(0.1)]


def evaluate(net: NeuralNetwork, x: np.ndarray) -> np.ndarray:
    """The values of all nodes, [B, |V|], neuron by neuron."""
    size = len(net.inputs)
    y = np.zeros((len(x), size + len(net.neurons)))
    y[:, :size] = x
    assert net.weights is not None and net.biases is not None
    for node in size + np.argsort(net.levels[size:], kind="stable"):
        into = net.targets == node
        u = y[:, net.sources[into]] @ net.weights[into] + net.biases[node - size]
        record = net.activations[net.activation_of[node - size]]
        y[:, node] = FUNCTIONS[record.kind](u)
    return y


def evaluate_lifted(lifted: Lifted, x: np.ndarray) -> dict[str, np.ndarray]:
    """Y of all capsules, layer by layer."""
    assert lifted.named is not None
    y = {name: x[:, columns] for name, columns in lifted.inputs.items()}
    for capsule in lifted.graph.capsules:
        own = lifted.named[capsule.name]
        u = sum([y[name] @ w for name, w in own["W"].items()], own["B"])
        y[capsule.name] = FUNCTIONS[capsule.cap.kind](u)
    return y


def joined(
    sizes: list[int], pairs: list[tuple[int, int]], caps: list, seed: int
) -> NeuralNetwork:
    """Layers of the given sizes, those of a pair joined by every connection.

    Layers without a source are inputs; nodes are numbered and connections are listed
    in an order by chance.
    """
    rng = np.random.default_rng(seed)
    read = {target for _, target in pairs}
    inputs = [i for i in range(len(sizes)) if i not in read]
    count = sum(sizes[i] for i in inputs)
    layer_of = [
        *rng.permutation(np.repeat(inputs, [sizes[i] for i in inputs])),
        *rng.permutation(np.repeat(sorted(read), [sizes[i] for i in sorted(read)])),
    ]
    nodes = [np.flatnonzero(np.array(layer_of) == i) for i in range(len(sizes))]
    edges = [(z, h) for s, t in pairs for z in nodes[s] for h in nodes[t]]
    sources, targets = np.array(edges).T
    order = rng.permutation(len(edges))
    return network(
        count,
        len(layer_of) - count,
        sources[order],
        targets[order],
        [caps[i] for i in layer_of[count:]],
        weights=rng.standard_normal(len(edges)),
        biases=rng.standard_normal(len(layer_of) - count),
    )


@st.composite
def layered(draw) -> NeuralNetwork:
    """Any connected network of layers, some of them of one neuron."""
    count = draw(st.integers(2, 6))
    pairs = []
    for target in range(1, count):
        choose = st.sets(st.integers(0, target - 1), max_size=3)
        pairs += [(source, target) for source in sorted(draw(choose))]
    part = list(range(count))
    for source, target in pairs:
        part = [part[source] if p == part[target] else p for p in part]
    for layer in range(count - 1):
        if part[layer] != part[-1]:
            pairs.append((layer, count - 1))
            part = [part[-1] if p == part[layer] else p for p in part]
    sizes = draw(st.lists(st.integers(1, 5), min_size=count, max_size=count))
    caps = draw(st.lists(st.sampled_from(RECORDS), min_size=count, max_size=count))
    return joined(sizes, pairs, caps, draw(st.integers(0, 999)))


def perceptron(sizes: list[int], cap="tanh", output="identity") -> NeuralNetwork:
    """A multilayer perceptron written neuron by neuron, nodes numbered in order."""
    starts = np.cumsum([0, *sizes])
    nodes = [np.arange(a, b) for a, b in zip(starts, starts[1:], strict=False)]
    grids = [
        np.meshgrid(above, below, indexing="ij")
        for above, below in zip(nodes, nodes[1:], strict=False)
    ]
    sources, targets = (np.concatenate([g[k].ravel() for g in grids]) for k in (0, 1))
    hidden = sum(sizes[1:-1])
    rng = np.random.default_rng(0)
    return network(
        sizes[0],
        hidden + sizes[-1],
        sources,
        targets,
        [cap] * hidden + [output] * sizes[-1],
        weights=rng.standard_normal(len(sources)) / 30,
        biases=rng.standard_normal(hidden + sizes[-1]),
    )
