"""Sweeps beside what is written by hand, and what decides how they are run.

python -m bench.sweep                    # four ways through three sweeps
python -m bench.sweep mlps               # one of them
python -m bench.sweep lanes              # how many members at once are quickest
python -m bench.sweep members            # members a second, as members become more
python -m bench.sweep history            # a history as a table and as a Dataset
python -m bench.sweep choice             # what is chosen, beside the best there is
"""

import argparse
import importlib
import sys

COMMANDS = ("lanes", "members", "history", "choice")


def main(given: list[str]) -> None:
    name, rest = "compare", given
    if given and given[0] in COMMANDS:
        name, *rest = given
    # The command alone: what compares processes shall itself stay small.
    command = importlib.import_module(f"bench.sweep.{name}")
    shown = "" if name == "compare" else f" {name}"
    parser = argparse.ArgumentParser(
        f"python -m bench.sweep{shown}",
        description=command.__doc__ if shown else __doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.arguments(parser)
    command.run(parser.parse_args(rest))


if __name__ == "__main__":
    main(sys.argv[1:])
