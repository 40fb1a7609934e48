"""What a batch must be: arrays by name that fit the declared shapes."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from capsjax.compiler.precision import common
from capsjax.graph.declaration import Graph
from capsjax.graph.errors import nearest
from capsjax.graph.typed import TypedCapsule, TypedGraph
from capsjax.losses import encode_target

Arrays = dict[str, jax.Array]


def take_inputs(typed: TypedGraph, given: Any) -> Arrays:
    """The inputs, checked: by name, floating point, one batch size.

    Raises:
        ValueError: All that is missing, unknown or of another shape, by name.
        TypeError: The inputs are no mapping.
    """
    _require_mapping(typed, given)
    known = _given(typed)
    faults = [_unknown(name, known) for name in given if name not in known]
    arrays, more = _inputs(typed, given)
    if faults + more:
        raise ValueError(_message(typed, faults + more))
    return arrays


def _inputs(typed: TypedGraph, given: Any) -> tuple[Arrays, list[str]]:
    """The inputs that fit, and what is wrong with the others."""
    arrays, sizes, faults = {}, {}, []
    for name, shape in typed.inputs:
        if name not in given:
            faults.append(f"input {name!r}: missing; expected [batch, *{shape}]")
            continue
        array = jnp.asarray(given[name])
        if array.ndim == 0 or array.shape[1:] != shape:
            faults.append(
                f"input {name!r}: found shape {array.shape}; expected a batch axis, "
                f"then {shape}"
            )
        elif name in typed.integers:
            if jnp.issubdtype(array.dtype, jnp.integer):
                arrays[name], sizes[name] = array, array.shape[0]
            else:
                faults.append(f"input {name!r}: found {array.dtype}; expected integers")
        elif not jnp.issubdtype(array.dtype, jnp.floating):
            faults.append(
                f"input {name!r}: found {array.dtype}; expected floating point, such "
                "as images.astype('float32') / 255"
            )
        else:
            arrays[name] = array
            sizes[name] = array.shape[0]
    if len(set(sizes.values())) > 1:
        faults.append(f"batch sizes differ: {sizes}")
    return arrays, faults


def _given(typed: TypedGraph) -> set[str]:
    """Names of the inputs that a batch may give, also those that no output needs."""
    return {x.name for x in typed.graph.inputs if not getattr(x, "learned", False)}


def take_batch(typed: TypedGraph, given: Any) -> tuple[Arrays, Arrays]:
    """The inputs and the targets of a batch, checked; targets of Y's shape.

    Raises:
        ValueError: The network declares no loss; or all that is missing, unknown or
            of another shape, by name.
        TypeError: The batch is no mapping.
    """
    _require_mapping(typed, given)
    require_loss(typed.graph)
    names = _given(typed)
    names |= {loss.output for loss in typed.losses}
    faults = [_unknown(name, names) for name in given if name not in names]
    inputs, more = _inputs(typed, given)
    faults += more
    targets = {}
    for each in typed.losses:
        if each.output in given:
            targets[each.output] = jnp.asarray(given[each.output])
        else:
            faults.append(f"target of output {each.output!r}: missing")
    if not more:  # else the batch size is not known
        targets, more = _encode(typed, inputs, targets)
        faults += more
    if faults:
        raise ValueError(_message(typed, faults))
    return inputs, targets


def require_loss(graph: Graph) -> None:
    """Raises ValueError if the graph declares no loss, with the cure."""
    if not graph.losses:
        raise ValueError(
            f"network {graph.name!r} declares no loss; declare one: "
            'cj.graph(..., losses={"output": "cross_entropy"})'
        )


def _encode(
    typed: TypedGraph, inputs: Arrays, targets: Arrays
) -> tuple[Arrays, list[str]]:
    """The targets in their outputs' shapes, and what is wrong with the others."""
    size = next(iter(inputs.values())).shape[0]
    shapes = {
        capsule.name: capsule.output
        for capsule in typed.capsules
        if isinstance(capsule, TypedCapsule)
    }
    dtype = common(inputs) or jnp.result_type(float)
    encoded, faults = {}, []
    if size == 0:
        faults.append("batch size 0: the loss is a mean over at least one example")
    for each in typed.losses:
        name = each.output
        if name in targets:
            shape = (size, *shapes[name])
            try:
                encoded[name] = encode_target(each.loss, targets[name], shape, dtype)
            except ValueError as error:
                faults.append(f"target of output {name!r}: {error}")
    return encoded, faults


def _require_mapping(typed: TypedGraph, given: Any) -> None:
    if not isinstance(given, Mapping):
        names = ", ".join(map(repr, sorted(_given(typed))))
        raise TypeError(
            f"arrays are given by name, such as {{{names}: array}}, not as "
            f"{type(given).__name__}"
        )


def _unknown(name: Any, known: set[str]) -> str:
    names = ", ".join(sorted(known))
    return f"{name!r}: unknown name; {nearest(name, known, f'expected {names}')}"


def _message(typed: TypedGraph, faults: list[str]) -> str:
    lines = "\n    ".join(faults)
    return f"the batch does not fit network {typed.graph.name!r}:\n    {lines}"
