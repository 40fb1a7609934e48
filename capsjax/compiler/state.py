"""State: its shapes, its initial values, its names, and that it fits the network.

In compiled layout it is `{capsule: {name: array}}`, with "feedback" for the arrays of
backward rules, `{capsule: {"feedback": {edge key or output: array}}}`; that of a run is
stacked under the names of the body's capsules. Capsules without state do not appear.
By name, state stands as if each capsule were alone. The wiring of neurons, which stands
in the state too, is passed on as it is.
"""

import functools
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from capsjax.compiler.parameters import (
    Name,
    Params,
    copies_of,
    drawn_edges,
    edge_keys,
    feedback_of,
    flatten,
    initial_edges,
    nest,
    own_key,
    shape_of,
    some_faults,
)
from capsjax.graph.errors import brief
from capsjax.graph.kinds import Shape
from capsjax.graph.typed import TypedCapsule, TypedEdge, TypedGraph, TypedRun


def state_shapes(typed: TypedGraph) -> dict[Name, Shape]:
    """The shape of every array of the compiled layout, in topological order."""
    found: dict[Name, Shape] = {}
    for item in typed.capsules:
        if isinstance(item, TypedRun):
            for name, shape in state_shapes(item.body).items():
                found[name] = (item.size, *shape)
            continue
        if isinstance(item, TypedCapsule):
            found |= {(item.name, k): s for k, s in item.state_shapes.items()}
        for key, shape in item.feedback_shapes.items():
            found[(item.name, "feedback", key)] = shape
    return found


def named_state_shapes(typed: TypedGraph) -> dict[Name, Shape]:
    """The same by name, whatever the layout."""
    shapes = state_shapes(typed)
    found = dict(shapes)
    for name, own, _ in state_pieces(typed):
        found.pop(own, None)
        found[name] = shapes[own][1:]
    return found


def state_pieces(typed: TypedGraph) -> Iterator[tuple[Name, Name, int]]:
    """State that stands in stacks: its name, the array it stands in, and where."""
    for run in typed.runs:
        shapes = state_shapes(run.body)
        for at, keys in enumerate(edge_keys(run) if shapes else ()):
            for own in shapes:
                capsule, *rest = own
                if rest[0] == "feedback":
                    rest[1] = keys.get((capsule, rest[1]), rest[1])
                yield (run.members[capsule][at], *rest), own, at


def initial_state(
    typed: TypedGraph, key: jax.Array, dtype: Any, scale: Any = 1.0
) -> Params:
    """State before the first step, in compiled layout.

    Args:
        typed: The network.
        key: The key of the parameters: rules may ask for a weight's initial value.
        dtype: Type of the arrays.
        scale: Factor of the gain of weights that are drawn.
    """
    found: dict[Name, Any] = {}
    for item in typed.capsules:
        if isinstance(item, TypedCapsule):
            found |= _initial_own(typed.shared, item, key, dtype, scale)
        elif isinstance(item, TypedRun):
            found |= copies_of(
                item,
                lambda *own: _initial_own(
                    typed.shared, own[0], key, dtype, scale, own[1]
                ),
            )
        elif item.feedback_shapes:
            own = own_key(key, item.name, feedback_of("edges"))
            found[(item.name, "feedback", "edges")] = item.backward.initial_feedback(
                functools.partial(drawn_edges, item, own, dtype, scale),
                functools.partial(initial_edges, item, key, dtype, scale),
            )
    return nest(found)


def with_wiring(state: Params, wiring: Params) -> Params:
    """State, and the wiring of neurons beside what their rules carry."""
    return state | {name: {**state.get(name, {}), **w} for name, w in wiring.items()}


