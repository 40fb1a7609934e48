"""capsjax, by its public interface alone."""

import jax
import jax.numpy as jnp
import numpy as np

import capsjax as cj
from bench.neuron_peers.problem import MLP_SIZES, Problem
from bench.neuron_peers.program import Program


def declared(problem: Problem):
    """The problem as a `NeuralNetwork`."""
    return cj.neural.network(
        problem.inputs,
        problem.nodes - problem.inputs,
        problem.sources,
        problem.targets,
        problem.activations,
        weights=problem.weights,
        biases=problem.biases,
    )


def neurons(problem: Problem) -> Program:
    """`cj.compile` of the network of neurons."""
    network = declared(problem)
    net = cj.compile(network)

    def by_edge(gradients):
        named = net.named(gradients)["neurons"]
        return np.asarray(named["W"]["edges"]), np.asarray(named["B"])

    return _program(net, net.from_named(network.named()), problem, by_edge)


def lifted(problem: Problem) -> Program:
    """`cj.compile` of what `lift` finds in the network of neurons."""
    found = cj.neural.lift(declared(problem))
    assert found.named is not None  # the problem has weights
    net = cj.compile(found.graph)
    return _program(net, net.from_named(found.named), problem, _not_by_edge)


def capsules(problem: Problem) -> Program:
    """The perceptron as capsules, a layer each, with the weights of its neurons."""
    layer, named = cj.input("x", MLP_SIZES[:1]), {}
    first_edge = first_neuron = 0
    for i, (size_in, size_out) in enumerate(
        zip(MLP_SIZES, MLP_SIZES[1:], strict=False)
    ):
        name, source = f"layer-{i}", layer.name
        cap = "relu" if i < len(MLP_SIZES) - 2 else "identity"
        layer = cj.capsule(name, cj.matmul(layer, size_out), cap=cap)
        last_edge, last_neuron = (
            first_edge + size_in * size_out,
            first_neuron + size_out,
        )
        # Edges are sorted by target, then by source.
        weights = problem.weights[first_edge:last_edge].reshape(size_out, size_in).T
        biases = problem.biases[first_neuron:last_neuron]
        named[name] = {"W": {source: weights}, "B": biases}
        first_edge, first_neuron = last_edge, last_neuron
    net = cj.compile(cj.graph(layer, name="mlp"))
    return _program(net, net.from_named(named), problem, _not_by_edge)


def _program(net, params, problem: Problem, by_edge) -> Program:
    _, state = net.init(jax.random.key(0))
    # Networks of neurons declare float64, which JAX would keep where it may.
    params = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), params)

    def loss(params, x):
        outputs, _ = net.apply(params, state, {"x": x})
        (y,) = outputs.values()
        return jnp.mean(jnp.sum(y**2, 1))

    return Program(jax.value_and_grad(loss), params, problem.x, by_edge)


def _not_by_edge(gradients):
    raise NotImplementedError("weights are matrices here; compare the losses")
