"""What a batch must be: arrays by name that fit the declared shapes."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from capsjax.graph.errors import nearest
from capsjax.graph.typed import TypedGraph
from capsjax.losses import encode_target

Arrays = dict[str, jax.Array]


def take_inputs(typed: TypedGraph, given: Any) -> Arrays:
    """The inputs, checked: by name, floating point, one batch size.

    Raises:
        ValueError: All that is missing, unknown or of another shape, by name.
        TypeError: The inputs are no mapping.
    """
    _require_mapping(typed, given)
    known = {each.name for each in typed.graph.inputs}
    faults = [_unknown(name, known) for name in given if name not in known]
    arrays, sizes = {}, {}
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
    if faults:
        raise ValueError(_message(typed, faults))
    return arrays


def take_batch(typed: TypedGraph, given: Any) -> tuple[Arrays, Arrays]:
    """The inputs and the targets of a batch, checked; targets of Y's shape.

    Raises:
        ValueError: The network declares no loss; or all that is missing, unknown or
            of another shape, by name.
        TypeError: The batch is no mapping.
    """
    _require_mapping(typed, given)
    if not typed.losses:
        raise ValueError(
            f"network {typed.graph.name!r} declares no loss; declare one: "
            'cj.graph(..., losses={"output": "cross_entropy"})'
        )
    names = {each.name for each in typed.graph.inputs}
    names |= {loss.output for loss in typed.losses}
    faults = [_unknown(name, names) for name in given if name not in names]
    declared = {each.name for each in typed.graph.inputs}
    inputs = take_inputs(typed, {k: v for k, v in given.items() if k in declared})
    size = next(iter(inputs.values())).shape[0]
    shapes = {capsule.name: capsule.output for capsule in typed.capsules}
    encoded = {}
    for each in typed.losses:
        name = each.output
        if name not in given:
            faults.append(f"target of output {name!r}: missing")
            continue
        target, shape = jnp.asarray(given[name]), (size, *shapes[name])
        try:
            encoded[name] = encode_target(each.loss, target, shape, _dtype(inputs))
        except ValueError as error:
            faults.append(f"target of output {name!r}: {error}")
    if faults:
        raise ValueError(_message(typed, faults))
    return inputs, encoded


def _dtype(inputs: Arrays) -> Any:
    return jnp.result_type(*inputs.values())


def _require_mapping(typed: TypedGraph, given: Any) -> None:
    if not isinstance(given, Mapping):
        names = ", ".join(repr(each.name) for each in typed.graph.inputs)
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
