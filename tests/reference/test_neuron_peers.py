"""All subjects of `bench.neurons` compute the same loss and the same gradients.

The reference is numpy in float64, neuron by neuron: equations 4 and 5 of the paper.
"""

import functools

import numpy as np
import pytest

from bench import neuron_peers
from bench.neuron_peers import problem
from bench.neuron_peers.problem import MLP_SIZES, Problem

TOLERANCE = 1e-5  # of float32, relative to the largest number compared
SIZES = {60: (11, 170), 500: (33, 1_917)}
IN_DEGREE, WINDOW = 4, 2_000
SLOW = ("naive", "connex")  # at 500 they take a minute to compile and to build
PAIRS = [
    (peer, nodes)
    for peer in neuron_peers.PEERS
    for nodes in SIZES
    if peer not in SLOW or nodes == 60
]


@functools.cache
def window(nodes: int) -> Problem:
    return problem.window(nodes, IN_DEGREE, WINDOW)


@functools.cache
def expected(nodes: int) -> tuple[float, np.ndarray, np.ndarray]:
    """Loss and gradients by weights and biases."""
    p = window(nodes)
    edges = [slice(*pair) for pair in zip(p.first_edge, p.first_edge[1:], strict=False)]
    weights, biases = p.weights.astype(float), p.biases.astype(float)
    values = [*p.x.T.astype(float)]
    for node in range(p.inputs, p.nodes):
        read = np.stack([values[z] for z in p.sources[edges[node]]])
        total = weights[edges[node]] @ read + biases[node - p.inputs]
        values.append(np.tanh(total))
    y = np.stack(values)

    by_value = np.zeros_like(y)
    by_value[p.sinks] = 2 * y[p.sinks] / len(p.x)
    by_weights, by_biases = np.empty_like(weights), np.empty_like(biases)
    for node in reversed(range(p.inputs, p.nodes)):
        delta = by_value[node] * (1 - y[node] ** 2)
        by_biases[node - p.inputs] = delta.sum()
        by_weights[edges[node]] = y[p.sources[edges[node]]] @ delta
        by_value[p.sources[edges[node]]] += np.outer(weights[edges[node]], delta)
    return float(np.sum(y[p.sinks] ** 2) / len(p.x)), by_weights, by_biases


@pytest.mark.parametrize(("peer", "nodes"), PAIRS)
def test_subjects_agree_with_numpy(peer, nodes):
    if not neuron_peers.installed(peer):
        pytest.skip(f"{peer} is not installed")
    program = neuron_peers.build(peer, window(nodes))
    program.compile()
    loss, gradients = program.step()
    found = (float(loss), *map(np.asarray, program.by_edge(gradients)))
    for one, other in zip(found, expected(nodes), strict=True):
        assert np.shape(one) == np.shape(other)
        scale = np.abs(other).max()
        np.testing.assert_allclose(one, other, rtol=0, atol=TOLERANCE * scale)


@pytest.mark.parametrize("nodes", SIZES)
def test_the_reference_is_the_derivative_of_its_loss(nodes):
    """Else all could agree on something wrong: central differences of two numbers."""
    p = window(nodes)
    _, by_weights, by_biases = expected(nodes)
    for array, gradient in ((p.weights, by_weights), (p.biases, by_biases)):
        place = int(np.argmax(np.abs(gradient)))
        kept = array[place]
        losses, steps = [], []
        for step in (0.01, -0.01):
            array[place] = kept + step
            steps.append(float(array[place]))
            losses.append(expected.__wrapped__(nodes)[0])
        array[place] = kept
        slope = (losses[0] - losses[1]) / (steps[0] - steps[1])
        np.testing.assert_allclose(slope, gradient[place], rtol=1e-3)


@pytest.mark.parametrize(("nodes", "counts"), SIZES.items())
def test_window_graphs_are_those_of_the_prototype(nodes, counts):
    found = window(nodes)
    assert (found.depth, found.edges) == counts
    random = np.random.default_rng(0)
    for node in range(found.inputs, nodes):
        drawn = random.integers(max(0, node - WINDOW), node, size=IN_DEGREE)
        edges = slice(*found.first_edge[node : node + 2])
        np.testing.assert_array_equal(found.sources[edges], np.unique(drawn))


def test_the_perceptron_is_its_matrices():
    found = problem.mlp()
    assert (found.edges, found.nodes, found.depth) == (668_672, 1_818, 3)
    np.testing.assert_array_equal(found.sinks, np.arange(1_808, 1_818))
    last = found.sources[found.first_edge[1_817] :]
    np.testing.assert_array_equal(last, np.arange(1_296, 1_808))


@pytest.mark.parametrize("peer", ["capsules", "capsjax lifted"])
def test_capsules_of_the_perceptron_compute_what_its_neurons_do(peer):
    found = problem.mlp()
    values, edge, neuron = found.x.astype(float), 0, 0
    for size in MLP_SIZES[1:]:
        size_in = values.shape[1]
        weights = found.weights[edge : edge + size * size_in].reshape(size, size_in)
        values = values @ weights.T + found.biases[neuron : neuron + size]
        edge, neuron = edge + weights.size, neuron + size
        if size != MLP_SIZES[-1]:
            values = np.maximum(values, 0)
    program = neuron_peers.build(peer, found)
    loss = np.sum(values**2) / len(values)
    np.testing.assert_allclose(float(program.step()[0]), loss, rtol=TOLERANCE)
