"""The boxes of a graph: what they say, and so how large they are."""

import dataclasses
from collections.abc import Iterable
from typing import Any

from capsjax.compiler import Network
from capsjax.compiler.outline import Copies, relative
from capsjax.graph.typed import TypedCapsule, TypedGraph
from capsjax.view import labels
from capsjax.view.folding import Folded
from capsjax.view.scene import facts
from capsjax.view.scene.data import NAME, ROW, SMALL, Box, Row
from capsjax.view.scene.texts import text_width

_WIDEST = 44  # letters of a block's values
_NARROWEST, _AROUND = 57.6, 18.7


def _sized(box: Box) -> Box:
    widths = [text_width(row.text, row.size, row.bold) for row in box.rows]
    width = max(_NARROWEST, max(widths) + _AROUND)
    return dataclasses.replace(box, size=(width, ROW * len(box.rows) + 11.5))


def boxes_of(net: Network, folded: Folded) -> list[Box]:
    """The inputs, capsules, groups, blocks and frames of a graph, in order."""
    typed, known = net.typed, facts.Known.of(net)
    losses = {each.output: labels.loss_words(each.loss) for each in typed.losses}
    found: list[Box] = []
    for name, shape in typed.inputs:
        what, equation = facts.of_input(name, shape, name in typed.integers)
        rows = _head(name), Row(labels.shape_words(shape), color="soft")
        found.append(_box(name, "input", rows, (name,), facts=what, equation=equation))
    shapes = {each.name: each.shapes[1] for each in typed.unfolded}
    shown: set[str] = set()
    for capsule in typed.unfolded:
        name = folded.box_of[capsule.name]
        for frame in folded.around(name)[:-1]:
            if frame not in shown:
                shown.add(frame)
                found.append(_frame_box(typed, frame, folded, known))
        frame = folded.within.get(name, "")
        if name in folded.blocks:
            if name not in shown:
                shown.add(name)
                copies = folded.blocks[name]
                what = facts.of_copies(copies, shapes[copies.members[-1]], known)
                found.append(_block_box(typed, copies, known, frame, what))
            continue
        what, equation = facts.of_capsule(capsule, known)
        role = "output" if name in typed.outputs else "hidden"
        rows = _head(name, frame), *_capsule_rows(capsule, losses.get(name))
        more = {"within": frame, "facts": what, "equation": equation}
        found.append(_box(name, role, rows, capsule.stands_for, **more))
    return found


def _box(name: str, role: Any, rows: Iterable[Row], capsules: Any, **more: Any) -> Box:
    rows = tuple(row for row in rows if row.text)
    return _sized(Box(name, role, (0.0, 0.0), (0.0, 0.0), rows, capsules, **more))


def _head(name: str, within: str = "") -> Row:
    return Row(labels.name_words(relative(name, within)), NAME, bold=True)


def _capsule_rows(capsule: Any, loss: str | None) -> list[Row]:
    if not isinstance(capsule, TypedCapsule):
        members = f"{capsule.size:,} {labels.members_word(capsule)}"
        edges = f"{len(capsule.edge_sources):,} edges"
        rows = [Row(members, color="soft"), Row(edges, color="soft")]
        return [*rows, Row(labels.caps_words(capsule))]
    return [
        Row(labels.capsule_words(capsule)),
        Row(labels.shape_words(capsule.output), color="soft"),
        Row(labels.rule_words(capsule), color="rule"),
        Row(f"loss: {loss}" if loss else "", color="loss"),
    ]


def _values(use: Any) -> str:
    values = ", ".join(f"{name} {value}" for name, value in use.values)
    return values if len(values) <= _WIDEST else f"{values[: _WIDEST - 1]}…"


def _block_box(
    typed: TypedGraph,
    block: Copies,
    known: facts.Known,
    frame: str,
    what: facts.Facts,
) -> Box:
    """The box that stands for a block, or for equal copies of it in a row."""
    (use, *_), copies = block.uses, len(block.uses)
    count = sum(known.parameters[name] for name in block.members)
    ends = [name for name in block.members if name in typed.outputs]
    losses = [
        f"loss on {labels.name_words(each.output.removeprefix(use.name + '/'))}: "
        f"{labels.loss_words(each.loss)}"
        for each in typed.losses
        if each.output in ends
    ]
    ways = (relative(block.uses[i].name, frame) for i in (0, -1))
    first, last = map(labels.name_words, ways)
    rows = [
        Row(first if copies == 1 else f"{first} … {last}", NAME, bold=True),
        Row(f"{use.block}  × {copies}" if copies > 1 else use.block),
        Row(_values(use), SMALL, "soft"),
        Row(f"{len(block.members):,} capsules, {count:,} parameters", SMALL, "soft"),
        *(Row(loss, color="loss") for loss in losses),
    ]
    more = {"within": frame, "opens": use.name, "facts": what}
    return _box(block.name, "output" if ends else "block", rows, block.members, **more)


def _frame_box(typed: TypedGraph, name: str, folded: Folded, known: facts.Known) -> Box:
    """The frame of an open block."""
    use, frame = folded.frames[name], folded.within[name]
    members = tuple(c.name for c in typed.unfolded if c.name.startswith(f"{name}/"))
    kind = "  ".join(part for part in (use.block, _values(use)) if part)
    rows = _head(name, frame), Row(kind, SMALL, "soft")
    what = (("block", use.block), *known.sums(members))
    more = {"within": frame, "opens": name, "facts": what}
    return _box(name, "frame", rows, members, **more)
