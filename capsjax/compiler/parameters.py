"""Parameters: their initial values, their names, and that they fit the network.

The compiled layout is `{capsule: {"B": array, "W": {edge key: array}}}`, with "cap" for
parameters of the capsule function's own; capsules without parameters do not appear. A
group's parameters are stacked: B of its members, W of its "edges"; and so are those of
a run, those of all copies under the name of the body's capsule and the first one's
keys. Weights of merged products stand side by side, under the first one's name. It is
an ordinary pytree. Names do not depend on it: by name, parameters stand as
if each capsule were alone.
"""

import functools
import math
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from capsjax.graph.errors import nearest
from capsjax.graph.kinds import Shape
from capsjax.graph.typed import (
    TypedCapsule,
    TypedEdge,
    TypedGraph,
    TypedGroup,
    TypedRun,
)
from capsjax.normal import normal

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
        if isinstance(capsule, TypedRun):
            shapes |= _stacked_shapes(capsule)
            continue
        if capsule.bias_shape is not None:
            shapes[(capsule.name, "B")] = capsule.bias_shape
        for edge in capsule.edges:
            if edge.weight_shape is not None:
                stored = edge.weight_shape
                if edge.merged is not None:
                    stored = (*stored[:-1], edge.merged.size)
                shapes[weight_name(capsule, edge)] = stored
        for own, shape in capsule.cap_shapes.items():
            shapes[(capsule.name, "cap", own)] = shape
    return shapes


def _stacked_shapes(run: TypedRun) -> dict[Name, Shape]:
    """Shapes of a run's parameters, shared weights among them, in compiled layout."""
    shared = run.body.shared
    return {
        name: shape if name[0] in shared else (run.size, *shape)
        for name, shape in parameter_shapes(run.body).items()
    }


def weight_name(capsule: TypedCapsule, edge: TypedEdge) -> Name:
    """The array in which an edge's weight stands; a shared one has its own."""
    if edge.weight is not None:
        return (edge.weight, "W")
    if edge.merged is not None:
        return (edge.merged.capsule, "W", edge.merged.key)
    return (capsule.name, "W", edge.key)


def _sides(typed: TypedGraph) -> dict[Name, list[tuple[Name, Shape]]]:
    """What stands side by side, by the array: names and shapes in order."""
    found: dict[Name, list[tuple[int, Name, Shape]]] = {}
    for capsule in typed.alone:
        for edge in capsule.edges:
            if edge.merged is not None and edge.weight_shape is not None:
                name = (capsule.name, "W", edge.key)
                side = edge.merged.offset, name, edge.weight_shape
                found.setdefault(weight_name(capsule, edge), []).append(side)
    return {
        own: [(name, shape) for _, name, shape in sorted(sides)]
        for own, sides in found.items()
    }


def merged_sides(typed: TypedGraph) -> dict[Name, list[tuple[Name, Shape]]]:
    """The same with those in runs, under the names of their bodies."""
    found = _sides(typed)
    for run in typed.runs:
        found |= _sides(run.body)
    return found


def _apart(typed: TypedGraph, shapes: Mapping[Name, Shape]) -> dict[Name, Shape]:
    """Shapes with those of merged weights one by one."""
    found = dict(shapes)
    for own, sides in _sides(typed).items():
        del found[own]
        found |= dict(sides)
    return found


def named_shapes(typed: TypedGraph) -> dict[Name, Shape]:
    """The shape of every parameter by name, whatever the layout."""
    shapes = _apart(typed, parameter_shapes(typed))
    for run in typed.runs:
        for own in _stacked_shapes(run):
            if own[0] not in run.body.shared:
                del shapes[own]
    for name, shape, own, _ in stack_pieces(typed):
        shapes.pop(own, None)
        shapes[name] = shape
    return shapes


def own_names(group: TypedGroup) -> tuple[Name, Name]:
    """Names of a group's arrays in the compiled layout: its biases, its weights."""
    return (group.name, "B"), (group.name, "W", "edges")


Piece = tuple[Name, Shape, Name, int]
"""A parameter's name and shape, the array it stands in, and where."""


def stack_pieces(typed: TypedGraph) -> Iterator[Piece]:
    """The parameters that stand in stacks, one by one."""
    for group in typed.groups:
        if group.members:
            yield from _pieces_of_group(group)
    for run in typed.runs:
        yield from _pieces_of_run(run)


def _pieces_of_run(run: TypedRun) -> Iterator[Piece]:
    shared = run.body.shared
    shapes = _apart(run.body, parameter_shapes(run.body))
    for at, key in enumerate(edge_keys(run)):
        for own, shape in shapes.items():
            if own[0] in shared:
                continue
            capsule, *rest = own
            if rest[0] == "W":
                rest[1] = key[capsule, rest[1]]
            yield (run.members[capsule][at], *rest), shape, own, at


