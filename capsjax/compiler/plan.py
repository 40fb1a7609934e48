"""The plan: what is computed, what is kept for the backward pass, what it costs.

Backward rules read U or Y of their capsule, weight gradients read Y of the source.
Only what some rule reads is kept. Where U or Y *is* another capsule's Y (an identity
edge without bias, the identity capsule function) it is kept, and counted, once.

Where a capsule that standardizes has one reader, which scales its channels (batch
normalization), one rule gives the gradients of both: it reads U, and Y is not kept.
"""

import collections
import dataclasses
import functools
import math
from collections.abc import Iterable, Mapping

from capsjax import caps
from capsjax.graph.typed import (
    Carried,
    TypedCapsule,
    TypedEdge,
    TypedGraph,
    TypedGroup,
    TypedRun,
)
from capsjax.weightings import ChannelScale, Identity

Array = tuple[str, str]
"""Name of a capsule and which of its tensors: ("c1", "Y")."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """What `lower` follows.

    Attributes:
        kept: The arrays kept for the backward pass, in topological order.
        behind_parameters: Capsules whose error signal some parameter's gradient needs.
        same: Arrays that are another one: ("s2", "U") is ("c1", "Y").
        scaled: Capsules that standardize, whose only reader scales their channels.
        runs: The plans of runs, by name.
    """

    kept: tuple[Array, ...]
    behind_parameters: frozenset[str]
    same: tuple[tuple[Array, Array], ...]
    scaled: frozenset[str]
    runs: Mapping[str, "RunPlan"]

    def array(self, name: str, which: str) -> Array:
        """The array that a capsule's tensor is."""
        return self._same.get((name, which), (name, which))

    @functools.cached_property
    def _same(self) -> dict[Array, Array]:
        return dict(self.same)


@dataclasses.dataclass(frozen=True)
class RunPlan:
    """What the loops of a run follow.

    Attributes:
        body: The plan of one copy.
        stacked: The arrays of the body that are kept for every copy.
        handed: What is carried and read by the backward pass of the copy that made it,
            each with the array of the body that it is. It is kept once, as what the
            next copy is given.
    """

    body: Plan
    stacked: tuple[Array, ...]
    handed: tuple[tuple[Carried, Array], ...]


def behind(typed: TypedGraph, names: Iterable[str]) -> frozenset[str]:
    """What depends on parameters, or on the given inputs; these among it.

    Backward rules cut what depends on them: where nothing is sent back over an edge, or
    what is sent is not heard, the source has no need of the reader's error signal. And
    they add to it: of an output's, what it is sent straight to has need.
    """
    found, unheard = set(names), deaf(typed)
    for capsule in typed.capsules:
        sources = capsule.sources
        if isinstance(capsule, TypedCapsule):
            sources = [edge.source for edge in capsule.edges if not _silent(edge)]
        heard = (source for source in sources if source not in unheard)
        if capsule.learns or not found.isdisjoint(heard):
            found.update((capsule.name, *capsule.made))
            found.update(sent_straight(capsule))
    return frozenset(found)


def sent_straight(item: TypedCapsule | TypedGroup | TypedRun) -> frozenset[str]:
    """The outputs whose error signals are sent straight to what the item holds."""
    if isinstance(item, TypedRun):
        return frozenset().union(*map(sent_straight, item.body.capsules))
    if isinstance(item, TypedGroup) or item.received is None:
        return frozenset()
    return frozenset(name for name, _ in item.received.outputs)


def deaf(typed: TypedGraph) -> frozenset[str]:
    """The capsules that do not hear what their readers send, in runs by last name."""
    found = {c.name for c in typed.alone if c.received is not None}
    for run in typed.runs:
        inside = deaf(run.body)
        found |= {last for own, last in run.last.items() if own in inside}
    return frozenset(found)


def _silent(edge: TypedEdge) -> bool:
    return edge.backward is not None and edge.backward.silent


def plan(typed: TypedGraph) -> Plan:
    """Plans a graph.

    Args:
        typed: The graph after all passes.

    Returns:
        The plan.
    """
    learned = behind(typed, ())
    same = _aliases(typed)
    scaled = _scaled(typed) & learned
    runs = {run.name: _plan_run(run) for run in typed.runs}
    reads = backward_reads(typed, scaled, runs)
    needed = (array for arrays in reads.values() for array in arrays)
    kept = dict.fromkeys(same.get(array, array) for array in needed)
    return Plan(tuple(kept), learned, tuple(same.items()), scaled, runs)


def backward_reads(
    typed: TypedGraph, scaled: frozenset[str], runs: Mapping[str, RunPlan]
) -> dict[str, list[Array]]:
    """The arrays that each capsule's backward rules read, in topological order."""
    found: dict[str, list[Array]] = {}
    from_u = {loss.output for loss in typed.losses if loss.from_total_input}
    from_y = {loss.output for loss in typed.losses if not loss.from_total_input}
    for capsule in typed.capsules:
        name, needed = capsule.name, found.setdefault(capsule.name, [])
        if isinstance(capsule, TypedGroup):
            # Its buffers hold the rows that are read, too.
            needed.append((name, "Y"))
            if any("U" in cap.reads for cap in capsule.caps):
                needed.append((name, "U"))
            continue
        if isinstance(capsule, TypedRun):
            needed += read_outside(capsule, runs[name])
            continue
        for edge in capsule.edges:
            if edge.weight_shape is not None and edge.source not in scaled:
                needed.append((edge.source, "Y"))
            elif edge.backward is not None and "Y" in edge.backward.reads:
                needed.append((edge.source, "Y"))
        reads = [read for read in ("U", "Y") if read in function_reads(capsule)]
        if name in scaled:
            reads = ["U"]
        reads += ["U"] * (name in from_u) + ["Y"] * (name in from_y)
        needed += [(name, read) for read in reads]
    return found


