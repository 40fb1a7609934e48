"""Runs one measurement in this process and prints it as one line of JSON.

The harness starts it afresh for every measurement: `python -m bench.worker REQUEST`,
where REQUEST is a JSON object with `task`, `problem`, `optimizer` and the task's own
keys. The last line of standard output is the result.
"""

import json
import os
import statistics
import sys
import time

import jax
import psutil

import capsjax as cj
from bench import models
from bench.measure import rotated
from bench.problems import PROBLEMS


def peak_rss() -> int:
    """Peak resident bytes of this process.

    Linux's ru_maxrss survives exec, so in a child it may be the parent's peak;
    VmHWM is this program's own.
    """
    try:
        with open("/proc/self/status") as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def first_call(problem, optimizer, peer) -> dict:
    """Times trace, compile and first step of one peer, and its memory."""
    models.load(peer)
    jax.block_until_ready(jax.numpy.zeros(8) + 1)  # starts the backend
    imported = psutil.Process().memory_info().rss
    program = models.build(peer, problem, optimizer)
    batch = program.put(problem.batch())

    start = time.perf_counter()
    compiled = program.compile(batch)
    jax.block_until_ready(program.step(batch))
    stepped = time.perf_counter()
    jax.block_until_ready(program.step(batch))
    peak = peak_rss() - imported
    return {
        "trace_s": None,
        "compile_s": None,
        "trace_and_compile_s": None,
        **compiled,
        "first_step_s": stepped - start + getattr(program, "declared_s", 0),
        "peak_rss": peak,
        "residual": program.residual_bytes(batch),
    }


def steps(problem, optimizer, peers, rounds, budget_s) -> dict:
    """Times the steps of all peers in turn; {peer: [median seconds of each round]}.

    Every round visits every peer, each round beginning with the next one, so that a
    machine that slows down or a neighbor that wakes up falls on all alike.
    """
    programs = {peer: models.build(peer, problem, optimizer) for peer in peers}
    batches = {peer: program.put(problem.batch()) for peer, program in programs.items()}
    for peer, program in programs.items():
        jax.block_until_ready(program.step(batches[peer]))  # compiles
    once = {peer: _timed(programs[peer], batches[peer]) for peer in peers}

    # Quick steps are repeated within a round, after some that are not counted: the
    # peer before has left the caches full of its own arrays.
    quick = max(once.values()) < 0.2
    repeats = max(1, min(20, int(0.2 / max(once.values()))))
    unmeasured = 2 if quick else 0
    round_s = (repeats + unmeasured) * sum(once.values())
    rounds = max(3, min(rounds, int(budget_s / round_s)))

    seconds: dict[str, list[float]] = {peer: [] for peer in peers}
    for number in range(rounds):
        for peer in rotated(peers, number):
            for _ in range(unmeasured):
                _timed(programs[peer], batches[peer])
            times = [_timed(programs[peer], batches[peer]) for _ in range(repeats)]
            seconds[peer].append(statistics.median(times))
    return {"seconds": seconds, "steps_per_round": repeats}


def _timed(program, batch) -> float:
    start = time.perf_counter()
    # The loss stands for all: outputs of one XLA computation are ready together.
    jax.block_until_ready(program.step(batch))
    return time.perf_counter() - start


TASKS = {"first_call": first_call, "steps": steps}


def main() -> None:
    cj.keep_memory()  # for all versions
    request = json.loads(sys.argv[1])
    task = TASKS[request.pop("task")]
    request["problem"] = PROBLEMS[request["problem"]]
    result = task(**request)
    result["device"] = f"{jax.default_backend()}, {os.cpu_count()} cores"
    print(json.dumps(result))


if __name__ == "__main__":
    main()
