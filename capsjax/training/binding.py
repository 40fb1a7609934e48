"""What of a data set each input and each target of a network is.

A data set has two arrays: inputs, such as images, and targets, such as labels. By
their shapes,

    an input     takes the inputs, if they fit it; else the targets
    an output's  target is the targets, if they fit or the loss is over classes;
                 else the inputs, which it then reconstructs

An array fits if its examples have the shape that is asked for, or are as many numbers
and a row is asked for. Labels also fit an input that is a row: one-hot. So CapsNet with
its decoder learns from a plain set of labelled images, as an autoencoder does.

Two faults are refused. Where two inputs would take the same array, nobody can know
which is meant. And where the inputs would go nowhere, a network whose input has the
wrong size would learn labels from labels.
"""

import math
from typing import Any

import numpy as np

from capsjax.compiler import Network
from capsjax.graph.kinds import Shape
from capsjax.training.data import Split


def given_inputs(net: Network) -> list[Any]:
    """The inputs that data must give: those that are not learned."""
    return [x for x in net.graph.inputs if not getattr(x, "learned", False)]


def bind_split(net: Network, given: Split, what: str) -> dict[str, np.ndarray]:
    """The arrays of a data set by the names of a network.

    Args:
        net: The network.
        given: The data set's examples.
        what: What to call them in messages: "data", "validation".

    Returns:
        Arrays by input and output name. Where nothing fits they are what the message
        about it shall name.

    Raises:
        ValueError: Two inputs would take the same array, or labels are out of range.
    """
    inputs, losses = given_inputs(net), net.graph.losses
    sources = {each.name: _source(each, given) for each in inputs}
    targets = {
        name: _target(net.shapes[name].output, loss, given) for name, loss in losses
    }
    reconstructed = any(np.shares_memory(x, given.inputs) for x in targets.values())
    if "inputs" not in sources.values() and not reconstructed:
        sources[inputs[0].name] = "inputs"
    arrays, taken = {}, {}
    for each in inputs:
        source = sources[each.name]
        if source in taken:
            names = [*sources, *targets]
            raise ValueError(
                f"network {net.graph.name!r}: inputs {taken[source]!r} and "
                f"{each.name!r} would both take the {source} of the {what}; give "
                f"{what} as arrays by name, {', '.join(map(repr, names))}"
            )
        taken[source] = each.name
        arrays[each.name] = _input(each, given, source)
    return arrays | targets


def _source(each: Any, given: Split) -> str:
    """Which array an input takes; the inputs, if neither fits."""
    if _fitted(given.inputs, each.shape) is not None:
        return "inputs"
    labels = _are_labels(given) and len(each.shape) == 1
    if labels or _fitted(given.targets, each.shape) is not None:
        return "targets"
    return "inputs"


def _input(each: Any, given: Split, source: str) -> np.ndarray:
    array = given.inputs if source == "inputs" else given.targets
    fitted = _fitted(array, each.shape)
    if fitted is not None or source == "inputs":
        return array if fitted is None else fitted
    (classes,) = each.shape
    low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
    if low < 0 or high >= classes:
        raise ValueError(
            f"input {each.name!r}: found labels from {low} to {high}; expected 0 to "
            f"{classes - 1}, as it has {classes} numbers, one for each class"
        )
    return np.eye(classes, dtype=np.float32)[array]


def _target(shape: Shape, loss: Any, given: Split) -> np.ndarray:
    if loss.classes or given.targets.shape[1:] == shape:
        return given.targets
    fitted = _fitted(given.inputs, shape)
    return given.targets if fitted is None else fitted


def _are_labels(given: Split) -> bool:
    return given.targets.ndim == 1 and np.issubdtype(given.targets.dtype, np.integer)


def _fitted(array: np.ndarray, shape: Shape) -> np.ndarray | None:
    """The array if it fits; flattened, row-major, where a row is asked for.

    Networks of single neurons and of dense layers have no notion of an image's axes.
    """
    if array.shape[1:] == shape:
        return array
    if len(shape) == 1 and math.prod(array.shape[1:]) == shape[0]:
        return array.reshape(len(array), -1)
    return None
