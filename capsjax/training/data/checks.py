"""Checks of values: numbers that are finite, labels in range; in bounded memory."""

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np

from capsjax.training.data.split import DataError

_CHUNK = 1 << 24  # bytes looked at in one go


@dataclasses.dataclass(frozen=True)
class Labels:
    """Which labels an array may hold: 0 up to, not including, `classes`.

    Attributes:
        place: Who reads them, as messages say it: "target of 'digit'".
        classes: How many there are.
        why: Where that number comes from.
    """

    place: str
    classes: int
    why: str

    def fault(self, array: np.ndarray) -> str | None:
        """What is wrong with labels, if anything is."""
        low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
        if low >= 0 and high < self.classes:
            return None
        what = "labels" if self.place.startswith("input") else "classes"
        return (
            f"{self.place}: found {what} from {low} to {high}; expected 0 to "
            f"{self.classes - 1}, as {self.why}"
        )


def first_not_finite(array: np.ndarray) -> tuple[int, float] | None:
    """The first row with NaN or an infinity, and that value; None if there is none."""
    if not np.issubdtype(array.dtype, np.inexact):
        return None
    for start, rows in _chunks(array):
        finite = np.isfinite(rows)
        if not finite.all():
            row = int(np.argmin(finite.reshape(len(rows), -1).all(axis=1)))
            return start + row, rows[row][~finite[row]].flat[0]
    return None


def _chunks(array: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Runs of rows, each of about `_CHUNK` bytes, and where each begins."""
    rows = max(1, _CHUNK * len(array) // max(array.nbytes, 1))
    for start in range(0, len(array), rows):
        yield start, array[start : start + rows]


def finite_fault(name: str, array: np.ndarray) -> str | None:
    """What is wrong with the values of an array by name, if anything is."""
    found = first_not_finite(array)
    if found is None:
        return None
    row, value = found
    return (
        f"{name!r}: found {value} in example {row}; expected finite numbers; cure: "
        "leave such examples out, or put a number in their place"
    )


def check_batch(
    what: str,
    columns: Mapping[str, np.ndarray],
    indices: np.ndarray,
    labels: Mapping[str, Labels],
) -> None:
    """Checks the values of a batch as it arrives.

    Args:
        what: What the data is called: "data", "validation".
        columns: Arrays by name, rows along the first axis.
        indices: Which example each row is.
        labels: Of arrays that hold labels, those that may be.

    Raises:
        DataError: A value is not finite, or a label out of range; it names the
            example and the array.
    """
    for name, array in columns.items():
        if (found := first_not_finite(array)) is not None:
            raise DataError(
                f"{what}, example {indices[found[0]]}, array {name!r}",
                f"{found[1]}",
                "finite numbers",
                "leave the example out, or put a number in its place",
            )
        known = labels.get(name)
        if known is not None and known.fault(array) is not None:
            wrong = ((array < 0) | (array >= known.classes)).reshape(len(array), -1)
            row = int(np.argmax(wrong.any(axis=1)))
            raise DataError(
                f"{what}, example {indices[row]}, array {name!r}",
                f"the label {np.ravel(array[row])[np.argmax(wrong[row])]}",
                f"0 to {known.classes - 1}, as {known.why}",
                "number the classes 0, 1, 2, ...",
            )
