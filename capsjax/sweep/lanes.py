"""Lanes: the members that a program runs at once.

A group's program is compiled once for each number of lanes. With one it is the program
of a member as it is; with more, its `vmap`; over several devices the lanes are sharded
by `shard_map`, so that each device runs its own and nothing is exchanged.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from capsjax.compiler.jit import jit
from capsjax.training.learner import Given

if TYPE_CHECKING:
    from capsjax.sweep.program import Program


@dataclasses.dataclass(frozen=True, eq=False)
class Compiled:
    """A group's program for a number of lanes on each device.

    Attributes:
        program: The program.
        lanes: Members on each device.
        run: The compiled function.
        seconds: What tracing and compiling it took.
        pace: Blocks a second, as last seen.
        fed: What was fed last, by what it was made of: units of one seed see the same.
    """

    program: Program
    lanes: int
    run: Any
    seconds: float
    pace: list[float] = dataclasses.field(default_factory=lambda: [0.0])
    fed: dict[tuple[int, ...], Any] = dataclasses.field(default_factory=dict)

    @property
    def width(self) -> int:
        """Members on all devices."""
        return self.lanes * len(self.program.devices)

    @classmethod
    def of(cls, program: Program, lanes: int) -> Compiled:
        """Traces and compiles the program."""
        start = time.perf_counter()
        made = cls(program, lanes, None, 0.0)
        arguments = made._abstract()
        run = jit(made._function(), donate_argnums=0).lower(*arguments).compile()
        return cls(program, lanes, run, time.perf_counter() - start)

    def _axes(self, several: Any, shared: Any) -> tuple[Any, ...]:
        """Something for the arguments that lanes have their own of, and another for
        those that they share."""
        program = self.program
        carry = jax.tree.map(
            lambda held: shared if held else several, program.held_by_all
        )
        given = jax.tree.map(lambda _: several, program.no_numbers)
        order = shared if program.shared_order else several
        return carry, given, shared, order, shared, shared

    def _function(self) -> Any:
        program, one = self.program, self.program.advance
        if self.width == 1:
            return one
        axes = self._axes(0, None)
        out = axes[0], 0
        if self.lanes == 1:  # on several devices, one on each
            local = functools.partial(_alone, one, axes, out)
        else:
            local = jax.vmap(one, in_axes=axes, out_axes=out)
        if len(program.devices) == 1:
            return local
        split, whole = PartitionSpec("members"), PartitionSpec()
        specs = self._axes(split, whole)
        return jax.shard_map(
            local,
            mesh=self._mesh,
            in_specs=specs,
            out_specs=(specs[0], split),
            check_vma=False,
        )

    @functools.cached_property
    def _mesh(self) -> Any:
        devices = np.array(self.program.devices)
        return jax.sharding.Mesh(devices, ("members",))

    def _shardings(self) -> tuple[Any, ...]:
        split = NamedSharding(self._mesh, PartitionSpec("members"))
        return self._axes(split, NamedSharding(self._mesh, PartitionSpec()))

    def _abstract(self) -> tuple[Any, ...]:
        """Shapes of the arguments, as they will be placed."""
        program, lengths = self.program, self.program.lengths
        blocks = program.blocks_at_once
        order = jax.ShapeDtypeStruct(
            (blocks, lengths.block, lengths.batch_size), jnp.int32
        )
        own = (
            program.shapes,
            jax.eval_shape(lambda: program.no_numbers),
            (program.train, program.held_out),
            order,
            jax.ShapeDtypeStruct((blocks,), jnp.bool_),
            jax.ShapeDtypeStruct((), jnp.int32),
        )
        if self.width == 1:
            return own
        shardings = self._shardings()

        def stacked(axis: Any, tree: Any) -> Any:
            if axis is None:
                return tree
            return jax.tree.map(
                lambda x: jax.ShapeDtypeStruct((self.width, *x.shape), x.dtype), tree
            )

        def whole(axes: Any, tree: Any) -> Any:
            if axes is None or axes == 0:
                return stacked(axes, tree)
            return jax.tree.map(
                lambda axis, x: stacked(axis, x), axes, tree, is_leaf=_is_none
            )

        found = tuple(map(whole, self._axes(0, None), own))
        if len(program.devices) == 1:
            return found
        return tuple(map(_placed, found, shardings))

    @functools.cached_property
    def data(self) -> Any:
        """The examples, where the program takes them from."""
        return self.place(2, (self.program.train, self.program.held_out))

    def place(self, number: int, tree: Any) -> Any:
        """An argument by its number, where the program takes it from."""
        if self.width == 1 or len(self.program.devices) == 1:
            return jax.device_put(tree)
        return jax.device_put(tree, self._shardings()[number])

    def stack(self, carries: Sequence[Any], given: Sequence[Given]) -> tuple[Any, Any]:
        """What several members carry, and their numbers, side by side.

        Lanes for which there is no member repeat the last one.
        """
        if self.width == 1:
            # Copies, since the program keeps them; NumPy's, which compile nothing.
            carry = jax.tree.map(np.array, carries[0])
            return self.place(0, carry), self.place(1, given[0])
        rest = self.width - len(carries)
        carries = [*carries, *[carries[-1]] * rest]
        given = [*given, *[given[-1]] * rest]

        def joined(held: bool, *leaves: Any) -> Any:
            return leaves[0] if held else np.stack([np.asarray(x) for x in leaves])

        carry = jax.tree.map(joined, self.program.held_by_all, *carries)
        numbers = jax.tree.map(lambda *x: np.stack([np.asarray(y) for y in x]), *given)
        return self.place(0, carry), self.place(1, numbers)

    def split(self, carry: Any, count: int) -> list[Any]:
        """What each of the first `count` lanes carries, on the host."""
        carry = jax.device_get(carry)
        if self.width == 1:
            return [carry]

        def lane(number: int) -> Any:
            return jax.tree.map(
                lambda held, x: x if held else x[number],
                self.program.held_by_all,
                carry,
            )

        return [lane(number) for number in range(count)]


def _alone(one: Any, axes: Any, out: Any, *arguments: Any) -> Any:
    """The program of a single lane on arguments with an axis of one lane."""
    inner = _mapped(lambda x: x[0], axes, arguments)
    return _mapped(lambda x: x[None], out, one(*inner))


def _mapped(change: Any, axes: Any, tree: Any) -> Any:
    """A tree with its arrays changed where the axis is 0."""
    if axes is None:
        return tree
    if axes == 0 and not isinstance(axes, bool):
        return jax.tree.map(change, tree)
    if isinstance(axes, tuple):
        return tuple(_mapped(change, a, t) for a, t in zip(axes, tree, strict=True))
    return jax.tree.map(
        lambda axis, x: x if axis is None else change(x), axes, tree, is_leaf=_is_none
    )


def _is_none(each: Any) -> bool:
    return each is None


def _placed(tree: Any, shardings: Any) -> Any:
    """Shapes with shardings: one for all, or one for each."""
    if isinstance(shardings, NamedSharding):
        shardings = jax.tree.map(lambda _: shardings, tree)
    return jax.tree.map(
        lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), tree, shardings
    )
