"""What a backward pass reads of the forward pass, in bytes, and what it costs again."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from capsjax.caps.base import Cap, Context
from capsjax.compiler.plan import RunPlan, backward_reads, copy_bytes, flops
from capsjax.compiler.rematerialization import Option, Problem, Step
from capsjax.graph.typed import TypedCapsule, TypedGroup, TypedRun

if TYPE_CHECKING:
    from capsjax.compiler.program import Program

RESIDUAL = "residual"
"""What a capsule function keeps beside U and Y stands as (name, RESIDUAL)."""

Item = TypedCapsule | TypedGroup | TypedRun

_MOST_NUMBERS = 48
_FLOPS_A_BYTE = 10  # in the time of moving a byte: of CPUs and accelerators alike
_FLOPS_A_DRAW = 50  # a random number by the threefry hash
_UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


def problem_of(program: Program, batch_size: int, dtype: Any, train: bool) -> Problem:
    """What a budget chooses from: a step for each capsule.

    Args:
        program: The lowered program.
        batch_size: Number of examples.
        dtype: The type of all floating-point arrays.
        train: Whether batch statistics are taken and capsule functions draw.

    Returns:
        The problem. Its work is in FLOPs, a byte moved counted as ten of them.
    """
    typed, same = program.typed, dict(program.plan.same)
    scale = batch_size * jnp.dtype(dtype).itemsize
    shapes: dict[Any, Any] = {(name, "Y"): shape for name, shape in typed.inputs}
    reads_back = backward_reads(typed, program.plan.scaled, program.plan.runs)
    steps = []
    for capsule in typed.capsules:
        made = _made(capsule)
        shapes |= made
        sizes = {a: scale * math.prod(s) for a, s in made.items() if a not in same}
        needs = [same.get(array, array) for array in reads_back[capsule.name]]
        options: tuple[Option, ...] = ()
        copy = None
        if isinstance(capsule, TypedRun):
            body = problem_of(program.runs[capsule.name].body, batch_size, dtype, train)
            copy = _Copy.of(capsule, program.plan.runs[capsule.name], body, scale)
            kept = capsule.size * copy.kept
            options = tuple(run_options(capsule.size, *copy))
        else:
            kept = _residual_bytes(capsule, batch_size, dtype, train)
        if kept:
            sizes[capsule.name, RESIDUAL] = kept
            needs.append((capsule.name, RESIDUAL))
        reads = [same.get((name, "Y"), (name, "Y")) for name in capsule.sources]
        moved = sum(sizes.values()) + sum(
            scale * math.prod(shapes[array]) for array in reads
        )
        work = batch_size * flops(capsule) + _FLOPS_A_BYTE * moved
        if isinstance(capsule, TypedCapsule) and capsule.cap.draws and train:
            work += _FLOPS_A_DRAW * batch_size * math.prod(capsule.total_input)
        if isinstance(capsule, TypedRun) and copy is not None:
            work = capsule.size * copy.work
        step = Step(float(work), sizes, tuple(reads), tuple(needs), options)
        steps.append(step)
    return Problem(tuple(steps))


class _Copy(NamedTuple):
    """One copy of a run.

    Attributes:
        kept: Bytes that it keeps for its backward pass.
        handed: Bytes that it is given by the last one.
        work: Work of running it again.
    """

    kept: int
    handed: int
    work: float

    @classmethod
    def of(cls, run: TypedRun, made: RunPlan, body: Problem, scale: int) -> _Copy:
        shapes = dict(run.body.inputs)
        arrays = scale * sum(copy_bytes(run, made, 1).values())
        drawn = [
            size
            for step in body.steps
            for (_, which), size in step.makes.items()
            if which == RESIDUAL
        ]
        handed = sum(math.prod(shapes[each.slot]) for each in run.carried)
        work = sum(step.work for step in body.steps)
        return cls(arrays + sum(drawn), scale * handed, work)


def run_options(count: int, kept: int, handed: int, work: float) -> Iterator[Option]:
    """What a run of equal copies offers in place of keeping all.

    The first `segments * group` copies are computed again, a group at a time, from what
    each group was given; the others keep all, and have released it by then. Of sizes of
    groups and numbers of segments at most 48 each are tried.

    Args:
        count: Number of copies.
        kept: Bytes that a copy keeps for its backward pass.
        handed: Bytes that a copy is given by the last one.
        work: Work of running one again.

    Yields:
        Options, named `(group, segments)`; none at least as good as another.
    """
    found = []
    for group in _spread(count):
        # XLA inlines a loop of one segment, and then holds both parts at once.
        for segments in _spread(count // group)[1:]:
            head = group * segments
            others = (count - head) * kept
            held = segments * handed + others
            inner = max(group * kept - others, 0)
            name = group, segments
            found.append(Option(held, inner, head * work, name))
    found.sort(key=lambda o: (o.work, o.kept + o.inner, o.kept))
    least: list[Option] = []
    for option in found:
        held, peak = option.kept, option.kept + option.inner
        if all(held < o.kept or peak < o.kept + o.inner for o in least):
            least.append(option)
    return iter(least)


def _spread(count: int) -> list[int]:
    """At most 48 numbers from 1 to `count`, in equal ratios, both ends among them."""
    ratios = np.geomspace(1, count, min(count, _MOST_NUMBERS))
    return sorted({1, count, *np.round(ratios).astype(int).tolist()})


def _made(capsule: Item) -> dict[Any, tuple[int, ...]]:
    name = capsule.name
    if isinstance(capsule, TypedRun):
        return {(each, "Y"): shape for each, shape in capsule.made.items()}
    if isinstance(capsule, TypedGroup):
        rows = (capsule.outer + capsule.size, *capsule.unit)
        written = {(each.name, "Y"): capsule.written(each) for each in capsule.writings}
        return {(name, "U"): rows, (name, "Y"): rows, **written}
    return {(name, "U"): capsule.total_input, (name, "Y"): capsule.output}


def _residual_bytes(capsule: Any, batch_size: int, dtype: Any, train: bool) -> int:
    """Bytes that the capsule function keeps beside U and Y."""
    if not isinstance(capsule, TypedCapsule) or type(capsule.cap).run is Cap.run:
        return 0
    cap, shape = capsule.cap, capsule.total_input
    wide = jnp.promote_types(dtype, jnp.float32)

    def residual(u: Any, params: Any, state: Any, key: Any) -> Any:
        drawing = key if cap.draws and train else None
        return cap.run(u, Context(params, state, drawing, train))[2]

    def arrays(shapes: Any, dtype: Any) -> Any:
        return {k: jax.ShapeDtypeStruct(s, dtype) for k, s in shapes.items()}

    found = jax.eval_shape(
        residual,
        jax.ShapeDtypeStruct((batch_size, *shape), dtype),
        arrays(capsule.cap_shapes, dtype),
        arrays(capsule.state_shapes, wide),
        jax.eval_shape(jax.random.key, 0),
    )
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(found))


def parse_bytes(budget: int | str, what: str = "memory_budget") -> int:
    """A number of bytes: 2147483648, "2GiB", "512 MiB".

    Raises:
        ValueError: What is given is none.
    """
    if isinstance(budget, int) and not isinstance(budget, bool) and budget >= 0:
        return budget
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]iB|B)\s*", str(budget))
    if not isinstance(budget, str) or found is None:
        raise ValueError(
            f"{what}: found {budget!r}; expected a number of bytes, or text "
            f'such as "2GiB", with one of {", ".join(_UNITS)}'
        )
    return int(float(found[1]) * _UNITS[found[2]])


def in_words(size: float) -> str:
    """A number of bytes in the unit that suits it: "1.5 MiB"."""
    unit = max((u for u in _UNITS if _UNITS[u] <= max(size, 1)), key=_UNITS.__getitem__)
    return f"{size / _UNITS[unit]:.4g} {unit}"
