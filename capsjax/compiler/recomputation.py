"""A program whose backward pass keeps to a budget: it computes arrays again.

The choice of what is kept (`rematerialization`) is a pure function of the plan, the
batch size, the type of the arrays and the budget, made when the program is traced.
The walk back is that of `program`; before it enters a segment of which something was
not kept, the segment's capsules run again from what was, with the same random keys.
New state comes from the forward pass alone.
"""

import dataclasses
import functools
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from capsjax.compiler.later import later_than
from capsjax.compiler.mode import INFERENCE, Mode
from capsjax.compiler.precision import common
from capsjax.compiler.program import Program, Tensors
from capsjax.compiler.rematerialization import Choice, Problem
from capsjax.compiler.residuals import RESIDUAL, in_words, problem_of
from capsjax.compiler.runs import Deferred, Keep
from capsjax.compiler.segmented_runs import SegmentedRun
from capsjax.graph.typed import TypedCapsule, TypedGroup, TypedRun


@dataclasses.dataclass(frozen=True)
class ChosenProgram(Program):
    """A program of which it is chosen what is kept and what is computed again."""

    choice: Choice

    @functools.cached_property
    def runs(self) -> dict[str, Any]:
        """The programs of the runs, by name."""
        found: dict[str, Any] = dict(super().runs)
        for segment in self.choice.segments:
            if segment.option is not None:
                name = self.typed.capsules[segment.start].name
                run = found[name]
                found[name] = SegmentedRun(run.run, run.plan, run.body, *segment.option)
        return found

    def residuals(
        self,
        tensors: Tensors,
        params: Any,
        state: Any,
        inputs: Mapping[str, jax.Array],
        targets: Any,
    ) -> Any:
        whole = {n for s in self.choice.segments for n in s.again}
        again = {self.typed.capsules[number].name for number in whole}
        drawn = dict(tensors.drawn) | dict.fromkeys(again & tensors.drawn.keys())
        arrays = [array for array in self.choice.kept if array[1] != RESIDUAL]
        kept: dict[Any, Any] = self.taken(tensors, tuple(arrays))
        kept |= {(name, "Y"): inputs[name] for name, _ in self.typed.inputs}
        return kept, drawn, params, state, targets

    def backwards(self, walk: Any) -> Iterator[TypedCapsule | TypedGroup | TypedRun]:
        walk.kept, walk.drawn = dict(walk.kept), dict(walk.drawn)
        given = {name: walk.kept[name, "Y"] for name, _ in self.typed.inputs}
        for segment in reversed(self.choice.segments):
            made: list[Any] = []
            if segment.again:
                made = self._compute_again(walk, segment.again, given)
            yield from reversed(self.typed.capsules[segment.start : segment.stop])
            for array in made:
                del walk.kept[array]
            for capsule in self.typed.capsules[segment.start : segment.stop]:
                walk.drawn.pop(capsule.name, None)

    def _compute_again(
        self,
        walk: Any,
        numbers: tuple[int, ...],
        inputs: dict[str, jax.Array],
    ) -> list[Any]:
        """Runs capsules again, from what is kept; returns the arrays there are now."""
        later = later_than(walk.signals())
        tensors = Tensors({}, {}, {}, {}, {})
        inputs = {name: later(array) for name, array in inputs.items()}
        ready = {(name, "Y"): array for name, array in inputs.items()}
        mode = walk.mode
        if mode.key is not None:
            mode = mode._replace(key=later(mode.key))
        made = []
        for number in numbers:
            capsule = self.typed.capsules[number]
            for source in capsule.sources:
                array = walk.same.get((source, "Y"), (source, "Y"))
                if array not in ready:
                    ready[array] = later(walk.kept[array])
                tensors.output[source] = ready[array]
            params, state = walk.params, walk.state
            self.advance(tensors, capsule, params, state, inputs, mode, "residuals")
            if capsule.name in tensors.drawn:
                walk.drawn[capsule.name] = tensors.drawn[capsule.name]
            for which, table in (("U", tensors.total), ("Y", tensors.output)):
                for name in dict.fromkeys((capsule.name, *capsule.made)):
                    if name in table and (name, which) not in walk.same:
                        ready[name, which] = table[name]
                        if (name, which) not in walk.kept:
                            walk.kept[name, which] = table[name]
                            made.append((name, which))
        return made


@dataclasses.dataclass(frozen=True)
class BudgetedProgram(Program):
    """A program that holds at most `budget` bytes for its backward pass."""

    budget: int

    @property
    def keeping_all(self) -> Program:
        """The same without a memory budget."""
        return Program(self.typed, self.plan)

    @functools.cached_property
    def _problems(self) -> dict[Any, Problem]:
        return {}

    def problem(self, batch_size: int, dtype: Any, train: bool = True) -> Problem:
        """What is to be chosen: every array with its bytes."""
        key = batch_size, jnp.dtype(dtype), train
        if key not in self._problems:
            self._problems[key] = problem_of(self, *key)
        return self._problems[key]

    @functools.cached_property
    def _choices(self) -> dict[Any, Choice]:
        return {}

    def choice(self, batch_size: int, dtype: Any, train: bool = True) -> Choice:
        """What is kept and what is computed again.

        Raises:
            ValueError: The budget is below the smallest possible one, which it says.
        """
        key = batch_size, jnp.dtype(dtype), train
        if key not in self._choices:
            problem = self.problem(*key)
            choice = problem.choose(self.budget)
            if choice is None:
                least = problem.smallest
                raise ValueError(
                    f"network {self.typed.graph.name!r}: found a memory budget of "
                    f"{in_words(self.budget)} at batch size {batch_size} in "
                    f"{key[1].name}; expected at least {in_words(least)}, of "
                    f"{in_words(problem.full)} in full; cure: memory_budget={least}, "
                    "or a smaller batch"
                )
            self._choices[key] = choice
        return self._choices[key]

    def forward(
        self,
        params: Any,
        state: Any,
        inputs: Mapping[str, jax.Array],
        targets: Any,
        mode: Mode = INFERENCE,
        keep: Keep = "residuals",
    ):
        if keep != "residuals":
            return super().forward(params, state, inputs, targets, mode, keep)
        chosen = self._chosen(params, inputs, mode.train)
        return chosen.forward(params, state, inputs, targets, mode, keep)

    def backward(
        self,
        residuals: Any,
        d_loss: Any,
        d_outputs: Any,
        wanted_inputs: frozenset[str] = frozenset(),
        mode: Mode = INFERENCE,
        observe: bool = False,
        deferred: Collection[Deferred] = (),
        errors: Mapping[str, jax.Array] = {},
    ):
        kept, _, params, *_ = residuals
        inputs = {name: kept[name, "Y"] for name, _ in self.typed.inputs}
        chosen = self._chosen(params, inputs, mode.train)
        more = wanted_inputs, mode, observe, deferred, errors
        return chosen.backward(residuals, d_loss, d_outputs, *more)

    def _chosen(self, params: Any, inputs: Any, train: bool) -> ChosenProgram:
        given = {name: inputs[name] for name, _ in self.typed.inputs}
        size = next(iter(given.values())).shape[0]
        choice = self.choice(size, common((params, given)), train)
        return ChosenProgram(self.typed, self.plan, choice)
