"""Members a second of the first sweep, perceptrons, as members become more."""

import argparse
import statistics

from bench.report import aligned
from bench.sweep.compare import OURS, one

CPU_COUNTS = "1,16,64,256"
HEADINGS = (
    *("members", "asked for", "total s", "members/s", "without compiling"),
    *("compiling s", "run as"),
)


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--counts", default=CPU_COUNTS, help="1024 too, on a GPU")
    parser.add_argument(
        "--strategies",
        default="chosen",
        metavar="A,B",
        help="chosen, loop, vmap, or how many at once",
    )
    parser.add_argument("--rounds", type=int, default=3)


def run(options: argparse.Namespace) -> None:
    """Prints a row for each number of members and strategy."""
    table = [HEADINGS]
    for count in map(int, options.counts.split(",")):
        for asked in options.strategies.split(","):
            samples = [
                one(problem="mlps", way=OURS, members=count, strategy=strategy(asked))
                for _ in range(options.rounds)
            ]
            total, steady, compiling = (
                statistics.median(sample[key] for sample in samples)
                for key in ("total_s", "steady_s", "compile_s")
            )
            table.append(
                (
                    f"{count:,}",
                    asked,
                    f"{total:.2f}",
                    f"{count / total:.1f}",
                    f"{count / steady:.1f}",
                    f"{compiling:.2f}",
                    samples[0]["strategy"],
                )
            )
            print("  ".join(table[-1]), flush=True)
    print(f"\nperceptrons 64-64-10, batches of 32, 500 steps; {samples[0]['device']}")
    print(aligned(table))


def strategy(asked: str) -> str | int | None:
    """What `cj.sweep` takes for it."""
    if asked == "chosen":
        return None
    return int(asked) if asked.isdigit() else asked
