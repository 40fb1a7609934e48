"""One measurement in a process of its own: `python -m bench.depth.worker REQUEST`."""

import json
import statistics
import sys
import time

import jax
import optax

import capsjax as cj
from bench.depth.problems import batch as make_batch
from bench.measure import rotated


def build(version: str, name: str, depth: int):
    """`(loss, params)` of a version."""
    if version in ("folded", "unrolled"):
        from bench.depth import ours

        return ours.build(name, depth, version == "folded")
    if version in ("hand", "hand-scan"):
        from bench.depth import hand

        return hand.build(name, depth, version == "hand-scan")
    from bench.depth import flax_scan

    return flax_scan.build(name, depth)


def step_of(loss, rule):
    """A training step."""

    def step(params, state, batch):
        value, gradient = jax.value_and_grad(loss)(params, batch)
        updates, state = rule.update(gradient, state, params)
        return value, optax.apply_updates(params, updates), state

    return jax.jit(step, donate_argnums=(0, 1))


def compiled(version: str, name: str, depth: int, optimizer: str):
    """The step, compiled; what it carries; and how long that took."""
    rule = getattr(optax, optimizer)(1e-4)
    batch = jax.device_put(make_batch(name))
    start = time.perf_counter()
    loss, params = build(version, name, depth)
    state = jax.block_until_ready(rule.init(params))
    built = time.perf_counter()
    lowered = step_of(loss, rule).lower(params, state, batch)
    traced = time.perf_counter()
    step = lowered.compile()
    done = time.perf_counter()
    memory = step.memory_analysis()
    figures = {
        "build_s": built - start,
        "trace_s": traced - built,
        "compile_s": done - traced,
        "temporaries": getattr(memory, "temp_size_in_bytes", None),
    }
    return step, (params, state), batch, figures


def main() -> None:
    cj.keep_memory()  # for all versions; without it, large temporaries cost the most
    request = json.loads(sys.argv[1])
    keys = request["name"], request["depth"], request["optimizer"]
    versions = request["versions"]
    made = {version: compiled(version, *keys) for version in versions}
    carried = {version: carry for version, (_, carry, _, _) in made.items()}
    losses: dict[str, float] = {}

    def timed(version):
        step, _, batch, _ = made[version]
        start = time.perf_counter()
        loss, *carry = step(*carried[version], batch)
        jax.block_until_ready(carry)
        carried[version] = tuple(carry)
        return time.perf_counter() - start, float(loss)

    for version in versions:
        losses[version] = timed(version)[1]
    seconds: dict[str, list[float]] = {version: [] for version in versions}
    ends = time.perf_counter() + request["seconds"]
    number = 0
    while number < 2 or time.perf_counter() < ends:
        for version in rotated(versions, number):
            timed(version)  # the version before has left the caches full of its own
            seconds[version].append(timed(version)[0])
        number += 1
    print(
        json.dumps(
            {
                version: {
                    **made[version][3],
                    "loss": losses[version],
                    "step_s": statistics.median(seconds[version]),
                    "seconds": seconds[version],
                }
                for version in versions
            }
        )
    )


if __name__ == "__main__":
    main()
