"""Holds one subject of `bench.neurons` in a process of its own.

`python -m bench.neuron_peers.worker REQUEST` builds and compiles it, and prints what
that took as a line of JSON. Then every line of standard input is a number of steps,
answered by the list of their seconds; the end of the input ends the process.
"""

import json
import sys
import time

import jax
import psutil

from bench.neuron_peers import build, load, problem
from bench.worker import peak_rss


def main() -> None:
    request = json.loads(sys.argv[1])
    graph = getattr(problem, request["problem"])(*request["arguments"])
    jax.block_until_ready(jax.numpy.zeros(8) + 1)  # starts the backend
    load(request["peer"])
    before = psutil.Process().memory_info().rss

    start = time.perf_counter()
    program = build(request["peer"], graph)
    first = {"plan_s": time.perf_counter() - start, **program.compile()}
    loss, _ = program.step()
    program.step()
    print(json.dumps(first | {"loss": float(loss), "peak": peak_rss() - before}))
    sys.stdout.flush()

    for line in sys.stdin:
        seconds = []
        for _ in range(int(line)):
            start = time.perf_counter()
            program.step()
            seconds.append(time.perf_counter() - start)
        print(json.dumps(seconds), flush=True)


if __name__ == "__main__":
    main()
