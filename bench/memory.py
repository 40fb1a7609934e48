"""Memory budgets of a residual perceptron: `python -m bench.memory`.

Layers are h' = h + relu(W h + B). For each budget, a share of what the backward pass
holds without one (or the smallest possible budget, if that is more), a fresh process
makes training steps (SGD, parameters donated) and samples its resident memory. Times
are of one process that visits all budgets in turn.
"""

import argparse
import json
import statistics
import subprocess
import sys
import threading
import time

SHARES = (1.0, 0.5, 0.25, 0.1)
MIB = 2**20


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m bench.memory", description=__doc__)
    add = parser.add_argument
    add("--layers", type=int, default=1000)
    add("--width", type=int, default=256)
    add("--batch", type=int, default=1024)
    add("--rounds", type=int, default=5)
    add("--task", choices=("peak", "steps"), help=argparse.SUPPRESS)
    add("--share", type=float, help=argparse.SUPPRESS)
    return parser.parse_args()


def declared(layers: int, width: int):
    """The graph."""
    import capsjax as cj

    h = cj.input("x", (width,))
    for i in range(layers):
        r = cj.capsule(f"r{i}", cj.matmul(h, width), cap="relu")
        h = cj.capsule(f"h{i}", cj.identity(h), cj.identity(r), bias=None)
    classes = cj.capsule("classes", cj.matmul(h, 10), cap="softmax")
    return cj.graph(classes, name="residual", losses={"classes": "cross_entropy"})


def program(options: argparse.Namespace, share: float):
    """A compiled training step, its parameters and batch, the budget in bytes."""
    import jax
    import jax.numpy as jnp

    import capsjax as cj

    graph = declared(options.layers, options.width)
    net = cj.compile(graph)
    whole = net.memory(options.batch)
    budget = max(round(share * whole.full), whole.smallest)
    if share < 1:
        net = cj.compile(graph, memory_budget=budget)
    params, state = jax.jit(net.init)(jax.random.key(0))
    # So deep a sum of layers needs small ones.
    params = jax.tree.map(lambda a: a / options.layers, params)
    x = jax.random.normal(jax.random.key(1), (options.batch, options.width))
    batch = {"x": x, "classes": jnp.arange(options.batch) % 10}

    def step(params, batch):
        def loss(params):
            return net.loss(params, state, batch)[0]

        value, gradient = jax.value_and_grad(loss)(params)
        return jax.tree.map(lambda p, g: p - 0.01 * g, params, gradient), value

    start = time.perf_counter()
    compiled = jax.jit(step, donate_argnums=0).lower(params, batch).compile()
    seconds = time.perf_counter() - start
    return compiled, params, batch, budget, seconds


def peak(options: argparse.Namespace) -> dict:
    """Resident memory during a step above that before it."""
    import jax
    import psutil

    compiled, params, batch, budget, seconds = program(options, options.share)
    analysis = compiled.memory_analysis()
    jax.block_until_ready((params, batch))
    process, samples, done = psutil.Process(), [0], threading.Event()

    def sample() -> None:
        while not done.is_set():
            samples.append(process.memory_info().rss)
            time.sleep(0.001)

    before = process.memory_info().rss
    thread = threading.Thread(target=sample)
    thread.start()
    losses = []
    for _ in range(2):
        params, value = compiled(params, batch)
        losses.append(float(value))
    jax.block_until_ready(params)
    done.set()
    thread.join()
    return {
        "budget": budget,
        "peak": max(samples) - before,
        "temporaries": analysis.temp_size_in_bytes if analysis else 0,
        "parameters": sum(a.nbytes for a in jax.tree.leaves(params)),
        "compile_s": seconds,
        "loss": losses[-1],
    }


def steps(options: argparse.Namespace) -> dict:
    """Seconds of a step by share, all in turn."""
    import jax

    programs = {share: program(options, share)[:3] for share in SHARES}
    seconds: dict[float, list[float]] = {share: [] for share in SHARES}
    for number in range(options.rounds + 1):
        for share, (compiled, params, batch) in programs.items():
            start = time.perf_counter()
            params, _ = jax.block_until_ready(compiled(params, batch))
            programs[share] = compiled, params, batch
            if number:  # the first is not counted
                seconds[share].append(time.perf_counter() - start)
    return {str(share): times for share, times in seconds.items()}


def measured(options: argparse.Namespace, **task) -> dict:
    """A task in a fresh process."""
    given = {name: getattr(options, name) for name in ("layers", "width", "batch")}
    given |= {"rounds": options.rounds, **task}
    words = [
        word for name, value in given.items() for word in (f"--{name}", str(value))
    ]
    command = [sys.executable, "-m", "bench.memory", *words]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command[1:])} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    options = arguments()
    if options.task:
        print(json.dumps(peak(options) if options.task == "peak" else steps(options)))
        return
    times = measured(options, task="steps")
    peaks = {share: measured(options, task="peak", share=share) for share in SHARES}
    weights = peaks[1.0]["parameters"]
    print(
        f"{options.layers} layers of width {options.width}, batch {options.batch}; "
        f"parameters, and gradients as much again: {weights / MIB:,.0f} MiB"
    )
    print(
        "  share  budget MiB  peak MiB  less gradients  of full  temporaries MiB"
        "  compile s  step s  / full  loss"
    )
    full = peaks[1.0]["peak"] - weights
    for share, found in peaks.items():
        rest = found["peak"] - weights
        own, others = times[str(share)], times["1.0"]
        ratio = statistics.median(a / b for a, b in zip(own, others, strict=True))
        print(
            f"  {share:5.0%}  {found['budget'] / MIB:10,.1f}"
            f"  {found['peak'] / MIB:8,.1f}  {rest / MIB:14,.1f}  {rest / full:7.1%}"
            f"  {found['temporaries'] / MIB:15,.1f}  {found['compile_s']:9.1f}"
            f"  {statistics.median(own):6.2f}  {ratio:6.2f}  {found['loss']:.6f}"
        )


if __name__ == "__main__":
    main()
