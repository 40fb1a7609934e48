"""The interpreter: a graph evaluated naively, capsule by capsule, with plain autodiff.

It is the oracle that every pass and every rule is tested against. It knows no pass, no
plan and no backward rule; only the declared meaning of each record's `forward`. Under
`cj.compile(graph, backward="autodiff")` it runs in place of the compiled program,
which also gives forward mode.
"""

from typing import Any

import jax
import jax.numpy as jnp

from capsjax.graph.typed import TypedGraph
from capsjax.losses import PAIRS


def evaluate(typed: TypedGraph, params: Any, inputs: Any, shifts: Any = None):
    """All total inputs and outputs that an output needs: `({name: U}, {name: Y})`.

    Args:
        typed: What inference made of the declaration, before any pass.
        params: Parameters.
        inputs: Arrays by input name.
        shifts: Arrays to be added to U, by capsule; to differentiate by.
    """
    total: dict[str, jax.Array] = {}
    output = dict(inputs)
    needed = set(typed.outputs)
    for capsule in reversed(typed.capsules):
        needed.update(capsule.sources if capsule.name in needed else ())
    for capsule in typed.capsules:
        if capsule.name not in needed:
            continue
        own = params.get(capsule.name, {})
        u: Any = 0
        for edge in capsule.edges:
            w = own.get("W", {}).get(edge.key)
            u = u + edge.weighting.forward(w, output[edge.source])
        if capsule.bias_shape is not None:
            u = u + own["B"]
        if shifts is not None:
            u = u + shifts[capsule.name]
        total[capsule.name] = u
        output[capsule.name] = capsule.cap.forward(u)
    return total, output


def run(typed: TypedGraph, params: Any, inputs: Any, targets: Any, shifts: Any = None):
    """The loss and the outputs, as `Program.forward` gives them."""
    total, output = evaluate(typed, params, inputs, shifts)
    outputs = {name: output[name] for name in typed.outputs}
    if targets is None:
        return None, outputs
    caps = {capsule.name: capsule.cap for capsule in typed.capsules}
    loss: Any = 0
    for each in typed.losses:
        name = each.output
        pair = PAIRS.get((type(caps[name]), type(each.loss)))
        if pair is not None:
            values = pair.value(total[name], targets[name])
        else:
            values = each.loss.value(output[name], targets[name])
        loss = loss + each.loss.weight * jnp.mean(values)
    return loss, outputs


def deltas(typed: TypedGraph, params: Any, inputs: Any, targets: Any):
    """Error signals: the loss differentiated by a shift of each U, at zero."""
    total, _ = evaluate(typed, params, inputs)
    shifts = jax.tree.map(jnp.zeros_like, total)

    def loss(shifts):
        return run(typed, params, inputs, targets, shifts)[0]

    return jax.grad(loss)(shifts)