def edge_keys(run: TypedRun) -> list[dict[tuple[str, str], str]]:
    """For each copy, the keys of its edges, by the body's capsule and key."""
    edges = [(c.name, edge.key) for c in run.body.alone for edge in c.edges]
    return [dict(zip(edges, keys, strict=True)) for keys in run.keys]


def _pieces_of_group(group: TypedGroup) -> Iterator[Piece]:
    biases, weights = own_names(group)
    if group.bias_shape is not None:
        for number, member in enumerate(group.members):
            yield (member, "B"), group.bias_shape, biases, number
    if group.weight_shape is not None:
        for number, key in enumerate(group.keys):
            member = group.members[int(group.edge_targets[number])]
            yield (member, "W", key), group.weight_shape, weights, number


def standing(typed: TypedGraph) -> dict[Name, list[Name]]:
    """The parameters, by name, that stand in each array of the compiled layout."""
    stacks: dict[Name, list[Name]] = {}
    for name, _, own, _ in stack_pieces(typed):
        stacks.setdefault(own, []).append(name)
    sides = merged_sides(typed)
    found: dict[Name, list[Name]] = {}
    for own in parameter_shapes(typed):
        parts = [name for name, _ in sides.get(own, [(own, ())])]
        found[own] = [name for part in parts for name in stacks.get(part, [part])]
    return found


def by_name(typed: TypedGraph, params: Mapping[str, Any]) -> Params:
    """Parameters by name from those in compiled layout."""
    arrays = dict(flatten(params))
    for own, sides in merged_sides(typed).items():
        ends = np.cumsum([shape[-1] for _, shape in sides])[:-1]
        parts = jnp.split(arrays.pop(own), ends, axis=-1)
        arrays |= {name: part for (name, _), part in zip(sides, parts, strict=True)}
    pieces = list(stack_pieces(typed))
    found = {name: arrays[own][at] for name, _, own, at in pieces}
    for own in {own for *_, own, _ in pieces}:
        del arrays[own]
    return nest(arrays | found)


def compiled(typed: TypedGraph, named: Mapping[Name, Any]) -> Params:
    """Parameters in compiled layout from arrays by name, none missing.

    Those that stand in a stack already may be given as that.
    """
    arrays = dict(named)
    stacks: dict[Name, list[Any]] = {}
    for name, _, own, _ in stack_pieces(typed):
        if own not in named:
            stacks.setdefault(own, []).append(arrays.pop(name))
    arrays |= {own: jnp.stack(stack) for own, stack in stacks.items()}
    for own, sides in merged_sides(typed).items():
        parts = [arrays[name] for name, _ in sides]
        arrays[own] = jnp.concatenate(parts, axis=-1)
    return nest({name: arrays[name] for name in parameter_shapes(typed)})


def initial_parameters(
    typed: TypedGraph, key: jax.Array, dtype: Any, scale: Any = 1.0
) -> Params:
    """Draws all parameters, weights with `scale` times their gain; biases are zero.

    Each weight has a key of its own, made from the given one and its name: it does
    not depend on the position in the graph, or on what else is there.
    """
    arrays: dict[Name, Any] = {}
    for capsule in typed.capsules:
        if isinstance(capsule, TypedGroup):
            members = _initial_members if capsule.members else _initial_neurons
            arrays |= members(capsule, key, dtype, scale)
        elif isinstance(capsule, TypedRun):
            arrays |= copies_of(
                capsule,
                lambda each, numbers: _initial_own(each, key, dtype, scale, numbers),
            )
        else:
            arrays |= _initial_own(capsule, key, dtype, scale)
    for name, (capsule, edge) in typed.shared.items():
        arrays[(name, "W")] = edge.weighting.initial(
            own_key(key, name, ""), edge.source_shape, scale * capsule.cap.gain, dtype
        )
    return compiled(typed, arrays)


def _initial_own(
    capsule: TypedCapsule,
    key: jax.Array,
    dtype: Any,
    scale: Any,
    numbers: Mapping[str, Any] | None = None,
) -> dict[Name, jax.Array]:
    """A capsule's own parameters; with numbers for keys in place of the names."""
    arrays: dict[Name, jax.Array] = {}
    if capsule.bias_shape is not None:
        arrays[(capsule.name, "B")] = jnp.zeros(capsule.bias_shape, dtype)
    for edge in capsule.edges:
        if edge.weight_shape is not None and edge.weight is None:
            arrays[(capsule.name, "W", edge.key)] = edge.weighting.initial(
                own_key(key, capsule.name, edge.key, numbers),
                edge.source_shape,
                scale * capsule.cap.gain,
                dtype,
            )
    if capsule.cap_shapes:
        drawn = own_key(key, capsule.name, "", numbers)
        own = capsule.cap.initial_parameters(drawn, capsule.total_input, dtype)
        arrays |= {(capsule.name, "cap", name): a for name, a in own.items()}
    return arrays


