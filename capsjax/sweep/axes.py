"""Axes: what a setting is swept over, as values or as a range.

    over = {
        "learning_rate": cj.axes.log(1e-4, 1e-1, 16),            a grid: these values
        "c1.features": [8, 16, 32],                              and these, every pair
        ("batch_size", "weight_decay"): [(32, 0.1), (64, 0.2)],  zipped: together
        "drop.rate": cj.axes.uniform(0, 0.5),                    drawn, `samples` times
        "momentum": cj.axes.when({"optimizer": "sgd"}, [0, 0.9]),    only there
    }

`space` has what comes of them.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from typing import Any, Literal

import numpy as np

from capsjax.graph.errors import brief

__all__ = [
    "Range",
    "When",
    "choice",
    "integers",
    "linear",
    "log",
    "log_uniform",
    "uniform",
    "when",
]

Values = dict[str, Any]
"""What a member has, by axis; an axis that is not there for it is left out."""

NO_LISTS = str | Mapping | set | frozenset
"""What may be iterated over and is no list of values: sets have no order."""


@dataclasses.dataclass(frozen=True)
class Range:
    """A range to draw from; made by `uniform`, `log_uniform`, `integers`, `choice`.

    Attributes:
        kind: How it is drawn from.
        low: The least value.
        high: The largest value.
        values: Of a choice: the values.
    """

    kind: Literal["uniform", "log_uniform", "integers", "log_integers", "choice"]
    low: float = 0.0
    high: float = 0.0
    values: tuple[Any, ...] = ()

    def at(self, share: float) -> Any:
        """The value at a share of the range, in [0, 1)."""
        low, high = self.low, self.high
        if self.kind == "choice":
            return value_at(self.values, share)
        if self.kind == "uniform":
            return float(min(low + share * (high - low), high))
        if self.kind == "log_uniform":
            return float(min(max(low * (high / low) ** share, low), high))
        if self.kind == "integers":
            return int(min(low + math.floor(share * (high - low + 1)), high))
        return int(min(math.floor(low * ((high + 1) / low) ** share), high))


@dataclasses.dataclass(frozen=True)
class When:
    """An axis under a condition; made by `when`.

    Attributes:
        conditions: Axes and the values that they must have, one of them each.
        axis: The values, or the range.
    """

    conditions: tuple[tuple[str, tuple[Any, ...]], ...]
    axis: Any

    def holds(self, values: Values) -> bool:
        """Whether the condition holds for a member."""
        return all(
            name in values and values[name] in among for name, among in self.conditions
        )


def linear(low: float, high: float, count: int) -> list[float]:
    """Evenly spaced values, both ends among them.

    Args:
        low: The first.
        high: The last.
        count: How many.

    Example:
        >>> import capsjax as cj
        >>> cj.axes.linear(0, 0.5, 3)
        [0.0, 0.25, 0.5]
    """
    _require_count(count)
    return [float(value) for value in np.linspace(low, high, count)]


def log(low: float, high: float, count: int) -> list[float]:
    """Values whose ratios are equal, both ends among them.

    Args:
        low: The first, above zero.
        high: The last, above zero.
        count: How many.

    Example:
        >>> import capsjax as cj
        >>> cj.axes.log(1e-3, 1e-1, 3)
        [0.001, 0.01, 0.1]
    """
    _require_count(count)
    _require_positive("log", low, high)
    found = [float(f"{value:.12g}") for value in np.geomspace(low, high, count)]
    found[0] = float(low)
    if count > 1:
        found[-1] = float(high)
    return found


def uniform(low: float, high: float) -> Range:
    """A range of real numbers, each as likely as the other.

    Args:
        low: The least.
        high: The largest.

    Example:
        >>> import capsjax as cj
        >>> cj.axes.uniform(0, 0.5).at(0.5)
        0.25
    """
    _require_order("uniform", low, high)
    return Range("uniform", low, high)


def log_uniform(low: float, high: float) -> Range:
    """A range of real numbers whose logarithms are each as likely as the other.

    Args:
        low: The least, above zero.
        high: The largest.

    Example:
        >>> import capsjax as cj
        >>> round(cj.axes.log_uniform(1e-4, 1e-2).at(0.5), 6)
        0.001
    """
    _require_order("log_uniform", low, high)
    _require_positive("log_uniform", low, high)
    return Range("log_uniform", low, high)


def integers(low: int, high: int, *, log: bool = False) -> Range:
    """A range of integers, both ends among them.

    Args:
        low: The least.
        high: The largest.
        log: Whether logarithms are evenly spread in place of the numbers.

    Example:
        >>> import capsjax as cj
        >>> [cj.axes.integers(1, 4).at(share) for share in (0, 0.3, 0.99)]
        [1, 2, 4]
    """
    _require_order("integers", low, high)
    if low != int(low) or high != int(high):
        raise ValueError(
            f"cj.axes.integers: found {low} to {high}; expected whole numbers"
        )
    low, high = int(low), int(high)
    if log:
        _require_positive("integers", low, high)
    return Range("log_integers" if log else "integers", low, high)


def choice(values: Iterable[Any]) -> Range:
    """Values of which one is drawn, each as likely as the other.

    Args:
        values: The values.

    Example:
        >>> import capsjax as cj
        >>> cj.axes.choice(["relu", "tanh"]).at(0.7)
        'tanh'
    """
    if isinstance(values, NO_LISTS) or not isinstance(values, Iterable):
        raise ValueError(
            f"cj.axes.choice: found {brief(values)}; expected a list of values"
        )
    values = tuple(map(plain, values))
    if not values:
        raise ValueError("cj.axes.choice: found no values; expected one or more")
    return Range("choice", values=values)


def when(conditions: Mapping[str, Any], axis: Any) -> When:
    """An axis that is there only where other axes have certain values.

    Args:
        conditions: Other axes, and the value that each must have; or several, as a
            list.
        axis: The values, or the range.

    Returns:
        What stands for the values in `over`. Members for which the condition does not
        hold do not have the setting.

    Example:
        >>> import capsjax as cj
        >>> momentum = cj.axes.when({"optimizer": "sgd"}, [0.0, 0.9])
        >>> over = {"optimizer": ["sgd", "adam"], "momentum": momentum}
        >>> len(list(cj.sweep_members(over)))
        3
    """
    if not isinstance(conditions, Mapping) or not conditions:
        raise ValueError(
            f"cj.axes.when: found {brief(conditions)}; expected other axes and the "
            'values that they must have, {"optimizer": "sgd"}'
        )
    found = tuple(
        (name, tuple(map(plain, among if _is_list(among) else (among,))))
        for name, among in conditions.items()
    )
    return When(found, axis)


def _is_list(value: Any) -> bool:
    """Whether there are several values, no single one."""
    return isinstance(value, list | set | frozenset) or type(value) is tuple


def plain(value: Any) -> Any:
    """A value, numpy's and JAX's numbers and arrays in it as Python's."""
    if type(value) in (list, tuple):
        return type(value)(map(plain, value))
    array = hasattr(value, "tolist") and not isinstance(value, type)
    return value.tolist() if array else value


def _require_count(count: int) -> None:
    if not isinstance(count, int | np.integer) or count < 1:
        raise ValueError(f"cj.axes: found {brief(count)} values; expected 1 or more")


def _require_order(name: str, low: float, high: float) -> None:
    finite = all(isinstance(x, Real) and math.isfinite(x) for x in (low, high))
    if not finite or not low < high:
        raise ValueError(
            f"cj.axes.{name}: found {brief(low)} to {brief(high)}; expected numbers, "
            "low < high"
        )


def _require_positive(name: str, low: float, high: float) -> None:
    if not (low > 0 and high > 0):
        raise ValueError(
            f"cj.axes.{name}: found {brief(low)} to {brief(high)}; expected above zero"
        )


def value_at(values: Sequence[Any], share: float) -> Any:
    """The value at a share of a list, in [0, 1)."""
    return values[min(int(share * len(values)), len(values) - 1)]
