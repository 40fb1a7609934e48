"""capsjax: declared graphs, compiled once, and stepped by optax like any pytree."""

import functools
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import capsjax as cj
from bench.models import ours_deep
from bench.models.program import Program, update_rule
from bench.problems import Problem, Values

ZOO = {
    "lenet-5": {},
    "capsnet": {},
    "capsnet-decoder": {"decoder": True},
}


def graph(problem: Problem):
    """Takes the zoo's graph where there is one, or declares the layers."""
    if problem.name in ZOO:
        name = problem.name.removesuffix("-decoder")
        return cj.zoo.graph(name, **ZOO[problem.name])
    if problem.architecture:
        return ours_deep.graph(problem)
    cap = "tanh" if problem.name == "deep-mlp" else "relu"
    layer = cj.input("x", problem.input_shape)
    for spec in problem.layers[:-1]:
        layer = cj.capsule(spec.name, cj.matmul(layer, spec.weight[1]), cap=cap)
    last = cj.matmul(layer, problem.classes)
    output = cj.capsule("logits", last, cap="softmax")
    return cj.graph(output, name=problem.name, losses={"logits": "cross_entropy"})


def named(template: dict, order: list[str], problem: Problem, values: Values) -> dict:
    """Puts the shared weights where a network's own stand, capsule by capsule.

    Args:
      template: what `net.named` gives: `{capsule: {"B": ..., "W": {source: ...}}}`.
      order: names of capsules, among them those of the layers, in the layers' order.
      problem: the problem.
      values: the shared weights.

    Returns:
      A dict like `template`.

    Raises:
      ValueError: the network's weights are other ones than the problem's.
    """
    filled: dict[str, Any] = dict(template)
    weighted = [name for name in order if template.get(name, {}).get("W")]
    for name, layer in zip(weighted, problem.layers, strict=True):
        sources = template[name]["W"]
        if len(sources) != 1:
            raise ValueError(
                f"{problem.name}: {name} has {len(sources)} weights, not 1"
            )
        (source,) = sources
        new = {"W": {source: values[layer.name]["W"]}}
        if layer.bias:
            new["B"] = values[layer.name]["B"]
        filled[name] = {**template[name], **jax.tree.map(_own, new)}
        found, wanted = (
            jax.tree.map(np.shape, tree[name]) for tree in (filled, template)
        )
        if found != wanted:
            raise ValueError(f"{problem.name}: {name} is {wanted}, {layer} is {found}")
    return filled


def _own(value):
    # A copy, because numpy's own memory cannot be donated.
    return jnp.array(value, copy=True)


def by_name(declared, x, labels) -> dict:
    """A batch by the names of a graph's inputs and outputs.

    CapsNet's decoder is told the label, one-hot, and is to make the input again.
    """
    source, *label = (each.name for each in declared.inputs)
    target, *image = (name for name, _ in declared.losses)
    batch = {source: x, target: labels}
    if label:
        classes = declared.inputs[1].shape[0]
        batch |= {label[0]: jax.nn.one_hot(labels, classes), image[0]: x}
    return batch


def build(problem: Problem, optimizer: str, values: Values) -> Program:
    declared = graph(problem)
    start = time.perf_counter()
    net = cj.compile(declared)
    declared_s = time.perf_counter() - start

    params, state = net.init(jax.random.key(0))
    order = [layer.name for layer in problem.layers]
    if problem.name in ZOO:  # which has names of its own
        order = [capsule.name for capsule in declared.capsules]
    params = net.from_named(named(net.named(params), order, problem, values))
    update = update_rule(optimizer)

    def loss_of(params, state, batch):
        loss, (_, state) = net.loss(params, state, by_name(declared, *batch))
        return loss, state

    options = cj.compiler_options()

    @functools.partial(jax.jit, donate_argnums=(1, 2, 3), compiler_options=options)
    def step(batch, params, state, opt_state):
        value_and_grad = jax.value_and_grad(loss_of, has_aux=True)
        (loss, state), grads = value_and_grad(params, state, batch)
        updates, opt_state = update.update(grads, opt_state, params)
        return loss, (optax.apply_updates(params, updates), state, opt_state)

    carry = (params, state, update.init(params))
    return Program(step, carry, declared_s, loss_of)
