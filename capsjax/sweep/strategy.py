"""How the members of a group are run: how many at once, and how many such programs.

    loop    one lane: a member by itself, one program for all, run again and again
    vmap    as many lanes as there are members
    N       lanes in between: chunks of N members

On a CPU, as many programs run at the same time as there are processors: a program of
small operations uses one of them alone. Elsewhere one does.

Which number of lanes is quickest depends on the platform, and on how much work a step
is. 2 cores, microseconds for a step of a member; perceptrons on 64 numbers, Adam
(`python -m bench.sweep lanes`); "2 x" are two programs at the same time:

| width, depth, batch | one lane | 2 x one | 2 x 8 | 2 x 32 | all 64 | MFLOPs a step |
|---------------------|----------|---------|-------|--------|--------|---------------|
| 8, 1, 8             |        9 |     6.3 |   1.9 |    1.4 |    3.4 |          0.03 |
| 16, 2, 32           |       22 |      12 |   6.4 |    7.2 |     13 |          0.28 |
| 32, 2, 32           |       43 |      22 |    13 |     15 |     26 |          0.67 |
| 64, 1, 32           |       28 |      23 |    16 |     17 |     23 |          0.92 |
| 64, 3, 128          |      280 |     160 |   150 |    160 |    260 |           9.9 |
| 256, 2, 32          |      490 |     262 |   356 |    484 |    763 |            16 |

So the rule on a CPU: one lane from `WORK` FLOPs on (`LONG_WORK` where the sweep is
long), and otherwise all members, shared out among the processors. Elsewhere all
members, as memory allows. The rule is checked by measurement where that costs little of
the whole: each other candidate is compiled and takes a block of steps, on copies; the
quickest is taken.
"""

import dataclasses
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import jax

from capsjax.compiler.plan import flops
from capsjax.graph.errors import brief
from capsjax.sweep.lanes import Compiled
from capsjax.sweep.memory import most_lanes
from capsjax.sweep.program import Program
from capsjax.sweep.threads import as_here
from capsjax.sweep.unit import Member, Unit, run_block

Strategy = Literal["loop", "vmap"] | int

WORK = 6e5
"""FLOPs of a member's step from which on members run one by one on a CPU.

Less than the table says: a program of several lanes takes 1.1 to 1.7 times as long to
compile, which short sweeps do not earn back. For 64 perceptrons 64-64-10 it is some
0.35 s, beside 0.2 s that 500 steps gain.
"""

LONG_WORK = 3e6
"""The same where the sweep is long: between the rows of the table that say so."""

_CHUNK = 8
_FLOPS, _WORTH_S = 1e10, 20.0
"""A second of a slow machine, and so many of them, from which on a sweep is long."""

_SHARE = 0.05
"""Of the time that all members take, what measuring may cost."""


@dataclasses.dataclass(frozen=True)
class Choice:
    """How the members of a group are run.

    Attributes:
        lanes: Members that a program runs at once on each device.
        threads: Programs that run at the same time.
        reason: Why, in words.
        exact: Whether it is just so many, also where there are fewer members.
    """

    lanes: int
    threads: int
    reason: str
    exact: bool = False

    def __str__(self) -> str:
        lanes = "one by one" if self.lanes == 1 else f"{self.lanes} at once"
        threads = f", {self.threads} programs at a time" if self.threads > 1 else ""
        return f"{lanes}{threads} ({self.reason})"


def threads_for(program: Program) -> int:
    """How many programs run at the same time."""
    device = program.devices[0]
    if device.platform != "cpu" or len(program.devices) > 1:
        return 1
    return processors()


