"""What bounds a gradient step: the machine's memory bandwidth, and bytes to move."""

import concurrent.futures
import os
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np

from bench.neuron_peers.problem import Problem

COUNT = 2**26  # 256 MiB an array: much more than a cache holds
BLOCK = 2**15  # in numpy a triad takes two passes; the second finds a block in cache
FACTOR = np.float32(3)
REPEATS = 9
FLOAT = INDEX = 4


def triad_jax() -> float:
    """Bytes per second of `a = b + s * c` in JAX, which writes into a given `a`."""
    a, b, c = (jnp.full(COUNT, i, jnp.float32) for i in range(3))
    triad = jax.jit(lambda a, b, c: b + FACTOR * c, donate_argnums=0, keep_unused=True)
    a = jax.block_until_ready(triad(a, b, c))
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        a = jax.block_until_ready(triad(a, b, c))
        seconds.append(time.perf_counter() - start)
    return 3 * FLOAT * COUNT / statistics.median(seconds)


def triad_numpy() -> float:
    """The same in numpy, a thread a core."""
    a, b, c = (np.full(COUNT, i, np.float32) for i in range(3))
    cores = os.cpu_count() or 1

    def part(first: int) -> None:
        for start in range(first * BLOCK, COUNT, cores * BLOCK):
            block = slice(start, start + BLOCK)
            np.multiply(c[block], FACTOR, out=a[block])
            np.add(a[block], b[block], out=a[block])

    seconds = []
    with concurrent.futures.ThreadPoolExecutor(cores) as pool:
        for _ in range(REPEATS):
            start = time.perf_counter()
            list(pool.map(part, range(cores)))
            seconds.append(time.perf_counter() - start)
    return 3 * FLOAT * COUNT / statistics.median(seconds)


def least_bytes(problem: Problem) -> int:
    """Bytes that a gradient step moves at least, were every gather served by caches.

    Values are written once and read once by the backward pass; so are error signals;
    weights and indices are read by both passes, gradients written once.
    """
    values = problem.nodes * len(problem.x) * FLOAT
    parameters = (problem.edges + problem.nodes - problem.inputs) * FLOAT
    return 4 * values + 3 * parameters + 2 * problem.edges * INDEX


def gathered_bytes(problem: Problem) -> int:
    """Bytes gathered, were no gather served by caches.

    Every edge reads the values of its source for the total input and again for the
    gradient of its weight, and the error signals of its target for those of its source.
    """
    return 3 * problem.edges * len(problem.x) * FLOAT
