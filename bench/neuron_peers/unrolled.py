"""Plain JAX with a Python loop, over the levels or over single neurons."""

import jax
import jax.numpy as jnp
import numpy as np

from bench.neuron_peers.problem import Problem
from bench.neuron_peers.program import Program


def levels(problem: Problem) -> Program:
    """Gather and contract, level by level, differentiated by JAX.

    Each level has weights of its own, [width, in-degree], so that no step gathers
    them; where a neuron has fewer sources, it reads a row of zeros.
    """
    inputs, zero = problem.inputs, problem.inputs
    order = np.argsort(problem.level, kind="stable")  # the inputs remain first
    slot = np.empty(problem.nodes, np.int32)
    slot[order] = np.arange(problem.nodes)
    slot[slot >= zero] += 1
    sources, edges, neurons, parameters = [], [], [], []
    sizes = np.bincount(problem.level)[1:]
    for nodes in np.split(order[inputs:], np.cumsum(sizes)[:-1]):
        first, degree = problem.first_edge[nodes], np.diff(problem.first_edge)[nodes]
        nth = np.arange(degree.max())
        is_edge = nth < degree[:, None]
        edge = np.where(is_edge, first[:, None] + nth, -1)
        sources.append(
            jnp.asarray(np.where(is_edge, slot[problem.sources[edge]], zero))
        )
        edges.append(edge)
        neurons.append(nodes - inputs)
        weights = np.where(is_edge, problem.weights[edge], 0)
        parameters.append((weights, problem.biases[nodes - inputs]))
    outputs = jnp.asarray(slot[problem.sinks])

    def loss(parameters, x):
        # Appending runs 4 times faster than writing into slices of one buffer, because
        # autodiff copies a gradient of the whole buffer at every level.
        values = jnp.concatenate([x.T, jnp.zeros((1, len(x)), x.dtype)])
        for read, (weights, biases) in zip(sources, parameters, strict=True):
            total = jnp.einsum("wk,wkb->wb", weights, values[read]) + biases[:, None]
            values = jnp.concatenate([values, jnp.tanh(total)])
        return jnp.mean(jnp.sum(values[outputs] ** 2, 0))

    def by_edge(gradients):
        weights, biases = np.empty_like(problem.weights), np.empty_like(problem.biases)
        for edge, neuron, (w, b) in zip(edges, neurons, gradients, strict=True):
            weights[edge[edge >= 0]] = np.asarray(w)[edge >= 0]
            biases[neuron] = b
        return weights, biases

    return Program(jax.value_and_grad(loss), parameters, problem.x, by_edge)


def naive(problem: Problem) -> Program:
    """One expression for each neuron, a sum of scalars times vectors."""
    inputs, first = problem.inputs, problem.first_edge

    def loss(parameters, x):
        weights, biases = map(list, parameters)
        values = list(x.T)
        for node in range(inputs, problem.nodes):
            total = biases[node - inputs]
            for edge in range(first[node], first[node + 1]):
                total += weights[edge] * values[problem.sources[edge]]
            values.append(jnp.tanh(total))
        return jnp.mean(sum(values[node] ** 2 for node in problem.sinks))

    parameters = (problem.weights, problem.biases)
    return Program(jax.value_and_grad(loss), parameters, problem.x, lambda g: g)
