"""Random neural networks, tiny, of every shape that schedules tell apart."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import hypothesis.strategies as st
import jax
import numpy as np
import pytest

import capsjax as cj
from capsjax.compiler.groups import group, rows, tiles
from capsjax.graph.kinds import CAPS
from capsjax.neural import NeuralNetwork, model, network
from tests.helpers_capsjax import built_in
from tests.helpers_capsjax import draw as draw_array

ELEMENTWISE: list[Any] = [kind for kind in built_in(CAPS) if CAPS[kind].elementwise]
KINKED = {"relu", "leaky_relu", "elu", "selu"}
RECORDS = [*ELEMENTWISE, cj.caps.leaky_relu(0.3), cj.caps.gelu(approximate=True)]
SHAPES = ["any", "chain", "wide", "funnel", "layers", "nearly layers"]


@contextmanager
def limits(**given: Any) -> Iterator[None]:
    """Other limits of schedules, so that small networks meet every path."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in given.items():
            modules = [each for each in (group, rows, tiles) if hasattr(each, name)]
            assert modules, name
            for module in modules:
                patch.setattr(module, name, value)
        yield


TREES: dict[str, Any] = dict(
    MOST_READS=3,
    MOST_KINDS=4,
    LEAST_DENSE=10**9,
    _CPU_TILES=(1, 2, 4),
    _EDGES_AT_ONCE=16,
)
"""Partial sums, sums of sums, rounded kinds, several pieces of edges."""

PRODUCTS: dict[str, Any] = TREES | dict(LEAST_DENSE=6, DENSEST=0.6, MOST_DENSE=3)
"""Matrix products too, some with gaps."""

LIMITS: dict[str, dict[str, Any]] = {
    "default": {},
    "trees": TREES,
    "products": PRODUCTS,
}


def compiled(
    net: NeuralNetwork, limit: Any, backward: Any = "exact"
) -> tuple[cj.Network, Any, Any]:
    """The network with a loss, its parameters, and its wiring under some limits."""
    found = cj.compile(model(net, loss="mean_squared_error"), backward=backward)
    with limits(**limit):  # schedules are made when they are first asked for
        return found, *found.init(jax.random.key(0))


def batch_of(net: NeuralNetwork, size: int = 3, seed: int = 0) -> dict[str, jax.Array]:
    """Inputs and targets."""
    outputs = len(net.output_neurons)
    x = draw_array((size, len(net.inputs)), seed)
    return {"x": x, "y": draw_array((size, outputs), seed + 1)}


@st.composite
def networks(draw: Any, most: int = 24, records: Any = tuple(RECORDS)) -> NeuralNetwork:
    """A connected network, its weights and biases drawn; some inputs are read late."""
    shape = draw(st.sampled_from(SHAPES))
    seed = draw(st.integers(0, 2**32 - 1))
    inputs = draw(st.integers(1, 5))
    neurons = draw(st.integers(1, most))
    kinds = draw(st.lists(st.sampled_from(records), min_size=1, max_size=5))
    return of_shape(shape, inputs, neurons, kinds, seed)


def of_shape(
    shape: str, inputs: int, neurons: int, kinds: list[Any], seed: int = 0
) -> NeuralNetwork:
    """A network of one of `SHAPES`: numbers and edges in an order by chance."""
    rng = np.random.default_rng(seed)
    size = inputs + neurons
    pairs = _connected(_edges(shape, inputs, size, rng), inputs, size, rng)
    number = np.concatenate([np.arange(inputs), inputs + rng.permutation(neurons)])
    ends = rng.permutation(np.array(sorted(pairs)))
    return network(
        inputs,
        neurons,
        number[ends[:, 0]],
        number[ends[:, 1]],
        [kinds[i] for i in rng.integers(0, len(kinds), neurons)],
        weights=rng.normal(size=len(ends)) / np.sqrt(1 + len(ends) / neurons),
        biases=rng.normal(size=neurons) / 2,
    )


def _edges(shape: str, inputs: int, size: int, rng: Any) -> set[tuple[int, int]]:
    """Edges (source, target), source < target."""
    if shape == "chain":
        first = {(0, inputs)}
        return first | {(node - 1, node) for node in range(inputs + 1, size)}
    if shape == "funnel":  # the last node reads all others, few of which read any
        reads = {(int(rng.integers(0, inputs)), h) for h in range(inputs, size - 1)}
        return reads | {(node, size - 1) for node in range(size - 1)}
    if shape in ("layers", "nearly layers"):
        # Layers of random widths, each joined to the one before; a few gaps.
        least = 0.15 if shape == "nearly layers" else 0.0
        pairs, above, node = set(), range(inputs), inputs
        while node < size:
            layer = range(node, min(size, node + int(rng.integers(1, 7))))
            pairs |= {(z, h) for z in above for h in layer if rng.random() >= least}
            above, node = layer, layer.stop
        return pairs
    width = {"any": size, "wide": inputs}[shape]  # how far back a node reads
    pairs = set()
    for h in range(inputs, size):
        near = np.arange(min(h, width) if shape == "wide" else h)
        count = min(len(near), int(rng.geometric(0.3)))
        pairs |= {(int(z), h) for z in rng.choice(near, count, replace=False)}
    return pairs


def _connected(
    pairs: set[tuple[int, int]], inputs: int, size: int, rng: Any
) -> set[tuple[int, int]]:
    """Edges added until every neuron reads, and all is of one part."""
    pairs = set(pairs)
    for h in set(range(inputs, size)) - {h for _, h in pairs}:
        pairs.add((int(rng.integers(0, h)), h))
    part = list(range(size))
    for z, h in pairs:
        part = [part[z] if each == part[h] else each for each in part]
    for node in range(size - 1):
        if part[node] != part[size - 1]:
            pairs.add((node, size - 1))
            part = [part[size - 1] if each == part[node] else each for each in part]
    return pairs
