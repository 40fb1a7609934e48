"""A run of which the first copies are computed again in the backward pass.

The first `segments * group` copies keep what each group of them is given; the others
keep all. The loop back takes the others first. Then, group by group from the last, it
runs the copies of the group again, keeping all, and goes back through them:

    bytes kept      segments * (what is handed on) + others * (what a copy keeps)
    held besides    group * (what a copy keeps), the others' released by then

All loops go by the numbers of copies, and the gradients of stacked parameters are
written to their places as they come: nothing of the size of all parameters is copied.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from capsjax.compiler.later import later_than
from capsjax.compiler.mode import Mode
from capsjax.compiler.runs import Arrays, Keep, RunProgram


class _Kept(NamedTuple):
    """What `forward` keeps.

    Attributes:
        starts: What each group that is computed again is given, stacked.
        others: What the other copies keep, stacked.
        constants: Y of what all copies read alike, by name.
    """

    starts: Arrays
    others: Any
    constants: Arrays


@dataclasses.dataclass(frozen=True)
class SegmentedRun(RunProgram):
    """A run, lowered, a part of it to be computed again.

    Attributes:
        group: Copies that are computed again at a time.
        segments: How many such groups there are, from the first copy on.
    """

    group: int
    segments: int

    @property
    def _head(self) -> int:
        """Number of copies that are computed again."""
        return self.group * self.segments

    def forward(
        self, params: Any, state: Any, output: Arrays, mode: Mode, keep: Keep
    ) -> tuple[Arrays, dict[str, Any], Any]:
        if keep != "residuals":
            return super().forward(params, state, output, mode, keep)
        own, head = self.own(params, state), self._head
        passing = _numbered(self.copy(params, output, mode, "nothing"), own)
        keeping = _numbered(self.copy(params, output, mode, keep), own)
        first = {each.slot: output[each.source] for each in self.run.carried}

        def group(carried: Arrays, numbers: jax.Array):
            last, (new, _) = jax.lax.scan(passing, carried, numbers)
            return last, (carried, new)

        numbers = jnp.arange(self.run.size)
        groups = numbers[:head].reshape(self.segments, self.group)
        last, (starts, new) = jax.lax.scan(group, first, groups)
        last, (more, others) = jax.lax.scan(keeping, last, numbers[head:])
        new = jax.tree.map(
            lambda a, b: jnp.concatenate([a.reshape(head, *b.shape[1:]), b]), new, more
        )
        names = self.run.last
        found = {names[e.output]: last[e.slot] for e in self.run.carried}
        constants = {name: output[name] for name in self.run.constants}
        return found, new, _Kept(starts, others, constants)

    def walk_back(
        self,
        copy: Callable[..., Any],
        carry: Any,
        params: Any,
        state: Any,
        kept: _Kept,
        handed: Arrays,
        mode: Mode,
    ) -> Any:
        own, head = self.own(params, state), self._head
        again = _numbered(self.copy(params, kept.constants, mode, "residuals"), own)

        def back(carry: Any, residuals: Any, handed: Arrays, numbers: jax.Array) -> Any:
            """Back through some copies, of which all is kept."""
            stacks = self.stacks(residuals)

            def one(carry: Any, given: Any):
                carry, written = carry
                place, number, residuals = given
                given = place, _at(own, number), residuals
                carry, (found, _) = copy(stacks, handed, carry, given)
                written = jax.tree.map(
                    lambda a, b: jax.lax.dynamic_update_index_in_dim(a, b, number, 0),
                    written,
                    found,
                )
                return (carry, written), ()

            given = jnp.arange(len(numbers)), numbers, residuals
            return jax.lax.scan(one, carry, given, reverse=True)

        def group(carry: Any, given: tuple[jax.Array, Arrays]):
            (signals, *_), _ = carry
            numbers, start = given
            start = jax.tree.map(later_than(signals.values()), start)
            last, (_, residuals) = jax.lax.scan(again, start, numbers)
            return back(carry, residuals, last, numbers)

        numbers = jnp.arange(self.run.size)
        carry = carry, jax.tree.map(jnp.zeros_like, own[0])
        if head < self.run.size:
            carry, _ = back(carry, kept.others, handed, numbers[head:])
        groups = numbers[:head].reshape(self.segments, self.group), kept.starts
        (carry, written), _ = jax.lax.scan(group, carry, groups, reverse=True)
        return carry, (written, {})

    def _deferred(self, batch: int) -> dict[Any, Any]:
        """None: what would be stacked until the loop has ended counts as kept."""
        return {}


def _at(stacked: Any, number: jax.Array) -> Any:
    """The part of stacked arrays that is one copy's."""

    def one(array: Any) -> jax.Array:
        array = jnp.asarray(array)
        return jax.lax.dynamic_index_in_dim(array, number, keepdims=False)

    return jax.tree.map(one, stacked)


def _numbered(copy: Any, own: Any) -> Any:
    """A copy's pass, given its number in place of what is its own."""
    return lambda carried, number: copy(carried, _at(own, number))