def copies_of(
    run: TypedRun, initial: Callable[[TypedCapsule, Mapping[str, Any]], Any]
) -> dict[Name, jax.Array]:
    """What the capsules of all copies would be given if each stood alone, stacked.

    Args:
        run: The run.
        initial: `initial(capsule, numbers)` draws what is a capsule's own, with keys
            made by `own_key` from the numbers.

    Returns:
        Arrays by the names of the body.
    """
    keys = edge_keys(run)
    arrays: dict[Name, jax.Array] = {}
    for capsule in run.body.alone:
        names = run.members[capsule.name]
        numbers: dict[str, list[int]] = {"": [_number(name, "") for name in names]}
        for edge in capsule.edges:
            own = [key[capsule.name, edge.key] for key in keys]
            pairs = list(zip(names, own, strict=True))
            numbers[edge.key] = [_number(name, key) for name, key in pairs]
            numbers[feedback_of(edge.key)] = [
                _number(name, feedback_of(key)) for name, key in pairs
            ]
        for output in capsule.feedback_shapes:
            feedback = feedback_of(output)
            own = [_number(name, feedback) for name in names]
            numbers.setdefault(feedback, own)
        stacked = {k: np.array(each, np.uint32) for k, each in numbers.items()}
        arrays |= jax.vmap(functools.partial(initial, capsule))(stacked)
    return arrays


def feedback_of(key: str) -> str:
    """What the key of a backward rule's array is made from, beside the capsule."""
    return f"feedback#{key}"


def _number(capsule: str, edge: str) -> int:
    return zlib.crc32(f"{capsule}#{edge}".encode())


def own_key(
    key: jax.Array, capsule: str, edge: str, numbers: Mapping[str, Any] | None = None
) -> jax.Array:
    """A key that depends on names alone; within a run, on numbers made from them."""
    number = _number(capsule, edge) if numbers is None else numbers[edge]
    return jax.random.fold_in(key, number)


def _initial_members(
    group: TypedGroup, key: jax.Array, dtype: Any, scale: Any
) -> dict[Name, jax.Array]:
    """What the members would be given if each stood alone."""
    arrays = {}
    for name, shape, _, at in _pieces_of_group(group):
        if name[1] == "B":
            arrays[name] = jnp.zeros(shape, dtype)
        else:
            cap = group.caps[group.cap_of[group.edge_targets[at]]]
            own, gain = own_key(key, name[0], name[2]), scale * cap.gain
            arrays[name] = group.weighting.initial(own, group.unit, gain, dtype)
    return arrays


def _initial_neurons(
    group: TypedGroup, key: jax.Array, dtype: Any, scale: Any
) -> dict[Name, jax.Array]:
    """Neurons' weights: as declared, or normal with deviation `gain / sqrt(fan_in)`.

    The fan-in of an edge is the number of edges into the same neuron.
    """
    biases, weights = own_names(group)
    given = group.biases
    arrays = {biases: jnp.zeros(group.size, dtype)}
    if given is not None:
        arrays[biases] = jnp.asarray(given, dtype)
    return arrays | {weights: initial_edges(group, key, dtype, scale)}


def initial_edges(
    group: TypedGroup, key: jax.Array, dtype: Any, scale: Any
) -> jax.Array:
    """Neurons' weights, as declared or drawn."""
    if group.weights is not None:
        return jnp.asarray(group.weights, dtype)
    return drawn_edges(group, own_key(key, group.name, "edges"), dtype, scale)


def drawn_edges(group: TypedGroup, key: jax.Array, dtype: Any, scale: Any) -> jax.Array:
    """Weights of neurons' edges, drawn with a key."""
    gain = np.array([cap.gain for cap in group.caps])[group.cap_of]
    deviation = scale * (gain[group.edge_targets] / np.sqrt(fan_in(group)))
    drawn = normal(key, (len(deviation),), dtype)
    return drawn * jnp.asarray(deviation, dtype)


def fan_in(group: TypedGroup) -> np.ndarray:
    """For each edge of a group, the number of edges into the same member."""
    return np.bincount(group.edge_targets, minlength=group.size)[group.edge_targets]


def flatten(params: Mapping[str, Any]) -> Iterator[tuple[Name, Any]]:
    """Walks parameters, or state, by name.

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
            if (
                part in ("W", "cap", "feedback")
                and isinstance(value, Mapping)
                and value
            ):
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
    given = {name: shape_of(array) for name, array in flatten(params)}
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
        lines = "\n    ".join(some_faults(faults))
        raise ValueError(f"parameters do not fit network {graph!r}:\n    {lines}")


def some_faults(faults: list[str]) -> list[str]:
    """The first faults, and how many more there are."""
    if len(faults) <= _MOST_FAULTS:
        return faults
    return [*faults[:_MOST_FAULTS], f"... and {len(faults) - _MOST_FAULTS:,} more"]


def shape_of(array: Any) -> Shape | str:
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
