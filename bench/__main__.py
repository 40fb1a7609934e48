"""Command line of the benchmarks; README.md explains the columns."""

import argparse
import importlib.metadata
import json
import pathlib
import sys
import time

from bench import models
from bench.measure import WorkerError, measure
from bench.problems import OPTIMIZERS, PROBLEMS
from bench.report import table

PACKAGES = (
    "jax",
    "jaxlib",
    "optax",
    "equinox",
    "flax",
    "keras",
    "torch",
    "capsjax",
)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser("python -m bench", description=__doc__)
    names = {"only": PROBLEMS, "peers": models.PEERS}
    for option, choices in names.items():
        parser.add_argument(
            f"--{option}",
            type=_names(choices),
            default=tuple(choices),
            metavar="A,B",
            help=f"some of {', '.join(choices)}; default: all",
        )
    add = parser.add_argument
    add("--optimizer", choices=OPTIMIZERS, default="adam")
    add("--rounds", type=int, default=21, help="rounds of steps, at most")
    add("--seconds", type=float, default=90, help="for the rounds of one network")
    add("--processes", type=int, default=3, help="fresh processes per first call")
    add("--json", type=pathlib.Path, metavar="FILE", help="keep all samples")
    return parser.parse_args(arguments)


def _names(choices):
    def convert(text: str) -> tuple[str, ...]:
        names = tuple(text.split(","))
        if unknown := [name for name in names if name not in choices]:
            known = ", ".join(choices)
            message = f"unknown: {', '.join(unknown)}; known: {known}"
            raise argparse.ArgumentTypeError(message)
        return names

    return convert


def version(package: str) -> str | None:
    """Returns the installed version of a package, if there is one."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    peers = [peer for peer in options.peers if models.installed(peer)]
    for peer in options.peers:
        if peer not in peers:
            print(f"{peer} is not installed and is left out", file=sys.stderr)
    versions = {package: version(package) for package in PACKAGES}
    print(", ".join(f"{name} {found}" for name, found in versions.items() if found))

    results, failed = {}, False
    for name in options.only:
        chosen = [peer for peer in peers if models.covers(peer, name)]
        started = time.perf_counter()
        try:
            results[name] = measure(
                name,
                chosen,
                optimizer=options.optimizer,
                rounds=options.rounds,
                budget_s=options.seconds,
                processes=options.processes,
                progress=lambda text: print(f"  {text}", file=sys.stderr),
            )
        except WorkerError as error:
            # The other networks may have taken minutes: they are worth their tables.
            print(error, file=sys.stderr)
            failed = True
            continue
        problem = PROBLEMS[name]
        print(f"\n{name}: {problem.description}, batch {problem.batch_size}", end=", ")
        print(f"{problem.parameter_count:,} parameters, {options.optimizer}", end=" ")
        print(f"({results[name]['device']}; {time.perf_counter() - started:.0f} s)")
        print(table(results[name]["peers"]), flush=True)

    if options.json:
        report = {"versions": versions, "optimizer": options.optimizer}
        options.json.write_text(json.dumps(report | {"problems": results}, indent=1))
        print(f"\nAll samples are in {options.json}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
