"""What the backward pass holds of the forward pass, capsule by capsule, as a table."""

from __future__ import annotations

import dataclasses
import functools
import sys
from collections.abc import Iterable
from typing import Any

import jax.numpy as jnp

from capsjax.compiler.outline import Copies, Item, held, relative
from capsjax.compiler.plan import flops
from capsjax.compiler.program import Program
from capsjax.compiler.recomputation import BudgetedProgram
from capsjax.compiler.rematerialization import Choice, Problem, Segment
from capsjax.compiler.residuals import in_words
from capsjax.compiler.text import table
from capsjax.graph.typed import TypedGraph


@dataclasses.dataclass(frozen=True)
class Point:
    """A budget, and what it costs.

    Attributes:
        peak: Bytes held where most are.
        flops: FLOPs of what is computed again, of a whole batch.
        share: Its time beside that of the forward pass, estimated by FLOPs and bytes
            moved.
    """

    peak: int
    flops: int
    share: float


@dataclasses.dataclass(frozen=True, repr=False)
class Memory:
    """What a network holds for its backward pass at a batch size; prints itself.

    Made by `net.memory(batch_size)`.

    Attributes:
        typed: The graph after all passes.
        batch_size: Number of examples.
        dtype: The type of the arrays.
        problem: Every array with its bytes.
        choice: What is kept and what is computed again.
    """

    typed: TypedGraph
    batch_size: int
    dtype: Any
    problem: Problem
    choice: Choice

    @classmethod
    def of(cls, program: Program, batch_size: int, dtype: Any) -> Memory:
        """The memory of a program; without a budget all is kept."""
        if not isinstance(program, BudgetedProgram):
            program = BudgetedProgram(program.typed, program.plan, sys.maxsize)
        problem = program.problem(batch_size, dtype)
        choice = program.choice(batch_size, dtype)
        return cls(program.typed, batch_size, dtype, problem, choice)

    @property
    def peak(self) -> int:
        """Bytes held at the time where most are."""
        return self.choice.peak

    @property
    def full(self) -> int:
        """Bytes held if nothing is computed again."""
        return self.problem.full

    @property
    def smallest(self) -> int:
        """The smallest budget that is possible."""
        return self.problem.smallest

    @property
    def flops(self) -> int:
        """FLOPs of the forward pass."""
        return sum(self._flops)

    @functools.cached_property
    def curve(self) -> tuple[Point, ...]:
        """From the smallest possible budget to the full one, what each costs."""
        return tuple(self._point(choice) for choice in self.problem.curve())

    @functools.cached_property
    def _flops(self) -> list[int]:
        return [self.batch_size * flops(capsule) for capsule in self.typed.capsules]

    @property
    def point(self) -> Point:
        """Where this network stands on the curve."""
        return self._point(self.choice)

    def _point(self, choice: Choice) -> Point:
        again = sum(self._flops_again(each) for each in choice.segments)
        work = sum(step.work for step in self.problem.steps)
        return Point(choice.peak, again, choice.work / max(work, 1.0))

    def _flops_again(self, segment: Segment) -> int:
        if segment.option is None:
            return sum(self._flops[n] for n in segment.again)
        run: Any = self.typed.capsules[segment.start]
        group, segments = segment.option
        return self._flops[segment.start] * group * segments // run.size

    def __repr__(self) -> str:
        return "\n".join([*self._table(), "", *self._curve()])

    def _table(self) -> list[str]:
        again = {n for segment in self.choice.segments for n in segment.again}
        options = {s.start: s.option for s in self.choice.segments if s.option}
        figures: dict[str, tuple[int, int, str]] = {}
        for number, capsule in enumerate(self.typed.capsules):
            makes, inner = self.problem.steps[number].makes, number in again
            needed = [a for a in makes if a in self.problem.needed]
            stays = sum(a in self.choice.kept for a in needed)
            what = "recomputed" if inner else "kept" if needed else ""
            if inner and stays:
                what = "in part recomputed"
            if number in options:
                run: Any = capsule
                group, segments = options[number]
                others = run.size - group * segments
                what = f"{segments} x {group} copies recomputed, {others} kept"
            size = sum(makes[array] for array in needed)
            figures[capsule.name] = size, self._flops[number], what
        rows: list[tuple[str, ...]]
        rows = [("capsule", "choice", "bytes read", "FLOPs to recompute")]

        def write(items: Iterable[Item], within: str, indent: str) -> None:
            for item in items:
                names = item.members if isinstance(item, Copies) else (item,)
                own = [figures[name] for name in names]
                title = (
                    relative(item, within)
                    if isinstance(item, str)
                    else item.title(within)
                )
                what = own[0][2] if isinstance(item, str) else ""
                size, work = sum(f[0] for f in own), sum(f[1] for f in own)
                rows.append((f"{indent}{title}", what, f"{size:,}", f"{work:,}"))
                if isinstance(item, Copies):
                    write(item.inner, item.name, indent + "  ")

        write(held(self.typed, figures.get), "", "")
        extra = f"{self.point.flops:,}"
        rows.append(("all", "", f"{self.full:,}", f"{self.flops:,}"))
        rows.append(("held at most", "", f"{self.peak:,}", ""))
        rows.append(("recomputed", "", "", extra))
        head = (
            f"memory: held for the backward pass at batch size {self.batch_size} in "
            f"{jnp.dtype(self.dtype).name}"
        )
        return [head, *table(rows, 2)]

    def _curve(self) -> list[str]:
        rows = [("budget", "of all", "FLOPs recomputed", "time, of the forward pass")]
        for point in self.curve:
            rows.append(
                (
                    in_words(point.peak),
                    f"{point.peak / max(self.full, 1):.1%}",
                    f"{point.flops:,}",
                    f"{point.share:.1%}",
                )
            )
        return ["memory budgets: what each costs", *table(rows, 0)]
