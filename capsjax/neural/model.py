"""Model: a neural network with what training needs, its readout and its loss."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from capsjax.graph.declaration import (
    Input,
    capsule,
    kind_document,
    losses_document,
)
from capsjax.graph.errors import GraphError
from capsjax.graph.kinds import CapKind, LossKind
from capsjax.graph.typed import TypedGraph
from capsjax.neural.network import NeuralNetwork
from capsjax.neural.readout import INPUT, OUTPUT, readout


@dataclasses.dataclass(frozen=True, repr=False)
class Model:
    """A neural network, a capsule that reads its output neurons, and a loss on it.

    To the compiler and to training it is a declaration as a `Graph` is: one input "x",
    one output "y".

    Attributes:
        network: The neural network.
        cap: Capsule function over the outputs of the output neurons, as one array
            [number of output neurons]; identity if nothing else is asked for.
        loss: Loss on what cap gives, or None.
        name: What it is called.
        notes: Free metadata as JSON text: never affects meaning or equality.
    """

    network: NeuralNetwork
    cap: CapKind
    loss: LossKind | None
    name: str
    notes: str = dataclasses.field(default="{}", compare=False)

    @property
    def inputs(self) -> tuple[Input, ...]:
        """The input "x": one column for each input of the network."""
        return (Input(INPUT, (len(self.network.inputs),)),)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The output "y": what cap makes of the output neurons, in their order."""
        return (OUTPUT,)

    @property
    def losses(self) -> tuple[tuple[str, LossKind], ...]:
        """Output name and loss."""
        return () if self.loss is None else ((OUTPUT, self.loss),)

    @property
    def metadata(self) -> dict[str, Any]:
        """Free notes; a fresh copy."""
        return json.loads(self.notes)

    def typed(self) -> TypedGraph:
        """The model as `cj.compile` takes it."""
        from capsjax.neural.typed_model import typed_graph  # it is made of models

        return typed_graph(self)

    def __repr__(self) -> str:
        loss = "" if self.loss is None else f", loss {self.loss}"
        return f"Model({self.name!r}, {self.network}, cap {self.cap}{loss})"


def model(
    network: NeuralNetwork,
    cap: CapKind | str = "identity",
    loss: LossKind | str | None = None,
    *,
    name: str = "neurons",
    metadata: Mapping[str, Any] | None = None,
) -> Model:
    """A neural network to be trained: `Y = cap(U)`, U the output neurons' values.

    Args:
        network: The neural network.
        cap: Capsule function over all output neurons together, by name or as a record.
        loss: Loss on Y, by name or as a record; without one, nothing can be trained.
        name: What it is called.
        metadata: Free notes, kept in the document, without effect on meaning.

    Returns:
        The model: input "x" [B, |S|], output "y".

    Raises:
        GraphError: A capsule function or a loss that is unknown or does not fit.
        TypeError: The network, the capsule function or the loss is none.

    Example:
        >>> import capsjax as cj
        >>> net = cj.neural.network(2, 2, [0, 1, 0, 1], [2, 2, 3, 3])
        >>> cj.neural.model(net, cap="softmax", loss="cross_entropy")
        Model('neurons', NeuralNetwork(2 inputs, 2 neurons, 4 connections, 2 levels,
        2 outputs), cap softmax, loss cross_entropy)

    Source: Li & Shan, arXiv 1805.03551, sections 2 and 3.
    """
    if not isinstance(network, NeuralNetwork):
        given: Any = network
        raise TypeError(
            f"a model is made of a NeuralNetwork, not of {type(given).__name__}; make "
            "one with cj.neural.network(inputs, neurons, sources, targets)"
        )
    capsule(OUTPUT, cap=cap)  # raises TypeError unless it is a name or a record
    losses = {} if loss is None else losses_document({OUTPUT: loss})
    document = {
        "name": name,
        "cap": kind_document(cap),
        "loss": losses.get(OUTPUT),
        "metadata": dict(metadata or {}),
    }
    graph, problems = readout(len(network.output_neurons), document)
    if graph is None:
        raise GraphError(name, problems)
    return Model(
        network,
        graph.capsules[0].cap,
        dict(graph.losses).get(OUTPUT),
        graph.name,
        graph.notes,
    )