def _initial_own(
    shared: Mapping[str, tuple[TypedCapsule, TypedEdge]],
    capsule: TypedCapsule,
    key: jax.Array,
    dtype: Any,
    scale: Any,
    numbers: Mapping[str, Any] | None = None,
) -> dict[Name, jax.Array]:
    """What one capsule carries; with numbers for keys in place of the names."""
    name, cap = capsule.name, capsule.cap
    found: dict[Name, jax.Array] = {}
    if capsule.state_shapes:
        own = cap.initial_state(capsule.total_input, dtype)
        found |= {(name, each): array for each, array in own.items()}
    for edge in capsule.edges:
        if edge.feedback_shape is None:
            continue
        drawn = own_key(key, name, feedback_of(edge.key), numbers)
        weight, origin = own_key(key, name, edge.key, numbers), (capsule, edge)
        if edge.weight is not None:  # drawn where it is first named
            weight, origin = own_key(key, edge.weight, ""), shared[edge.weight]
        draw = functools.partial(_drawn_like, *origin, dtype, scale)
        found[(name, "feedback", edge.key)] = edge.backward.initial_feedback(
            functools.partial(draw, drawn), functools.partial(draw, weight)
        )
    if capsule.received is not None:
        for output, shape in capsule.received_shapes.items():
            drawn = own_key(key, name, feedback_of(output), numbers)
            matrix = capsule.received.rule.initial_matrix(shape, drawn, dtype)
            found[(name, "feedback", output)] = matrix
    return found


def _drawn_like(
    capsule: TypedCapsule, edge: TypedEdge, dtype: Any, scale: Any, key: jax.Array
) -> jax.Array:
    """An array drawn as the weight of an edge is."""
    gain = scale * capsule.cap.gain
    return edge.weighting.initial(key, edge.source_shape, gain, dtype)


def state_by_name(typed: TypedGraph, state: Mapping[str, Any]) -> Params:
    """State by name from that in compiled layout."""
    pieces = list(state_pieces(typed))
    stacked = {own[0] for _, own, _ in pieces}
    arrays = dict(flatten({name: state[name] for name in stacked}))
    alone = {name: own for name, own in state.items() if name not in stacked}
    return alone | nest({name: arrays[own][at] for name, own, at in pieces})


def compiled_state(typed: TypedGraph, named: Mapping[str, Any]) -> Params:
    """State in compiled layout from that by name, none missing."""
    pieces = list(state_pieces(typed))
    apart = {name[0] for name, _, _ in pieces}
    arrays = dict(flatten({name: named[name] for name in apart}))
    stacks: dict[Name, list[Any]] = {}
    for name, own, _ in pieces:
        stacks.setdefault(own, []).append(arrays[name])
    alone = {name: own for name, own in named.items() if name not in apart}
    return alone | nest({own: jnp.stack(each) for own, each in stacks.items()})


def check_state(typed: TypedGraph, state: Any, expected: Mapping[Name, Shape]) -> None:
    """Holds what is carried from step to step against what the network declares.

    Args:
        typed: The network.
        state: State in compiled layout, or by name.
        expected: `state_shapes` of the one, `named_state_shapes` of the other.

    Raises:
        ValueError: What is missing or of another shape, by name.
    """
    given = state if isinstance(state, Mapping) else {}
    neurons = {group.name for group in typed.groups}
    faults = []
    for capsule, shapes in nest(expected).items():
        own = given.get(capsule)
        if capsule in neurons and isinstance(own, Mapping):  # beside their wiring
            own = {"feedback": own.get("feedback")}
        found: Any = brief(own)
        if isinstance(own, Mapping):
            arrays = flatten({capsule: own}) if own else ()
            found = nest({k: shape_of(a) for k, a in arrays}).get(capsule, {})
        if found != shapes:
            what = "missing" if own is None else f"found {found}"
            faults.append(f"{capsule}: {what}; expected {shapes}")
    if faults:
        lines = "\n    ".join(some_faults(faults))
        raise ValueError(
            f"state does not fit network {typed.graph.name!r}; pass on what "
            f"net.init(key) and training return:\n    {lines}"
        )
