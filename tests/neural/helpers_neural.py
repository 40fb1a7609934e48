"""Random networks for tests of the formal part."""

import numpy as np
from hypothesis import strategies as st

import capsjax as cj
from capsjax.neural import NeuralNetwork, network

ACTIVATIONS = ["tanh", "relu", cj.caps.leaky_relu(0.1), cj.caps.leaky_relu(0.2)]


@st.composite
def networks(draw, most: int = 12) -> NeuralNetwork:
    """Any connected DAG, with names, activations, weights and biases or without."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    inputs = draw(st.integers(1, 4))
    neurons = draw(st.integers(0 if inputs == 1 else 1, most))
    pairs = set()
    for node in range(inputs, inputs + neurons):
        count = draw(st.integers(1, min(node, 4)))
        pairs |= {(int(z), node) for z in rng.choice(node, count, replace=False)}
    part = list(range(inputs + neurons))
    for z, h in pairs:
        part = [part[z] if each == part[h] else each for each in part]
    if len(set(part)) > 1:  # the last neuron makes them converge
        last = inputs + neurons - 1
        seen = {part[last]}
        for node in range(last):
            if part[node] not in seen:
                seen.add(part[node])
                pairs.add((node, last))
    order = rng.permutation(neurons) + inputs
    number = [*range(inputs), *order.tolist()]
    edges = [(number[z], number[h]) for z, h in sorted(pairs)]
    names = [f"n{i}" for i in rng.permutation(100)[: inputs + neurons]]
    if draw(st.booleans()):
        names = rng.permutation(100)[: inputs + neurons].tolist()
    return network(
        names[:inputs],
        names[inputs:],
        [z for z, _ in edges],
        [h for _, h in edges],
        draw(
            st.lists(st.sampled_from(ACTIVATIONS), min_size=neurons, max_size=neurons)
        ),
        weights=rng.standard_normal(len(edges)) if draw(st.booleans()) else None,
        biases=rng.standard_normal(neurons) if draw(st.booleans()) else None,
    )


def shuffled(net: NeuralNetwork, seed: int) -> NeuralNetwork:
    """The same 4-tuple, declared in another order."""
    rng = np.random.default_rng(seed)
    inputs, neurons = (rng.permutation(len(each)) for each in (net.inputs, net.neurons))
    edges = rng.permutation(len(net.sources))
    number = np.empty(len(net.names), np.int64)
    order = np.concatenate([inputs, neurons + len(inputs)]).astype(np.int64)
    number[order] = np.arange(len(order))
    return network(
        net.inputs[inputs],
        net.neurons[neurons],
        number[net.sources[edges]],
        number[net.targets[edges]],
        [net.activations[net.activation_of[i]] for i in neurons],
        weights=None if net.weights is None else net.weights[edges],
        biases=None if net.biases is None else net.biases[neurons],
    )
