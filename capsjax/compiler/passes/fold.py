"""Pass: equal sub-graphs in a row become one run, computed by a loop.

Two capsules are alike if their functions, shapes and edges are; a run is a stretch of
the graph, in one of two topological orders, where p capsules after p capsules are alike
and read alike: within the copy, what the copy before made at the same place, or what
all copies read. It is found whether the copies were declared as a block or not.

For each period p, one comparison of the order with itself, moved by p, gives the
stretches (as in a search for repetitions in a text); the one that saves the most
capsules is taken first. Where a copy begins is chosen so that the least is handed on.
"""

import dataclasses
import math
import os.path
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from capsjax.graph.errors import listing
from capsjax.graph.typed import (
    Carried,
    Concatenation,
    Term,
    TypedCapsule,
    TypedEdge,
    TypedGraph,
    TypedGroup,
    TypedRun,
)

LEAST_WORK = 100
"""Work of the compiler that a run saves, at least: see `_work`. That is about a second
on a CPU."""

WORK_OF_A_KERNEL = 8
"""Work of a weight of more than two axes, beside that of a capsule, which is 1."""

Item = TypedCapsule | TypedGroup | TypedRun


def fold(typed: TypedGraph) -> tuple[TypedGraph, list[str]]:
    """Folds runs that would take long to compile: a rule of cost.

    A loop saves compile time, which grows with the number of copies, and costs what it
    moves: weights are cut from their stack, and what is kept is written into one. On
    CPU that is nothing beside convolutions and attention; but where each weight meets
    only about a hundred examples, it is a tenth of the step at 64 layers, and 0.4 of it
    at 256, whose gradients no longer fit into the caches. So short runs of products,
    which compile quickly, are left as they are.

    Where you know better: `cj.compile(graph, passes=...)` without this pass, or with
    `cj.passes.Pass(cj.passes.fold_all, observable=True)` in its place.
    """
    return _folded(typed, 3, LEAST_WORK)


def fold_all(typed: TypedGraph) -> tuple[TypedGraph, list[str]]:
    """Folds every run, of two copies or more, in place of `fold`."""
    return _folded(typed, 2, 0)


def _folded(typed: TypedGraph, copies: int, work: int) -> tuple[TypedGraph, list[str]]:
    orders = _depth_first(typed), _by_level(typed)
    found = [_folded_in_order(typed, order, copies, work) for order in orders]
    return min(found, key=lambda result: len(result[0].capsules))


def _folded_in_order(
    typed: TypedGraph, order: list[Item], copies: int, work: int
) -> tuple[TypedGraph, list[str]]:
    notes: list[str] = []
    while (found := _best(typed, order, copies, work)) is not None:
        run = _run(order, found)
        order[found.start : found.end] = [run]
        handed = [run.members[each.output][0] for each in run.carried]
        notes.append(
            f"{run.name}: {run.size} copies of {listing(run.copies[0], 4)} in one "
            f"loop; each hands on {listing(handed)}"
        )
        typed = dataclasses.replace(typed, capsules=tuple(order))
    return typed, notes


def _by_level(typed: TypedGraph) -> list[Item]:
    """Topological order by the longest path: what goes side by side stands together."""
    level: dict[str, int] = {}
    kinds: dict[Any, int] = {}
    rank = {}
    for item in typed.capsules:
        own = max((level.get(source, 0) for source in item.sources), default=0) + 1
        level |= dict.fromkeys(item.made, own)
        rank[item.name] = own, kinds.setdefault(_kind(item), len(kinds))
    return sorted(typed.capsules, key=lambda item: rank[item.name])


def _depth_first(typed: TypedGraph) -> list[Item]:
    """Topological order by depth first: what leads to a capsule stands before it."""
    made = {name: item for item in typed.capsules for name in item.made}
    order: dict[str, Item] = {}
    stack = [made[name] for name in reversed(typed.outputs)]
    while stack:
        item = stack[-1]
        waiting = [
            made[source]
            for source in item.sources
            if source in made and made[source].name not in order
        ]
        if waiting and item.name not in order:
            stack.extend(reversed(waiting))
        else:
            order.setdefault(stack.pop().name, item)
    return list(order.values())


class _Found(NamedTuple):
    """Copies in a row: where the first begins, capsules in a copy, number of copies."""

    start: int
    period: int
    copies: int

    @property
    def end(self) -> int:
        return self.start + self.period * self.copies

    @property
    def saved(self) -> int:
        return self.period * (self.copies - 1)


