"""connex: networks of any acyclic topology, each level a masked dense product."""

import warnings

import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np

from bench.neuron_peers.problem import Problem
from bench.neuron_peers.program import Program

with warnings.catch_warnings():
    # It uses a name that Equinox has deprecated, once for each of its fields.
    warnings.simplefilter("ignore")
    import connex
    import equinox


def build(problem: Problem) -> Program:
    """connex applies its activation to hidden neurons alone: outputs get it apart."""
    graph = nx.DiGraph()
    graph.add_nodes_from(range(problem.nodes))
    graph.add_edges_from(
        zip(problem.sources.tolist(), problem.targets.tolist(), strict=True)
    )
    inputs = list(range(problem.inputs))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = connex.NeuralNetwork(
            graph,
            inputs,
            problem.sinks.tolist(),
            hidden_activation=jnp.tanh,
            output_transformation=jnp.tanh,
            key=jax.random.PRNGKey(0),
        )
    # Its matrices have a column for every node between a level's first and last
    # source, and one more for the biases.
    number = np.array([net._neuron_to_id[node] for node in range(problem.nodes)])
    place = np.array(
        [net._neuron_to_topo_batch_idx[i] for i in number[problem.inputs :].tolist()]
    )
    batch, row = place[problem.targets - problem.inputs].T
    column = number[problem.sources] - net._min_index[batch]

    matrices = [np.zeros(w.shape, np.float32) for w in net._weights_and_biases]
    parts = []
    for i, matrix in enumerate(matrices):
        edges, neurons = np.flatnonzero(batch == i), np.flatnonzero(place[:, 0] == i)
        matrix[row[edges], column[edges]] = problem.weights[edges]
        matrix[place[neurons, 1], -1] = problem.biases[neurons]
        parts.append((edges, neurons))

    key = jax.random.key(0)  # asked for, though nothing is dropped

    def loss(matrices, x):
        filled = equinox.tree_at(lambda n: n._weights_and_biases, net, matrices)
        outputs = jax.vmap(lambda example: filled(example, key=key))(x)
        return jnp.mean(jnp.sum(outputs**2, 1))

    def by_edge(gradients):
        weights, biases = np.empty_like(problem.weights), np.empty_like(problem.biases)
        for (edges, neurons), gradient in zip(parts, gradients, strict=True):
            gradient = np.asarray(gradient)
            weights[edges] = gradient[row[edges], column[edges]]
            biases[neurons] = gradient[place[neurons, 1], -1]
        return weights, biases

    return Program(jax.value_and_grad(loss), matrices, problem.x, by_edge)
