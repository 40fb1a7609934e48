"""Parameters: their initial values, their names, and that they fit the network.

The compiled layout is `{capsule: {"B": array, "W": {edge key: array}}}`, with "cap" for
parameters of the capsule function's own; capsules without parameters do not appear. A
group's parameters are stacked: B of its members, W of its "edges". It is an ordinary
pytree. Names do not depend on it: by name, parameters of a group's members stand as if
each were a capsule alone.
"""

import math
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from capsjax.graph.errors import brief, nearest
from capsjax.graph.kinds import Shape
from capsjax.graph.typed import TypedCapsule, TypedEdge, TypedGraph, TypedGroup

Params = dict[str, Any]
Name = tuple[str, ...]
"""("c1", "B"), ("c1", "W", "image"), ("c1", "cap", "slope"); or of a shared weight,
("twin", "W")."""

_MOST_FAULTS = 20
"""A group has thousands of parameters, which may all be missing."""


def parameter_shapes(typed: TypedGraph) -> dict[Name, Shape]:
    """The shape of every array of the compiled layout, in topological order."""
    shapes: dict[Name, Shape] = {}
    for capsule in typed.capsules:
        if isinstance(capsule, TypedGroup):
            if capsule.bias_shape is not None:
                shapes[(capsule.name, "B")] = (capsule.size, *capsule.bias_shape)
            if capsule.weight_shape is not None:
                count = len(capsule.edge_sources)
                shapes[(capsule.name, "W", "edges")] = (count, *capsule.weight_shape)
            continue
        if capsule.bias_shape is not None:
            shapes[(capsule.name, "B")] = capsule.bias_shape
        for edge in capsule.edges:
            if edge.weight_shape is not None:
                shapes[weight_name(capsule, edge)] = edge.weight_shape
        for own, shape in capsule.cap_shapes.items():
            shapes[(capsule.name, "cap", own)] = shape
    return shapes


def weight_name(capsule: TypedCapsule, edge: TypedEdge) -> Name:
    """The name of an edge's weight; a shared one has its own."""
    if edge.weight is not None:
        return (edge.weight, "W")
    return (capsule.name, "W", edge.key)


def state_shapes(typed: TypedGraph) -> dict[str, dict[str, Shape]]:
    """Shapes of what capsule functions carry from step to step, by capsule."""
    found = {
        capsule.name: capsule.state_shapes
        for capsule in typed.capsules
        if isinstance(capsule, TypedCapsule)
    }
    return {name: shapes for name, shapes in found.items() if shapes}


def initial_state(typed: TypedGraph, dtype: Any) -> dict[str, Params]:
    """What capsule functions carry before the first step, by capsule."""
    return {
        capsule.name: capsule.cap.initial_state(capsule.total_input, dtype)
        for capsule in typed.capsules
        if isinstance(capsule, TypedCapsule) and capsule.state_shapes
    }


def named_shapes(typed: TypedGraph) -> dict[Name, Shape]:
    """The shape of every parameter by name, whatever the layout."""
    shapes = parameter_shapes(typed)
    for group in typed.groups:
        if group.members:
            for name in own_names(group):
                shapes.pop(name, None)
            shapes |= {name: shape for name, shape, *_ in _pieces(group)}
    return shapes


def own_names(group: TypedGroup) -> tuple[Name, Name]:
    """Names of a group's arrays in the compiled layout: its biases, its weights."""
    return (group.name, "B"), (group.name, "W", "edges")


def _pieces(group: TypedGroup) -> Iterator[tuple[Name, Shape, Name, int]]:
    """A group's parameters one by one: name, shape, the array they stand in, where."""
    biases, weights = own_names(group)
    if group.bias_shape is not None:
        for number, member in enumerate(group.members):
            yield (member, "B"), group.bias_shape, biases, number
    if group.weight_shape is not None:
        for number, key in enumerate(group.keys):
            member = group.members[int(group.edge_targets[number])]
            yield (member, "W", key), group.weight_shape, weights, number


def by_name(typed: TypedGraph, params: Mapping[str, Any]) -> Params:
    """Parameters by name from those in compiled layout."""
    arrays = dict(flatten(params))
    for group in typed.groups:
        if group.members:
            pieces = list(_pieces(group))
            arrays |= {name: arrays[own][at] for name, _, own, at in pieces}
            for own in own_names(group):
                arrays.pop(own, None)
    return nest(arrays)


def compiled(typed: TypedGraph, named: Mapping[Name, Any]) -> Params:
    """Parameters in compiled layout from arrays by name, none missing."""
    arrays = dict(named)
    for group in typed.groups:
        stacks: dict[Name, list[Any]] = {}
        for name, _, own, _ in _pieces(group) if group.members else ():
            stacks.setdefault(own, []).append(arrays.pop(name))
        arrays |= {own: jnp.stack(stack) for own, stack in stacks.items()}
    return nest({name: arrays[name] for name in parameter_shapes(typed)})


