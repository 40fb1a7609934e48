"""The total input of a capsule, and what its function is given beside it."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from capsjax.caps.base import Context
from capsjax.compiler.merged import part_of, weights_of
from capsjax.compiler.mode import Mode
from capsjax.graph.typed import Concatenation, TypedCapsule, TypedEdge

Arrays = dict[str, jax.Array]


def context_of(capsule: TypedCapsule, params: Any, state: Any, mode: Mode) -> Context:
    """What the capsule's function is given beside U."""
    return Context(
        params.get(capsule.name, {}).get("cap", {}),
        {key: state[capsule.name][key] for key in capsule.state_shapes},
        mode.key_of(capsule),
        mode.train,
    )


def total_input(
    capsule: TypedCapsule,
    params: Any,
    output: Arrays,
    inputs: Mapping[str, Any],
    products: dict[tuple[str, str], jax.Array],
) -> jax.Array:
    """`U = sum of terms + B`; merged products are computed by who needs them first."""
    terms = []
    for term in capsule.terms:
        if isinstance(term, Concatenation):
            parts = [output[edge.source] for edge in term.edges]
            terms.append(jnp.concatenate(parts, axis=term.axis + 1))
        elif term.merged is not None:
            terms.append(part_of(products, params, term, output))
        else:
            w = weight_of(params, capsule, term)
            terms.append(term.weighting.forward(w, output[term.source]))
    if capsule.bias_shape is not None:
        terms.append(params[capsule.name]["B"])
    if not capsule.terms:  # a learned input: B alone
        size = next(iter(inputs.values())).shape[0]
        return jnp.broadcast_to(terms[0], (size, *capsule.total_input))
    return sum(terms[1:], terms[0])


def weight_of(params: Any, capsule: TypedCapsule, edge: TypedEdge) -> Any:
    """W of an edge, which others may share; None if it has none."""
    if edge.weight_shape is None:
        return None
    if edge.weight is not None:
        return params[edge.weight]["W"]
    if edge.merged is not None:
        return weights_of(params, edge)
    return params[capsule.name]["W"][edge.key]
