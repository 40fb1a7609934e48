"""Parameters: their initial values, their names, and that they fit the network.

The compiled layout is `{capsule: {"B": array, "W": {edge key: array}}}`; capsules
without parameters do not appear. It is an ordinary pytree.
"""

import math
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from capsjax.graph.errors import nearest
from capsjax.graph.kinds import Shape
from capsjax.graph.typed import TypedCapsule, TypedGraph

Params = dict[str, Any]
Name = tuple[str, ...]
"""("c1", "B"), or ("c1", "W", "image")."""


def parameter_shapes(typed: TypedGraph) -> dict[Name, Shape]:
    """The shape of every parameter by name, in topological order."""
    shapes: dict[Name, Shape] = {}
    for capsule in typed.capsules:
        if capsule.bias_shape is not None:
            shapes[(capsule.name, "B")] = capsule.bias_shape
        for edge in capsule.edges:
            if edge.weight_shape is not None:
                shapes[(capsule.name, "W", edge.key)] = edge.weight_shape
    return shapes


def initial_parameters(typed: TypedGraph, key: jax.Array) -> Params:
    """Draws all parameters; biases are zero.

    Each weight has a key of its own, made from the given one and its name: it does
    not depend on the position in the graph, or on what else is there.
    """
    dtype = jnp.result_type(float)
    params: Params = {}
    for capsule in typed.capsules:
        found: dict[str, Any] = {}
        if capsule.bias_shape is not None:
            found["B"] = jnp.zeros(capsule.bias_shape, dtype)
        weights = _initial_weights(capsule, key, dtype)
        if weights:
            found["W"] = weights
        if found:
            params[capsule.name] = found
    return params


def _initial_weights(capsule: TypedCapsule, key: jax.Array, dtype: Any):
    gain = capsule.cap.gain
    weights = {}
    for edge in capsule.edges:
        if edge.weight_shape is not None:
            own = zlib.crc32(f"{capsule.name}#{edge.key}".encode())
            own_key = jax.random.fold_in(key, own)
            weights[edge.key] = edge.weighting.initial(
                own_key, edge.source_shape, gain, dtype
            )
    return weights


def flatten(params: Mapping[str, Any]) -> Iterator[tuple[Name, Any]]:
    """Walks parameters by name.

    Args:
        params: `{capsule: {"B": array, "W": {key: array}}}`.

    Yields:
        Name and array; for a mapping that should not be there, or is empty, the
        shorter name and the mapping.
    """
    for capsule, found in params.items():
        if not isinstance(found, Mapping) or not found:
            yield (capsule,), found
            continue
        for part, value in found.items():
            if part == "W" and isinstance(value, Mapping) and value:
                for key, weight in value.items():
                    yield (capsule, "W", key), weight
            else:
                yield (capsule, part), value


def nest(arrays: Mapping[Name, Any]) -> Params:
    """The inverse of `flatten`."""
    params: Params = {}
    for (capsule, *parts, last), array in arrays.items():
        found = params.setdefault(capsule, {})
        for part in parts:
            found = found.setdefault(part, {})
        found[last] = array
    return params


def check_parameters(typed: TypedGraph, params: Any) -> None:
    """Holds parameters against what the network declares.

    Raises:
        ValueError: All that is missing, unknown or of another shape, by name.
    """
    expected = parameter_shapes(typed)
    if not isinstance(params, Mapping):
        raise ValueError(
            "parameters must be {capsule: {'B': array, 'W': {source: array}}}, as "
            f"net.init returns them, not {type(params).__name__}"
        )
    given = {name: _shape(array) for name, array in flatten(params)}
    faults = [
        f"{show(name)}: missing; expected shape {shape}"
        for name, shape in expected.items()
        if name not in given
    ]
    known = [show(name) for name in expected]
    faults += [
        f"{show(name)}: unknown; {nearest(show(name), known, 'remove it')}"
        for name in given
        if name not in expected
    ]
    faults += [
        f"{show(name)}: found {_found(given[name])}; expected {shape}"
        for name, shape in expected.items()
        if name in given and given[name] != shape
    ]
    if faults:
        graph = typed.graph.name
        lines = "\n    ".join(faults)
        raise ValueError(f"parameters do not fit network {graph!r}:\n    {lines}")


def _shape(array: Any) -> Shape | str:
    """The shape of an array or a number; of anything else, its type's name."""
    if hasattr(array, "shape") or isinstance(array, int | float):
        return jnp.shape(array)
    return type(array).__name__


def _found(shape: Shape | str) -> str:
    return f"a {shape}, no array" if isinstance(shape, str) else f"shape {shape}"


def show(name: Name) -> str:
    """A parameter's name as text: `c1:B`, `c1:W:image`; no name holds a colon."""
    return ":".join(map(str, name))


def count(shapes: Mapping[Name, Shape]) -> int:
    """Number of parameters, a Python integer."""
    return sum(math.prod(shape) for shape in shapes.values())
