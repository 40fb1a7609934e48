"""The programs of a group: what its members run, one by one or several at once.

A group is members whose graphs, optimizers and batches differ in numbers alone. Their
program takes the numbers as arguments, float32, and is compiled once for each number of
*lanes*: members that it runs at once. With one lane it is the program of a member as it
is; with more, its `vmap`; over several devices the lanes are sharded by `shard_map`, so
that each device runs its own and nothing is exchanged.

    advance(carry, given, data, order, ends, count)
        -> carry, metrics of each row that ended

takes `count` blocks of steps. A block is a scan of a built-in length; the loop over
blocks is as long as it is told. What a member carries is that of `training.learner`
with the steps taken, and the first step whose loss was not finite (0 for none).
"""

import dataclasses
import functools
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from capsjax.compiler.jit import jit
from capsjax.sweep.lengths import Lengths
from capsjax.training import metrics
from capsjax.training.dataset import Arrays, covering, take
from capsjax.training.learner import Carry, Given, Learner

_ORDER_BYTES = 2**22
"""Of a call's examples, by index: they are copied at each call, also where it ends
early, and lanes of several seeds have their own."""

_MOST_BEGUN = 16
_EVALUATED = 4
"""Examples of an evaluation's batch, in those of a step."""

Table = dict[str, np.ndarray]
"""Metrics of rows, by name: [rows], or of lanes [lanes, rows]."""