def initial_parameters(typed: TypedGraph, key: jax.Array, dtype: Any) -> Params:
    """Draws all parameters; biases are zero.

    Each weight has a key of its own, made from the given one and its name: it does
    not depend on the position in the graph, or on what else is there.
    """
    arrays: dict[Name, Any] = {}
    for capsule in typed.capsules:
        if isinstance(capsule, TypedGroup):
            members = _initial_members if capsule.members else _initial_neurons
            arrays |= members(capsule, key, dtype)
            continue
        if capsule.bias_shape is not None:
            arrays[(capsule.name, "B")] = jnp.zeros(capsule.bias_shape, dtype)
        for edge in capsule.edges:
            name = weight_name(capsule, edge)
            if edge.weight_shape is not None and name not in arrays:
                own = _own_key(key, capsule.name, edge.key)
                if edge.weight is not None:
                    own = _own_key(key, edge.weight, "")
                arrays[name] = edge.weighting.initial(
                    own, edge.source_shape, capsule.cap.gain, dtype
                )
        if capsule.cap_shapes:
            own = capsule.cap.initial_parameters(
                _own_key(key, capsule.name, ""), capsule.total_input, dtype
            )
            arrays |= {(capsule.name, "cap", name): a for name, a in own.items()}
    return compiled(typed, arrays)


def _own_key(key: jax.Array, capsule: str, edge: str) -> jax.Array:
    return jax.random.fold_in(key, zlib.crc32(f"{capsule}#{edge}".encode()))


def _initial_members(
    group: TypedGroup, key: jax.Array, dtype: Any
) -> dict[Name, jax.Array]:
    """What the members would be given if each stood alone."""
    arrays = {}
    for name, shape, _, at in _pieces(group):
        if name[1] == "B":
            arrays[name] = jnp.zeros(shape, dtype)
        else:
            cap = group.caps[group.cap_of[group.edge_targets[at]]]
            own = _own_key(key, name[0], name[2])
            arrays[name] = group.weighting.initial(own, group.unit, cap.gain, dtype)
    return arrays


def _initial_neurons(
    group: TypedGroup, key: jax.Array, dtype: Any
) -> dict[Name, jax.Array]:
    """Neurons' weights: as declared, or normal with deviation `gain / sqrt(fan_in)`.

    The fan-in of an edge is the number of edges into the same neuron.
    """
    biases, weights = own_names(group)
    shapes = (group.size,), (len(group.edge_sources),)
    given = group.biases
    arrays = {biases: jnp.zeros(shapes[0], dtype)}
    if given is not None:
        arrays[biases] = jnp.asarray(given, dtype)
    if group.weights is not None:
        return arrays | {weights: jnp.asarray(group.weights, dtype)}
    fan_in = np.bincount(group.edge_targets, minlength=group.size)
    gain = np.array([cap.gain for cap in group.caps])[group.cap_of]
    scale = (gain / np.sqrt(np.maximum(fan_in, 1)))[group.edge_targets]
    drawn = jax.random.normal(_own_key(key, group.name, "edges"), shapes[1], dtype)
    return arrays | {weights: drawn * jnp.asarray(scale, dtype)}


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
            if part in ("W", "cap") and isinstance(value, Mapping) and value:
                for key, weight in value.items():
                    yield (capsule, part, key), weight
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


def check_parameters(
    typed: TypedGraph, params: Any, expected: Mapping[Name, Shape]
) -> None:
    """Holds parameters against what the network declares.

    Args:
        typed: The network.
        params: Parameters in compiled layout, or by name.
        expected: `parameter_shapes` of the one, `named_shapes` of the other.

    Raises:
        ValueError: All that is missing, unknown or of another shape, by name.
    """
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
        if given.keys() == named_shapes(typed).keys() != expected.keys():
            faults = ["found parameters by name; cure: net.from_named(parameters)"]
        if len(faults) > _MOST_FAULTS:
            faults[_MOST_FAULTS:] = [f"... and {len(faults) - _MOST_FAULTS:,} more"]
        lines = "\n    ".join(faults)
        raise ValueError(f"parameters do not fit network {graph!r}:\n    {lines}")


def check_state(typed: TypedGraph, state: Any) -> None:
    """Holds what capsule functions carry against what the network declares.

    Raises:
        ValueError: What is missing or of another shape, by name.
    """
    expected = state_shapes(typed)
    given = state if isinstance(state, Mapping) else {}
    faults = []
    for capsule, shapes in expected.items():
        own = given.get(capsule)
        found: Any = brief(own)
        if isinstance(own, Mapping):
            found = {k: _shape(a) for k, a in own.items()}
        if found != shapes:
            what = "missing" if own is None else f"found {found}"
            faults.append(f"{capsule}: {what}; expected {shapes}")
    if faults:
        if len(faults) > _MOST_FAULTS:
            faults[_MOST_FAULTS:] = [f"... and {len(faults) - _MOST_FAULTS:,} more"]
        lines = "\n    ".join(faults)
        raise ValueError(
            f"state does not fit network {typed.graph.name!r}; pass on what "
            f"net.init(key) and training return:\n    {lines}"
        )


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
