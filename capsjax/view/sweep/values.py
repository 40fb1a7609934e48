"""The axes of a sweep, as numbers to be drawn."""

import dataclasses
import math
import numbers
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from capsjax.graph.errors import brief, listing, nearest

if TYPE_CHECKING:
    import pandas as pd

FEW = 25
"""Up to as many different values are values of a grid; more were drawn by chance."""
NONE = "none"
"""What is written where an axis does not apply."""

_SPREAD = 30
_FEW_CATEGORIES = 12
_LONGEST = 24
_LONGEST_LABEL = 16


class Swept(Protocol):
    """What a sweep has found, as far as pictures read it."""

    @property
    def table(self) -> "pd.DataFrame":
        """A row a member: values of the axes, `seed`, `status`, and the metrics."""
        ...

    @property
    def history(self) -> "pd.DataFrame":
        """Rows of training: `member`, `epoch`, `step`, and the metrics."""
        ...

    @property
    def axes(self) -> tuple[str, ...]:
        """The columns of the table that were swept."""
        ...

    @property
    def metric(self) -> str:
        """What members are ranked by."""
        ...

    @property
    def maximize(self) -> bool:
        """Whether more of it is better."""
        ...


@dataclasses.dataclass(frozen=True, eq=False)
class Scale:
    """An axis of a sweep.

    Attributes:
        name: Its column in the table.
        kind: How its values are spaced.
        at: Where each member stands: its value, or the number of its category. NaN
            where a number is missing; a missing category is one more category.
        places: Where members stand, each place once, ascending.
        labels: What is written at each place.
        ordered: Whether the values are numbers.
    """

    name: str
    kind: Literal["linear", "log", "categories"]
    at: np.ndarray
    places: np.ndarray
    labels: tuple[str, ...]
    ordered: bool

    @property
    def title(self) -> str:
        """The name, short enough for a panel."""
        return short(self.name)

    @property
    def missing(self) -> np.ndarray:
        """Which members stand nowhere, because the axis does not apply to them."""
        return np.isnan(self.at)

    def cells(self) -> tuple[np.ndarray, tuple[str, ...]]:
        """The number of each member's place, and all labels; where missing, the last.

        Example:
            >>> import pandas as pd
            >>> scale_of("rate", pd.Series([0.5, None, 0.1])).cells()
            (array([1, 2, 0]), ('0.1', '0.5', 'none'))
        """
        places = np.searchsorted(self.places, self.at)  # NaN comes after all
        return places, self.labels + (NONE,) * bool(self.missing.any())


def scale_of_axis(result: Swept, name: str) -> Scale:
    """The axis of that name."""
    known = dict.fromkeys((*axis_names(result), "seed"))
    if name not in known:
        raise ValueError(unknown("axis", name, known))
    return scale_of(name, result.table[name])


def axis_names(result: Swept) -> tuple[str, ...]:
    """What was swept; the seed where nothing else was."""
    return tuple(result.axes) or ("seed",)


def scale_of(name: str, column: Any) -> Scale:
    """Reads a column: numbers evenly or by their logarithm, all else as categories."""
    import pandas as pd

    gone = pd.isna(column).to_numpy(bool)
    pairs = zip(column.astype(object), gone, strict=True)
    cells = [None if none else cell for cell, none in pairs]
    there = [cell for cell in cells if cell is not None]
    if not there or not all(map(_is_number, there)):
        return _categories(name, cells, False)
    at = np.array([math.nan if cell is None else float(cell) for cell in cells])
    kind = "linear" if name == "seed" else spacing(at)  # seeds are no amounts
    if kind == "categories":
        return _categories(name, cells, True)
    places = np.unique(at[~gone])
    return Scale(name, kind, at, places, tuple(map(number, places.tolist())), True)


def _categories(name: str, cells: list[Any], numeric: bool) -> Scale:
    """In the order in which they first appear; what has an order, ascending."""
    there = [cell for cell in cells if cell is not None]
    if numeric or all(isinstance(cell, bool | np.bool_) for cell in there):
        there = sorted(there)
    keys = dict.fromkeys(there if numeric else map(str, there))
    order = {key: place for place, key in enumerate(keys)}
    write = number if numeric else _label
    labels = [write(key) for key in order]
    if None in cells:
        labels.append(NONE)
    at = [
        len(order) if cell is None else order[cell if numeric else str(cell)]
        for cell in cells
    ]
    places = np.arange(len(labels), dtype=float)
    return Scale(
        name, "categories", np.array(at, float), places, tuple(labels), numeric
    )


def _label(category: str) -> str:
    return short(category, _LONGEST_LABEL)


def spacing(values: np.ndarray) -> Literal["linear", "log", "categories"]:
    """How numbers are spaced best; as categories where 0 or infinity forbids a log.

    Example:
        >>> import numpy as np
        >>> spacing(np.array([1e-4, 1e-3, 1e-2])), spacing(np.array([8, 16, 32]))
        ('log', 'log')
        >>> spacing(np.array([0.1, 0.2, 0.3])), spacing(np.array([0, 1e-4, 1e-3, 1e-2]))
        ('linear', 'categories')
    """
    distinct = np.unique(values[~np.isnan(values)])
    if np.isinf(distinct).any():
        return "categories"
    if len(distinct) < 2 or distinct[0] < 0:
        return "linear"
    if distinct[0] > 0:
        return "log" if _is_geometric(distinct) else "linear"
    few = len(distinct) <= _FEW_CATEGORIES
    return "categories" if few and _is_geometric(distinct[1:]) else "linear"


def _is_geometric(distinct: np.ndarray) -> bool:
    """Of positive numbers, ascending: whether their logarithms are spread more evenly.

    A wide spread alone does not say so: the least of many draws from 0 to 1 is tiny.
    """
    if len(distinct) < 2:
        return False
    steps = np.diff(np.log(distinct))
    even = steps.max() <= 1.25 * steps.min() and steps.min() >= math.log(1.5)
    middle = distinct[(len(distinct) - 1) // 2] - distinct[0]
    low = middle < 0.3 * (distinct[-1] - distinct[0])
    wide = distinct[-1] > _SPREAD * distinct[0]
    return bool((even and len(distinct) > 2) or (wide and low))


def number(value: float) -> str:
    """A setting's value: whole numbers in full, others shortened.

    Example:
        >>> number(16384.0), number(0.00001), number(0.123456)
        ('16384', '1e-5', '0.1235')
    """
    if abs(value) < 1e6 and value == round(value):
        return f"{value:.0f}"
    return f"{value:.4g}".replace("e-0", "e-").replace("e+0", "e")


def short(text: str, longest: int = _LONGEST) -> str:
    """A text without its middle, where it is too long.

    Example:
        >>> short("block3.attention.projection.features")
        'block3.atten…on.features'
    """
    if len(text) <= longest:
        return text
    half = longest // 2
    return f"{text[:half]}…{text[len(text) - (longest - half - 1) :]}"


def _is_number(cell: object) -> bool:
    return isinstance(cell, numbers.Real) and not isinstance(cell, bool)


def unknown(what: str, name: object, known: Iterable[str]) -> str:
    """What to say of an axis or a metric that the result does not have."""
    known = list(known)
    there = listing(map(brief, known)) or "none, for there is no column of numbers"
    cure = nearest(name, known, f"name the {what} as the sweep's table does")
    return f"found the {what} {brief(name)}; expected one of {there}; cure: {cure}"
