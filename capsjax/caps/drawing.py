"""dropout, spatial_dropout, drop_path, noise: capsule functions that draw in training.

In inference each is the identity. In training, with M a mask of ones (with probability
1 - rate) and zeros,

    dropout          Y = M U / (1 - rate), M drawn for each number
    spatial_dropout  M drawn for each channel of each example
    drop_path        M drawn for each example
    noise            Y = U + deviation * N, N standard normal

so that the mean of Y is U. The error signal takes the same way: delta = M dY / (1 -
rate), and dY for noise. The mask is kept for it, one byte a number drawn.
"""

from typing import Annotated, Any, ClassVar

import jax
from annotated_types import Ge, Lt

from capsjax.caps.base import Cap, Context, Kept, Own, register_cap, wide
from capsjax.graph.errors import ShapeError
from capsjax.graph.kinds import Shape


class _Drop(Cap):
    """`Y = M U / (1 - rate)`; a subclass says of which shape M is."""

    draws: ClassVar[bool] = True
    reads: ClassVar[tuple[Kept, ...]] = ()

    rate: Annotated[float, Ge(0), Lt(1)] = 0.5

    def mask_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of M for U of this shape, batch included."""
        return shape

    def run(self, u: jax.Array, context: Context) -> tuple[jax.Array, Own, Any]:
        if not context.train:
            return u, {}, None
        keep = 1 - self.rate
        mask = jax.random.bernoulli(context.key, keep, self.mask_shape(u.shape))
        return self._masked(u, mask), {}, mask

    def run_backward(
        self,
        residual: Any,
        u: Any,
        y: Any,
        dy: jax.Array,
        u_shape: Shape,
        context: Context,
    ) -> tuple[jax.Array, Own]:
        return (self._masked(dy, residual) if context.train else dy), {}

    def _masked(self, array: jax.Array, mask: jax.Array) -> jax.Array:
        return jax.numpy.where(mask, array / (1 - self.rate), 0)


@register_cap("dropout")
class Dropout(_Drop):
    """`Y = M U / (1 - rate)` in training, each number of M drawn; else `Y = U`.

    Args:
        rate: Probability that a number becomes zero.

    Shapes:
        `U [...] -> Y [...]`, any shape.

    Laws:
        The mean of Y over draws is U; in inference Y is U.

    Example:
        >>> import capsjax as cj, jax.numpy as jnp
        >>> x = cj.input("x", (1000,))
        >>> drop = cj.caps.dropout(0.25)
        >>> h = cj.capsule("h", cj.identity(x), cap=drop, bias=None)
        >>> net = cj.compile(cj.graph(h))
        >>> params, state = net.init(jax.random.key(0))
        >>> ones, key = {"x": jnp.ones((1, 1000))}, jax.random.key(1)
        >>> y = net.apply(params, state, ones, train=True, key=key)[0]["h"]
        >>> bool(700 < (y > 0).sum() < 800), round(float(y.max()), 3)
        (True, 1.333)

    Source: Srivastava, Hinton, Krizhevsky, Sutskever & Salakhutdinov, JMLR 15 (2014).
    """


@register_cap("spatial_dropout")
class SpatialDropout(_Drop):
    """`Y = M U / (1 - rate)` in training, M drawn for each channel of an example.

    Args:
        rate: Probability that a channel, the last axis, becomes zero.

    Shapes:
        `U [..., channels] -> Y [..., channels]`.

    Laws:
        The mean of Y over draws is U; in inference Y is U.

    Example:
        >>> import capsjax as cj
        >>> cj.caps.spatial_dropout(0.1).output_shape((8, 8, 3))
        (8, 8, 3)

    Source: Tompson, Goroshin, Jain, LeCun & Bregler, arXiv 1411.4280, section 3.2.
    """

    def output_shape(self, shape: Shape) -> Shape:
        if not shape:
            raise ShapeError(
                "a scalar U", "channels along the last axis", "take `dropout`"
            )
        return shape

    def mask_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (shape[0], *(1 for _ in shape[1:-1]), shape[-1])


@register_cap("drop_path")
class DropPath(_Drop):
    """`Y = M U / (1 - rate)` in training, M drawn for each example.

    On the weighted branch beside an identity edge, this is stochastic depth.

    Args:
        rate: Probability that an example's U becomes zero.

    Shapes:
        `U [...] -> Y [...]`, any shape.

    Laws:
        The mean of Y over draws is U; in inference Y is U.

    Example:
        >>> import capsjax as cj
        >>> cj.caps.drop_path(0.1).output_shape((8, 8, 3))
        (8, 8, 3)

    Source: Huang, Sun, Liu, Sedra & Weinberger, arXiv 1603.09382, section 3.
    """

    def mask_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (shape[0], *(1 for _ in shape[1:]))


@register_cap("noise")
class Noise(Cap):
    """`Y = U + deviation * N` in training, N standard normal; else `Y = U`.

    Args:
        deviation: Standard deviation of what is added.

    Shapes:
        `U [...] -> Y [...]`, any shape.

    Laws:
        The mean of Y over draws is U; in inference Y is U.

    Example:
        >>> import capsjax as cj
        >>> cj.caps.noise(0.1).output_shape((8, 8, 3))
        (8, 8, 3)

    Source: Bishop, Neural Computation 7 (1995), 108-116.
    """

    draws: ClassVar[bool] = True
    reads: ClassVar[tuple[Kept, ...]] = ()

    deviation: Annotated[float, Ge(0)] = 0.1

    def run(self, u: jax.Array, context: Context) -> tuple[jax.Array, Own, Any]:
        if not context.train:
            return u, {}, None
        # Of a narrower type the tails would be cut off.
        values = wide(u)
        drawn = jax.random.normal(context.key, u.shape, values.dtype)
        return (values + self.deviation * drawn).astype(u.dtype), {}, None

    def backward(self, u: Any, y: Any, dy: jax.Array, u_shape: Shape) -> jax.Array:
        return dy
