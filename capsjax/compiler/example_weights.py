"""Weights of examples: what each of them counts for in the loss.

With weights w_i, the loss of an output whose examples have the losses L_i is

    L = sum over i of s_i L_i,    s_i = w_i / sum of w

and the error signal of example i is s_i dL_i/dY, where it is 1/B of that without
weights. Where the sum of w is 0, every share is 0: so are L and all gradients.

Shares are computed before the program runs, by JAX: the program's own derivative rule
gives dL/ds_i = L_i, summed over the outputs, and JAX the rest of dL/dw.
"""

from typing import Any

import jax
import jax.numpy as jnp

from capsjax.graph.errors import brief


def shares(weights: Any, size: int, name: str) -> jax.Array | None:
    """The share of each example in the loss; None without weights.

    Args:
        weights: Numbers or truth values, shape [B].
        size: B.
        name: The network's name.

    Raises:
        ValueError: They are of another shape, or no real numbers.
    """
    if weights is None:
        return None
    what = f"network {name!r}, weights of examples: found"
    expected = f"expected one real number for each example, shape ({size},)"
    try:
        array = jnp.asarray(weights)
    except (TypeError, ValueError):
        raise ValueError(f"{what} {brief(weights)}; {expected}") from None
    if array.shape != (size,):
        raise ValueError(f"{what} shape {array.shape}; {expected}")
    if jnp.issubdtype(array.dtype, jnp.complexfloating):
        raise ValueError(f"{what} {array.dtype}; {expected}")
    array = array.astype(jnp.promote_types(array.dtype, jnp.result_type(float)))
    total = jnp.sum(array)
    some = total != 0
    return jnp.where(some, array / jnp.where(some, total, 1), 0)


def mean(losses: jax.Array, shares: jax.Array | None) -> jax.Array:
    """The mean of the examples' losses, by their shares if there are some."""
    if shares is None:
        return jnp.mean(losses)
    return jnp.sum(shares.astype(losses.dtype) * losses)


def factor(d_loss: jax.Array, weight: Any, read: jax.Array, shares: Any) -> jax.Array:
    """By what the gradient of the examples' losses is to be multiplied.

    Args:
        d_loss: Cotangent of the total loss.
        weight: Weight of the output's loss.
        read: What the loss is a function of, shape [B, ...].
        shares: The shares of the examples, or None.
    """
    if shares is None:
        return d_loss * (weight / read.shape[0])
    each = d_loss * weight * shares.astype(d_loss.dtype)
    return each.reshape(-1, *[1] * (read.ndim - 1))
