"""The table of losses, `(Y, T) -> L per example`, and the pairs computed from U.

    mean_squared_error    L = mean over the output's numbers of (Y - T)^2
    sum_squared_error     L = sum over the output's numbers of (Y - T)^2
    huber                 L = sum over the output's numbers of e^2 / 2 where |e| <= d,
                              d |e| - d^2 / 2 elsewhere, with e = Y - T
    cross_entropy         L = - sum over classes of T' log Y,
                              T' = (1 - s) T + s / K for K classes and smoothing s
    binary_cross_entropy  L = - mean of T log Y + (1 - T) log(1 - Y)
    margin                L = sum over classes of T max(0, m+ - Y)^2
                                      + lambda (1 - T) max(0, Y - m-)^2

The total is `sum over outputs of weight * mean over the batch of L`.

Where a capsule function and a loss belong together, a *pair* computes L and dL/dU from
U at once, because Y may have lost what the loss needs (softmax of logits +-1e4 is 0 or
1 exactly, and its logarithm infinite):

    softmax, cross_entropy         L = logsumexp(V) - sum T' V,  V = U / temperature,
                                   dL/dU = (softmax(V) - T') / temperature
    log_softmax, cross_entropy     the same
    sigmoid, binary_cross_entropy  L = mean of softplus(U) - T U,
                                   dL/dU = (sigmoid(U) - T) / count

Losses are computed and returned in float32 at least, whatever the type of Y; gradients
have the type of what they are by.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Annotated, Any, ClassVar

import jax
import jax.numpy as jnp
from annotated_types import Ge, Gt, Lt

from capsjax.caps.activations import Sigmoid
from capsjax.caps.base import wide
from capsjax.caps.distributions import LogSoftmax, Softmax
from capsjax.graph.errors import ShapeError
from capsjax.graph.kinds import LOSSES, CapKind, LossKind, Registry, Shape

__all__ = [
    "Loss",
    "binary_cross_entropy",
    "cross_entropy",
    "huber",
    "margin",
    "mean_squared_error",
    "register_loss",
    "sum_squared_error",
]


class Loss(LossKind):
    """Base of every loss."""

    classes: ClassVar[bool] = False
    """Whether the target is a class: an integer, or one-hot of Y's shape."""

    def value(self, y: jax.Array, t: jax.Array) -> jax.Array:
        """L of each example, shape [B], from Y and the target (of Y's shape)."""
        raise TypeError(f"{type(self).__name__} declares no value")

    def gradient(self, y: jax.Array, t: jax.Array) -> jax.Array:
        """`dL/dY`, the sum of the examples' losses differentiated."""
        value, pull = jax.vjp(lambda y: self.value(y, t), y)
        return pull(jnp.ones_like(value))[0]


def register_loss(kind: str):
    """Enters a loss of your own in the table, as a class decorator.

    Args:
        kind: The name in documents, an identifier.

    Returns:
        The decorator, for a subclass of `cj.Loss` that declares `value`.

    Raises:
        ValueError: Another record has the name already.

    Example:
        >>> import capsjax as cj, jax.numpy as jnp
        >>> @cj.register_loss("doctest_absolute")
        ... class Absolute(cj.Loss):
        ...     def value(self, y, t): return jnp.sum(jnp.abs(y - t), axis=-1)
        >>> x = cj.input("x", (2,))
        >>> h = cj.capsule("h", cj.identity(x), bias=None)
        >>> net = cj.compile(cj.graph(h, losses={"h": Absolute()}))
        >>> params, state = net.init(jax.random.key(0))
        >>> batch = {"x": jnp.array([[1.0, 2.0]]), "h": jnp.zeros((1, 2))}
        >>> float(net.loss(params, state, batch)[0])
        3.0
    """
    table: Registry[Any] = LOSSES
    return table.register(kind)


