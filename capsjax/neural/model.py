"""Model: a neural network with what training needs, its readout and its loss."""

import dataclasses
from typing import Any

from capsjax.graph.kinds import CapKind, LossKind
from capsjax.neural.network import NeuralNetwork


@dataclasses.dataclass(frozen=True, repr=False)
class Model:
    """A neural network, a capsule that reads its output neurons, and a loss on it.

    Attributes:
        network: The neural network.
        cap: Capsule function over the outputs of the output neurons, as one array
            [number of output neurons]; identity if nothing else is asked for.
        loss: Loss on what cap gives, or None.
        name: What it is called.
    """

    network: NeuralNetwork
    cap: CapKind
    loss: LossKind | None
    name: str


def model(
    network: NeuralNetwork,
    cap: Any = "identity",
    loss: Any = None,
    *,
    name: str = "neurons",
) -> Model:
    """A neural network as `cj.compile` and training take it."""
    raise NotImplementedError
