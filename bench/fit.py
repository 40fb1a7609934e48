"""What `cj.fit` costs beyond the bare loop over its steps: `python -m bench.fit`.

Bare is what one writes by hand: `jax.value_and_grad` of the loss and an update by
optax, jitted, with donated buffers, the batch gathered within the step, and nothing
read back before the end. Beside it stand `cj.fit`; with the guard; with a tracer that
measures every 100 steps on 128 examples, as `capsjax train --trace 100` has; and with a
folder and a checkpoint each second, sixty times as often as the target asks for.

Epochs without validation; the first, which compiles, is left out. Rounds take turns.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import jax
import numpy as np
import optax

import capsjax as cj
from bench.report import aligned
from capsjax.compiler.jit import jit
from capsjax.training.dataset import permutation, take

CASES = {
    "mlp, batch 32": ("mlp", 32, 1.10),
    "lenet-5, batch 128": ("lenet-5", 128, 1.03),
}
"""Network, batch size, and the most that fit may take of the bare loop."""

SECONDS = 4.0
"""Of one measurement, about."""


def mlp() -> cj.Graph:
    """64-64-10, the small perceptron of the sweeps."""
    x = cj.input("x", (64,))
    h = cj.capsule("h", cj.matmul(x, 64), cap="relu")
    y = cj.capsule("y", cj.matmul(h, 10), cap="softmax")
    return cj.graph(y, name="mlp", losses={"y": "cross_entropy"})


def problem(name: str) -> tuple[cj.Network, dict[str, np.ndarray]]:
    """A network, and drawn examples of its shapes."""
    net = cj.compile(mlp() if name == "mlp" else cj.zoo.graph(name))
    numbers = np.random.default_rng(0)
    count = 4096
    (given,) = net.graph.inputs
    ((output, _),) = net.graph.losses
    images = numbers.random((count, *given.shape), np.float32)
    labels = numbers.integers(0, net.shapes[output].output[0], count, dtype=np.int32)
    return net, {given.name: images, output: labels}


class Bare:
    """The loop by hand."""

    def __init__(self, net: cj.Network, data: dict, size: int):
        self.data, self.size = jax.device_put(data), size
        self.count = len(next(iter(data.values())))
        optimizer = optax.adam(1e-3)
        params, state = net.init(jax.random.key(0))
        self.carry = params, state, optimizer.init(params)

        def step(carry, data, order, i):
            params, state, inner = carry
            gradient = jax.value_and_grad(net.loss, has_aux=True)
            (_, (_, state)), grads = gradient(params, state, take(data, order[i]))
            updates, inner = optimizer.update(grads, inner, params)
            return optax.apply_updates(params, updates), state, inner

        self.step = jit(step, donate_argnums=0)
        self.epochs(1)

    def epochs(self, count: int) -> float:
        """Seconds of so many epochs."""
        start = time.perf_counter()
        for epoch in range(count):
            order = jax.device_put(permutation(self.count, self.size, 0, epoch))
            for i in range(len(order)):
                self.carry = self.step(self.carry, self.data, order, np.int32(i))
        jax.block_until_ready(self.carry)
        return time.perf_counter() - start


def fitted(net: cj.Network, data: dict, size: int, epochs: int, **more) -> float:
    """Seconds of the epochs of a run behind the first."""
    at: list[float] = []

    def called(row: dict) -> None:
        at.append(time.perf_counter())

    cj.fit(
        net,
        data,
        epochs=epochs + 1,
        batch_size=size,
        callbacks=[called],
        progress=False,
        **more,
    )
    return at[-1] - at[0]


def with_checkpoints(*given, **more) -> float:
    """The same, with a folder and a checkpoint each second."""
    with tempfile.TemporaryDirectory() as folder:
        kept = cj.Checkpoints(every_seconds=1.0)
        return fitted(*given, folder=Path(folder) / "run", checkpoints=kept, **more)


def traced(net: cj.Network, data: dict, size: int, epochs: int) -> float:
    """The same, with a tracer."""
    few = {name: array[:128] for name, array in data.items()}
    return fitted(net, data, size, epochs, trace=cj.trace(net, few, every=100))


WAYS = {
    "cj.fit": fitted,
    "guard": lambda *given: fitted(*given, guard="stop"),
    "traced": traced,
    "checkpoint a second": with_checkpoints,
}


def main() -> None:
    """Prints milliseconds a step, and ratios to the bare loop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--ways", default=",".join(WAYS))
    options = parser.parse_args()
    ways = {name: WAYS[name] for name in options.ways.split(",")}
    table = [("", "bare us", *(f"{way} us" for way in ways), *(f"{w} /" for w in ways))]
    verdicts = []
    for case, (name, size, most) in CASES.items():
        net, data = problem(name)
        bare = Bare(net, data, size)
        epochs = max(1, int(SECONDS / bare.epochs(1)))
        laps: dict[str, list[float]] = {way: [] for way in ["bare", *ways]}
        for _ in range(options.rounds):
            laps["bare"].append(bare.epochs(epochs))
            for way, measured in ways.items():
                laps[way].append(measured(net, data, size, epochs))
        steps = epochs * (bare.count // size)
        middle = {way: statistics.median(each) / steps for way, each in laps.items()}
        ratios = {
            way: statistics.median(
                own / base for own, base in zip(laps[way], laps["bare"], strict=True)
            )
            for way in ways
        }
        cells = [f"{1e6 * seconds:.1f}" for seconds in middle.values()]
        table.append((case, *cells, *(f"{ratio:.3f}" for ratio in ratios.values())))
        met = "met" if ratios["cj.fit"] <= most else "NOT met"
        verdicts.append(f"{case}: target {most:.2f}: {met}")
        print("  ".join(table[-1]), flush=True)
    print("", aligned(table), "", *verdicts, sep="\n")


if __name__ == "__main__":
    main()
