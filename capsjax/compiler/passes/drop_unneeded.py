"""Pass: drop what no output needs."""

import dataclasses

from capsjax.graph.typed import TypedGraph


def drop_unneeded(typed: TypedGraph) -> tuple[TypedGraph, list[str]]:
    """Removes capsules from which no output can be reached, and their parameters.

    A document may list fewer outputs than the graph has, to leave out a head.
    """
    needed = set(typed.outputs)
    for capsule in reversed(typed.capsules):
        if not needed.isdisjoint(capsule.made):
            needed.update(capsule.sources)
    capsules = tuple(c for c in typed.capsules if not needed.isdisjoint(c.made))
    inputs = tuple((name, shape) for name, shape in typed.inputs if name in needed)
    dropped = [c.name for c in typed.capsules if needed.isdisjoint(c.made)]
    dropped += [name for name, _ in typed.inputs if name not in needed]
    notes = [f"dropped {name}: no output needs it" for name in dropped]
    return dataclasses.replace(typed, inputs=inputs, capsules=capsules), notes
