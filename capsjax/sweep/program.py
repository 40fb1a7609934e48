"""The program of a group: what its members run.

A group is members whose graphs, optimizers and batches differ in numbers alone. Their
program takes the numbers as arguments, float32:

    advance(carry, given, data, order, ends, count)
        -> carry, metrics of each row that ended

takes `count` blocks of steps. A block is a scan of a built-in length; the loop over
blocks is as long as it is told. What a member carries is that of `training.learner`
with the steps taken, and the first step whose loss or parameters were not finite (0 for
none). How several members run it at once, `lanes` says.
"""

import dataclasses
import functools
import threading
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from capsjax.sweep.lanes import Compiled
from capsjax.sweep.lengths import Lengths
from capsjax.training import metrics
from capsjax.training.dataset import Arrays, covering, take
from capsjax.training.learner import Carry, Given, Learner, all_finite

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
    compiled: dict[int, Compiled] = dataclasses.field(default_factory=dict)
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
            carry = self.learner.initial(0, self.no_numbers, 1.0)
            return {**carry, "steps": jnp.int32(0), "faulty": jnp.int32(0)}

        return jax.eval_shape(begin)

    @functools.cached_property
    def no_numbers(self) -> Given:
        """Zeros in the place of numbers: their names and types."""
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
            carry = self.learner.initial(seed, self.no_numbers, scale)
            carry |= {"steps": np.int32(0), "faulty": np.int32(0)}
            # On the host: what is on the device, programs are given to keep.
            return jax.device_get(carry)

        return begun

    @functools.cached_property
    def _begins_by_settings(self) -> bool:
        """Whether the optimizer's first state depends on what it is given."""

        def begin(numbers: Any, params: Any) -> Any:
            return self.learner.optimizer(numbers).init(params)

        numbers = self.no_numbers["optimizer"]
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
            first = (carry["faulty"] == 0) & ~all_finite(carry["params"])
            faulty = jnp.where(first, carry["steps"], carry["faulty"])
            carry = {**carry, "sums": zeros, "faulty": faulty}
            return carry, {n: found[n] for n in names}

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

    def with_lanes(self, lanes: int) -> Compiled:
        """The program for so many members at once, compiled when first asked for."""
        with self._lock:
            if lanes not in self.compiled:
                self.compiled[lanes] = Compiled.of(self, lanes)
            return self.compiled[lanes]
