"""What is measured: graphs of neurons as arrays of edges, with weights and a batch.

A problem holds no framework's code. Its loss, the same for all subjects, is the mean
over the batch of the sum of squares of the output neurons.
"""

import dataclasses
import functools

import numpy as np

from capsjax.graph.levels import levels

INPUTS = 16
BATCH = 64
MLP_SIZES = (784, 512, 512, 10)
MLP_BATCH = 128


@dataclasses.dataclass(frozen=True, eq=False)
class Problem:
    """A network of neurons; nodes are numbered, the inputs first.

    Attributes:
      name: for the tables.
      inputs: number of input nodes.
      sources: node that each edge leaves, [E].
      targets: node that it enters, [E]; edges are sorted by target, then by source.
      level: topological level of each node, [N].
      activations: name of the neurons' function, or one name a neuron, [N - inputs].
      weights: float32 [E].
      biases: float32 [N - inputs].
      x: float32 [batch, inputs].
    """

    name: str
    inputs: int
    sources: np.ndarray
    targets: np.ndarray
    level: np.ndarray
    activations: str | list[str]
    weights: np.ndarray
    biases: np.ndarray
    x: np.ndarray

    @property
    def nodes(self) -> int:
        return len(self.level)

    @property
    def edges(self) -> int:
        return len(self.sources)

    @property
    def depth(self) -> int:
        """Number of levels, without that of the inputs."""
        return int(self.level.max())

    @functools.cached_property
    def sinks(self) -> np.ndarray:
        """The output neurons: nodes that nobody reads, in order."""
        return np.setdiff1d(np.arange(self.nodes), self.sources)

    @functools.cached_property
    def first_edge(self) -> np.ndarray:
        """Node h has the edges first_edge[h] to first_edge[h + 1], [N + 1]."""
        degree = np.bincount(self.targets, minlength=self.nodes)
        return np.concatenate([[0], np.cumsum(degree)])


def window(nodes: int, in_degree: int, window: int) -> Problem:
    """Every neuron draws its sources from the `window` nodes before it.

    Sources drawn twice count once, so that in-degrees vary. The draws are those of the
    prototype whose figures the design quotes, and so are the numbers of levels.

    Args:
      nodes: number of nodes, the inputs among them.
      in_degree: sources drawn for each neuron.
      window: how far back a source may be.

    Returns:
      The problem; all neurons are tanh.
    """
    neurons = np.arange(INPUTS, nodes)[:, None]
    random = np.random.default_rng(0)
    size = (nodes - INPUTS, in_degree)
    drawn = random.integers(np.maximum(0, neurons - window), neurons, size)
    drawn.sort(axis=1)
    new = np.diff(drawn, axis=1, prepend=-1) != 0
    sources = drawn[new].astype(np.int32)
    targets = np.broadcast_to(neurons, size)[new].astype(np.int32)
    scale = 1 / np.sqrt(in_degree)
    return _problem(
        f"window {window:,}, in-degree {in_degree}",
        (INPUTS, nodes, BATCH),
        (sources, targets),
        "tanh",
        np.full(len(sources), scale, np.float32),
    )


def mlp() -> Problem:
    """The perceptron 784-512-512-10 given neuron by neuron; relu, then identity."""
    edges, scales, offset = [], [], 0
    for size_in, size_out in zip(MLP_SIZES, MLP_SIZES[1:], strict=False):
        sources = np.tile(np.arange(size_in), size_out)
        targets = np.repeat(np.arange(size_out), size_in) + size_in
        edges.append(offset + np.stack([sources, targets]))
        scales.append(np.full(size_in * size_out, np.sqrt(2 / size_in), np.float32))
        offset += size_in
    sources, targets = np.concatenate(edges, axis=1).astype(np.int32)
    hidden = sum(MLP_SIZES[1:-1])
    return _problem(
        "MLP " + "-".join(map(str, MLP_SIZES)),
        (MLP_SIZES[0], sum(MLP_SIZES), MLP_BATCH),
        (sources, targets),
        ["relu"] * hidden + ["identity"] * MLP_SIZES[-1],
        np.concatenate(scales),
    )


def _problem(name, counts, edges, activations, scales) -> Problem:
    inputs, nodes, batch = counts
    sources, targets = edges
    random = np.random.default_rng(1)
    weights = scales * random.standard_normal(len(sources), np.float32)
    # Biases are not zero, so that a lost one is noticed.
    biases = 0.1 * random.standard_normal(nodes - inputs, np.float32)
    x = random.standard_normal((batch, inputs), np.float32)
    level = levels(sources, targets, nodes)
    return Problem(
        name, inputs, sources, targets, level, activations, weights, biases, x
    )
