"""Spoils documents and holds the reader to its promise.

Each of `--count` documents is mutated and given to the reader of its `--kind`, and what
was read to what takes it: a graph to `cj.compile`; of a run configuration the arguments
and the optimizer are made. It must be taken or raise the error of its kind: no other
exception, no hang, no growth of memory. Every document depends on `--seed` and its
number alone, so that one can be made again: `--first NUMBER --count 1 --show`.
"""

import argparse
import collections
import gc
import json
import random
import resource
import signal
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import psutil

import capsjax as cj
from bench import mutated_runs, mutations
from capsjax.graph import parse
from capsjax.training.configuration import (
    RunConfigurationError,
    parse_run_configuration,
)
from capsjax.training.optimizers import optimizer_of

LONGEST = 5.0


class Hang(BaseException):
    """A document took too long; no handler of `Exception` may swallow this."""


class Outcome(NamedTuple):
    """What became of one document."""

    result: str
    seconds: float
    message: str


class Kind(NamedTuple):
    """A kind of document: how one is spoiled and taken, and the error of its own."""

    mutated: Callable[[random.Random], bytes]
    take: Callable[[bytes], Any]
    error: type[Any]


def _take_run(content: bytes) -> None:
    configuration = parse_run_configuration(content)
    again = parse_run_configuration(json.dumps(configuration.document))
    assert again == configuration
    optimizer_of(configuration.arguments().get("optimizer"))({})


KINDS = {
    "graph": Kind(
        mutations.mutated, lambda content: cj.compile(parse(content)), cj.GraphError
    ),
    "run": Kind(mutated_runs.mutated, _take_run, RunConfigurationError),
}


def document(seed: int, number: int, kind: str = "graph") -> bytes:
    """The spoiled document of a number."""
    return KINDS[kind].mutated(random.Random(f"{seed}/{number}"))


def attempt(content: bytes, kind: str = "graph") -> Outcome:
    """Reads a document and gives it to what takes it."""
    started = time.perf_counter()
    try:
        KINDS[kind].take(content)
        result, message = "taken", ""
    except KINDS[kind].error as error:
        result, message = "refused", str(error)
        if not error.problems or len(message) > 200_000:
            result = "other: an error without problems, or of immoderate length"
    except Hang:
        result, message = "other: hang", ""
    except Exception as error:
        result, message = f"other: {type(error).__name__}", str(error)[:300]
    return Outcome(result, time.perf_counter() - started, message)


def _on_alarm(*_) -> None:
    raise Hang


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m bench.fuzz_documents")
    parser.add_argument("--kind", choices=KINDS, default="graph")
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first")
    parser.add_argument("--show", action="store_true", help="print each document")
    parser.add_argument("--most-mib", type=float, default=1024, help="growth allowed")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGALRM, _on_alarm)
    attempt(
        document(options.seed, 0, options.kind), options.kind
    )  # what is allocated once is not growth
    before = psutil.Process().memory_info().rss
    counts: collections.Counter[str] = collections.Counter()
    slowest = (0.0, 0)
    started = time.perf_counter()
    for number in range(options.first, options.first + options.count):
        content = document(options.seed, number, options.kind)
        signal.setitimer(signal.ITIMER_REAL, 4 * LONGEST)
        outcome = attempt(content, options.kind)
        signal.setitimer(signal.ITIMER_REAL, 0)
        if outcome.seconds > LONGEST:
            outcome = outcome._replace(result="other: hang")
        counts[outcome.result] += 1
        slowest = max(slowest, (outcome.seconds, number))
        if options.show:
            print(content.decode(errors="backslashreplace"))
            print(outcome.result, outcome.message, sep="\n")
        elif outcome.result.startswith("other"):
            print(f"{number}: {outcome.result} {outcome.message}", flush=True)
        if number % 500 == 499:
            jax.clear_caches()
            gc.collect()
            print(f"  {number + 1} done", file=sys.stderr, flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    grown = (peak - before) / 2**20
    other = sum(n for result, n in counts.items() if result.startswith("other"))
    print(
        f"{options.count} documents, seed {options.seed}, "
        f"{time.perf_counter() - started:.0f} s: {counts['taken']} taken, "
        f"{counts['refused']} refused, {other} other; slowest {slowest[0]:.2f} s "
        f"(number {slowest[1]}); peak memory {peak / 2**20:.0f} MiB, "
        f"{grown:.0f} MiB above the start"
    )
    return int(other > 0 or grown > options.most_mib)


if __name__ == "__main__":
    sys.exit(main())
