"""Spoils documents and holds the reader to its promise.

Each of `--count` documents is mutated and given to the reader of its `--kind`, and what
was read to what takes it: a graph to `cj.compile`; of a run configuration the arguments
and the optimizer are made. It must be taken or raise the error of its kind: no other
exception, no hang, no growth of memory. Every document depends on `--seed` and its
number alone, so that one can be made again: `--first NUMBER --count 1 --show`.
"""

import json
import random
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import capsjax as cj
from bench import fuzzing, mutated_runs, mutations
from bench.fuzzing import Hang, Outcome
from capsjax.graph import parse
from capsjax.training.configuration import (
    RunConfigurationError,
    parse_run_configuration,
)
from capsjax.training.optimizers import optimizer_of


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


def main(arguments: list[str] | None = None) -> int:
    parser = fuzzing.options("python -m bench.fuzz_documents", 20_000, 1024)
    parser.add_argument("--kind", choices=KINDS, default="graph")
    options = parser.parse_args(arguments)
    # What is allocated once is not growth.
    attempt(document(options.seed, 0, options.kind), options.kind)
    return fuzzing.run(
        options,
        "documents",
        {"taken": "taken", "refused": "refused"},
        KINDS[options.kind].mutated,
        lambda content: attempt(content, options.kind),
        lambda content: print(content.decode(errors="backslashreplace")),
    )


if __name__ == "__main__":
    sys.exit(main())
