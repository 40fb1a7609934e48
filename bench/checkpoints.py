"""What a checkpoint costs the training: `python -m bench.checkpoints`.

For a network and adam's state, milliseconds for which the training loop stands still
(`stall`: the copy and orbax's share of it, with nothing being computed), until the
checkpoint is whole on the disk (`written`), and to read it (`read`): medians, and the
largest. `share` is the stall in a minute, at one checkpoint a minute; the first stall,
which also has the system find memory, stands beside. `copy` is the part of the stall in
which the arrays are copied. `first` is the import of orbax and the opening of a folder.
"""

import argparse
import statistics
import tempfile
import time
from typing import Any

import jax
import optax

import capsjax as cj
from capsjax.training.checkpoints import Checkpointer, Checkpoints, Saved
from capsjax.training.checkpoints.snapshot import Copier

NETWORKS = ("lenet-5", "100M")


def graph_of(name: str) -> cj.Graph:
    """A network of the zoo; or one of 100 million parameters in 24 layers."""
    if name != "100M":
        return cj.zoo.graph(name)
    h = x = cj.input("x", (2048,))
    for number in range(24):
        h = cj.capsule(f"h{number}", cj.matmul(h, 2048), cap="relu")
    y = cj.capsule("y", cj.matmul(h, 10), cj.matmul(x, 10), cap="softmax")
    return cj.graph(y, name=name, losses={"y": "cross_entropy"})


def milliseconds(function: Any, *arguments: Any) -> float:
    """The time that a call takes."""
    start = time.perf_counter()
    function(*arguments)
    return 1e3 * (time.perf_counter() - start)


def measure(name: str, repeats: int) -> dict[str, Any]:
    """Figures of one network."""
    net = cj.compile(graph_of(name))
    params, state = jax.jit(net.init)(jax.random.key(0))
    carry = {
        "params": params,
        "state": state,
        "optimizer": optax.adam(1e-3).init(params),
        "key": jax.random.key_data(jax.random.key(0)),
    }
    jax.block_until_ready(carry)
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(carry))
    stalls, written, read, copies = [], [], [], []
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        with Checkpointer.open(folder, net, Checkpoints(), {}) as checkpointer:
            first = 1e3 * (time.perf_counter() - start)
            for number in range(repeats + 1):
                saved = Saved(number, carry, [], {})
                stalls.append(milliseconds(checkpointer.save, saved))
                written.append(stalls[-1] + milliseconds(checkpointer.wait))
            for _ in range(min(repeats, 3)):
                read.append(milliseconds(checkpointer.latest, carry))
    copier = Copier()
    for _ in range(repeats + 1):
        copies.append(milliseconds(copier.snapshot, carry))
    return {
        "MB": size / 1e6,
        "first": first,
        "first stall": stalls[0],
        "stall": stalls[1:],
        "copy": copies[1:],
        "written": written[1:],
        "read": read,
    }


def main() -> None:
    parser = argparse.ArgumentParser("python -m bench.checkpoints", description=__doc__)
    parser.add_argument("--only", default=",".join(NETWORKS), metavar="A,B")
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    for name in options.only.split(","):
        figures = measure(name, options.repeats)
        print(f"{name}: {figures['MB']:,.1f} MB")
        for column, value in figures.items():
            if isinstance(value, list):
                middle = statistics.median(value)
                print(f"    {column:12} {middle:9.1f} ms  (most {max(value):.1f})")
            elif column != "MB":
                print(f"    {column:12} {value:9.1f} ms")
        share = statistics.median(figures["stall"]) / 60e3
        worst = max(figures["first stall"], *figures["stall"]) / 60e3
        print(f"    share        {share:9.2%}     (most {worst:.2%})")


if __name__ == "__main__":
    main()
