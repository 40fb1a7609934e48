"""Pass: drop identities."""

import dataclasses

from capsjax import caps
from capsjax.graph.typed import (
    TypedCapsule,
    TypedEdge,
    TypedGraph,
    TypedGroup,
    TypedRun,
)
from capsjax.weightings import Identity


def drop_identities(typed: TypedGraph) -> tuple[TypedGraph, list[str]]:
    """Removes capsules that pass Y of their only source on as it is.

    Their readers then read the source. Edges keep their keys, because parameters are
    named by them. An output stays, since its name is asked for.
    """
    stands_for: dict[str, str] = {}
    read_by_runs = {source for run in typed.runs for source in run.sources}
    kept, notes = [], []
    for capsule in typed.capsules:
        if isinstance(capsule, TypedRun):
            kept.append(capsule)
            continue
        if isinstance(capsule, TypedGroup):
            kept.append(_group_reads_instead(capsule, stands_for))
            continue
        capsule = _read_instead(capsule, stands_for)
        asked_for = capsule.name in typed.outputs or capsule.name in read_by_runs
        if _is_identity(capsule) and not asked_for:
            stands_for[capsule.name] = capsule.edges[0].source
            notes.append(
                f"dropped {capsule.name}: the identity of {capsule.edges[0].source}"
            )
        else:
            kept.append(capsule)
    return dataclasses.replace(typed, capsules=tuple(kept)), notes


def _is_identity(capsule: TypedCapsule) -> bool:
    return (
        len(capsule.edges) == 1
        and isinstance(capsule.edges[0].weighting, Identity)
        and capsule.bias_shape is None
        and isinstance(capsule.cap, caps.identity)
        and not capsule.ruled
    )


def _group_reads_instead(group: TypedGroup, stands_for: dict[str, str]) -> TypedGroup:
    readings = tuple(
        each._replace(source=stands_for.get(each.source, each.source))
        for each in group.readings
    )
    if readings == group.readings:
        return group  # the same, so that what was made of it serves on
    return dataclasses.replace(group, readings=readings)


def _read_instead(capsule: TypedCapsule, stands_for: dict[str, str]) -> TypedCapsule:
    def edge(old: TypedEdge) -> TypedEdge:
        return dataclasses.replace(old, source=stands_for.get(old.source, old.source))

    return capsule.with_edges(edge)