class _Order:
    """The order in figures: what each capsule is, what it reads, who reads it."""

    def __init__(self, typed: TypedGraph, order: list[Item]):
        self.items = order
        place = {name: -1 - n for n, (name, _) in enumerate(typed.inputs)}
        for at, item in enumerate(order):
            place |= dict.fromkeys(item.made, at)
        with_loss = {each.output for each in typed.losses}
        kinds: dict[Any, int] = {}
        self.kind = np.array(
            [
                kinds.setdefault(
                    at if item.name in with_loss else _kind(item) or at, len(kinds)
                )
                for at, item in enumerate(order)
            ]
        )
        self.sources = [
            [place[edge.source] for edge in item.edges]
            if isinstance(item, TypedCapsule)
            else [place[source] for source in item.sources]
            for item in order
        ]
        self.first, self.last = _spans(order)
        for at, item in enumerate(order):
            if isinstance(item, TypedCapsule):
                owners = (edge.merged.capsule for edge in item.edges if edge.merged)
                self.sources[at] += [place[owner] for owner in owners]
        self.last_reader = np.zeros(len(order), int)
        for at, sources in enumerate(self.sources):
            for source in sources:
                if source >= 0:
                    self.last_reader[source] = at
        for name in typed.outputs:
            self.last_reader[place[name]] = len(order)
        most = max(map(len, self.sources), default=0)
        self.read = np.full((len(order), most), len(order))
        for at, sources in enumerate(self.sources):
            self.read[at, : len(sources)] = sources
        self.distance = np.arange(len(order))[:, None] - self.read

    def alike(self, period: int) -> np.ndarray:
        """Which capsules are like those one period later, and read alike."""
        kinds = self.kind[:-period] == self.kind[period:]
        if not kinds.any():
            return kinds
        near = self.distance[:-period] == self.distance[period:]
        same = self.read[:-period] == self.read[period:]
        return kinds & (near | same).all(1)

    def copies(self, start: int, period: int) -> int:
        """How many copies a run that begins here has; 0 if it is none."""
        if start < 0 or start + 2 * period > len(self.items):
            return 0
        roles = self._roles(start, start + period, period)
        if roles is None or not any(role[0] == "before" for role in roles):
            return 0
        if not self._first_fits(start, period, roles):
            return 0
        count = 2
        while self._fits(start, period, count, roles):
            count += 1
        for copy in range(count - 1):
            ends = start + (copy + 2) * period
            begins = start + copy * period
            if (self.last_reader[begins : begins + period] >= ends).any():
                count = copy + 1
                break
        inner = np.ones(period, bool)
        inner[[role[1] for role in roles if role[0] == "before"]] = False
        while count > 1:
            end = start + count * period
            if not (self.last_reader[end - period : end][inner] >= end).any():
                break
            count -= 1
        return count

    def _roles(
        self, start: int, begin: int, period: int
    ) -> list[tuple[str, int]] | None:
        """What a copy's edges read: a place within, in the copy before, or outside."""
        roles = []
        for sources in self.sources[begin : begin + period]:
            for source in sources:
                if source >= begin:
                    roles.append(("within", source - begin))
                elif source >= begin - period:
                    roles.append(("before", source - begin + period))
                elif source < start:
                    roles.append(("outside", source))
                else:
                    return None
        return roles

    def _first_fits(self, start: int, period: int, roles: list) -> bool:
        """Whether the first copy is like the second; what it reads first is outside."""
        if not self._same_kinds(start, start + period, period):
            return False
        found = [s for row in self.sources[start : start + period] for s in row]
        first: dict[int, int] = {}
        for source, (role, at) in zip(found, roles, strict=True):
            if role == "within" and source != start + at:
                return False
            if role == "outside" and source != at:
                return False
            if role == "before" and first.setdefault(at, source) != source:
                return False
            if role == "before" and source >= start:
                return False
        return True

    def _fits(self, start: int, period: int, copy: int, roles: list) -> bool:
        begin = start + copy * period
        if begin + period > len(self.items):
            return False
        if not self._same_kinds(start, begin, period):
            return False
        return self._roles(start, begin, period) == roles

    def _same_kinds(self, one: int, other: int, period: int) -> bool:
        """Whether two copies hold the same, and each all of its merged products."""
        kinds = self.kind
        for begin in (one, other):
            end = begin + period
            whole = (self.first[begin:end] >= begin) & (self.last[begin:end] < end)
            if not whole.all():
                return False
        return bool((kinds[one : one + period] == kinds[other : other + period]).all())

    def work(self, found: _Found) -> int:
        """What compiling the copies takes, but for one of them."""
        copy = self.items[found.start : found.start + found.period]
        return (found.copies - 1) * sum(map(_work, copy))

    def handed_on(self, found: _Found) -> int:
        """Numbers of what each copy hands on."""
        begin = found.start + found.period
        roles = self._roles(found.start, begin, found.period) or []
        handed = {at for role, at in roles if role == "before"}
        items = [self.items[found.start + at] for at in handed]
        return sum(math.prod(c.output) for c in items if isinstance(c, TypedCapsule))