@register_loss("mean_squared_error")
class MeanSquaredError(Loss):
    """`L = mean of (Y - T)^2` over the numbers of an example's output.

    Shapes:
        `Y [B, ...]`, `T [B, ...] -> L [B]`.

    Laws:
        `L >= 0`, and 0 at `Y = T` alone.

    Example:
        >>> import capsjax as cj, jax.numpy as jnp
        >>> y, t = jnp.array([[0.25, 0.75]]), jnp.array([[0.0, 1.0]])
        >>> cj.losses.mean_squared_error().value(y, t).round(3)
        Array([0.062], dtype=float32)
    """

    def value(self, y: jax.Array, t: jax.Array) -> jax.Array:
        return jnp.mean((wide(y) - wide(t)) ** 2, axis=tuple(range(1, y.ndim)))

    def gradient(self, y: jax.Array, t: jax.Array) -> jax.Array:
        gradient = (wide(y) - wide(t)) * (2 / math.prod(y.shape[1:]))
        return gradient.astype(y.dtype)


@register_loss("sum_squared_error")
class SumSquaredError(Loss):
    """`L = sum of (Y - T)^2` over the numbers of an example's output.

    With weight 0.0005 it is CapsNet's loss of the reconstruction.

    Shapes:
        `Y [B, ...]`, `T [B, ...] -> L [B]`.

    Laws:
        `L >= 0`, and 0 at `Y = T` alone.

    Example:
        >>> import capsjax as cj, jax.numpy as jnp
        >>> y, t = jnp.array([[0.25, 0.75]]), jnp.array([[0.0, 1.0]])
        >>> cj.losses.sum_squared_error().value(y, t).round(3)
        Array([0.125], dtype=float32)

    Source: Sabour, Frosst & Hinton, arXiv 1710.09829, section 4.1.
    """

    def value(self, y: jax.Array, t: jax.Array) -> jax.Array:
        return jnp.sum((wide(y) - wide(t)) ** 2, axis=tuple(range(1, y.ndim)))

    def gradient(self, y: jax.Array, t: jax.Array) -> jax.Array:
        return (2 * (wide(y) - wide(t))).astype(y.dtype)


@register_loss("huber")
class Huber(Loss):
    """`L = sum of e^2 / 2 where |e| <= d, d |e| - d^2 / 2 elsewhere`; `e = Y - T`.

    `dL/dY` is e clipped to [-d, d]: with d = 1 what DQN calls clipping the error.

    Shapes:
        `Y [B, ...]`, `T [B, ...] -> L [B]`.

    Laws:
        `L >= 0`, and 0 at `Y = T` alone; no number of dL/dY is larger than
        the threshold.

    Example:
        >>> import capsjax as cj, jax.numpy as jnp
        >>> y, t = jnp.array([[0.25, 0.75]]), jnp.array([[0.0, 1.0]])
        >>> cj.losses.huber().value(y, t).round(3)
        Array([0.062], dtype=float32)

    Source: Huber, Annals of Mathematical Statistics 35 (1964); Mnih et al., Nature 518
        (2015), methods.
    """

    threshold: Annotated[float, Gt(0)] = 1.0

    def value(self, y: jax.Array, t: jax.Array) -> jax.Array:
        e = wide(y) - wide(t)
        inner = jnp.clip(e, -self.threshold, self.threshold)
        return jnp.sum(inner * (e - inner / 2), axis=tuple(range(1, y.ndim)))

    def gradient(self, y: jax.Array, t: jax.Array) -> jax.Array:
        e = wide(y) - wide(t)
        return jnp.clip(e, -self.threshold, self.threshold).astype(y.dtype)


