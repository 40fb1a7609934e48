"""A model as the compiler takes it: one group of neurons, one capsule that reads it."""

import numpy as np

from capsjax.graph.typed import (
    Reading,
    TypedCapsule,
    TypedEdge,
    TypedGraph,
    TypedGroup,
    TypedLoss,
    Writing,
)
from capsjax.neural.model import Model
from capsjax.neural.readout import INPUT, OUTPUT
from capsjax.weightings import Identity, Scale

NEURONS = "neurons"
"""Name of the group: of its parameters, activations and error signals."""

_OUTPUTS = "neurons/outputs"  # a model has no names of the user's beside it


def typed_graph(model: Model) -> TypedGraph:
    """The typed graph of a model.

    Args:
        model: The model.

    Returns:
        Input "x", the group "neurons", and capsule "y": U the values of the output
        neurons, Y = cap(U).
    """
    network = model.network
    inputs = len(network.inputs)
    outputs = network.output_neurons
    capsules: list[TypedCapsule | TypedGroup] = []
    read = INPUT
    if len(network.neurons):
        read = _OUTPUTS
        capsules.append(
            TypedGroup(
                name=NEURONS,
                unit=(),
                weighting=Scale(),
                weight_shape=(),
                bias_shape=(),
                caps=network.activations,
                cap_of=np.asarray(network.activation_of),
                readings=(Reading(INPUT, inputs),),
                writings=(Writing(_OUTPUTS, outputs - inputs),),
                edge_sources=network.sources,
                edge_targets=network.targets - inputs,
                weights=network.weights,
                biases=network.biases,
            )
        )
    shape = (len(outputs),)
    edge = TypedEdge(read, read, Identity(), shape, shape, None)
    y = model.cap.output_shape(shape)
    capsules.append(TypedCapsule(OUTPUT, (edge,), model.cap, None, shape, y))
    losses = tuple(TypedLoss(name, loss) for name, loss in model.losses)
    return TypedGraph(
        graph=model,
        inputs=((INPUT, (inputs,)),),
        capsules=tuple(capsules),
        outputs=(OUTPUT,),
        losses=losses,
    )
