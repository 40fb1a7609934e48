"""Sibling products beside one merged product: training steps, in turn, as ratios.

    python -m bench.merge [KINDS [SECONDS]]

KINDS are names of the tables below, "sources" or "networks", separated by commas;
SECONDS is the time for the rounds of one line. "merged" has the weights of siblings in
one array; "concatenated" joins them in the step. A line shows the median of the ratios
of single rounds to the time of separate products, and their quartiles.
"""

import functools
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import capsjax as cj
from bench.models import ours
from bench.problems import PROBLEMS
from capsjax.compiler.passes import PIPELINE, Pass
from capsjax.graph import Graph

Shape = tuple[int, int, tuple[int, ...]]
"""Rows, numbers in each, and of each sibling the numbers that it makes."""

SIBLINGS: dict[str, list[Shape]] = {
    "dense": [
        (rows, width, (width,) * count)
        for rows in (8, 32, 128)
        for width in (16, 64, 256, 1024)
        for count in (2, 3, 4)
    ],
    "qkv": [
        (rows, width, (width,) * 3)
        for rows in (512, 1040)
        for width in (64, 128, 256, 512, 768)
    ],
    "inception": [
        (8 * 28 * 28, 192, (64, 96, 16)),
        (8 * 28 * 28, 256, (128, 128, 32)),
        (8 * 14 * 14, 480, (192, 96, 16)),
        (8 * 14 * 14, 512, (160, 112, 24)),
        (8 * 7 * 7, 832, (384, 192, 48)),
    ],
}


def random(shape: tuple[int, ...], seed: int, scale: float = 1.0) -> jax.Array:
    draw = np.random.default_rng(seed).standard_normal(shape)
    return jnp.asarray(scale * draw, jnp.float32)


def siblings(shape: Shape) -> dict[str, tuple[Callable, Any]]:
    rows, width, sizes = shape
    x, v = random((rows, width), 0), random((width, width), 1, width**-0.5)
    weights = [random((width, n), 2 + i, width**-0.5) for i, n in enumerate(sizes)]
    ends = tuple(np.cumsum(sizes)[:-1].tolist())

    def products(own: Any, h: jax.Array, form: str) -> list[jax.Array]:
        if form == "separate":
            return [h @ w for w in own]
        w = own if form == "merged" else jnp.concatenate(own, axis=1)
        return jnp.split(h @ w, ends, axis=1)

    def step_of(form: str) -> Callable:
        def loss(params: Any) -> jax.Array:
            first, own = params
            each = products(own, jnp.tanh(x @ first), form)
            return jnp.sum(jnp.stack([jnp.mean(jnp.tanh(y) ** 2) for y in each]))

        def step(params: Any) -> Any:
            grads = jax.grad(loss)(params)
            return jax.tree.map(lambda p, g: p - 0.1 * g, params, grads)

        return step

    stacked = jnp.concatenate(weights, axis=1)
    return {
        "separate": (step_of("separate"), (v, weights)),
        "merged": (step_of("merged"), (v, stacked)),
        "concatenated": (step_of("concatenated"), (v, weights)),
    }


def sources(shape: Shape) -> dict[str, tuple[Callable, Any]]:
    """Products into one capsule from several sources."""
    rows, width, sizes = shape
    x = random((rows, width), 0)
    v = [random((width, n), 1 + i, width**-0.5) for i, n in enumerate(sizes)]
    total = sum(sizes)
    weights = [random((n, width), 9 + i, total**-0.5) for i, n in enumerate(sizes)]

    def step_of(form: str) -> Callable:
        def loss(params: Any) -> jax.Array:
            first, own = params
            each = [jnp.tanh(x @ w) for w in first]
            if form == "separate":
                u = sum(h @ w for h, w in zip(each, own, strict=True))
            else:
                u = jnp.concatenate(each, axis=1) @ own
            return jnp.mean(jnp.tanh(u) ** 2)

        def step(params: Any) -> Any:
            grads = jax.grad(loss)(params)
            return jax.tree.map(lambda p, g: p - 0.1 * g, params, grads)

        return step

    return {
        "separate": (step_of("separate"), (v, weights)),
        "merged": (step_of("merged"), (v, jnp.concatenate(weights, axis=0))),
    }


def towers(width: int, count: int) -> Graph:
    """Two layers of equal branches side by side, mixed by a product behind each."""
    h = cj.input("x", (width,))
    for layer in range(2):
        parts = [
            cj.capsule(f"part{layer}-{n}", cj.matmul(h, width), cap="relu")
            for n in range(count)
        ]
        joined = cj.capsule(f"joined{layer}", *map(cj.place, parts), bias=None)
        h = cj.capsule(f"mixed{layer}", cj.matmul(joined, width), cap="relu")
    output = cj.capsule("class", cj.matmul(h, 10), cap="softmax")
    return cj.graph(output, losses={"class": "cross_entropy"})


