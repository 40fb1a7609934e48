"""Where in a network there is a choice of algorithms, and what is chosen."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from capsjax.algorithms import Choice
from capsjax.compiler.text import table
from capsjax.graph.kinds import Shape
from capsjax.graph.typed import TypedCapsule, TypedGraph, TypedGroup, TypedRun
from capsjax.platform import platform

ROLES = "forward", "input gradient", "weight gradient"


class Operation(NamedTuple):
    """An edge's weighting operation or a capsule's function, with its shapes.

    Attributes:
        kind: The operation.
        shape: Shape of Y of the source, or of U, batch axis first.
        weight_shape: Shape of W, or None.
    """

    kind: Any
    shape: Shape
    weight_shape: Shape | None

    @property
    def choices(self) -> dict[str, Choice]:
        """The roles with a choice, in the order of `ROLES`."""
        found = self.kind.choices(self.shape)
        return {role: found[role] for role in ROLES if role in found}

    @property
    def chosen(self) -> dict[str, str]:
        """The names of the algorithms, by role."""
        return {
            role: each.role.choose(each.problem, self.kind.asked(role)).name
            for role, each in self.choices.items()
        }


def operations(typed: TypedGraph, batch_size: int) -> Iterator[tuple[str, Operation]]:
    """The operations of capsules that stand alone or in runs, with their places."""
    for item in typed.capsules:
        if isinstance(item, TypedRun):
            yield from operations(item.body, batch_size)
        elif not isinstance(item, TypedGroup):
            yield from _of_capsule(item, batch_size)


def _of_capsule(
    capsule: TypedCapsule, batch_size: int
) -> Iterator[tuple[str, Operation]]:
    for edge in capsule.edges:
        shape = (batch_size, *edge.source_shape)
        yield capsule.name, Operation(edge.weighting, shape, edge.weight_shape)
    shape = (batch_size, *capsule.total_input)
    yield capsule.name, Operation(capsule.cap, shape, None)


def algorithm_lines(typed: TypedGraph, batch_size: int) -> list[str]:
    """A table of the algorithms chosen, equal operations in one line."""
    places: dict[Operation, list[str]] = {}
    for place, operation in operations(typed, batch_size):
        if operation.choices:
            places.setdefault(operation, []).append(place)
    if not places:
        return []
    rows: list[tuple[str, ...]] = [("capsules", "operation", *ROLES)]
    for operation, names in places.items():
        first = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
        chosen = operation.chosen
        cells = [
            chosen.get(role, "")
            + (" (asked for)" if operation.kind.asked(role) else "")
            for role in ROLES
        ]
        text = f"{operation.kind} on {operation.shape[1:]}"
        rows.append((first, text, *cells))
    head = f"algorithms on {platform()} for batches of {batch_size}:"
    return [head, *table(rows, left=len(rows[0]))]
