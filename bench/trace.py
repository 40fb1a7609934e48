"""What a trace costs a training run: `python -m bench.trace`.

Adam, batch 128, on drawn data. Blocks of steps without and with a tracer that measures
every 100 steps, on 128 examples, take turns; each pair gives one ratio. Beside it, the
time of one measurement in steps: a hundredth of it is what a long run pays.
"""

import argparse
import statistics
import time

import jax
import jax.numpy as jnp
import optax

import capsjax as cj
from capsjax.compiler.jit import jit
from capsjax.training.step import optimizer_step

EVERY = 100


def mlp(widths: tuple[int, ...] = (512, 512)) -> cj.Graph:
    """784-512-512-10."""
    h = cj.input("x", (784,))
    for number, width in enumerate(widths):
        h = cj.capsule(f"h{number + 1}", cj.matmul(h, width), cap="relu")
    y = cj.capsule("y", cj.matmul(h, 10), cap="softmax")
    return cj.graph(y, name="mlp", losses={"y": "cross_entropy"})


def deep() -> cj.Graph:
    """64 layers of 128, which are folded into a loop."""
    h = cj.input("x", (128,))
    for number in range(64):
        h = cj.capsule(f"h{number + 1}", cj.matmul(h, 128), cap="relu")
    y = cj.capsule("y", cj.matmul(h, 10), cap="softmax")
    return cj.graph(y, name="deep", losses={"y": "cross_entropy"})


def cnn() -> cj.Graph:
    """Two convolutions, on images of 16 x 16."""
    x = cj.input("x", (16, 16, 1))
    c1 = cj.capsule("c1", cj.conv(x, 16, (3, 3), padding="SAME"), cap="relu")
    s1 = cj.capsule("s1", cj.identity(c1), cap=cj.caps.max_pool((2, 2)), bias=None)
    c2 = cj.capsule("c2", cj.conv(s1, 32, (3, 3), padding="SAME"), cap="relu")
    flat = cj.capsule("flat", cj.reshape(c2, (-1,)), bias=None)
    y = cj.capsule("y", cj.matmul(flat, 10), cap="softmax")
    return cj.graph(y, name="cnn", losses={"y": "cross_entropy"})


def compared(graph: cj.Graph, rule: str | None, rounds: int, blocks: int) -> str:
    """One line of the table."""
    net = cj.compile(graph, backward=rule)
    params, state = net.init(jax.random.key(0))
    shape = net.typed.inputs[0][1]
    x = jax.random.normal(jax.random.key(1), (128, *shape))
    batch = {"x": x, "y": jnp.arange(128) % 10}
    optimizer = optax.adam(1e-4)
    inner = optimizer.init(params)

    def training_step(carry):
        return optimizer_step(net, optimizer, *carry, batch)[:3]

    step = jit(training_step, donate_argnums=0)
    tracer = cj.trace(net, batch, every=EVERY)
    carry = step((params, state, inner))
    tracer(0, carry[0], carry[1])  # compiled

    def block(trace) -> float:
        nonlocal carry
        start = time.perf_counter()
        for number in range(blocks * EVERY):
            carry = step(carry)
            if trace is not None:
                trace(number, carry[0], carry[1])
        jax.block_until_ready((carry, tracer._records[-1]))
        return (time.perf_counter() - start) / (blocks * EVERY)

    pairs = [(block(None), block(tracer)) for _ in range(rounds)]
    ratio = statistics.median(own / plain for plain, own in pairs)
    plain = statistics.median(plain for plain, _ in pairs)

    def once() -> float:
        start = time.perf_counter()
        tracer(0, carry[0], carry[1])
        jax.block_until_ready(tracer._records[-1])
        return time.perf_counter() - start

    alone = statistics.median(once() for _ in range(9))
    return (
        f"{graph.name:5} {rule or 'exact':20} step {1e3 * plain:7.2f} ms   "
        f"with trace {ratio:6.3f}   a measurement {alone / plain:5.1f} steps"
    )


def main() -> None:
    """Prints a line a network and rule."""
    parser = argparse.ArgumentParser("python -m bench.trace", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--blocks", type=int, default=1)
    parser.add_argument("--networks", default="mlp,deep,cnn")
    options = parser.parse_args()
    graphs = {"mlp": mlp, "deep": deep, "cnn": cnn}
    for name in options.networks.split(","):
        for rule in (None, "feedback_alignment"):
            line = compared(graphs[name](), rule, options.rounds, options.blocks)
            print(line, flush=True)


if __name__ == "__main__":
    main()
