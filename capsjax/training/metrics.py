"""Metrics: sums over examples, gathered on the device, read once per epoch.

A network of one output has `loss` and, if its loss is over classes, `accuracy`. Of
several outputs each has its `NAME_accuracy` and, in evaluation, its `NAME_loss`.
"""

import types
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from capsjax.compiler import Network
from capsjax.graph.traced import bind

Sums = dict[str, jax.Array]
NONE: Mapping[str, Any] = types.MappingProxyType({})


def zero(net: Network, *, evaluation: bool = False) -> Sums:
    """Sums over no examples, with the names that `of_step` or `of_examples` gives."""
    names = ["loss"]
    for output, loss in net.graph.losses:
        names += [f"{output}_loss"] * (evaluation and len(net.graph.losses) > 1)
        names += [_name(net, output)] * _has_classes(loss)
    return {name: jnp.zeros(()) for name in names}


def of_step(
    net: Network, loss: jax.Array, outputs: Any, batch: Any, weights: Any = None
) -> Sums:
    """Sums over the batch of a training step, from its mean loss.

    Args:
        net: The network.
        loss: The total loss, a mean over the batch.
        outputs: Y by output name, shape [B, ...].
        batch: Inputs and targets by name.
        weights: What each example counts in the loss, [B]; None where all count the
            same. In accuracies those of weight 0 count nothing, all others the same.

    Returns:
        The sum of each metric over the examples.
    """
    size = next(iter(outputs.values())).shape[0]
    if weights is None:
        return {"loss": loss * size, **_accuracies(net, outputs, batch, jnp.ones(size))}
    counted = jnp.where(weights > 0, 1.0, 0.0)
    own = _accuracies(net, outputs, batch, counted)
    return {"loss": loss * jnp.sum(weights), **own}


def of_examples(
    net: Network,
    losses: Any,
    outputs: Any,
    batch: Any,
    weights: jax.Array,
    settings: Mapping[str, Any] = NONE,
) -> Sums:
    """Sums over a batch of an evaluation.

    Args:
        net: The network.
        losses: L of each example by output, without the loss's weight, shape [B].
        outputs: Y by output name, shape [B, ...].
        batch: Inputs and targets by name.
        weights: 1 for examples that count, 0 for those that fill up the batch, [B].
        settings: Traced settings of the network by name, losses' weights among them.

    Returns:
        The sum of each metric over the examples that count.
    """
    own = {name: jnp.sum(each * weights) for name, each in losses.items()}
    factors = _factors(net, settings)
    total = sum(factors[output] * own[output] for output, _ in net.graph.losses)
    found = {"loss": jnp.asarray(total)}
    if len(net.graph.losses) > 1:
        found |= {f"{name}_loss": each for name, each in own.items()}
    return found | _accuracies(net, outputs, batch, weights)


def _factors(net: Network, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The weights of the losses by output: as given, or else as declared."""
    if net.traced is None:
        return {output: loss.weight for output, loss in net.graph.losses}
    losses = bind(net.traced.typed, settings).losses
    return {each.output: each.loss.weight for each in losses}


def _accuracies(net: Network, outputs: Any, batch: Any, weights: jax.Array) -> Sums:
    found = {}
    for output, loss in net.graph.losses:
        if _has_classes(loss):
            right = _right(outputs[output], jnp.asarray(batch[output]))
            found[_name(net, output)] = jnp.sum(right * weights)
    return found


def _name(net: Network, output: str) -> str:
    return f"{output}_accuracy" if len(net.graph.losses) > 1 else "accuracy"


def _has_classes(loss: Any) -> bool:
    return loss.classes


def _right(y: jax.Array, target: jax.Array) -> jax.Array:
    """The share of each example's positions where the largest Y is at the target."""
    truth = target if target.ndim < y.ndim else jnp.argmax(target, axis=-1)
    right = jnp.argmax(y, axis=-1) == truth
    return jnp.mean(right.reshape(right.shape[0], -1), axis=1)
