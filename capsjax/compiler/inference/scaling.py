"""Edges whose contribution is scaled by scaling their weight.

Every weighting operation is bilinear: a number times the contribution is the number
times W. A factor for each channel of U goes into W along the axis that makes those
channels. And a factor for each channel of the source goes into the weights that read
those channels.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from capsjax.caps.base import wide
from capsjax.graph.typed import Term, TypedCapsule, TypedEdge
from capsjax.weightings import (
    ChannelScale,
    Conv,
    ConvTranspose,
    DepthwiseConv,
    Embed,
    Identity,
    Matmul,
    Scale,
    Vote,
)

SCALES = Identity | Scale | ChannelScale
"""Operations that are a factor: one, a scalar, or one for each channel."""


def channels_axis(edge: TypedEdge) -> int | None:
    """The axis of W that makes U's channels, its last axis; None if there is none."""
    kind = edge.weighting
    if isinstance(kind, Matmul):
        return -2 if kind.transposed else -1
    if isinstance(kind, Conv | DepthwiseConv | Embed):
        return -1
    return -2 if isinstance(kind, ConvTranspose | Vote) else None


def is_scalable(term: Term, by_channel: bool) -> bool:
    """Whether factors can go into a term: into its weight, or as a weight."""
    if not isinstance(term, TypedEdge) or term.weight is not None:
        return False
    if isinstance(term.weighting, SCALES):
        return bool(term.shape) or not by_channel
    if by_channel:
        return channels_axis(term) is not None
    return term.weight_shape is not None


def scaled(edge: TypedEdge, w: Any, by: jax.Array) -> tuple[TypedEdge, jax.Array]:
    """The edge and the weight whose contribution is `by` times what it was.

    Args:
        edge: A scalable edge.
        w: Its weight, or None.
        by: A factor, or one for each channel.

    Returns:
        The same edge, or a scaling one; and the new weight, in a wide type.
    """
    if isinstance(edge.weighting, SCALES):
        new = by if w is None else wide(w) * by
        kind = ChannelScale() if new.ndim else Scale()
        edge = dataclasses.replace(edge, weighting=kind, weight_shape=new.shape)
        return edge, new
    if by.ndim and channels_axis(edge) == -2:
        by = by[:, None]
    return edge, wide(w) * by


def takes_scale(reader: TypedCapsule, edge: TypedEdge, shifted: bool) -> bool:
    """Whether factors of the source's channels, and shifts, can go into a reader.

    A shift goes into the bias. It must be there already: another one could cost more
    than the shift; and no zeros may be padded, which were not shifted.
    """
    kind = edge.weighting
    if edge.weight is not None or (shifted and reader.bias_shape is None):
        return False
    if isinstance(kind, Matmul):
        return True
    if not isinstance(kind, Conv) or kind.groups != 1:
        return False
    pads = kind.geometry(edge.source_shape).padding
    return not shifted or not any(map(any, pads))


def with_scale(
    edge: TypedEdge, w: jax.Array, by: jax.Array | None, shift: jax.Array | None
) -> tuple[jax.Array, jax.Array | None]:
    """W and what is added to the bias, so that `by * Y + shift` is read as Y.

    Args:
        edge: A product or a convolution that takes them.
        w: Its weight.
        by: A factor, or one for each channel of the source; None is one.
        shift: One for each channel, or None.

    Returns:
        The new weight, and the shift of its contribution.
    """
    transposed = isinstance(edge.weighting, Matmul) and edge.weighting.transposed
    w = wide(w)
    inner = jnp.swapaxes(w, -1, -2) if transposed else w
    added = None
    if shift is not None:
        added = jnp.einsum("...io,i->o", inner, wide(shift))
    if by is not None:
        inner = inner * (by[:, None] if by.ndim else by)
    return jnp.swapaxes(inner, -1, -2) if transposed else inner, added
