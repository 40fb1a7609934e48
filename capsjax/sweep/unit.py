"""A unit of work: a block of members of one group, from one place to another.

It is idempotent: what comes of it depends on nothing but what it says, and on the
machine's arithmetic. Its result is one file, so that it can be run by any process, on
any machine, and twice if need be.
"""

import dataclasses
import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from capsjax.sweep.lanes import Compiled
from capsjax.sweep.lengths import orders
from capsjax.sweep.program import Table
from capsjax.training.learner import Given

_AT_ONCE_S = 0.25
"""Seconds of one call of the program: after each, progress is told."""

_SAVED_EVERY_S = 60.0
_MOST_FED = 4


@dataclasses.dataclass(frozen=True)
class Member:
    """One setting of all that is swept.

    Attributes:
        number: Its row in the table.
        values: What it has, by axis.
        seed: Decides initial parameters, order and what is drawn.
        given: Numbers that its program is given.
        scale: Factor of its initial weights.
    """

    number: int
    values: Mapping[str, Any]
    seed: int
    given: Given
    scale: float = 1.0

    def plain(self) -> list[Any]:
        """What decides how it learns, as plain data."""
        given = {part: dict(self.given[part]) for part in self.given}
        return [self.number, self.seed, self.scale, jax.tree.map(float, given)]


@dataclasses.dataclass(frozen=True)
class Unit:
    """A block of members, and how far they are taken, in blocks of steps.

    Attributes:
        group: Number of the group.
        members: The members.
        lanes: How many the program runs at once on each device.
        start: Where they go on.
        stop: Where they leave off.
    """

    group: int
    members: tuple[Member, ...]
    lanes: int
    start: int
    stop: int

    def name(self, identity: str) -> str:
        """A name that says all that its results depend on, wherever they leave off.

        Args:
            identity: That of the sweep: documents, data, and how members learn.
        """
        members = [each.plain() for each in self.members]
        text = json.dumps([identity, self.group, members, self.lanes, self.start])
        return hashlib.sha256(text.encode()).hexdigest()[:24]


@dataclasses.dataclass(frozen=True)
class Result:
    """What came of a unit, as far as it went.

    Attributes:
        block: The blocks of steps that are behind the members.
        faulty: For each member the first step whose loss or parameters were not
            finite, or 0.
        table: Metrics of the rows since the unit's start: by name, [members, rows].
        carries: What each member carries, on the host; None where it is not kept.
    """

    block: int
    faulty: tuple[int, ...]
    table: Table
    carries: tuple[Any, ...] | None


@dataclasses.dataclass(frozen=True)
class Watch:
    """Who follows the run of a unit.

    Attributes:
        tell: Told the rows, over all members, that are done since it was told last.
        save: Given what came of the unit so far, now and then.
        stopped: Asked whether to leave off.
    """

    tell: Callable[[int], None] = lambda rows: None
    save: Callable[[Result], None] | None = None
    stopped: Callable[[], bool] = lambda: False


def run_unit(
    compiled: Compiled,
    unit: Unit,
    carries: Sequence[Any] | None,
    so_far: Result | None = None,
    watch: Watch = Watch(),  # noqa: B008 (it is immutable)
) -> Result:
    """Takes a block of members from one place to another.

    Args:
        compiled: The program of the unit's group, for its lanes.
        unit: The unit.
        carries: What the members carry at its start; None for the beginning.
        so_far: What came of it before, to go on from there.
        watch: Who follows.

    Returns:
        The result; where it was left off, as far as it went.
    """
    program, lengths = compiled.program, compiled.program.lengths
    found: dict[str, list[np.ndarray]] = {name: [] for name in program.metric_names}
    block = unit.start
    if so_far is not None:
        block, carries = so_far.block, so_far.carries
        found = {name: [so_far.table[name]] for name in found}
    if carries is None:
        carries = [program.initial(m.seed, m.given, m.scale) for m in unit.members]
    carry, given = compiled.stack(carries, [m.given for m in unit.members])
    saved = clock = time.perf_counter()

    def result() -> Result:
        empty = np.zeros((len(unit.members), 0), np.float32)
        table = {n: np.concatenate([empty, *a], axis=1) for n, a in found.items()}
        own = tuple(compiled.split(carry, len(unit.members)))
        return Result(block, tuple(int(each["faulty"]) for each in own), table, own)

    while block < unit.stop and not watch.stopped():
        most = min(program.blocks_at_once, unit.stop - block)
        count = max(1, min(int(compiled.pace[0] * _AT_ONCE_S), most))
        order, ends = _feeds(compiled, unit, block, block + count)
        carry, rows = compiled.run(
            carry, given, compiled.data, order, ends, np.int32(count)
        )
        rows = jax.device_get(rows)
        last = [n for n in range(count) if (block + n + 1) % lengths.row == 0]
        for name, values in rows.items():
            values = values if compiled.width > 1 else values[None]
            found[name].append(values[: len(unit.members), last])
        block += count
        now = time.perf_counter()
        compiled.pace[0] = count / max(now - clock, 1e-6)
        clock = now
        watch.tell(len(last) * len(unit.members))
        if watch.save is not None and now - saved > _SAVED_EVERY_S:
            watch.save(result())
            saved = time.perf_counter()
        if compiled.width == 1 and int(carry["faulty"]):
            return _filled(result(), unit, lengths.row)
    return result()


def _filled(result: Result, unit: Unit, row: int) -> Result:
    """The result of a member that diverged: what is left of its way learns nothing."""
    rows = (unit.stop - unit.start // row * row) // row
    table = {
        name: np.pad(own, ((0, 0), (0, rows - own.shape[1])), constant_values=np.nan)
        for name, own in result.table.items()
    }
    return dataclasses.replace(result, block=unit.stop, table=table)


def run_block(compiled: Compiled, unit: Unit) -> Any:
    """The first block of a unit, for its time alone: initial values are drawn once."""
    program, seed = compiled.program, unit.members[0].seed
    carry = program.initial(seed, unit.members[0].given, 1.0)
    carries = [carry] * len(unit.members)
    stacked, given = compiled.stack(carries, [m.given for m in unit.members])
    order, ends = _feeds(compiled, unit, 0, 1)
    return compiled.run(stacked, given, compiled.data, order, ends, np.int32(1))


def _feeds(compiled: Compiled, unit: Unit, start: int, stop: int) -> tuple[Any, Any]:
    """Which examples the steps of some blocks see, and which blocks end a row."""
    program, lengths = compiled.program, compiled.program.lengths
    seeds = [member.seed for member in unit.members]
    if program.shared_order:
        seeds = seeds[:1]
    else:
        seeds += seeds[-1:] * (compiled.width - len(seeds))
    key = (start, stop, *seeds)
    found = compiled.fed.get(key)
    if found is not None:
        return found
    room = program.blocks_at_once - (stop - start)
    ends = np.zeros(program.blocks_at_once, bool)
    ends[: stop - start] = (np.arange(start, stop) + 1) % lengths.row == 0
    by_seed = {s: orders(lengths, s, start, stop) for s in set(seeds)}
    order = np.stack([_padded(by_seed[seed], room) for seed in seeds])
    if program.shared_order or compiled.width == 1:
        order = order[0]
    found = compiled.place(3, order), compiled.place(4, ends)
    if len(compiled.fed) >= _MOST_FED:
        compiled.fed.clear()
    compiled.fed[key] = found
    return found


def _padded(order: np.ndarray, room: int) -> np.ndarray:
    return np.pad(order, ((0, room), (0, 0), (0, 0)))
