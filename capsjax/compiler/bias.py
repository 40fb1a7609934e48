"""dL/dB from an error signal."""

import jax
import jax.numpy as jnp

from capsjax.graph.kinds import Shape


def bias_gradient(delta: jax.Array, shape: Shape) -> jax.Array:
    """`dL/dB`: delta summed over the batch and whatever else B is the same for."""
    return jnp.sum(delta, axis=tuple(range(delta.ndim - len(shape))))
