"""multiply and mask: products of what edges have placed side by side in U.

A capsule adds its edges up; where two activations are to be multiplied, each is placed
into a slot of U of its own, and the capsule function multiplies the slots.

    multiply   Y = product over k of U[k]
               delta[k] = dY times the product of the other slots
    mask       Y[..., i] = U[..., i] m          with m = U[..., last]
               delta[..., i] = m dY[..., i]
               delta[..., last] = sum_i U[..., i] dY[..., i]

No rule divides, so zeros in U do no harm.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp

from capsjax.caps.base import Cap, register_cap, wide
from capsjax.graph.errors import ShapeError
from capsjax.graph.kinds import Shape


@register_cap("multiply")
class Multiply(Cap):
    """`Y = product over k of U[k]`: the slots along the first axis, multiplied.

    A gate is a slot that another capsule has computed.

    Shapes:
        `U [slots, ...] -> Y [...]`.

    Laws:
        Linear in each slot; Y does not depend on the order of slots.

    Example:
        >>> import capsjax as cj
        >>> x = cj.input("x", (8,))
        >>> value = cj.capsule("value", cj.matmul(x, 4))
        >>> gate = cj.capsule("gate", cj.matmul(x, 4), cap="sigmoid")
        >>> slots = [
        ...     cj.capsule(name, cj.reshape(source, (1, 4)), bias=None)
        ...     for name, source in [("slot-1", value), ("slot-2", gate)]
        ... ]
        >>> both = [cj.place(slot, axis=0) for slot in slots]
        >>> h = cj.capsule("h", *both, cap="multiply", bias=None)
        >>> cj.compile(cj.graph(h)).shapes["h"].output
        (4,)

    Source: Hochreiter & Schmidhuber, Neural Computation 9 (1997), for gates.
    """

    def output_shape(self, shape: Shape) -> Shape:
        if not shape:
            raise ShapeError(
                "a scalar U",
                "slots along the first axis",
                "reshape each source to [1, ...] and `place` it along axis 0",
            )
        return shape[1:]

    def forward(self, u: jax.Array) -> jax.Array:
        return jnp.prod(wide(u), axis=1).astype(u.dtype)

    def backward(self, u: Any, y: Any, dy: jax.Array, u_shape: Shape) -> jax.Array:
        if u_shape[1] == 2:
            return dy[:, None] * u[:, ::-1]
        # Products of the slots before each, times products of those behind it.
        x, d = wide(u), wide(dy)
        ones = jnp.ones_like(x[:, :1])
        before = jnp.concatenate([ones, x[:, :-1]], axis=1)
        behind = jnp.concatenate([x[:, 1:], ones], axis=1)
        others = jax.lax.cumprod(before, 1) * jax.lax.cumprod(behind, 1, reverse=True)
        return (d[:, None] * others).astype(dy.dtype)


@register_cap("mask")
class Mask(Cap):
    """`Y[..., i] = U[..., i] U[..., last]`: vectors, each times a number beside it.

    With a one-hot label in the last slot this is the mask before CapsNet's decoder,
    which leaves the vector of one capsule and clears the others: the true label's in
    training, and to reconstruct, the label of any class that is asked for.

    Shapes:
        `U [..., n, m + 1] -> Y [..., n, m]`.

    Laws:
        Linear in the vectors, and in the numbers beside them.

    Example:
        >>> import capsjax as cj
        >>> digits, label = cj.input("digits", (10, 16)), cj.input("label", (10, 1))
        >>> both = cj.place(digits), cj.place(label)
        >>> masked = cj.capsule("masked", *both, cap="mask", bias=None)
        >>> cj.compile(cj.graph(masked)).shapes["masked"].output
        (10, 16)

    Source: Sabour, Frosst & Hinton, arXiv 1710.09829, section 4.1.
    """

    def output_shape(self, shape: Shape) -> Shape:
        if not shape or shape[-1] < 2:
            raise ShapeError(
                f"U of shape {shape}",
                "[..., dimension + 1]: vectors, each with its number behind it",
                "`place` the vectors and a label of shape [..., 1] along the last axis",
            )
        return (*shape[:-1], shape[-1] - 1)

    def forward(self, u: jax.Array) -> jax.Array:
        return u[..., :-1] * u[..., -1:]

    def backward(self, u: Any, y: Any, dy: jax.Array, u_shape: Shape) -> jax.Array:
        along = jnp.sum(wide(u[..., :-1]) * wide(dy), axis=-1, keepdims=True)
        return jnp.concatenate([u[..., -1:] * dy, along.astype(dy.dtype)], axis=-1)

    def flops(self, shape: Shape) -> int:
        return math.prod(self.output_shape(shape))
