"""standardize: batch normalization without scale and shift.

With n numbers of a channel in the batch, over examples and all axes but the last,

    training    m = mean(U),  v = mean((U - m)^2),  Y = (U - m) / sqrt(v + epsilon)
    inference   the same with the running mean and variance in place of m and v

    running mean     <- momentum * running mean + (1 - momentum) m
    running variance <- momentum * running variance + (1 - momentum) v n / (n - 1)

With r = 1 / sqrt(v + epsilon), the backward rule reads Y alone:

    training    delta = r (dY - mean(dY) - Y mean(dY Y))
    inference   delta = r dY

Where the only reader scales the channels, as in batch normalization, dY = w d with the
reader's error signal d, and the two rules are one, which reads U. The sum of d is that
of the next bias, too:

    s = sum(d),  t = sum(d Y) = r (sum(d U) - m s)
    dL/dw = t,   delta = w r (d - s / n - Y t / n)

Sums are taken in float32 at least. Under `jit` the batch is the whole batch, also where
its examples lie on several devices.
"""

import math
from typing import Annotated, Any, ClassVar

import jax
import jax.numpy as jnp
from annotated_types import Ge, Gt, Lt
from jax.core import max_dim

from capsjax.caps.base import Cap, Context, Kept, Own, register_cap, wide
from capsjax.graph.errors import ShapeError
from capsjax.graph.kinds import Shape

_FAR = 64.0
"""Beyond 8 deviations from zero 2 of the 7 digits of float32 are lost."""


@register_cap("standardize")
class Standardize(Cap):
    """`Y = (U - mean) / sqrt(variance + epsilon)` for each channel over the batch.

    Batch normalization is this capsule function, then a `channel_scale` edge (gamma)
    into a capsule with a bias (beta). Running statistics are state: "mean" and
    "variance", by channel.

    Args:
        momentum: How much of the running statistics stays at each step. (Where others
            give the part that is replaced, 0.1, this is 0.9.)
        epsilon: Added to the variance.
        unbiased: Whether the running variance takes the unbiased estimate, with n - 1,
            as in PyTorch; otherwise the mean of squares, as in Keras and Flax.

    Shapes:
        `U [..., channels] -> Y [..., channels]`; state `mean`, `variance`
        of `[channels]`.

    Laws:
        In training each channel of a batch has mean 0, and `cap(a U + c) =
        cap(U)` for `a > 0`, up to epsilon.

    Example:
        >>> import capsjax as cj
        >>> image = cj.input("image", (8, 8, 3))
        >>> conv = cj.conv(image, 16, (3, 3), padding="SAME")
        >>> conv1 = cj.capsule("conv1", conv, cap="standardize", bias=None)
        >>> norm1 = cj.capsule("norm1", cj.channel_scale(conv1), cap="relu")
        >>> net = cj.compile(cj.graph(norm1))
        >>> params, state = net.init(jax.random.key(0))
        >>> {name: array.shape for name, array in state["conv1"].items()}
        {'mean': (16,), 'variance': (16,)}

    Source: Ioffe & Szegedy, arXiv 1502.03167, Algorithms 1 and 2.
    """

    reads: ClassVar[tuple[Kept, ...]] = ("Y",)

    momentum: Annotated[float, Ge(0), Lt(1)] = 0.9
    epsilon: Annotated[float, Gt(0)] = 1e-5
    unbiased: bool = True

    def output_shape(self, shape: Shape) -> Shape:
        if not shape:
            raise ShapeError(
                "a scalar U", "channels along the last axis", "leave the norm out"
            )
        return shape

    def state_shapes(self, shape: Shape) -> dict[str, Shape]:
        return {"mean": shape[-1:], "variance": shape[-1:]}

    def initial_state(self, shape: Shape, dtype: Any) -> Own:
        channels = shape[-1:]
        return {
            "mean": jnp.zeros(channels, dtype),
            "variance": jnp.ones(channels, dtype),
        }

    def run(self, u: jax.Array, context: Context) -> tuple[jax.Array, Own, Any]:
        values = wide(u)
        if not context.train:
            mean, variance = context.state["mean"], context.state["variance"]
            mean, new = wide(mean), context.state
        else:
            mean = _mean(values)
            variance = _variance(values, mean)
            new = self._updated(context.state, mean, variance, _count(u))
        r = jax.lax.rsqrt(wide(variance) + self.epsilon)
        return ((values - mean) * r).astype(u.dtype), new, (mean, r)

    def _updated(self, state: Own, mean: Any, variance: Any, count: int) -> Own:
        if self.unbiased:
            variance = variance * (count / max_dim(count - 1, 1))
        return {
            name: (self.momentum * old + (1 - self.momentum) * now).astype(old.dtype)
            for name, old, now in (
                ("mean", state["mean"], mean),
                ("variance", state["variance"], variance),
            )
        }

    def run_backward(
        self,
        residual: Any,
        u: Any,
        y: Any,
        dy: jax.Array,
        u_shape: Shape,
        context: Context,
    ) -> tuple[jax.Array, Own]:
        (_, r), d = residual, wide(dy)
        if context.train:
            values = wide(y)
            d = d - _mean(d) - values * _mean(d * values)
        return (r * d).astype(dy.dtype), {}

    def scaled_backward(
        self, residual: Any, u: jax.Array, d: jax.Array, w: jax.Array, train: bool
    ) -> tuple[jax.Array, jax.Array]:
        """`(dL/dU, dL/dw)` where the only reader's total input is `w Y` and more.

        Args:
            residual: That of `run`.
            u: U.
            d: The reader's error signal, dL/d(w Y).
            w: Its weight, by channel.
            train: Whether the forward pass was training.

        Returns:
            The error signal, and the gradient of the weight.
        """
        (mean, r), values, wanted = residual, wide(u), wide(d)
        total = _sum(wanted)
        along = r * (_sum(wanted * values) - mean * total)
        delta = wanted
        if train:
            count = _count(u)
            slope = r * along / count
            delta = delta - (total / count - slope * mean) - slope * values
        return (w * r * delta).astype(d.dtype), along.astype(w.dtype)

    def flops(self, shape: Shape) -> int:
        return 5 * math.prod(shape)


def _sum(a: jax.Array) -> jax.Array:
    return jnp.sum(a, tuple(range(a.ndim - 1)))


def _mean(a: jax.Array) -> jax.Array:
    return _sum(a) / _count(a)


def _count(a: jax.Array) -> int:
    """How many numbers a channel has."""
    return a.size // a.shape[-1]


def _variance(a: jax.Array, mean: jax.Array) -> jax.Array:
    """`mean((a - mean)^2)`.

    As `mean(a^2) - mean^2`, which reads a alone and writes nothing, unless that loses
    digits because the mean of some channel is far from zero.
    """
    quick = _mean(a * a) - mean * mean
    return jax.lax.cond(
        jnp.all(mean * mean <= _FAR * quick),
        lambda _: quick,
        lambda a: _mean((a - mean) ** 2),
        a,
    )
