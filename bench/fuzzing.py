"""What all have in common that spoil things by the thousand and look what is said."""

import argparse
import collections
import gc
import random
import resource
import signal
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import psutil

LONGEST = 5.0
"""Seconds that one may take."""


class Hang(BaseException):
    """One took too long; no handler of `Exception` may swallow this."""


class Outcome(NamedTuple):
    """What became of one."""

    result: str
    seconds: float
    message: str


def options(program: str, count: int, most_mib: float) -> argparse.ArgumentParser:
    """The options of such a program.

    Args:
        program: Its name.
        count: How many are spoiled, if nothing is said.
        most_mib: Growth of memory that is allowed.
    """
    parser = argparse.ArgumentParser(program)
    parser.add_argument("--count", type=int, default=count)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first")
    parser.add_argument("--show", action="store_true", help="print each of them")
    parser.add_argument("--most-mib", type=float, default=most_mib, help="of growth")
    return parser


def run(
    given: argparse.Namespace,
    noun: str,
    results: dict[str, str],
    spoiled: Callable[[random.Random], Any],
    attempt: Callable[[Any], Outcome],
    show: Callable[[Any], None] = lambda one: None,
) -> int:
    """Spoils and tries one after the other, and prints what became of them.

    Args:
        given: What the options say.
        noun: What is spoiled.
        results: What the results are called that are allowed.
        spoiled: Makes one, from the chance of its seed and number alone.
        attempt: Tries one. What is allocated but once was allocated before.
        show: Prints one.

    Returns:
        The exit status: 1 where there was another result, or memory grew.
    """
    signal.signal(signal.SIGALRM, _on_alarm)
    before = psutil.Process().memory_info().rss
    counts: collections.Counter[str] = collections.Counter()
    slowest = (0.0, 0)
    started = time.perf_counter()
    for number in range(given.first, given.first + given.count):
        one = spoiled(random.Random(f"{given.seed}/{number}"))
        signal.setitimer(signal.ITIMER_REAL, 4 * LONGEST)
        outcome = attempt(one)
        signal.setitimer(signal.ITIMER_REAL, 0)
        if outcome.seconds > LONGEST:
            outcome = outcome._replace(result="other: hang")
        counts[outcome.result] += 1
        slowest = max(slowest, (outcome.seconds, number))
        if given.show:
            show(one)
        if given.show or outcome.result.startswith("other"):
            print(f"{number}: {outcome.result} {outcome.message}", flush=True)
        if number % 500 == 499:
            jax.clear_caches()
            gc.collect()
            print(f"  {number + 1} done", file=sys.stderr, flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    grown = (peak - before) / 2**20
    other = sum(n for result, n in counts.items() if result.startswith("other"))
    allowed = ", ".join(f"{counts[name]} {words}" for name, words in results.items())
    print(
        f"{given.count} {noun}, seed {given.seed}, "
        f"{time.perf_counter() - started:.0f} s: {allowed}, {other} other; slowest "
        f"{slowest[0]:.2f} s (number {slowest[1]}); peak memory {peak / 2**20:.0f} "
        f"MiB, {grown:.0f} MiB above the start"
    )
    return int(other > 0 or grown > given.most_mib)


def _on_alarm(*_: object) -> None:
    raise Hang
