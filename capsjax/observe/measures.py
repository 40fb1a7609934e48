"""Sizes of tensors: of outputs by the entry, of error signals by the example."""

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from capsjax.compiler import Network

Arrays = dict[str, jax.Array]


def signals(
    net: Network,
    params: Any,
    state: Any,
    batch: Mapping[str, Any],
    key: jax.Array,
) -> tuple[Arrays, Arrays]:
    """Y and delta of every capsule, in training.

    Args:
        net: The network.
        params: Parameters.
        state: State.
        batch: Inputs and targets by name.
        key: Random key for capsule functions that draw.

    Raises:
        ValueError: As for `net.loss`.
    """
    inputs, _ = apart(net, batch)
    outputs = net.activations(params, state, inputs, train=True, key=key)
    deltas = net.deltas(params, state, batch, train=True, key=key)
    return {name: own["Y"] for name, own in outputs.items()}, deltas


def sizes(outputs: Arrays, deltas: Arrays) -> tuple[Arrays, Arrays, Arrays]:
    """How large Y and delta of every capsule are.

    |Y| is the root mean square over entries and examples, so that it does not depend
    on how wide a capsule is. |delta| is the length of an example's own error signal,
    root mean square over examples: a signal that is spread over more entries is not
    smaller for it.

    Args:
        outputs: Y by capsule.
        deltas: delta by capsule.

    Returns:
        |Y| and |delta| by capsule; and the share of dead units: those, along the last
        axis, whose Y is zero everywhere and for all examples.

    """
    return (
        {name: root_mean_square(y) for name, y in outputs.items()},
        {name: signal_length(delta) for name, delta in deltas.items()},
        {name: dead_share(y) for name, y in outputs.items()},
    )


def apart(
    net: Network, batch: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The inputs of a batch, and the targets."""
    outputs = set(net.typed.outputs)
    inputs = {name: array for name, array in batch.items() if name not in outputs}
    return inputs, {name: batch[name] for name in batch if name in outputs}


def root_mean_square(array: jax.Array) -> jax.Array:
    """Root of the mean of the squares of all entries."""
    return length(array) / math.sqrt(max(array.size, 1))


def signal_length(delta: jax.Array) -> jax.Array:
    """Length of an example's own error signal, root mean square over examples.

    Signals of a batch are 1/B of those of its examples.
    """
    return length(delta) * math.sqrt(delta.shape[0])


def length(array: jax.Array) -> jax.Array:
    """Root of the sum of squares, which neither overflows nor is lost on the way."""
    wide = array.astype(jnp.promote_types(array.dtype, jnp.float32))
    largest = jnp.max(jnp.abs(wide), initial=0)
    scale = jnp.where((largest > 0) & jnp.isfinite(largest), largest, 1)
    return scale * jnp.sqrt(jnp.sum(jnp.square(wide / scale)))


def dead_share(y: jax.Array) -> jax.Array:
    """Share of the units along the last axis that are zero everywhere."""
    units = y.reshape(-1, y.shape[-1]) if y.ndim > 1 else y.reshape(-1, 1)
    return jnp.mean(jnp.all(units == 0, axis=0), dtype=float)