def _best(
    typed: TypedGraph, order: list[Item], copies: int, work: int
) -> _Found | None:
    """The run that saves the most capsules, of those with enough copies and work."""
    table = _Order(typed, order)
    best: _Found | None = None
    for period in range(1, len(order) // copies + 1):
        for start, length in _stretches(table.alike(period)):
            # The first copy reads what is no copy, and the last has none to be like.
            most = length // period + 2
            if most < copies or (best and period * (most - 1) <= best.saved):
                continue
            starts = range(start - period, start + period)
            found = [_Found(s, period, table.copies(s, period)) for s in starts]
            found = [f for f in found if f.copies >= copies and table.work(f) >= work]
            if not found:
                continue
            here = min(found, key=lambda f: (table.handed_on(f), -f.copies, f.start))
            if best is None or here.saved > best.saved:
                best = here
    return best


def _stretches(alike: np.ndarray) -> Iterator[tuple[int, int]]:
    """Where there are ones in a row, and how many."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], alike.view(np.int8), [0]))))
    for start, end in edges.reshape(-1, 2).tolist():
        yield start, end - start


def _work(item: Item) -> int:
    """What compiling a capsule takes, in capsules without a kernel."""
    edges = item.edges if isinstance(item, TypedCapsule) else ()
    kernels = sum(len(edge.weight_shape or ()) > 2 for edge in edges)
    return 1 + WORK_OF_A_KERNEL * kernels


def _spans(order: list[Item]) -> tuple[np.ndarray, np.ndarray]:
    """For each capsule, where what shares merged products with it begins and ends."""
    first, last = np.arange(len(order)), np.arange(len(order))
    members: dict[tuple[str, str], list[int]] = {}
    for at, item in enumerate(order):
        for edge in item.edges if isinstance(item, TypedCapsule) else ():
            if edge.merged is not None:
                key = edge.merged.capsule, edge.merged.key
                members.setdefault(key, []).append(at)
    for places in members.values():
        first[places] = np.minimum(first[places], places[0])
        last[places] = np.maximum(last[places], places[-1])
    return first, last


def _kind(item: Item) -> Any:
    """What is equal in all copies; None for what can't be in one."""
    if not isinstance(item, TypedCapsule):
        return None
    terms = tuple(map(_term_kind, item.terms))
    rules = item.backward, item.received
    return item.cap, item.bias_shape, item.total_input, item.output, terms, rules


def _term_kind(term: Term) -> Any:
    if isinstance(term, Concatenation):
        return term.axis, tuple(map(_term_kind, term.edges))
    shapes = term.source_shape, term.shape, term.weight_shape
    merged = term.merged and term.merged[2:]
    return term.weighting, shapes, term.weight, merged, term.backward


def _run(order: list[Item], found: _Found) -> TypedRun:
    """The copies as one run."""
    period = found.period
    copies = [
        [c for c in order[start : start + period] if isinstance(c, TypedCapsule)]
        for start in range(found.start, found.end, period)
    ]
    first, second = copies[0], copies[1]
    own = {c.name: f"{c.name}+{found.copies - 1}" for c in first}
    carried: dict[str, Carried] = {}
    reads: list[str] = []
    inputs: dict[str, tuple[int, ...]] = {}
    inside = {c.name for c in second}
    for a, b in zip(first, second, strict=True):
        for one, other in zip(a.edges, b.edges, strict=True):
            if other.source in inside:
                reads.append(own[one.source])
            elif other.source in own:
                output = own[other.source]
                slot = f"{output} before"
                carried[slot] = Carried(slot, one.source, output)
                inputs[slot] = one.source_shape
                reads.append(slot)
            else:
                inputs[one.source] = one.source_shape
                reads.append(one.source)
    source = iter(reads)

    def edge(old: TypedEdge) -> TypedEdge:
        merged = old.merged
        if merged is not None:
            merged = merged._replace(capsule=own[merged.capsule])
        return dataclasses.replace(old, source=next(source), merged=merged)

    capsules = tuple(c.with_edges(edge, name=own[c.name]) for c in first)
    outputs = tuple(each.output for each in carried.values())
    return TypedRun(
        name=_title([c.name for c in first], [c.name for c in copies[-1]]),
        body=TypedGraph(None, tuple(inputs.items()), capsules, outputs, ()),
        carried=tuple(carried.values()),
        copies=tuple(tuple(c.name for c in copy) for copy in copies),
        keys=tuple(tuple(e.key for c in copy for e in c.edges) for copy in copies),
    )


def _title(first: list[str], last: list[str]) -> str:
    """`stage3/block2 to block36`: what the names of a copy have in common."""
    ends = [_common(first) or first[0], _common(last) or last[-1]]
    above = os.path.commonprefix([f"{end}/" for end in ends]).rpartition("/")[0]
    end = ends[1].removeprefix(f"{above}/")
    return f"{ends[0]} to {end}"


def _common(names: list[str]) -> str:
    """The block that names stand in, if they stand in one."""
    if len(names) == 1:
        return names[0]
    return "/".join(os.path.commonprefix([name.split("/")[:-1] for name in names]))