def processors() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def choose(
    program: Program,
    members: Sequence[Member],
    asked: Strategy | None,
    memory_limit: int | str | None,
    measuring: bool = True,
) -> Choice:
    """How a group's members are run.

    Args:
        program: The group's program.
        members: Its members.
        asked: What the user asked for; None to choose.
        memory_limit: The most bytes for all members that run at once on a device.
        measuring: Whether candidates may be measured.

    Raises:
        ValueError: The strategy is unknown; the limit is less than a member takes.
    """
    threads, devices = threads_for(program), len(program.devices)
    share = -(-len(members) // devices)
    if asked is not None:
        lanes = _asked(asked, share)
        room = most_lanes(program, memory_limit, 1)
        if lanes > room:
            return Choice(room, 1, f"{lanes} asked for; memory for {room}")
        room = most_lanes(program, memory_limit, threads)
        exact = not isinstance(asked, str)
        return Choice(lanes, threads if lanes <= room else 1, "asked for", exact)
    room = most_lanes(program, memory_limit, threads)
    expected = _expected(program, len(members), share, threads)
    first = min(expected, room)
    reason = _reason(program, first, expected)
    choice = Choice(first, threads, reason)
    return _measured(program, members, choice, room) if measuring else choice


def _asked(asked: Any, share: int) -> int:
    if asked == "loop":
        return 1
    if asked == "vmap":
        return share
    if isinstance(asked, int) and not isinstance(asked, bool) and asked >= 1:
        return asked
    raise ValueError(
        f"strategy: found {brief(asked)}; expected 'loop', 'vmap', or how many members "
        "run at once"
    )


def step_flops(program: Program) -> int:
    """FLOPs of a member's step: forward, and twice that for the backward pass."""
    each = sum(map(flops, program.learner.net.program.typed.capsules))
    return 3 * each * program.lengths.batch_size


def _is_long(program: Program, members: int) -> bool:
    """Whether a sweep takes more than seconds, as far as its work tells."""
    steps = program.lengths.blocks * program.lengths.block
    return step_flops(program) * members * steps / _FLOPS >= _WORTH_S


def _expected(program: Program, members: int, share: int, threads: int) -> int:
    """Lanes by the rule at the head of this file, if memory allows."""
    if program.devices[0].platform != "cpu":
        return share
    limit = LONG_WORK if _is_long(program, members) else WORK
    if step_flops(program) >= limit:
        return 1
    return max(1, -(-share // threads))


def _reason(program: Program, lanes: int, expected: int) -> str:
    if lanes < expected:
        return f"by rule {expected}; memory for {lanes}"
    if program.devices[0].platform != "cpu":
        return "by rule: all at once on this device"
    work = f"{step_flops(program) / 1e6:.3g} MFLOPs a step"
    return f"by rule for {work}"


def _measured(
    program: Program, members: Sequence[Member], first: Choice, room: int
) -> Choice:
    """The quickest of the candidates, where measuring is worth its time."""
    devices, lengths = len(program.devices), program.lengths
    share = -(-len(members) // devices)
    others = {1, _CHUNK, -(-share // first.threads), share} - {first.lanes}
    others = sorted(n for n in others if n <= min(room, share))
    # Before anything is compiled: a sweep that may be over in seconds is not measured.
    if not others or not _is_long(program, len(members)):
        return first
    compiled = program.with_lanes(first.lanes)
    lap = _lap(compiled, members, 1)
    whole = lengths.blocks * share * _share_of(lap, first.lanes, share, first.threads)
    affordable = []
    for lanes in others:
        # Compiled, warmed and run twice, if it is no quicker than the first.
        cost = compiled.seconds + 3 * lap * lanes / first.lanes
        if cost <= _SHARE * whole / len(others):
            affordable.append(lanes)
    if not affordable:
        return first
    found = {}
    for lanes in (first.lanes, *affordable):
        threads = min(first.threads, -(-share // lanes))
        lap = _lap(program.with_lanes(lanes), members, threads)
        found[lanes] = _share_of(lap, lanes, share, first.threads)
    best = min(found, key=found.__getitem__)
    rates = ", ".join(
        f"{lanes} at once {1e6 * each / lengths.block:.3g} us"
        for lanes, each in sorted(found.items())
    )
    return Choice(best, first.threads, f"measured, a step of a member: {rates}")


def _share_of(lap: float, lanes: int, members: int, threads: int) -> float:
    """A member's share of the seconds that a block takes all of them.

    Not every program is full at the end, nor has every thread one to run: 64 members
    at once leave the second of two threads without work.
    """
    programs = -(-members // lanes)
    return lap * -(-programs // threads) / members


def _lap(compiled: Compiled, members: Sequence[Member], threads: int) -> float:
    """Seconds of a block, with so many programs at the same time.

    The least of two rounds, after a first one that is not counted.
    """
    size = min(compiled.width, len(members))
    unit = Unit(0, tuple(members[:size]), compiled.lanes, 0, 1)

    def once(_: int) -> None:
        jax.block_until_ready(run_block(compiled, unit))

    once = as_here(once)
    laps = []
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(3):
            begin = time.perf_counter()
            list(pool.map(once, range(threads)))
            laps.append(time.perf_counter() - begin)
    return min(laps[1:])


def on_devices() -> tuple[Any, ...]:
    """The devices that lanes are sharded over: all of this process."""
    return tuple(jax.local_devices())
