"""Inference programs beside the same networks in inference, in turn, as ratios.

    python -m bench.inference [NETWORKS [BATCHES [SECONDS]]]

NETWORKS are names of the table below and BATCHES sizes, separated by commas; SECONDS is
the time for the rounds of one network at one size. Both programs are jitted, with the
options that capsjax recommends, and are given their parameters as arguments. The last
figure is the largest difference of an output, relative to the largest output.
"""

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

import capsjax as cj
from bench.models import ours
from bench.problems import PROBLEMS


def mobilenet() -> cj.Graph:
    """MobileNet of 13 separable blocks for 32x32x3 (arXiv 1704.04861, table 1)."""
    image = cj.input("image", (32, 32, 3))

    def normed(name: str, edge: Any) -> Any:
        before = cj.capsule(f"{name}-conv", edge, cap="standardize", bias=None)
        return cj.capsule(name, cj.channel_scale(before), cap="relu")

    last = normed("first", cj.conv(image, 32, (3, 3), padding="SAME"))
    features = [64, 128, 128, 256, 256, *6 * [512], 1024, 1024]
    for i, each in enumerate(features):
        strides = (2, 2) if i in (1, 3, 5, 11) else (1, 1)
        spatial = cj.depthwise_conv(last, (3, 3), stride=strides, padding="SAME")
        spatial = normed(f"spatial{i}", spatial)
        last = normed(f"mixed{i}", cj.conv(spatial, each, (1, 1)))
    pool = cj.capsule("pool", cj.identity(last), cap="global_avg_pool", bias=None)
    return cj.graph(cj.capsule("classes", cj.matmul(pool, 10)), name="mobilenet")


NETWORKS: dict[str, Callable[[], cj.Graph]] = {
    "resnet-18": lambda: ours.graph(PROBLEMS["resnet-18"]),
    "densenet-bc-40-12": lambda: ours.graph(PROBLEMS["densenet-bc-40-12"]),
    "mobilenet": mobilenet,
}


def main() -> None:
    def given(number: int, default: list[str]) -> list[str]:
        return sys.argv[number].split(",") if len(sys.argv) > number else default

    seconds = float(sys.argv[3]) if len(sys.argv) > 3 else 20.0
    for name in given(1, list(NETWORKS)):
        for batch in map(int, given(2, ["1", "32"])):
            report(name, batch, seconds)


def report(name: str, batch: int, seconds: float) -> None:
    """Times both programs in turn and prints their ratio."""
    graph = NETWORKS[name]()
    net = cj.compile(graph)
    params, state = net.init(jax.random.key(0))
    ((source, shape),) = net.typed.inputs
    x = jax.random.normal(jax.random.key(1), (batch, *shape))
    more = jax.random.normal(jax.random.key(2), (32, *shape))
    _, new = jax.jit(net.apply, static_argnames="train")(
        params, state, {source: more}, train=True
    )
    # Statistics of a batch, which the step has mixed in with the momentum 0.9.
    state = jax.tree.map(lambda new, old: 10 * new - 9 * old, new, state)
    start = time.perf_counter()
    frozen = jax.block_until_ready(
        cj.compile(graph, mode="inference", params=params, state=state)
    )
    freeze_s = time.perf_counter() - start
    programs = {
        "network": compiled(
            lambda arrays, x: net.apply(arrays[0], arrays[1], {source: x})[0],
            (params, state),
            x,
        ),
        "inference program": compiled(lambda frozen, x: frozen({source: x}), frozen, x),
    }
    a, b = (run(arrays, x) for run, arrays, _ in programs.values())
    samples: dict[str, list[float]] = {which: [] for which in programs}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(samples["network"]) < 3:
        for which, (run, arrays, _) in programs.items():
            spent = 0.0
            for _ in range(2):  # the first finds caches full of another's arrays
                start = time.perf_counter()
                jax.block_until_ready(run(arrays, x))
                spent = time.perf_counter() - start
            samples[which].append(spent)
    base, own = samples["network"], samples["inference program"]
    ratios = [mine / other for mine, other in zip(own, base, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    seconds_to_compile = [f"{each[2]:.1f}" for each in programs.values()]
    print(
        f"{name}, batch {batch}: network {1e3 * statistics.median(base):.2f} ms, "
        f"inference program {1e3 * statistics.median(own):.2f} ms, ratio {middle:.3f} "
        f"[{low:.3f}, {high:.3f}] of {len(base)} rounds; compile "
        f"{' and '.join(seconds_to_compile)} s, freeze {freeze_s:.1f} s; "
        f"differs {difference(a, b):.1e}",
        flush=True,
    )


def compiled(function: Any, arrays: Any, x: jax.Array) -> tuple[Any, Any, float]:
    """The program, its first argument, and the seconds that XLA took."""
    lowered = jax.jit(function).lower(arrays, x)
    options: Any = cj.compiler_options()
    start = time.perf_counter()
    program = lowered.compile(compiler_options=options)
    return program, arrays, time.perf_counter() - start


def difference(a: Any, b: Any) -> float:
    """The largest difference of two trees, relative to the first one's largest."""
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return max(float(jnp.max(jnp.abs(a - b)) / jnp.max(jnp.abs(a))) for a, b in pairs)


if __name__ == "__main__":
    main()
