"""The operations of a trace, and what each has of the time on the clock.

Operations overlap: they run on several threads or streams, and loops hold others. So
that all parts add up to the time that passed, each moment is divided equally among the
operations which run then; those that only hold others, such as loops, have what is left
when none of these runs, and what is left by all is waiting: for the next operation to
be started, or for the host.
"""

import collections
import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from capsjax.compiler.profiling.operations import Operation

_ENDS = "end: "
"""XLA's CPU client marks by this where work ends that another thread has taken on."""


class Span(NamedTuple):
    """A stretch of time in which an operation runs, in nanoseconds."""

    name: str
    start: float
    stop: float
    holds: bool = False


@dataclasses.dataclass(frozen=True)
class Timeline:
    """What stands in a trace of one program.

    Attributes:
        spans: The operations.
        steps: The stretches in which steps were taken.
    """

    spans: tuple[Span, ...]
    steps: tuple[Span, ...]


def timeline(
    trace: Any, module: str, known: Mapping[str, Operation], mark: str
) -> Timeline:
    """Reads a trace.

    Args:
        trace: A `jax.profiler.ProfileData`.
        module: The program's name in it.
        known: The program's operations, by name.
        mark: The name of the annotation around each step.
    """
    begun: list[Span] = []
    steps: list[Span] = []
    ends: dict[str, list[float]] = collections.defaultdict(list)
    for plane in trace.planes:
        for line in plane.lines:
            for event in line.events:
                name, start = event.name, event.start_ns
                if name == mark:
                    steps.append(Span(name, start, start + event.duration_ns))
                elif name.startswith(_ENDS):
                    ends[name.removeprefix(_ENDS)].append(start)
                else:
                    found = dict(event.stats)
                    own = str(found.get("hlo_op", ""))
                    if own in known and found.get("hlo_module") == module:
                        stop = start + event.duration_ns
                        begun.append(Span(own, start, stop, known[own].holds))
    begun.sort(key=lambda span: span.start)
    steps.sort(key=lambda span: span.start)
    return Timeline(tuple(_ended(begun, ends)), tuple(steps))


def _ended(begun: Iterable[Span], ends: Mapping[str, list[float]]) -> Iterable[Span]:
    """Each operation until it has ended, on whatever thread."""
    waiting = {name: collections.deque(sorted(times)) for name, times in ends.items()}
    for span in begun:
        times = waiting.get(span.name, ())
        while times and times[0] < span.start:
            times.popleft()
        stop = times.popleft() if times else span.stop
        yield span._replace(stop=max(stop, span.stop))


def divided(spans: Iterable[Span], step: Span) -> tuple[dict[str, float], float]:
    """What each operation has of the time of a step.

    Args:
        spans: The operations.
        step: The stretch that is divided.

    Returns:
        Nanoseconds by operation, and those in which none ran; together the step's.
    """
    within = [
        span._replace(start=max(span.start, step.start), stop=min(span.stop, step.stop))
        for span in spans
        if span.stop > step.start and span.start < step.stop
    ]
    moments = [(span.start, 1, i) for i, span in enumerate(within)]
    moments += [(span.stop, 0, i) for i, span in enumerate(within)]
    moments += [(step.stop, 0, -1)]
    found: dict[str, float] = collections.defaultdict(float)
    running: dict[int, None] = {}
    waited, now = 0.0, step.start
    for moment, begins, number in sorted(moments):
        passed = moment - now
        if passed > 0:
            at_work = [i for i in running if not within[i].holds]
            at_work = at_work or list(running)[-1:]  # the innermost that holds
            for i in at_work:
                found[within[i].name] += passed / len(at_work)
            waited += 0.0 if at_work else passed
            now = moment
        if begins:
            running[number] = None
        else:
            running.pop(number, None)
    return dict(found), waited
