"""The interpreter: a graph evaluated naively, capsule by capsule, with plain autodiff.

It is the oracle that every pass and every rule is tested against. It knows no pass, no
plan and no backward rule; only the declared meaning of each record's `forward`. Under
`cj.compile(graph, backward="autodiff")` it runs in place of the compiled program,
which also gives forward mode.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from capsjax.compiler.example_weights import mean
from capsjax.compiler.mode import INFERENCE, Mode
from capsjax.compiler.program import Tensors
from capsjax.compiler.terms import context_of, weight_of
from capsjax.graph.levels import levels
from capsjax.graph.typed import TypedCapsule, TypedGraph, TypedGroup
from capsjax.losses import PAIRS


def evaluate(
    typed: TypedGraph,
    params: Any,
    state: Any,
    inputs: Any,
    mode: Mode = INFERENCE,
    shifts: Any = None,
) -> Tensors:
    """All total inputs and outputs that an output needs, and the new state.

    Args:
        typed: What inference made of the declaration, before any pass.
        params: Parameters by name.
        state: State.
        inputs: Arrays by input name.
        mode: Training or inference.
        shifts: Arrays to be added to U, by capsule; to differentiate by.
    """
    total: dict[str, jax.Array] = {}
    output = dict(inputs)
    found = Tensors(total, output, {}, {}, {})
    needed = set(typed.outputs)
    for capsule in reversed(typed.unfolded):
        if not needed.isdisjoint(capsule.made):
            needed.update((capsule.name, *capsule.sources))
    for capsule in typed.unfolded:
        if capsule.name not in needed:
            continue
        with jax.named_scope(capsule.name):
            if isinstance(capsule, TypedGroup):
                _evaluate_group(capsule, params, total, output, shifts)
            else:
                size = next(iter(inputs.values())).shape[0]
                _evaluate(capsule, params, state, size, found, mode, shifts)
    return found


def _evaluate(
    capsule: TypedCapsule,
    params: Any,
    state: Any,
    size: int,
    found: Tensors,
    mode: Mode,
    shifts: Any,
) -> None:
    u: Any = 0.0  # of no type of its own
    for edge in capsule.edges:
        w = weight_of(params, capsule, edge)
        u = u + edge.weighting.forward(w, found.output[edge.source])
    if capsule.bias_shape is not None:
        u = u + params[capsule.name]["B"]
    if shifts is not None:
        u = u + shifts[capsule.name]
    u = jnp.broadcast_to(u, (size, *capsule.total_input))
    found.total[capsule.name] = u
    context = context_of(capsule, params, state, mode)
    found.output[capsule.name], new, _ = capsule.cap.run(u, context)
    if new:
        found.state[capsule.name] = jax.lax.stop_gradient(new)


def _evaluate_group(group: TypedGroup, params: Any, total, output, shifts) -> None:
    """Member by member, in topological order; U and Y are [batch, members, *unit]."""
    own = params.get(group.name, {})
    rows: list[jax.Array] = []
    for name, count in group.readings:
        array = output[name]
        rows += [array] if count is None else list(jnp.moveaxis(array, 1, 0))
    outer = len(rows)
    rows += [rows[0]] * group.size
    total_inputs = list(rows[outer:])
    level = levels(group.edge_sources, outer + group.edge_targets, len(rows))[outer:]
    for member in np.argsort(level, kind="stable").tolist():
        u: Any = jnp.zeros_like(rows[0])
        for edge in np.flatnonzero(group.edge_targets == member).tolist():
            w = None
            if group.weight_shape is not None:
                w = own["W"]["edges"][edge]
            u = u + group.weighting.forward(w, rows[int(group.edge_sources[edge])])
        if group.bias_shape is not None:
            u = u + own["B"][member]
        if shifts is not None:
            u = u + shifts[group.name][:, member]
        total_inputs[member] = u
        rows[outer + member] = group.caps[group.cap_of[member]].forward(u)
    total[group.name] = jnp.stack(total_inputs, axis=1)
    members = jnp.stack(rows[outer:], axis=1)
    for each in group.writings:
        output[each.name] = members[:, each.members]
    output[group.name] = members


def run(
    typed: TypedGraph,
    params: Any,
    state: Any,
    inputs: Any,
    targets: Any,
    mode: Mode = INFERENCE,
    shifts: Any = None,
):
    """The loss, the outputs and the new state, as `Program.forward` gives them."""
    total, output, new, *_ = evaluate(typed, params, state, inputs, mode, shifts)
    outputs = {name: output[name] for name in typed.outputs}
    if targets is None:
        return None, outputs, new
    caps = typed.caps
    loss: Any = 0
    for each in typed.losses:
        name, cap = each.output, caps[each.output]
        pair = PAIRS.get((type(cap), type(each.loss)))
        with jax.named_scope(f"{name}/loss"):
            if pair is not None:
                values = pair.value(cap, each.loss, total[name], targets[name])
            else:
                values = each.loss.value(output[name], targets[name])
            loss = loss + each.loss.weight * mean(values, mode.shares)
    return loss, outputs, new


def deltas(
    typed: TypedGraph, params: Any, state: Any, inputs: Any, targets: Any, mode: Mode
):
    """Error signals: the loss differentiated by a shift of each U, at zero."""
    total = evaluate(typed, params, state, inputs, mode).total
    shifts = jax.tree.map(jnp.zeros_like, total)

    def loss(shifts):
        return run(typed, params, state, inputs, targets, mode, shifts)[0]

    return jax.grad(loss)(shifts)