def function_reads(capsule: TypedCapsule) -> tuple[str, ...]:
    """What going back through a capsule's function reads."""
    rule = capsule.backward
    if rule is not None and not rule.exact_within and not capsule.cap_shapes:
        return ()
    return capsule.cap.reads


def _plan_run(run: TypedRun) -> RunPlan:
    body = plan(run.body)
    given = {name for name, _ in run.body.inputs}
    outputs = {each: body.array(each.output, "Y") for each in run.carried}
    handed = {
        each: array
        for each, array in outputs.items()
        if array in body.kept and array[0] not in given
    }
    kept = dict.fromkeys((each.slot, "Y") for each in handed)
    kept |= dict.fromkeys(body.kept)
    outside = {*handed.values(), *((name, "Y") for name in run.constants)}
    stacked = tuple(array for array in kept if array not in outside)
    return RunPlan(body, stacked, tuple(handed.items()))


def read_outside(run: TypedRun, made: RunPlan) -> list[Array]:
    """The arrays outside a run that its backward pass reads."""
    last = run.last
    read: list[Array] = [(last[each.output], "Y") for each, _ in made.handed]
    constants: list[Array] = [(name, "Y") for name in run.constants]
    return read + [array for array in constants if array in made.body.kept]


def _scaled(typed: TypedGraph) -> frozenset[str]:
    readers = collections.Counter(typed.outputs)
    scaled = set()
    for capsule in typed.capsules:
        if isinstance(capsule, TypedGroup):
            readers.update(capsule.sources)
            continue
        if isinstance(capsule, TypedRun):
            readers.update(capsule.sources)
            continue
        readers.update(edge.source for edge in capsule.edges)
        for term in capsule.terms:
            if isinstance(term, TypedEdge) and term.weight is None:
                if isinstance(term.weighting, ChannelScale) and not term.backward:
                    scaled.add(term.source)
    standardized = {
        capsule.name
        for capsule in typed.alone
        if isinstance(capsule.cap, caps.standardize)
        and capsule.backward is None
        and capsule.received is None
    }
    return frozenset(n for n in scaled & standardized if readers[n] == 1)


def residual_bytes(typed: TypedGraph, made: Plan, item_size: int = 4) -> dict[str, int]:
    """Bytes kept per example for the backward pass, by capsule."""
    shapes = {(name, "Y"): shape for name, shape in typed.inputs}
    for capsule in typed.capsules:
        shapes |= {(name, "Y"): shape for name, shape in capsule.made.items()}
        if isinstance(capsule, TypedGroup):
            rows = (capsule.outer + capsule.size, *capsule.unit)
            shapes[(capsule.name, "U")] = shapes[(capsule.name, "Y")] = rows
        elif isinstance(capsule, TypedCapsule):
            shapes[(capsule.name, "U")] = capsule.total_input
    sizes: dict[str, int] = {}
    for array in made.kept:
        size = math.prod(shapes[array]) * item_size
        sizes[array[0]] = sizes.get(array[0], 0) + size
    for run in typed.runs:
        copy = copy_bytes(run, made.runs[run.name], item_size)
        sizes[run.name] = run.size * sum(copy.values())
    return sizes


def copy_bytes(run: TypedRun, made: RunPlan, item_size: int = 4) -> dict[str, int]:
    """Bytes kept per example and copy of a run, by capsule of the body, and slot."""
    own = dataclasses.replace(made.body, kept=made.stacked)
    return residual_bytes(run.body, own, item_size)


def flops(capsule: TypedCapsule | TypedGroup | TypedRun) -> int:
    """Floating-point operations of the forward pass of a capsule for one example."""
    if isinstance(capsule, TypedRun):
        return capsule.size * sum(map(flops, capsule.body.capsules))
    if isinstance(capsule, TypedGroup):
        size = math.prod(capsule.unit)
        each = capsule.weighting.flops(capsule.unit)
        sums = len(capsule.edge_sources) - capsule.size
        sums += capsule.size * (capsule.bias_shape is not None)
        caps = sum(
            int((capsule.cap_of == number).sum()) * cap.flops(capsule.unit)
            for number, cap in enumerate(capsule.caps)
        )
        return len(capsule.edge_sources) * each + sums * size + caps
    edges = sum(edge.weighting.flops(edge.source_shape) for edge in capsule.edges)
    sums = max(len(capsule.terms) - 1, 0) + (capsule.bias_shape is not None)
    size = math.prod(capsule.total_input)
    return edges + sums * size + capsule.cap.flops(capsule.total_input)


def _aliases(typed: TypedGraph) -> dict[Array, Array]:
    """Arrays that are others, resolved to the first of them."""
    same: dict[Array, Array] = {}
    for capsule in typed.capsules:
        if not isinstance(capsule, TypedCapsule) or not capsule.terms:
            continue
        name, term = capsule.name, capsule.terms[0]
        alone = len(capsule.terms) == 1 and capsule.bias_shape is None
        if alone and isinstance(term, TypedEdge):
            if isinstance(term.weighting, Identity):
                source = (term.source, "Y")
                same[(name, "U")] = same.get(source, source)
        if isinstance(capsule.cap, caps.identity):
            same[(name, "Y")] = same.get((name, "U"), (name, "U"))
    return same