@register_loss("cross_entropy")
class CrossEntropy(Loss):
    """`L = - sum over the last axis of T' log Y`, mean over other axes.

    `T' = (1 - smoothing) T + smoothing / K`, with K the size of the last axis: the
    target mixed with the uniform distribution, which keeps logits from growing without
    bound. Where T is all zeros, as of a class out of range, that share is left.

    Args:
        smoothing: The share of the uniform distribution, in [0, 1).

    Shapes:
        `Y [B, ..., classes]`, T of the same shape or integers `[B, ...] ->
        L [B]`.

    Laws:
        Of all probabilities Y, least at `Y = T'`: the entropy of T'.

    Example:
        >>> import capsjax as cj, jax.numpy as jnp
        >>> y, t = jnp.array([[0.25, 0.75]]), jnp.array([[0.0, 1.0]])
        >>> cj.losses.cross_entropy().value(y, t).round(3)
        Array([0.28800002], dtype=float32)

    Source: Szegedy et al., arXiv 1512.00567, section 7 (label smoothing).
    """

    classes: ClassVar[bool] = True

    smoothing: Annotated[float, Ge(0), Lt(1)] = 0.0

    def smoothed(self, t: jax.Array) -> jax.Array:
        """`T' = (1 - smoothing) T + smoothing / K`, in float32 at least."""
        return (1 - self.smoothing) * wide(t) + self.smoothing / t.shape[-1]

    def check(self, cap: CapKind, shape: Shape) -> None:
        paired = (type(cap), type(self)) in PAIRS
        if cap.output != "probabilities" and not paired:
            raise ShapeError(
                f"a capsule function {cap}, whose Y are no probabilities",
                'cap="softmax" or cap="log_softmax"',
                'give the capsule cap="softmax": together with this loss it is '
                "computed from U, stable for any logits",
            )

    def value(self, y: jax.Array, t: jax.Array) -> jax.Array:
        return _per_example(-jnp.sum(_times_log(self.smoothed(t), wide(y)), axis=-1))


@register_loss("binary_cross_entropy")
class BinaryCrossEntropy(Loss):
    """`L = - mean of T log Y + (1 - T) log(1 - Y)`.

    Shapes:
        `Y [B, ...]`, `T [B, ...] -> L [B]`.

    Laws:
        Least at `Y = T`; the same for `1 - Y` and `1 - T`.

    Example:
        >>> import capsjax as cj, jax.numpy as jnp
        >>> y, t = jnp.array([[0.25, 0.75]]), jnp.array([[0.0, 1.0]])
        >>> cj.losses.binary_cross_entropy().value(y, t).round(3)
        Array([0.28800002], dtype=float32)
    """

    def check(self, cap: CapKind, shape: Shape) -> None:
        if cap.output not in ("unit", "probabilities"):
            raise ShapeError(
                f"a capsule function {cap}, whose Y may lie outside of [0, 1]",
                'cap="sigmoid"',
                'give the capsule cap="sigmoid"',
            )

    def value(self, y: jax.Array, t: jax.Array) -> jax.Array:
        y, t = wide(y), wide(t)
        terms = _times_log(t, y) + _times_log(1 - t, 1 - y)
        return -jnp.mean(terms, axis=tuple(range(1, y.ndim)))


@register_loss("margin")
class Margin(Loss):
    """`L = sum T max(0, m+ - Y)^2 + lambda (1 - T) max(0, Y - m-)^2`.

    Shapes:
        `Y [B, ..., classes]`, T of the same shape or integers `[B, ...] ->
        L [B]`.

    Laws:
        `L >= 0`, and 0 where `Y >= m+` for the true class and `Y <= m-` for
        the others.

    Example:
        >>> import capsjax as cj, jax.numpy as jnp
        >>> y, t = jnp.array([[0.25, 0.75]]), jnp.array([[0.0, 1.0]])
        >>> cj.losses.margin().value(y, t).round(3)
        Array([0.034], dtype=float32)

    Source: Sabour, Frosst & Hinton, arXiv 1710.09829, equation 4.
    """

    classes: ClassVar[bool] = True

    positive: float = 0.9
    negative: float = 0.1
    down_weight: float = 0.5

    def check(self, cap: CapKind, shape: Shape) -> None:
        if not shape:
            raise ShapeError("a scalar output", "one number a class", "another loss")

    def value(self, y: jax.Array, t: jax.Array) -> jax.Array:
        y, t = wide(y), wide(t)
        present = t * jax.nn.relu(self.positive - y) ** 2
        absent = (1 - t) * jax.nn.relu(y - self.negative) ** 2
        return _per_example(jnp.sum(present + self.down_weight * absent, axis=-1))


