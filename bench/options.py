"""Training steps under options of XLA's CPU backend, in turn, as ratios.

    python -m bench.options [NETWORKS [OPTIONS [SECONDS]]]

NETWORKS and OPTIONS are names of the tables below, separated by commas; SECONDS is the
time for the rounds of one network. The last figure of a line is the largest relative
difference of a parameter after one step to that without options: what another order of
sums makes.
"""

import functools
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

import capsjax as cj
from bench import models
from bench.problems import PROBLEMS

YNN = "xla_cpu_experimental_ynn_fusion_type"
XNN = "xla_cpu_experimental_xnn_fusion_type"


def _library(*kinds: str) -> str:
    return ",".join(f"LIBRARY_FUSION_TYPE_{kind}" for kind in kinds)


OPTIONS: dict[str, dict[str, Any]] = {
    "none": {},
    "none again": {},
    **{
        f"ynn {'+'.join(kinds).lower() or 'nothing'}": {YNN: _library(*kinds)}
        for kinds in (
            (),
            ("REDUCE",),
            ("DOT",),
            ("ELTWISE",),
            ("INDIVIDUAL_DOT",),
            ("INDIVIDUAL_CONVOLUTION",),
            ("REDUCE", "INDIVIDUAL_CONVOLUTION"),
            ("INDIVIDUAL_DOT", "INDIVIDUAL_CONVOLUTION"),
            ("REDUCE", "INDIVIDUAL_DOT"),  # with convolutions it is the default
        )
    },
    "xnn dot": {XNN: _library("DOT")},
    "width 512": {"xla_cpu_prefer_vector_width": 512},
    "width 128": {"xla_cpu_prefer_vector_width": 128},
    "concurrency": {
        "xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_CONCURRENCY_OPTIMIZED"
    },
    "fast runtime": {"xla_cpu_opt_preset": "CPU_OPT_PRESET_FAST_RUNTIME"},
}

Built = tuple[Callable, Any, Any]


def _ours(net: cj.Network, batch: dict) -> Built:
    params, state = net.init(jax.random.key(0))
    update = optax.sgd(0.1)

    @jax.jit
    def step(batch, params, state, carried):
        gradient = jax.value_and_grad(net.loss, has_aux=True)
        (loss, (_, state)), grads = gradient(params, state, batch)
        updates, carried = update.update(grads, carried, params)
        return loss, (optax.apply_updates(params, updates), state, carried)

    return step, batch, (params, state, update.init(params))


def _transformer() -> Built:
    """A Vision Transformer of two blocks: 65 tokens of width 256, batch 16."""
    sizes = {"shape": (32, 32, 3), "patch": 4, "width": 256, "hidden": 1024}
    net = cj.compile(cj.zoo.graph("vit-b-16", **sizes, layers=2, heads=4, classes=10))
    (name, shape), (target,) = net.typed.inputs[0], net.typed.outputs
    image = jax.random.normal(jax.random.key(1), (16, *shape))
    return _ours(net, {name: image, target: jnp.arange(16) % 10})


def _deep_scan() -> Built:
    """64 matrices of 256 x 256 in a scan, tanh, batch 128, hand-written."""
    scale = 256**-0.5
    weights = scale * jax.random.normal(jax.random.key(0), (64, 256, 256))
    update = optax.sgd(0.1)

    def loss(weights, x):
        y, _ = jax.lax.scan(lambda x, w: (jnp.tanh(x @ w), None), x, weights)
        return jnp.mean(y * y)

    @jax.jit
    def step(x, weights, carried):
        value, grads = jax.value_and_grad(loss)(weights, x)
        updates, carried = update.update(grads, carried, weights)
        return value, (optax.apply_updates(weights, updates), carried)

    x = jax.random.normal(jax.random.key(1), (128, 256))
    return step, x, (weights, update.init(weights))


def _problem(name: str) -> Built:
    program = models.build("capsjax", PROBLEMS[name], "sgd")
    step = jax.jit(program.jitted.__wrapped__)  # without the options it has
    return step, program.put(PROBLEMS[name].batch()), program.carry


NETWORKS: dict[str, Callable[[], Built]] = {
    **{name: functools.partial(_problem, name) for name in PROBLEMS},
    "transformer": _transformer,
    "deep scan": _deep_scan,
}


def main() -> None:
    def chosen(number: int, table: dict) -> list[str]:
        given = sys.argv[number] if len(sys.argv) > number else ""
        return given.split(",") if given else list(table)

    seconds = float(sys.argv[3]) if len(sys.argv) > 3 else 20.0
    for name in chosen(1, NETWORKS):
        step, batch, carry = NETWORKS[name]()
        report(name, *compiled(step, batch, carry, chosen(2, OPTIONS)), batch, seconds)


def compiled(
    step: Any, batch: Any, carry: Any, options: list[str]
) -> tuple[dict[str, Any], dict[str, Any], dict[str, float]]:
    """By option: the program, what it gives after one step, seconds to compile."""
    lowered = step.lower(batch, *carry)
    programs, after, compile_s = {}, {}, {}
    for option in options:
        start = time.perf_counter()
        programs[option] = lowered.compile(compiler_options=OPTIONS[option] or None)
        compile_s[option] = time.perf_counter() - start
        _, after[option] = programs[option](batch, *jax.tree.map(jnp.copy, carry))
    return programs, after, compile_s


def report(
    name: str,
    programs: dict[str, Any],
    after: dict[str, Any],
    compile_s: dict[str, float],
    batch: Any,
    seconds: float,
) -> None:
    """Times the programs in turn and prints their ratios to the first."""
    carries = {option: jax.tree.map(jnp.copy, a) for option, a in after.items()}
    samples: dict[str, list[float]] = {option: [] for option in programs}
    first = next(iter(samples))
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(samples[first]) < 3:
        for option, program in programs.items():
            spent = 0.0
            for _ in range(2):  # the first finds caches full of another's arrays
                start = time.perf_counter()
                own = jax.block_until_ready(program(batch, *carries[option]))
                spent = time.perf_counter() - start
                carries[option] = own[1]
            samples[option].append(spent)
    base = samples[first]
    print(f"{name}: {1e3 * statistics.median(base):.2f} ms, {len(base)} rounds")
    for option, times in samples.items():
        ratios = [a / b for a, b in zip(times, base, strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        off = difference(after[first], after[option])
        print(
            f"  {option:26} {middle:6.3f} [{low:.3f}, {high:.3f}]"
            f"  compile {compile_s[option]:5.1f} s  differs {off:.1e}",
            flush=True,
        )


def difference(a: Any, b: Any) -> float:
    """The largest distance of two leaves, relative to the first one's norm."""

    def off(a, b):
        norm = jnp.linalg.norm(a)
        return float(jnp.linalg.norm(a - b) / jnp.where(norm == 0, 1, norm))

    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return max(off(a.ravel().astype(float), b.ravel().astype(float)) for a, b in pairs)


if __name__ == "__main__":
    main()
