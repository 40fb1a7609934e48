"""Which capsules a drawing shows by themselves, and which in the box of their block."""

import dataclasses
import itertools
from collections.abc import Iterable

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
        frames: Open uses of blocks, by name, outer ones first.
        within: The frame around each box and each frame; "" for none.
    """

    box_of: dict[str, str]
    blocks: dict[str, Copies]
    frames: dict[str, Use]
    within: dict[str, str]

    def around(self, name: str) -> tuple[str, ...]:
        """A box or frame with the frames around it, from the outermost."""
        chain = [name]
        while self.within.get(chain[-1]):
            chain.append(self.within[chain[-1]])
        return tuple(reversed(chain))


def fold(typed: TypedGraph, expand: bool | Iterable[str]) -> Folded:
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

    found = Folded({}, {}, {}, {})

    def show(items: Iterable[Item], frame: str) -> None:
        for item in items:
            if isinstance(item, str):
                found.box_of[item] = item
                found.within[item] = frame
                continue
            for part in _parts(item, opened, reads):
                found.within[part.name] = frame
                if part.name in opened:
                    found.frames[part.name] = part.uses[0]
                    show(_inner(part, item), part.name)
                else:
                    found.blocks[part.name] = part
                    found.box_of.update(dict.fromkeys(part.members, part.name))

    def _inner(part: Copies, item: Copies) -> tuple[Item, ...]:
        """What a copy holds: of the first one it is known, others are alike."""
        if part.name == item.name:
            return item.inner
        return tuple(_renamed(each, item.name, part.name) for each in item.inner)

    show(held(typed, figures), "")
    if _circular(typed, found, reads):
        return Folded({name: name for name in capsules}, {}, {}, {})
    return found


def _circular(typed: TypedGraph, folded: Folded, reads: dict[str, set[str]]) -> bool:
    """Whether a box or frame would read itself by way of others."""
    links: dict[str, dict[str, set[str]]] = {}
    producer = {made: each.name for each in typed.unfolded for made in each.made}
    for name, read in reads.items():
        for source in read:
            source = producer.get(source, source)
            a = folded.around(folded.box_of.get(source, source))
            b = folded.around(folded.box_of[name])
            if a == b:
                continue
            level = common(a, b)
            read_by = links.setdefault(level[-1] if level else "", {})
            read_by.setdefault(a[len(level)], set())
            read_by.setdefault(b[len(level)], set()).add(a[len(level)])
    graphs = ({k: tuple(v) for k, v in each.items()} for each in links.values())
    return any(topological_order(graph)[1] for graph in graphs)


def common(a: tuple[str, ...], b: tuple[str, ...]) -> tuple[str, ...]:
    """The frames around both of two boxes, given as `Folded.around` does."""
    both = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False))
    return tuple(first for first, _ in both)


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
