"""Derivations against networkx's checks of the same graph.

    python -m bench.derivations

For graphs of a million edges: the time of `derive`, which checks that a graph is a
connected DAG and finds a derivation of it by the paper's rules, beside the time of
networkx's `is_directed_acyclic_graph` and `is_weakly_connected`, which only check.
Neither counts what it takes to build its own representation of the graph: arrays of
edges here, a DiGraph there. Both take turns; times are medians.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import networkx as nx
import numpy as np

from capsjax.neural import derive, network, replay

ROUNDS = 3


def window(inputs: int, neurons: int, degree: int, width: int) -> tuple:
    """Each neuron reads `degree` of the `width` nodes before it; numbers shuffled."""
    rng = np.random.default_rng(0)
    targets = np.repeat(np.arange(inputs, inputs + neurons), degree)
    # One source from each of `degree` equal parts of the window: none comes twice.
    reach = np.minimum(targets, width) // degree
    part = np.tile(np.arange(degree), neurons)
    sources = targets - 1 - part * reach - rng.integers(0, reach)
    # Every input is read by someone, so that the graph is connected.
    unread = np.setdiff1d(np.arange(inputs), sources)
    sources = np.concatenate([sources, unread])
    targets = np.concatenate([targets, inputs + rng.integers(0, neurons, unread.size)])
    # Numbers are shuffled: the order given is not topological already.
    number = np.concatenate([np.arange(inputs), inputs + rng.permutation(neurons)])
    return inputs, neurons, number[sources], number[targets]


def path(inputs: int, neurons: int) -> tuple:
    """A chain: as many levels as nodes."""
    nodes = np.arange(inputs + neurons)
    return inputs, neurons, nodes[:-1], nodes[1:]


def layers(widths: list[int]) -> tuple:
    """A multilayer perceptron, neuron by neuron."""
    start = np.cumsum([0, *widths])
    ends = [
        np.meshgrid(np.arange(a, b), np.arange(b, c), indexing="ij")
        for a, b, c in zip(start, start[1:], start[2:], strict=False)
    ]
    sources, targets = (np.concatenate([e[i].ravel() for e in ends]) for i in (0, 1))
    return widths[0], int(start[-1]) - widths[0], sources, targets


GRAPHS: dict[str, Callable[[], tuple]] = {
    "window, in-degree 4": lambda: window(100, 250_000, 4, 1_000),
    "many inputs": lambda: window(125_000, 250_000, 4, 200_000),
    "layers of 500": lambda: layers([500] * 5),
    "path": lambda: path(1, 1_000_000),
}


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser("python -m bench.derivations", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    rounds = parser.parse_args().rounds

    print(
        f"{'graph':20} {'nodes':>9} {'edges':>9}  {'check + derive':>14} "
        f"{'networkx':>9}  {'ratio':>5}  {'replay':>7}"
    )
    for name, make in GRAPHS.items():
        arrays = make()
        inputs, neurons, sources, targets = arrays
        graph = nx.DiGraph()
        graph.add_nodes_from(range(inputs + neurons))
        graph.add_edges_from(zip(sources.tolist(), targets.tolist(), strict=True))

        def check(graph: nx.DiGraph = graph) -> None:
            assert nx.is_directed_acyclic_graph(graph) and nx.is_weakly_connected(graph)

        def ours(arrays: tuple = arrays) -> None:
            derive(network(*arrays))

        times = [(seconds(ours), seconds(check)) for _ in range(rounds)]
        own, theirs = (statistics.median(column) for column in zip(*times, strict=True))
        net = network(*arrays)
        derivation = derive(net)
        replayed = seconds(lambda made=derivation: replay(made))
        assert replay(derivation) == net
        print(
            f"{name:20} {len(net.names):9,} {len(sources):9,}  {own:12.2f} s "
            f"{theirs:7.2f} s  {own / theirs:5.2f}  {replayed:5.2f} s"
        )
        print(f"    {derivation!r}")


if __name__ == "__main__":
    main()