@dataclasses.dataclass(frozen=True)
class Pair:
    """A capsule function and a loss as one, computed from U.

    Attributes:
        value: `(cap, loss, U, T) -> L`, of each example; the records have the settings.
        gradient: `(cap, loss, U, T) -> dL/dU`.
    """

    value: Callable[[Any, Any, jax.Array, jax.Array], jax.Array]
    gradient: Callable[[Any, Any, jax.Array, jax.Array], jax.Array]


def _logits_value(cap: Any, loss: Any, u: jax.Array, t: jax.Array) -> jax.Array:
    """`logsumexp(V) - sum T' V`, the largest logit taken off before, not after."""
    log_p = jax.nn.log_softmax(wide(u) / cap.temperature)
    return _per_example(-jnp.sum(loss.smoothed(t) * log_p, axis=-1))


def _logits_gradient(cap: Any, loss: Any, u: jax.Array, t: jax.Array) -> jax.Array:
    """`(softmax(V) sum T' - T') / temperature`; dV/dU = 1 / temperature."""
    t = loss.smoothed(t)
    total = jnp.sum(t, axis=-1, keepdims=True)
    p = jax.nn.softmax(wide(u) / cap.temperature)
    gradient = (total * p - t) / (math.prod(u.shape[1:-1]) * cap.temperature)
    return gradient.astype(u.dtype)


def _sigmoid_value(cap: Any, loss: Any, u: jax.Array, t: jax.Array) -> jax.Array:
    """`softplus(U) - T U` without the difference of two large numbers."""
    u, t = wide(u), wide(t)
    terms = t * jax.nn.softplus(-u) + (1 - t) * jax.nn.softplus(u)
    return jnp.mean(terms, axis=tuple(range(1, u.ndim)))


def _sigmoid_gradient(cap: Any, loss: Any, u: jax.Array, t: jax.Array) -> jax.Array:
    gradient = (jax.nn.sigmoid(wide(u)) - wide(t)) / math.prod(u.shape[1:])
    return gradient.astype(u.dtype)


PAIRS: dict[tuple[type, type], Pair] = {
    (Softmax, CrossEntropy): Pair(_logits_value, _logits_gradient),
    (LogSoftmax, CrossEntropy): Pair(_logits_value, _logits_gradient),
    (Sigmoid, BinaryCrossEntropy): Pair(_sigmoid_value, _sigmoid_gradient),
}


def _times_log(t: jax.Array, y: jax.Array) -> jax.Array:
    """`t log y`, which is 0 where both are; also when differentiated."""
    nothing = (t == 0) & (y < jnp.finfo(y.dtype).tiny)
    return t * jnp.log(jnp.where(nothing, 1, y))


def holds_classes(loss: Loss, target: Any, shape: Shape) -> bool:
    """Whether a target gives classes as integers, for an output of this shape."""
    integers = jnp.issubdtype(target.dtype, jnp.integer)
    return loss.classes and integers and target.shape == shape[:-1]


def encode_target(loss: Loss, target: jax.Array, shape: Shape, dtype: Any) -> jax.Array:
    """The target as an array of Y's shape: integer classes one-hot.

    Args:
        loss: The loss that will read it.
        target: Of Y's shape; or, for losses over classes, integers of Y's shape
            without the last axis.
        shape: Shape of Y, batch axis first.
        dtype: Type of the result.

    Returns:
        An array of Y's shape. A class out of range becomes all zeros.

    Raises:
        ValueError: The target has another shape or type.
    """
    if target.shape == shape:
        return target.astype(dtype)
    if holds_classes(loss, target, shape):
        return jax.nn.one_hot(target, shape[-1], dtype=dtype)
    expected = f"shape {shape}"
    if loss.classes:
        expected += f", or integers of shape {shape[:-1]}"
    raise ValueError(
        f"found {target.dtype} of shape {target.shape}; expected {expected}"
    )


def _per_example(values: jax.Array) -> jax.Array:
    """Mean over all axes but the batch."""
    return jnp.mean(values.reshape(values.shape[0], -1), axis=1)


mean_squared_error = MeanSquaredError
sum_squared_error = SumSquaredError
huber = Huber
cross_entropy = CrossEntropy
binary_cross_entropy = BinaryCrossEntropy
margin = Margin
