"""Schedules of the learning rate whose constants may be traced.

A schedule is a function of the number of steps taken, t, as optax takes it in place of
a learning rate. optax's own ask in Python whether a constant is zero, so that each
constant is another program; these ask nothing, so that members of a sweep share one:

    constant      value
    linear        initial + (final - initial) s,              s = (t - begin) / steps
    exponential   initial rate^s, at least (rate < 1) or at most (rate > 1) final
    cosine        initial + (peak - initial) t / warmup                   t < warmup
                  final + (peak - final) ((1 + cos(pi s)) / 2)^exponent   elsewhere,
                  s = (t - warmup) / (steps - warmup)

with s kept in [0, 1], for exponential in [0, infinity).
"""

import math
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

Schedule = Callable[[Any], Any]


def constant(value: Any) -> Schedule:
    """`value` at every step.

    Args:
        value: A number.

    Example:
        >>> import capsjax as cj
        >>> cj.schedules.constant(0.1)(7)
        0.1
    """
    return lambda t: value


def linear(initial: Any, final: Any, steps: Any, *, begin: Any = 0) -> Schedule:
    """From `initial` to `final` in a straight line.

    Args:
        initial: Value until step `begin`.
        final: Value from step `begin + steps` on.
        steps: How long the way takes, in steps.
        begin: Step at which it begins.

    Example:
        >>> import capsjax as cj
        >>> rate = cj.schedules.linear(0.2, 0.1, steps=100)
        >>> [round(float(rate(t)), 4) for t in (0, 50, 100, 200)]
        [0.2, 0.15, 0.1, 0.1]
    """

    def schedule(t):
        return initial + (final - initial) * _share(t - begin, steps)

    return schedule


def exponential(
    initial: Any, rate: Any, steps: Any, *, begin: Any = 0, final: Any = None
) -> Schedule:
    """`initial`, times `rate` for every `steps` steps.

    Args:
        initial: Value until step `begin`.
        rate: Factor, above zero.
        steps: In how many steps it acts once.
        begin: Step at which it begins.
        final: The value that is not passed, if there is one.

    Example:
        >>> import capsjax as cj
        >>> rate = cj.schedules.exponential(1.0, 0.5, steps=10)
        >>> [round(float(rate(t)), 4) for t in (0, 10, 20)]
        [1.0, 0.5, 0.25]
    """

    def schedule(t):
        value = initial * jnp.power(rate, jnp.maximum(t - begin, 0) / steps)
        if final is None:
            return value
        falling = jnp.asarray(rate) < 1
        kept = jnp.where(falling, jnp.maximum(value, final), jnp.minimum(value, final))
        return kept

    return schedule


def cosine(
    peak: Any,
    steps: Any,
    *,
    warmup: Any = 0,
    initial: Any = 0.0,
    final: Any = 0.0,
    exponent: Any = 1.0,
) -> Schedule:
    """Up in a straight line, then down as half a cosine.

    Args:
        peak: Value at step `warmup`.
        steps: Step at which `final` is reached, those of the way up among them.
        warmup: How many steps the way up takes.
        initial: Value at step 0, if there is a way up.
        final: Value at last.
        exponent: Power of the cosine.

    Example:
        >>> import capsjax as cj
        >>> rate = cj.schedules.cosine(1.0, steps=110, warmup=10)
        >>> [round(float(rate(t)), 4) for t in (0, 5, 10, 60, 110, 200)]
        [0.0, 0.5, 1.0, 0.5, 0.0, 0.0]

    Source: Loshchilov & Hutter, arXiv 1608.03983, equation 5, without restarts.
    """

    def schedule(t):
        up = initial + (peak - initial) * _share(t, jnp.maximum(warmup, 1))
        half = (1 + jnp.cos(math.pi * _share(t - warmup, steps - warmup))) / 2
        down = final + (peak - final) * half**exponent
        return jnp.where(t < warmup, up, down)

    return schedule


def _share(t: Any, steps: Any) -> Any:
    """How much of the way is behind, in [0, 1]; a way of no steps is behind at once."""
    length = jnp.where(jnp.asarray(steps) > 0, steps, 1)
    return jnp.where(t < steps, jnp.maximum(t, 0) / length, 1)
