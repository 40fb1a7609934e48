"""What of data does not fit a network: by name, shape, type, length and value."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from capsjax.compiler import Network
from capsjax.losses import holds_classes
from capsjax.training.binding import Routes, given_inputs
from capsjax.training.data.checks import finite_fault
from capsjax.training.data.spec import Spec, Specs


def require_fit(net: Network, what: str, faults: list[str]) -> None:
    """Raises `ValueError` where data does not fit, with all that does not."""
    if faults:
        name, lines = net.graph.name, "\n    ".join(faults)
        raise ValueError(f"{what} does not fit network {name!r}:\n    {lines}")


def faults_by_name(net: Network, specs: Specs) -> list[str]:
    """What does not fit by name, shape or type."""
    inputs = {each.name: each.shape for each in given_inputs(net)}
    losses = dict(net.graph.losses)
    faults = [
        f"{name!r}: unknown; expected {', '.join([*inputs, *losses])}"
        for name in specs
        if name not in inputs and name not in losses
    ]
    faults += [f"{name!r}: missing" for name in [*inputs, *losses] if name not in specs]
    for name, spec in specs.items():
        if name in inputs and spec.shape != inputs[name]:
            faults.append(
                f"input {name!r}: found examples of shape {spec.shape}; "
                f"expected {inputs[name]}"
            )
        if name in losses:
            faults += _target_faults(net, name, spec)
    return faults


def _target_faults(net: Network, name: str, spec: Spec) -> list[str]:
    shape = net.shapes[name].output
    loss: Any = dict(net.graph.losses)[name]
    batch = jax.ShapeDtypeStruct((1, *spec.shape), spec.dtype)
    if spec.shape == shape or holds_classes(loss, batch, (1, *shape)):
        return []
    also = f", or integers of shape {shape[:-1]}" if loss.classes else ""
    return [
        f"target of {name!r}: found {spec.dtype} of shape {spec.shape} per "
        f"example; expected {shape}{also}"
    ]


def label_faults(routes: Routes, columns: Mapping[str, np.ndarray]) -> list[str]:
    """Labels that are out of range."""
    found = [(route.labels, columns[route.column]) for route in routes.values()]
    faults = [labels.fault(array) for labels, array in found if labels is not None]
    return [fault for fault in faults if fault]


def count_faults(routes: Routes, columns: Mapping[str, np.ndarray]) -> list[str]:
    """Arrays of several lengths, or of none."""
    arrays = {name: columns[route.column] for name, route in routes.items()}
    counts = {name: len(array) for name, array in arrays.items()}
    faults = []
    if len(set(counts.values())) > 1:
        faults.append(f"the numbers of examples differ: {counts}")
    if 0 in counts.values():
        faults.append("there are no examples")
    return faults


def value_faults(routes: Routes, columns: Mapping[str, np.ndarray]) -> list[str]:
    """What is not finite; each column is named as what takes it first."""
    names = {route.column: name for name, route in list(routes.items())[::-1]}
    once = {id(array): (names.get(n, n), array) for n, array in columns.items()}
    faults = [finite_fault(name, array) for name, array in once.values()]
    return [fault for fault in faults if fault]
