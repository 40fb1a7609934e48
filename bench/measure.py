"""Starts the measurements, each in a fresh process, and condenses their results.

Nothing here imports JAX: this process stays small and idle while a child measures.
"""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence

REFERENCE = "hand"
OURS = "capsjax"


class WorkerError(RuntimeError):
    """A measurement's process failed; the message ends with what it printed."""


def run_worker(**request) -> dict:
    """Runs one task of `bench.worker` in a fresh process."""
    # A compilation cache on disk would let one measurement warm the next.
    environment = {
        **os.environ,
        "JAX_ENABLE_COMPILATION_CACHE": "false",
        "TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1",
    }
    command = [sys.executable, "-m", "bench.worker", json.dumps(request)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        tail = "\n".join(done.stderr.strip().splitlines()[-15:])
        raise WorkerError(f"{' '.join(command[1:])}\nfailed with:\n{tail}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def rotated(peers: Sequence[str], number: int) -> list[str]:
    """Returns the peers, beginning with another one for every number."""
    shift = number % len(peers)
    return [*peers[shift:], *peers[:shift]]


def measure(
    problem: str,
    peers: Sequence[str],
    *,
    optimizer: str,
    rounds: int,
    budget_s: float,
    processes: int,
    progress: Callable[[str], None],
) -> dict:
    """Measures one problem for all peers.

    Args:
      problem: name of the problem.
      peers: names of the versions to measure.
      optimizer: `adam` or `sgd`.
      rounds: how often each peer's step is visited, at most.
      budget_s: seconds that all rounds together may take; three are always run.
      processes: fresh processes for each peer's first call; 0 leaves them out.
      progress: told what is being measured.

    Returns:
      `{"peers": {peer: figures}, ...}`; `figures` are medians, samples kept beside.
    """
    first: dict[str, list[dict]] = {peer: [] for peer in peers}
    for number in range(processes):
        for peer in rotated(peers, number):
            progress(f"{problem}: first call of {peer}, {number + 1} of {processes}")
            request = {"problem": problem, "optimizer": optimizer, "peer": peer}
            first[peer].append(run_worker(task="first_call", **request))

    progress(f"{problem}: steps of {', '.join(peers)} in turn")
    run = run_worker(
        task="steps",
        problem=problem,
        optimizer=optimizer,
        peers=list(peers),
        rounds=rounds,
        budget_s=budget_s,
    )
    figures = {peer: _condense(run["seconds"], first, peer) for peer in peers}
    _add_compile_ratios(figures)
    kept = ("device", "steps_per_round")
    return {"peers": figures, **{key: run[key] for key in kept}}


def _condense(seconds: dict, first: dict, peer: str) -> dict:
    figures = {"step_s": statistics.median(seconds[peer]), "rounds_s": seconds[peer]}
    if REFERENCE in seconds:
        # Pairs of one round, because both met the machine in the same mood.
        pairs = zip(seconds[peer], seconds[REFERENCE], strict=True)
        ratios = [own / reference for own, reference in pairs]
        low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
        figures |= {"step_ratio": middle, "step_ratio_quartiles": [low, high]}
    for key in first[peer][0] if first[peer] else ():
        samples = [sample[key] for sample in first[peer]]
        if key != "device":
            known = None not in samples
            figures[key] = statistics.median(samples) if known else None
            figures[f"{key}_samples"] = samples
    return figures


def _add_compile_ratios(figures: dict) -> None:
    """Relates trace and compile time to the fastest of the others than capsjax."""
    key = "trace_and_compile_s"
    known = {peer: row for peer, row in figures.items() if row.get(key) is not None}
    others = [row[key] for peer, row in known.items() if peer != OURS]
    for row in known.values() if others else ():
        row["compile_ratio"] = row[key] / min(others)
