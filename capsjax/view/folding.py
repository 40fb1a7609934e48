"""Which capsules a drawing shows by themselves, and which in the box of their block."""

import dataclasses
from collections.abc import Iterable, Sequence

from capsjax.compiler.outline import Copies, Item, held
from capsjax.graph import Use
from capsjax.graph.errors import nearest
from capsjax.graph.topology import topological_order
from capsjax.graph.typed import TypedGraph


@dataclasses.dataclass(frozen=True)
class Folded:
    """What stands for what in a drawing.

    Attributes:
        box_of: The box of every capsule; its own name if it is shown by itself.
        blocks: Boxes that stand for uses of blocks, by name.
    """

    box_of: dict[str, str]
    blocks: dict[str, Copies]


def fold(typed: TypedGraph, expand: bool | Sequence[str]) -> Folded:
    """Puts the capsules of blocks into one box each, equal ones in a row into one.

    Args:
        typed: The graph.
        expand: Names of uses to open; True for all, down to the capsules.

    Raises:
        ValueError: A name is no use's.
    """
    uses: tuple[Use, ...] = getattr(typed.graph, "uses", ())
    names = [use.name for use in uses]
    opened = set(names if expand is True else [] if expand is False else expand)
    for name in sorted(opened.difference(names)):
        cure = nearest(name, names, f"{len(names)} uses, see the graph's `uses`")
        raise ValueError(f"expand: no use of a block is called {name!r}; {cure}")
    capsules = {capsule.name: capsule for capsule in typed.unfolded}
    reads = {name: set(each.sources) for name, each in capsules.items()}

    def figures(name: str):
        capsule = capsules[name]
        return capsule.parameter_count, capsule.shapes

    found = Folded({}, {})

    def show(items: Iterable[Item]) -> None:
        for item in items:
            if isinstance(item, str):
                found.box_of[item] = item
                continue
            for part in _parts(item, opened, reads):
                if part.name in opened:
                    show(_inner(part, item))
                else:
                    found.blocks[part.name] = part
                    found.box_of.update(dict.fromkeys(part.members, part.name))

    def _inner(part: Copies, item: Copies) -> tuple[Item, ...]:
        """What a copy holds: of the first one it is known, others are alike."""
        if part.name == item.name:
            return item.inner
        return tuple(_renamed(each, item.name, part.name) for each in item.inner)

    show(held(typed, figures))
    links = {
        name: set() for name in [*(n for n, _ in typed.inputs), *found.box_of.values()]
    }
    for name, read in reads.items():
        for source in read:
            box = found.box_of.get(source, source)
            if box != found.box_of[name]:
                links[found.box_of[name]].add(box)
    if topological_order({name: tuple(read) for name, read in links.items()})[1]:
        return Folded({name: name for name in capsules}, {})  # a box reads itself
    return found


def _parts(item: Copies, opened: set[str], reads: dict[str, set[str]]) -> list[Copies]:
    """Copies in parts that are drawn as one: closed, each reading the one before."""
    size = len(item.members) // len(item.uses)
    parts: list[Copies] = []
    for i, use in enumerate(item.uses):
        members = item.members[i * size : (i + 1) * size]
        one = dataclasses.replace(item, uses=(use,), members=members)
        last = parts[-1] if parts else None
        if last is not None and not opened.intersection((use.name, last.name)):
            read = set().union(*(reads[name] for name in members))
            if read.intersection(last.members[-size:]):
                parts[-1] = dataclasses.replace(
                    last,
                    uses=(*last.uses, use),
                    members=(*last.members, *members),
                )
                continue
        parts.append(one)
    return parts


def _renamed(item: Item, old: str, new: str) -> Item:
    """The same item in another copy."""
    if isinstance(item, str):
        return new + item.removeprefix(old)
    return dataclasses.replace(
        item,
        uses=tuple(
            dataclasses.replace(use, name=new + use.name.removeprefix(old))
            for use in item.uses
        ),
        inner=tuple(_renamed(each, old, new) for each in item.inner),
        members=tuple(new + name.removeprefix(old) for name in item.members),
    )
