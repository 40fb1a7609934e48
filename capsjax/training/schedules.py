"""Schedules of the learning rate whose constants may be traced.

A schedule is a function of the number of steps taken, t, as optax takes it in place of
a learning rate. optax's own ask in Python whether a constant is zero, so that each
constant is another program; these ask nothing, so that members of a sweep share one:

    constant       value
    linear         initial + (final - initial) s,              s = (t - begin) / steps
    exponential    initial rate^s, at least (rate < 1) or at most (rate > 1) final
    staircase      the same with s rounded down
    piecewise      value, times the factor of each boundary that is reached
    cosine         final + (peak - final) ((1 + cos(pi s)) / 2)^exponent,
                   s = (t - warmup) / (steps - warmup)
    warmup_linear  peak + (final - peak) s, with the same s
    one_cycle      from peak / divisor to peak to peak / (divisor final_divisor), both
                   as half a cosine

with s kept in [0, 1], for exponential and staircase in [0, infinity). Those that have a
warmup begin with `initial + (peak - initial) t / warmup` while t < warmup. t counts
updates of the parameters: where gradients are accumulated, several steps of a loop.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp

__all__ = [
    "constant",
    "cosine",
    "exponential",
    "linear",
    "one_cycle",
    "piecewise",
    "staircase",
    "warmup_linear",
]

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


def staircase(
    initial: Any, rate: Any, steps: Any, *, begin: Any = 0, final: Any = None
) -> Schedule:
    """`initial`, times `rate` whenever `steps` steps are over.

    Args:
        initial: Value until step `begin + steps`.
        rate: Factor, above zero.
        steps: After how many steps it acts again.
        begin: Step at which counting begins.
        final: The value that is not passed, if there is one.

    Example:
        >>> import capsjax as cj
        >>> rate = cj.schedules.staircase(1.0, 0.5, steps=10)
        >>> [round(float(rate(t)), 4) for t in (0, 9, 10, 20)]
        [1.0, 1.0, 0.5, 0.25]
    """

    def schedule(t):
        whole = jnp.floor(jnp.maximum(t - begin, 0) / steps)
        return exponential(initial, rate, 1, final=final)(whole)

    return schedule


def piecewise(
    value: Any,
    boundaries: Any,
    factors: Any,
    *,
    warmup: Any = 0,
    initial: Any = 0.0,
) -> Schedule:
    """`value`, times a factor from each boundary on, as in training on ImageNet.

    Args:
        value: Value until the first boundary.
        boundaries: Steps from which on a factor acts: a list, or one.
        factors: What is multiplied then: one for each boundary, or one for all.
        warmup: How many steps a way up in a straight line takes at first.
        initial: Value at step 0, if there is one.

    Raises:
        ValueError: There are not as many factors as boundaries.

    Example:
        >>> import capsjax as cj
        >>> rate = cj.schedules.piecewise(0.4, [30, 60], 0.1, warmup=4)
        >>> [round(float(rate(t)), 4) for t in (0, 2, 4, 29, 30, 60)]
        [0.0, 0.2, 0.4, 0.4, 0.04, 0.004]

    Source: Goyal et al., arXiv 1706.02677, section 2.2, for the way up.
    """
    places = _several(boundaries)
    acting = _several(factors) if _is_list(factors) else [factors] * len(places)
    if len(acting) != len(places):
        raise ValueError(
            f"piecewise: found {len(places)} boundaries and {len(acting)} factors; "
            "expected as many of both, or one factor for all"
        )

    def schedule(t):
        found = value
        for boundary, factor in zip(places, acting, strict=True):
            found = found * jnp.where(t < boundary, 1.0, factor)
        return _warmed(t, found, warmup, initial, value)

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
        half = (1 + jnp.cos(math.pi * _share(t - warmup, steps - warmup))) / 2
        down = final + (peak - final) * half**exponent
        return _warmed(t, down, warmup, initial, peak)

    return schedule


def warmup_linear(
    peak: Any,
    steps: Any,
    *,
    warmup: Any = 0,
    initial: Any = 0.0,
    final: Any = 0.0,
) -> Schedule:
    """Up in a straight line, then down in another, as BERT learns.

    Args:
        peak: Value at step `warmup`.
        steps: Step at which `final` is reached, those of the way up among them.
        warmup: How many steps the way up takes.
        initial: Value at step 0, if there is a way up.
        final: Value at last.

    Example:
        >>> import capsjax as cj
        >>> rate = cj.schedules.warmup_linear(1.0, steps=110, warmup=10)
        >>> [round(float(rate(t)), 4) for t in (0, 5, 10, 60, 110, 200)]
        [0.0, 0.5, 1.0, 0.5, 0.0, 0.0]

    Source: Devlin et al., arXiv 1810.04805, appendix A.2.
    """

    def schedule(t):
        down = peak + (final - peak) * _share(t - warmup, steps - warmup)
        return _warmed(t, down, warmup, initial, peak)

    return schedule


def one_cycle(
    peak: Any,
    steps: Any,
    *,
    rise: Any = 0.3,
    divisor: Any = 25.0,
    final_divisor: Any = 1e4,
) -> Schedule:
    """Up as half a cosine, then far down as another.

    Args:
        peak: The largest value.
        steps: Step at which the last value is reached.
        rise: Share of the steps that the way up takes; whole steps, rounded down.
        divisor: The first value is `peak / divisor`.
        final_divisor: The last value is the first one divided by it.

    Example:
        >>> import capsjax as cj
        >>> rate = cj.schedules.one_cycle(1.0, steps=100)
        >>> [round(float(rate(t)), 4) for t in (0, 15, 30, 65, 100)]
        [0.04, 0.52, 1.0, 0.5, 0.0]

    Source: Smith & Topin, arXiv 1708.07120; its straight lines as cosines.
    """

    def schedule(t):
        first = peak / divisor
        last = first / final_divisor
        top = jnp.floor(rise * steps)
        up = _half_cosine(first, peak, _share(t, top))
        down = _half_cosine(peak, last, _share(t - top, steps - top))
        return jnp.where(t < top, up, down)

    return schedule


def _half_cosine(start: Any, end: Any, share: Any) -> Any:
    return end + (start - end) * (1 + jnp.cos(math.pi * share)) / 2


def _warmed(t: Any, value: Any, warmup: Any, initial: Any, peak: Any) -> Any:
    """A value, after a straight way from `initial` up to `peak`."""
    up = initial + (peak - initial) * _share(t, jnp.maximum(warmup, 1))
    return jnp.where(t < warmup, up, value)


def _is_list(given: Any) -> bool:
    return isinstance(given, Sequence) or getattr(given, "ndim", 0) == 1


def _several(given: Any) -> list[Any]:
    return list(given) if _is_list(given) else [given]


def _share(t: Any, steps: Any) -> Any:
    """How much of the way is behind, in [0, 1]; a way of no steps is behind at once."""
    length = jnp.where(jnp.asarray(steps) > 0, steps, 1)
    return jnp.where(t < steps, jnp.maximum(t, 0) / length, 1)
