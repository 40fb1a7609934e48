"""What `cj.sweep` chooses, beside the best of what it could be told.

Sweeps over perceptrons of which some are quickest one by one, others several at once;
short ones, where the rule alone decides, and long ones, where measuring pays. Each run
is a process of its own, compilation and measuring included.
"""

import argparse
import statistics
import sys

from bench.measure import rotated
from bench.report import aligned
from bench.sweep.compare import OURS, one
from bench.sweep.members import strategy

CASES = {
    "tiny": (8, 1, 8, 64, 1_000),
    "tiny, long": (8, 1, 8, 64, 120_000),
    "small": (64, 1, 32, 64, 500),
    "small, long": (64, 1, 32, 64, 10_000),
    "large": (64, 3, 128, 64, 250),
    "large, long": (64, 3, 128, 64, 2_000),
}
"""Width, depth, batch, members, steps."""

ASKED = ("chosen", "loop", "8", "32", "vmap")
MOST = 1.05
"""Times the best of what can be told that what is chosen may take."""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--only", default=",".join(x.replace(", ", "-") for x in CASES))
    parser.add_argument("--rounds", type=int, default=3)


def run(options: argparse.Namespace) -> None:
    """Prints a row a case: seconds, and those of the choice over those of the best."""
    cases = {name.replace(", ", "-"): name for name in CASES}
    table = [("", *(f"{asked} s" for asked in ASKED), "chosen / best", "range")]
    reasons = []
    for name in (cases[each] for each in options.only.split(",")):
        rounds: list[dict[str, float]] = []
        for number in range(options.rounds):
            rounds.append({})
            for asked in rotated(ASKED, number):
                print(f"  {name}: {asked}, round {number + 1}", file=sys.stderr)
                given = {"problem": list(CASES[name]), "strategy": strategy(asked)}
                found = one(way=OURS, again=False, **given)
                rounds[-1][asked] = found["total_s"]
                if asked == "chosen" and not number:
                    reasons.append(f"{name}: {found['strategy']}")
        table.append((name, *_cells(rounds)))
        print("  ".join(table[-1]), flush=True)
    print(f"\n{aligned(table)}\n", *reasons, sep="\n")


def _cells(rounds: list[dict[str, float]]) -> list[str]:
    """Medians; the best is that of the medians, and ratios are of one round."""
    medians = {a: statistics.median(row[a] for row in rounds) for a in ASKED}
    best = min(ASKED[1:], key=medians.__getitem__)
    ratios = [row["chosen"] / row[best] for row in rounds]
    middle = statistics.median(ratios)
    met = "" if middle <= MOST else " NOT met"
    return [
        *(f"{seconds:.2f}" for seconds in medians.values()),
        f"{middle:.2f} of {best}{met}",
        f"{min(ratios):.2f}-{max(ratios):.2f}",
    ]
