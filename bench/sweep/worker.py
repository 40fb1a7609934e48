"""One way through one problem, in this process, which has done nothing before.

The harness starts it afresh each time: `python -m bench.sweep.worker REQUEST`, a JSON
object. The last line of standard output is the result, as JSON.
"""

import json
import os
import sys
import time
from typing import Any

import jax
import optax  # noqa: F401 (imports are not what is measured)
import pandas  # noqa: F401
import psutil
import tqdm.auto  # noqa: F401

import capsjax as cj
from bench.sweep.problems import PROBLEMS, perceptrons
from bench.sweep.ways import WAYS, Compilations
from bench.worker import peak_rss


def run(
    problem: str | list[int],
    way: str,
    mnist: str | None = None,
    members: int | None = None,
    strategy: Any = None,
    again: bool = True,
) -> dict[str, Any]:
    """Times a sweep from its call to results on the host, and once more.

    Args:
        problem: Its name; or numbers, as for `perceptrons`.
        way: The way's name.
        mnist: Folder of MNIST's files.
        members: How many, in place of the problem's.
        strategy: For `cj.sweep`.
        again: Whether it is run again, with everything compiled.
    """
    cj.keep_memory()  # for all ways
    named = isinstance(problem, str)
    chosen = PROBLEMS[problem] if named else perceptrons(*problem)
    data = chosen.data(mnist)
    jax.block_until_ready(jax.numpy.zeros(8) + 1)  # starts the backend
    compilations = Compilations()
    imported = psutil.Process().memory_info().rss
    sweep = WAYS[way](chosen, data, chosen.learning_rates(members))
    if strategy is not None:
        sweep.strategy = strategy

    start, used = time.perf_counter(), time.process_time()
    found = sweep()
    first = {
        "total_s": time.perf_counter() - start,
        "processor_s": time.process_time() - used,
        "peak_rss": peak_rss() - imported,
        "compilations": compilations.training,
        "all_compilations": compilations.all,
        "compile_s": found.compile_s,
        "strategy": found.strategy,
        "device": f"{jax.devices()[0].device_kind}, {os.cpu_count()} cores",
        "loss": found.loss.tolist(),
        "accuracy": found.accuracy.tolist(),
    }
    if not again:
        return first
    start = time.perf_counter()
    found = sweep()
    steady = time.perf_counter() - start
    # A sweep compiles its program anew each time it is called.
    return {**first, "steady_s": steady - (found.compile_s or 0.0)}


if __name__ == "__main__":
    print(json.dumps(run(**json.loads(sys.argv[1]))))
