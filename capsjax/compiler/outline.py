"""The capsules of a graph as its blocks hold them, equal copies in a row as one."""

import dataclasses
import math
from collections.abc import Callable, Hashable, Iterable
from typing import Any

from capsjax.graph.declaration import Use
from capsjax.graph.typed import TypedCapsule, TypedGraph


@dataclasses.dataclass(frozen=True)
class Copies:
    """Equal uses of a block that stand one after the other.

    Attributes:
        uses: The uses.
        inner: What the first one holds: names of capsules, and uses within.
        members: Names of all capsules of all copies.
        alike: What all copies have in common.
    """

    uses: tuple[Use, ...]
    inner: "tuple[str | Copies, ...]"
    members: tuple[str, ...]
    alike: Hashable

    @property
    def name(self) -> str:
        """Name of the first copy."""
        return self.uses[0].name

    def title(self, within: str = "") -> str:
        """The copies' names, without that of the use around them."""
        first, last = (relative(self.uses[i].name, within) for i in (0, -1))
        if len(self.uses) == 1:
            return first
        return f"{first} to {last} ({len(self.uses)} copies)"

    @property
    def block(self) -> str:
        """The block and its values: `residual(features=64)`."""
        use = self.uses[0]
        values = ", ".join(f"{name}={value}" for name, value in use.values)
        return f"{use.block}({values})" if values else use.block


Item = str | Copies


def outline(
    names: Iterable[str],
    uses: Iterable[Use],
    figures: Callable[[str], Hashable],
) -> tuple[Item, ...]:
    """Puts capsules into the blocks that hold them.

    Args:
        names: Names of capsules, in order.
        uses: The uses of blocks.
        figures: What must be equal for copies to be shown as one, by capsule.

    Returns:
        Names of capsules that stand in no block, and uses of blocks, in order.
    """
    known = {use.name: use for use in uses}
    held: dict[str, list[Any]] = {"": []}
    members: dict[str, list[str]] = {}
    for name in names:
        parts = name.split("/")
        paths = ("/".join(parts[:i]) for i in range(1, len(parts)))
        above = ""
        for path in paths:
            if path in known:
                if path not in held:
                    held[path], members[path] = [], []
                    held[above].append(known[path])
                members[path].append(name)
                above = path
        held[above].append(name)

    def items(above: str) -> tuple[Item, ...]:
        found: list[Item] = []
        for each in held[above]:
            if isinstance(each, str):
                found.append(each)
                continue
            inner = items(each.name)
            alike = (
                each.block,
                each.values,
                tuple(_alike(i, each, figures) for i in inner),
            )
            made = Copies((each,), inner, tuple(members[each.name]), alike)
            last = found[-1] if found else ""
            if isinstance(last, Copies) and last.alike == alike:
                uses, names = (*last.uses, each), (*last.members, *made.members)
                found[-1] = dataclasses.replace(last, uses=uses, members=names)
            else:
                found.append(made)
        return tuple(found)

    return items("")


def _alike(item: Item, use: Use, figures: Callable[[str], Hashable]) -> Hashable:
    if isinstance(item, Copies):
        return item.title(use.name), item.alike
    return relative(item, use.name), figures(item)


def relative(name: str, within: str) -> str:
    """A name as it is written inside a use of a block."""
    return name.removeprefix(f"{within}/") if within else name


def count_words(typed: TypedGraph) -> str:
    """How many parameters there are, and running statistics, if any."""
    count = typed.parameter_count
    text = f"{count:,} parameters, {4 * count:,} bytes in float32"
    shapes = [
        shape
        for capsule in typed.capsules
        if isinstance(capsule, TypedCapsule)
        for shape in capsule.state_shapes.values()
    ]
    statistics = sum(math.prod(shape) for shape in shapes)
    return f"{text}; {statistics:,} running statistics" if shapes else text


def held(typed: TypedGraph, figures: Callable[[str], Hashable]) -> tuple[Item, ...]:
    """The capsules of a graph as its blocks hold them."""
    names = [capsule.name for capsule in typed.capsules]
    return outline(names, getattr(typed.graph, "uses", ()), figures)
