"""attention: scaled dot products over slots of U.

U holds queries Q, keys K and values V. For each head, with d numbers of each vector,

    P = softmax(Q K^T / sqrt(d)) by rows,    Y = P V
    dV = P^T dY
    dS = P (dP - row sums of P dP)   with dP = dY V^T
    dQ = dS K / sqrt(d),   dK = dS^T Q / sqrt(d)

P has as many numbers as the sequence has pairs, so it is not kept: the gradient reads U
and computes P again. The softmax and all sums are taken in float32 at least; where P
meets other arrays it is rounded to the type of U.

On CPU, where P is large, the heads are computed in turn, so that P of one head alone is
in memory. Measured on 2 cores, float32, 12 heads of 64 (all at once -> in turn):

| batch x sequence | forward     | gradient      |
|------------------|-------------|---------------|
| 4 x 197          | 12 -> 9 ms  | 40 -> 29 ms   |
| 4 x 512          | 81 -> 50 ms | 243 -> 182 ms |
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from capsjax.algorithms import Algorithm, Choice, Role, always
from capsjax.caps.base import Cap, register_cap
from capsjax.graph.errors import ShapeError
from capsjax.graph.kinds import Count, Shape

_LARGE = 2**17  # numbers of P for one head; fewer are faster all at once


@register_cap("attention")
class Attention(Cap):
    """`Y = softmax(Q K^T / sqrt(d)) V` for each head; U = (Q, K, V).

    U has shape [3, sequence, features], the features cut into heads of d neighbors; Y
    has shape [sequence, features], heads side by side. The matrices that make Q, K and
    V, and the one that mixes the heads, are edges before and behind.

    Args:
        heads: Number of heads; the features must be a multiple of it.
        causal: Whether each position attends to itself and those before it alone.

    Shapes:
        `U [3, sequence, features] -> Y [sequence, features]`.

    Laws:
        Each row of weights is positive and sums to 1; linear in V; if not
        causal, equal permutations of the sequence go through.

    Example:
        >>> import capsjax as cj
        >>> x = cj.input("x", (10, 32))
        >>> qkv = cj.capsule("qkv", cj.matmul(x, 3 * 32))
        >>> rows = cj.capsule("rows", cj.reshape(qkv, (10, 3, 32)), bias=None)
        >>> slots = cj.transpose(rows, (1, 0, 2))
        >>> heads = cj.capsule("heads", slots, cap=cj.caps.attention(4), bias=None)
        >>> h = cj.capsule("h", cj.matmul(heads, 32), cj.identity(x))
        >>> cj.compile(cj.graph(h)).shapes["heads"].output
        (10, 32)

    Source: Vaswani et al., arXiv 1706.03762, equation 1 and section 3.2.2.
    """

    heads: Count = 1
    causal: bool = False

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != 3 or shape[0] != 3:
            raise ShapeError(
                f"U of shape {shape}",
                "[3, sequence, features]: query, key, value",
                "reshape each of the three to [1, sequence, features] and `place` it "
                "along axis 0",
            )
        if shape[2] % self.heads:
            raise ShapeError(
                f"{shape[2]} features in {self.heads} heads",
                "features that are a multiple of heads",
                "correct heads, or the features of the capsule",
            )
        return shape[1:]

    def forward(self, u: jax.Array) -> jax.Array:
        def attend(query: jax.Array, key: jax.Array, value: jax.Array) -> jax.Array:
            p = self._pattern(query, key).astype(u.dtype)
            return _product(p, value)

        run = HEADS.choose(u.shape, self.asked("forward")).run
        return _join(run(attend, self._split(u))).astype(u.dtype)

    def backward(self, u: Any, y: Any, dy: jax.Array, u_shape: Shape) -> jax.Array:
        def gradient(
            query: jax.Array, key: jax.Array, value: jax.Array, dy: jax.Array
        ) -> tuple[jax.Array, jax.Array, jax.Array]:
            p = self._pattern(query, key)
            dp = _product(dy, value.mT)
            ds = p * (dp - jnp.sum(p * dp, axis=-1, keepdims=True))
            ds = (ds / math.sqrt(query.shape[-1])).astype(dy.dtype)
            d_value = _product(p.astype(dy.dtype).mT, dy)
            return _product(ds, key), _product(ds.mT, query), d_value

        run = HEADS.choose(u_shape, self.asked("input gradient")).run
        parts = run(gradient, (*self._split(u), *self._split(dy[:, None])))
        return jnp.stack([_join(part) for part in parts], axis=1).astype(dy.dtype)

    def _split(self, u: jax.Array) -> tuple[jax.Array, ...]:
        """[B, slots, sequence, features] to [heads, B, sequence, d] for each slot."""
        u = u.reshape(*u.shape[:3], self.heads, -1)
        return tuple(jnp.moveaxis(u[:, slot], 2, 0) for slot in range(u.shape[1]))

    def _pattern(self, query: jax.Array, key: jax.Array) -> jax.Array:
        """P, a row for each query."""
        scores = _product(query, key.mT) / math.sqrt(query.shape[-1])
        if self.causal:
            row, column = (
                jax.lax.broadcasted_iota(jnp.int32, scores.shape[-2:], axis)
                for axis in (0, 1)
            )
            scores = jnp.where(column <= row, scores, -jnp.inf)
        return jax.nn.softmax(scores)

    def choices(self, shape: Shape) -> dict[str, Choice]:
        choice = Choice(HEADS, shape)
        return {"forward": choice, "input gradient": choice}

    def flops(self, shape: Shape) -> int:
        _, sequence, features = shape
        return (4 * features + 5 * self.heads) * sequence**2


def _product(a: jax.Array, b: jax.Array) -> jax.Array:
    """`a b`, added up in float32 at least, whatever the types of a and b."""
    dtype = jnp.promote_types(jnp.promote_types(a.dtype, b.dtype), jnp.float32)
    return jnp.matmul(a, b, preferred_element_type=dtype)


def _join(y: jax.Array) -> jax.Array:
    """[heads, B, sequence, d] to [B, sequence, features]."""
    y = jnp.moveaxis(y, 0, 2)
    return y.reshape(*y.shape[:2], -1)


def _at_once(f: Callable[..., Any], parts: tuple[jax.Array, ...]) -> Any:
    """f of arrays [heads, B, sequence, d], all heads at once."""
    return f(*parts)


def _in_turn(f: Callable[..., Any], parts: tuple[jax.Array, ...]) -> Any:
    """The same, head by head."""
    return jax.lax.map(lambda part: f(*part), parts)


def _pairs(shape: Shape) -> int:
    """Numbers of P for one head, from the shape of U with its batch."""
    return shape[0] * shape[2] ** 2


# Costs in numbers of P, where those of a large one count twice, each head in turn more.
HEADS = Role(
    "attention",
    (
        Algorithm(
            "at once",
            _at_once,
            always,
            lambda shape: _pairs(shape) * (2 if _pairs(shape) >= _LARGE else 1),
        ),
        Algorithm("in turn", _in_turn, always, lambda shape: 1.5 * _pairs(shape)),
    ),
)
