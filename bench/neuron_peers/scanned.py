"""Levels in a `lax.scan`, each padded to the widest level and the largest in-degree.

Two subjects with one forward: `prototype` with a backward pass written by hand, one
buffer of error signals over the same levels in reverse, and `autodiff` with `jax.grad`.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from bench.neuron_peers.problem import Problem
from bench.neuron_peers.program import Program


@dataclasses.dataclass(frozen=True, eq=False)
class Plan:
    """Where everything lies; slots are rows of the buffer of values.

    Attributes:
      inputs: number of inputs, which have the first slots.
      slots: number of slots.
      starts: first slot of each level, [L].
      sources: slots that each neuron reads, [L, width, in-degree].
      edges: number of each edge, [L, width, in-degree]; that of no edge is E.
      neurons: number of each neuron, [L, width]; that of no neuron is n.
      outputs: slots of the output neurons.
    """

    inputs: int
    slots: int
    starts: jax.Array
    sources: jax.Array
    edges: jax.Array
    neurons: jax.Array
    outputs: jax.Array


def plan(problem: Problem) -> Plan:
    """Renumbers the nodes, so that each level is a slice of one buffer."""
    inputs, depth = problem.inputs, problem.depth
    count = problem.nodes - inputs
    level = problem.level[inputs:] - 1
    order = np.argsort(level, kind="stable")
    sizes = np.bincount(level)
    position = np.empty(count, np.int64)
    position[order] = np.arange(count) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    width = sizes.max()
    slot = np.concatenate([np.arange(inputs), inputs + level * width + position])

    target = problem.targets - inputs
    nth = np.arange(problem.edges) - problem.first_edge[problem.targets]
    sources = np.zeros((depth, width, nth.max() + 1), np.int32)
    edges = np.full_like(sources, problem.edges)
    sources[level[target], position[target], nth] = slot[problem.sources]
    edges[level[target], position[target], nth] = np.arange(problem.edges)
    neurons = np.full((depth, width), count, np.int32)
    neurons[level, position] = np.arange(count)
    starts = np.arange(depth) * width + inputs
    arrays = (starts, sources, edges, neurons, slot[problem.sinks])
    return Plan(inputs, inputs + depth * width, *map(jnp.asarray, arrays))


def forward(plan: Plan, parameters, x):
    """Returns the values of all slots, [slots, B], and the padded weights."""
    weights, biases = parameters
    padded = jnp.append(weights, 0)[plan.edges]
    values = jnp.zeros((plan.slots, len(x)), x.dtype).at[: plan.inputs].set(x.T)

    def level(values, now):
        sources, weights, biases, start = now
        total = jnp.einsum("wk,wkb->wb", weights, values[sources]) + biases[:, None]
        new = jnp.tanh(total)
        return jax.lax.dynamic_update_slice(values, new, (start, 0)), None

    levels = (plan.sources, padded, jnp.append(biases, 0)[plan.neurons], plan.starts)
    return jax.lax.scan(level, values, levels)[0], padded


def backward(plan: Plan, padded, values, signals):
    """Gradients by padded weights and biases from those by the values of the slots."""
    width = plan.sources.shape[1]

    def level(signals, now):
        sources, weights, start = now
        y = jax.lax.dynamic_slice_in_dim(values, start, width)
        delta = jax.lax.dynamic_slice_in_dim(signals, start, width) * (1 - y * y)
        by_weights = jnp.einsum("wb,wkb->wk", delta, values[sources])
        by_sources = weights[:, :, None] * delta[:, None, :]
        return signals.at[sources].add(by_sources), (by_weights, delta.sum(1))

    levels = (plan.sources, padded, plan.starts)
    return jax.lax.scan(level, signals, levels, reverse=True)[1]


def _program(problem: Problem, values_of) -> Program:
    where = plan(problem)

    def loss(parameters, x):
        outputs = values_of(where, parameters, x)[where.outputs]
        return jnp.mean(jnp.sum(outputs**2, 0))

    parameters = (problem.weights, problem.biases)
    return Program(jax.value_and_grad(loss), parameters, problem.x, lambda g: g)


def autodiff(problem: Problem) -> Program:
    """The scanned forward with JAX's own derivative."""
    return _program(problem, lambda where, *arguments: forward(where, *arguments)[0])


def prototype(problem: Problem) -> Program:
    """The scanned forward with the backward pass written by hand."""

    def flat(gradient, numbers, count):
        """Padding has the number after the last, and is dropped."""
        return jnp.zeros(count + 1, gradient.dtype).at[numbers].add(gradient)[:-1]

    def values_of(where, parameters, x):
        @jax.custom_vjp
        def values(parameters):
            return forward(where, parameters, x)[0]

        def kept(parameters):
            values, padded = forward(where, parameters, x)
            return values, (values, padded)

        def pulled(kept, signals):
            values, padded = kept
            weights, biases = backward(where, padded, values, signals)
            neurons = problem.nodes - problem.inputs
            weights = flat(weights, where.edges, problem.edges)
            return ((weights, flat(biases, where.neurons, neurons)),)

        values.defvjp(kept, pulled)
        return values(parameters)

    return _program(problem, values_of)
