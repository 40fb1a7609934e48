"""Four ways to sweep over learning rates, beside each other, compilation included."""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.measure import WorkerError, rotated
from bench.report import aligned
from bench.sweep.problems import PROBLEMS

BY_HAND = ("baked", "loop", "vmap")
OURS = "cj.sweep"
WAYS = (*BY_HAND, OURS)

_LEAST_OF_BEST = 0.95
_LEAST_TIMES_BAKED = {"mlps": 15.0}
_MEBIBYTE = 2**20

HEADINGS = (
    *("", "total s", "processor s", "members/s", "without compiling", "programs"),
    *("peak MiB", "of the best by hand", "times baked"),
)


def arguments(parser: argparse.ArgumentParser) -> None:
    names = ", ".join(PROBLEMS)
    parser.add_argument("problems", nargs="*", help=f"some of {names}; default: all")
    parser.add_argument("--only", metavar="A,B", help="the same, as one word")
    parser.add_argument("--ways", default=",".join(WAYS), metavar="A,B")
    parser.add_argument("--mnist", metavar="DIR", help="a folder of MNIST's idx files")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--members", type=int, help="fewer or more than the problem's")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep all samples")


def run(options: argparse.Namespace) -> None:
    """Prints a table a problem."""
    names = options.only.split(",") if options.only else options.problems
    kept = {}
    for name in names or PROBLEMS:
        if name not in PROBLEMS:
            raise SystemExit(f"unknown: {name}; known: {', '.join(PROBLEMS)}")
        problem = PROBLEMS[name]
        if problem.images is not None and not options.mnist:
            print(f"{name}: left out; --mnist DIR says where its images are")
            continue
        ways = options.ways.split(",")
        given = {"mnist": options.mnist, "members": options.members}
        rounds = measured(name, ways, options.rounds, given)
        kept[name] = rounds
        if options.json:  # after each problem: the next one takes minutes
            options.json.write_text(json.dumps(kept))
        only = f"; here {options.members} members" if options.members else ""
        print(f"\n{name}: {problem.about}{only}")
        print(aligned([HEADINGS, *rows(rounds)]))
        print(*notes(name, rounds), sep="\n", flush=True)


def one(**request: Any) -> dict[str, Any]:
    """One way in a fresh process, which no cache on disk has warmed."""
    environment = {**os.environ, "JAX_ENABLE_COMPILATION_CACHE": "false"}
    command = [sys.executable, "-m", "bench.sweep.worker", json.dumps(request)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        tail = "\n".join(done.stderr.strip().splitlines()[-15:])
        raise WorkerError(f"{' '.join(command[1:])}\nfailed with:\n{tail}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def measured(
    name: str, ways: list[str], rounds: int, given: dict[str, Any]
) -> dict[str, list[dict[str, Any]]]:
    """By way, what each round found; every round begins with another way."""
    found: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
    for number in range(rounds):
        for way in rotated(ways, number):
            print(f"  {name}: {way}, round {number + 1}", file=sys.stderr)
            found[way].append(one(problem=name, way=way, **given))
    return found


def rows(rounds: dict[str, list[dict[str, Any]]]) -> list[tuple[str, ...]]:
    """A row a way; medians over rounds, ratios of one round."""
    found = []
    best = best_by_hand(rounds)
    for way, samples in rounds.items():
        members = len(samples[0]["loss"])
        total = _median(samples, "total_s")
        found.append(
            (
                way,
                f"{total:.2f}",
                f"{_median(samples, 'processor_s'):.2f}",
                f"{members / total:.2f}",
                f"{members / _median(samples, 'steady_s'):.1f}",
                f"{samples[0]['compilations']}",
                f"{_median(samples, 'peak_rss') / _MEBIBYTE:.0f}",
                _as_text(ratio(rounds, best, way)),
                _as_text(ratio(rounds, "baked", way)),
            )
        )
    return found


def best_by_hand(rounds: dict[str, list[dict[str, Any]]]) -> str:
    """The quickest of the ways by hand, in the median."""
    by_hand = [way for way in BY_HAND if way in rounds] or list(rounds)
    return min(by_hand, key=lambda way: _median(rounds[way], "total_s"))


def ratio(rounds: dict[str, list[Any]], other: str, way: str) -> float | None:
    """How many times as quick as the other a way is: median of ratios of a round."""
    if other not in rounds:
        return None
    pairs = zip(rounds[other], rounds[way], strict=True)
    return statistics.median(a["total_s"] / b["total_s"] for a, b in pairs)


def notes(name: str, rounds: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Whether the targets are met, and whether all ways learn the same."""
    found = []
    if OURS in rounds:
        best = best_by_hand(rounds)
        targets = [(best, _LEAST_OF_BEST)]
        if name in _LEAST_TIMES_BAKED and "baked" in rounds:
            targets.append(("baked", _LEAST_TIMES_BAKED[name]))
        for other, least in targets:
            own = ratio(rounds, other, OURS) or 0.0
            met = "met" if own >= least else "NOT met"
            found.append(
                f"{OURS} is {own:.2f} times as quick as {other}; "
                f"target {least:g}: {met}"
            )
        first = rounds[OURS][0]
        seconds = _median(rounds[OURS], "compile_s")
        found.append(f"{OURS}: {first['strategy']}; compiled in {seconds:.2f} s")
    reference = next(iter(rounds))
    for way in rounds:
        if way != reference:
            loss, accuracy = (
                [abs(a - b) for a, b in zip(*pair, strict=True)]
                for pair in (
                    (rounds[way][0][key], rounds[reference][0][key])
                    for key in ("loss", "accuracy")
                )
            )
            found.append(
                f"{way} beside {reference}, on the test set: loss differs by at most "
                f"{max(loss):.1e}, in the median by {statistics.median(loss):.1e}; "
                f"accuracy by at most {100 * max(accuracy):.2f} points, of "
                f"{sum(x > 0 for x in accuracy)} members"
            )
    return found


def _median(samples: list[dict[str, Any]], key: str) -> float:
    return statistics.median(sample[key] for sample in samples)


def _as_text(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