def transformer(width: int) -> Graph:
    """A Vision Transformer of two blocks: 65 tokens."""
    sizes = {"shape": (32, 32, 3), "patch": 4, "width": width, "hidden": 4 * width}
    return cj.zoo.graph("vit-b-16", **sizes, layers=2, heads=4, classes=10)


NETWORKS: dict[str, tuple[Callable[[], Graph], int]] = {
    "inception, batch 8": (lambda: ours.graph(PROBLEMS["inception"]), 8),
    **{
        f"transformer {width}, batch 16": (functools.partial(transformer, width), 16)
        for width in (64, 128, 256)
    },
    **{
        f"{count} branches of {width}, batch {batch}": (
            functools.partial(towers, width, count),
            batch,
        )
        for width in (16, 64, 256)
        for count in (3, 8)
        for batch in (8, 32, 128)
    },
}


def network(make: Callable[[], Graph], batch: int) -> dict[str, tuple[Callable, Any]]:
    """A training step without merging, and with all siblings merged."""
    graph = make()
    (output,) = graph.outputs
    merging = Pass(cj.passes.merge_all, observable=True)
    passes = {
        "separate": [each for each in PIPELINE if each.name != "merge"],
        "merged": [merging if each.name == "merge" else each for each in PIPELINE],
    }

    def step_of(net: cj.Network) -> Callable:
        data = {
            name: random((batch, *shape), 1) for name, shape in net.typed.inputs
        } | {output: jnp.arange(batch) % 10}

        def step(carry: Any) -> Any:
            params, state = carry
            gradient = jax.grad(net.loss, has_aux=True)
            grads, (_, state) = gradient(params, state, data)
            return jax.tree.map(lambda p, g: p - 0.01 * g, params, grads), state

        return step

    nets = {form: cj.compile(graph, passes=own) for form, own in passes.items()}
    return {n: (step_of(net), net.init(jax.random.key(0))) for n, net in nets.items()}


def measure(forms: dict[str, tuple[Callable, Any]], seconds: float) -> dict[str, list]:
    programs = {}
    for form, (step, params) in forms.items():
        jitted = jax.jit(step, compiler_options=cj.compiler_options())
        programs[form] = jitted.lower(params).compile(), params
    samples: dict[str, list[float]] = {form: [] for form in forms}
    repeats = 1
    for program, params in programs.values():
        jax.block_until_ready(program(params))
        start = time.perf_counter()
        jax.block_until_ready(program(params))
        repeats = max(1, min(50, int(2e-3 / (time.perf_counter() - start))))
    end = time.perf_counter() + seconds
    number = 0
    while time.perf_counter() < end or number < 5:
        order = list(programs)
        order = order[number % len(order) :] + order[: number % len(order)]
        for form in order:
            program, params = programs[form]
            jax.block_until_ready(program(params))  # caches hold another's arrays
            start = time.perf_counter()
            for _ in range(repeats):
                jax.block_until_ready(program(params))
            samples[form].append((time.perf_counter() - start) / repeats)
        number += 1
    return samples


def report(title: str, samples: dict[str, list]) -> None:
    base = samples["separate"]
    words = []
    for form, times in samples.items():
        if form != "separate":
            ratios = [a / b for a, b in zip(times, base, strict=True)]
            low, middle, high = statistics.quantiles(ratios, n=4)
            words.append(f"{form} {middle:.2f} [{low:.2f}, {high:.2f}]")
    print(
        f"{title:42} {1e3 * statistics.median(base):8.3f} ms  {'  '.join(words)}",
        flush=True,
    )


def main() -> None:
    kinds = sys.argv[1].split(",") if len(sys.argv) > 1 and sys.argv[1] else None
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 2.0
    for kind, shapes in SIBLINGS.items():
        for shape in shapes:
            rows, width, sizes = shape
            title = f"{kind}: {rows} x {width} -> {', '.join(map(str, sizes))}"
            if kinds is None or kind in kinds:
                report(title, measure(siblings(shape), seconds))
    for rows, width, sizes in SIBLINGS["dense"]:
        if kinds is None or "sources" in kinds:
            title = f"sources: {rows} x {', '.join(map(str, sizes))} -> {width}"
            report(title, measure(sources((rows, width, sizes)), seconds))
    for name, (make, batch) in NETWORKS.items():
        if kinds is None or "networks" in kinds:
            report(name, measure(network(make, batch), seconds))


if __name__ == "__main__":
    main()
