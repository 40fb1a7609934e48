"""Where a training step's time goes: `python -m bench.profile densenet-bc-40-12`.

The machine's peak is that of a product of two 2048 x 2048 matrices in float32. Below it
stand the operations of a network that have a choice of algorithm, each role timed alone
by the algorithm that the network uses, its operands in memory: how often it is there,
the time of all of them, and what it computes in a second by the arithmetic of its
definition. Winograd's algorithm needs less than that, so it may exceed the peak.
"""

import argparse
import statistics
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

import capsjax as cj
from bench.models import ours, ours_deep
from bench.problems import PROBLEMS
from bench.report import aligned
from capsjax.compiler.choices import operations
from capsjax.compiler.jit import jit
from capsjax.compiler.tuning import candidates
from capsjax.graph.kinds import CapKind

ROUNDS = 15


def seconds(function: Callable[..., Any], operands: tuple[Any, ...]) -> float:
    """Median time of a call."""
    program = jit(function).lower(*operands).compile()
    jax.block_until_ready(program(*operands))
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        jax.block_until_ready(program(*operands))
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def peak() -> float:
    """Floating-point operations a second of a large product."""
    a = jnp.ones((2048, 2048), jnp.float32)
    return 2 * 2048**3 / seconds(jnp.matmul, (a, a))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network", choices=sorted(PROBLEMS))
    options = parser.parse_args()
    cj.keep_memory()
    problem = PROBLEMS[options.network]
    net = cj.compile((ours_deep if problem.architecture else ours).graph(problem))
    best = peak()
    counts = Counter(
        each for _, each in operations(net.program.typed, problem.batch_size)
    )
    rows, total = [], 0.0
    for operation, count in counts.items():
        for role, name in operation.chosen.items():
            functions, operands = candidates(
                operation, role, [name], False, jnp.dtype("float32")
            )
            took = seconds(functions[name], operands)
            total += count * took
            work = operation.kind.flops(operation.shape[1:]) * operation.shape[0]
            rate = (
                "-"
                if isinstance(operation.kind, CapKind)
                else f"{work / took / 1e9:.0f}"
            )
            share = "-" if rate == "-" else f"{work / took / best:.2f}"
            text = f"{operation.kind} on {operation.shape[1:]}"
            rows.append((count * took, (text, role, name, count, rate, share)))
    print(f"peak of this machine: {best / 1e9:.0f} GFLOP/s")
    head = ("operation", "role", "algorithm", "times", "GFLOP/s", "of peak", "ms", "%")
    lines: list[tuple[str, ...]] = [head]
    for took, cells in sorted(rows, key=lambda row: -row[0]):
        lines.append(
            (*map(str, cells), f"{1e3 * took:.2f}", f"{100 * took / total:.0f}")
        )
    lines.append(("all", "", "", "", "", "", f"{1e3 * total:.1f}", "100"))
    print(aligned(lines))


if __name__ == "__main__":
    main()