@dataclasses.dataclass(frozen=True, eq=False)
class Program:
    """What the members of a group run.

    Attributes:
        learner: One member.
        lengths: How long members learn.
        train: Examples, by name, on the device.
        held_out: Examples to measure on, or None.
        shared_order: Whether lanes see the same examples at each step.
        traced: The optimizer's settings that are given as numbers.
        devices: The devices that lanes are sharded over.
    """

    learner: Learner
    lengths: Lengths
    train: Arrays
    held_out: Arrays | None
    shared_order: bool
    traced: tuple[str, ...]
    devices: tuple[Any, ...]
    compiled: dict[int, "Compiled"] = dataclasses.field(default_factory=dict)
    _lock: Any = dataclasses.field(default_factory=threading.Lock)

    @functools.cached_property
    def blocks_at_once(self) -> int:
        """Blocks of one call, at most."""
        size = self.lengths.block * self.lengths.batch_size * 4
        return max(1, min(self.lengths.blocks, _ORDER_BYTES // size))

    @functools.cached_property
    def wiring(self) -> frozenset[str]:
        """Names of groups of neurons, whose wiring no lane has for itself."""
        return frozenset(self.learner.net.program.wiring())

    @functools.cached_property
    def held_by_all(self) -> Any:
        """Which leaves of a carry all lanes share: the wiring of neurons."""

        def shared(path: Any, leaf: Any) -> bool:
            keys = [getattr(key, "key", None) for key in path]
            inner = keys[0] == "state" and keys[1] in self.wiring
            return inner and "feedback" not in keys

        return jax.tree_util.tree_map_with_path(shared, self.shapes)

    @functools.cached_property
    def shapes(self) -> Any:
        """Shapes of what one member carries."""

        def begin() -> Carry:
            carry = self.learner.initial(0, self._no_numbers, 1.0)
            return {**carry, "steps": jnp.int32(0), "faulty": jnp.int32(0)}

        return jax.eval_shape(begin)

    @functools.cached_property
    def _no_numbers(self) -> Given:
        zero = np.zeros((), jnp.result_type(float))  # no tracer: it is kept
        net = dict.fromkeys(self.learner.net.settings, zero)
        return {"net": net, "optimizer": dict.fromkeys(self.traced, zero)}

    def initial(self, seed: int, given: Given, scale: float) -> Carry:
        """What a member begins with."""
        carry = self._begun(seed, scale)
        if self._begins_by_settings:
            optimizer = self.learner.optimizer(given["optimizer"])
            begun = jax.device_get(optimizer.init(carry["params"]))
            carry = {**carry, "optimizer": begun}
        return carry

    @functools.cached_property
    def _begun(self) -> Callable[[int, float], Carry]:
        """What members of a seed begin with, drawn once for those that follow."""

        @functools.lru_cache(maxsize=_MOST_BEGUN)
        def begun(seed: int, scale: float) -> Carry:
            carry = self.learner.initial(seed, self._no_numbers, scale)
            carry |= {"steps": np.int32(0), "faulty": np.int32(0)}
            # On the host: what is on the device, programs are given to keep.
            return jax.device_get(carry)

        return begun

    @functools.cached_property
    def _begins_by_settings(self) -> bool:
        """Whether the optimizer's first state depends on what it is given."""

        def begin(numbers: Any, params: Any) -> Any:
            return self.learner.optimizer(numbers).init(params)

        numbers = self._no_numbers["optimizer"]
        made = jax.make_jaxpr(begin)(numbers, self.shapes["params"]).jaxpr
        found = set(map(id, made.invars[: len(numbers)]))
        for equation in made.eqns:
            if not found.isdisjoint(map(id, equation.invars)):
                found.update(map(id, equation.outvars))
        return not found.isdisjoint(map(id, made.outvars))

    def advance(
        self, carry: Carry, given: Given, data: Any, order: Any, ends: Any, count: Any
    ) -> tuple[Carry, dict[str, jax.Array]]:
        """Some blocks of one member; see the head of this file."""
        train, held_out = data
        names = self.metric_names

        def step(carry: Carry, rows: jax.Array) -> tuple[Carry, None]:
            own = {key: carry[key] for key in carry if key not in ("steps", "faulty")}
            own = self.learner.step(own, take(train, rows), given)
            steps = carry["steps"] + 1
            first = (carry["faulty"] == 0) & ~jnp.isfinite(own["sums"]["loss"])
            faulty = jnp.where(first, steps, carry["faulty"])
            return {**own, "steps": steps, "faulty": faulty}, None

        def measure(carry: Carry) -> tuple[Carry, dict[str, jax.Array]]:
            seen = self.lengths.every * self.lengths.batch_size
            found = {name: sums / seen for name, sums in carry["sums"].items()}
            found |= self._evaluated(carry, held_out, given)
            zeros = jax.tree.map(jnp.zeros_like, carry["sums"])
            return {**carry, "sums": zeros}, {n: found[n] for n in names}

        def pass_by(carry: Carry) -> tuple[Carry, dict[str, jax.Array]]:
            return carry, dict.fromkeys(names, jnp.zeros(()))

        def block(number: Any, loop: Any) -> Any:
            carry, table = loop
            carry, _ = jax.lax.scan(step, carry, order[number])
            carry, row = jax.lax.cond(ends[number], measure, pass_by, carry)
            return carry, {n: table[n].at[number].set(row[n]) for n in names}

        table = dict.fromkeys(names, jnp.zeros(len(order)))
        return jax.lax.fori_loop(0, count, block, (carry, table))

    def _evaluated(self, carry: Carry, held_out: Any, given: Given) -> Any:
        if held_out is None:
            return {}
        count = len(next(iter(held_out.values())))
        size = min(count, _EVALUATED * self.lengths.batch_size)
        indices, weights = covering(count, size)

        def batch(sums: Any, chosen: Any) -> tuple[Any, None]:
            rows, weight = chosen
            examples = take(held_out, rows)
            return self.learner.measured(sums, carry, examples, weight, given), None

        sums = metrics.zero(self.learner.net, evaluation=True)
        sums, _ = jax.lax.scan(batch, sums, (indices, weights))
        return {f"validation_{name}": each / count for name, each in sums.items()}

    @functools.cached_property
    def metric_names(self) -> tuple[str, ...]:
        """Names of the metrics of a row, in the order of a run's history."""
        net = self.learner.net
        names = list(metrics.zero(net))
        if self.held_out is not None:
            names += [f"validation_{n}" for n in metrics.zero(net, evaluation=True)]
        return tuple(names)

    def with_lanes(self, lanes: int) -> "Compiled":
        """The program for so many members at once, compiled when first asked for."""
        with self._lock:
            if lanes not in self.compiled:
                self.compiled[lanes] = Compiled.of(self, lanes)
            return self.compiled[lanes]


@dataclasses.dataclass(frozen=True, eq=False)
class Compiled:
    """A group's program for a number of lanes on each device.

    Attributes:
        program: The program.
        lanes: Members on each device.
        run: The compiled function.
        seconds: What tracing and compiling it took.
        pace: Blocks a second, as last seen.
    """

    program: Program
    lanes: int
    run: Any
    seconds: float
    pace: list[float] = dataclasses.field(default_factory=lambda: [0.0])

    @property
    def width(self) -> int:
        """Members on all devices."""
        return self.lanes * len(self.program.devices)

    @classmethod
    def of(cls, program: Program, lanes: int) -> "Compiled":
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
        given = jax.tree.map(lambda _: several, program._no_numbers)
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
            jax.eval_shape(lambda: program._no_numbers),
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
