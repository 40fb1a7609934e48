"""NeuralNetwork: the paper's 4-tuple (S, H, W, Y), its edges held as arrays."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from capsjax.graph.kinds import CapKind


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class NeuralNetwork:
    """A neural network `net = (S, H, W, Y)`: inputs, neurons, connections, outputs.

    A neuron h computes `y_h = f_h(sum over z of w[z->h] y_z + b_h)`; Y holds the value
    of every node, an input's being itself. Nodes are numbered: the inputs first, then
    the neurons. Immutable: the arrays are read-only.

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


def network(
    inputs: int | Sequence[Any],
    neurons: int | Sequence[Any],
    sources: Any,
    targets: Any,
    activations: Any = "tanh",
    *,
    weights: Any = None,
    biases: Any = None,
) -> NeuralNetwork:
    """A neural network from arrays of edges, checked."""
    raise NotImplementedError
