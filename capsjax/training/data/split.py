"""What a source of data gives, and what it must satisfy."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

ACCEPTED = (
    "'digits', a folder of idx files (as MNIST has them) or of .npy files, or an .npz "
    "file"
)


class DataError(ValueError):
    """A source of data that cannot be used.

    Attributes:
        place: The file or folder, and where in it.
        found: What stands there.
        expected: What should stand there.
        cure: What to do about it.
    """

    def __init__(self, place: object, found: str, expected: str, cure: str):
        super().__init__(str(place), found, expected, cure)
        self.place, self.found = str(place), found
        self.expected, self.cure = expected, cure

    def __str__(self) -> str:
        return (
            f"{self.place}\n"
            f"    found:    {self.found}\n"
            f"    expected: {self.expected}\n"
            f"    cure:     {self.cure}"
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """Examples and what should come out of them, row by row.

    Attributes:
        inputs: float32 `[N, ...]`; images are `[N, H, W, C]` with values in [0, 1].
            Of files that are mapped into memory as they are stored: bytes (uint8)
            stand for values in [0, 1].
        targets: int32 labels `[N]`, or float32 `[N, ...]`.
    """

    inputs: np.ndarray
    targets: np.ndarray

    def __len__(self) -> int:
        return len(self.inputs)


@dataclasses.dataclass(frozen=True, eq=False)
class Named:
    """Examples by the names of a network's inputs and outputs.

    Attributes:
        arrays: Rows along the first axis, as many in each.
    """

    arrays: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))


@dataclasses.dataclass(frozen=True, eq=False)
class Data:
    """A training set and a test set.

    Attributes:
        name: What the data is called in a run's results.
        train: The examples to learn from: a `Split`, or `Named` arrays.
        test: The examples to judge by; None where there are none.
        classes: One more than the largest label; None where targets are not labels.
    """

    name: str
    train: Any
    test: Any
    classes: int | None

    def __repr__(self) -> str:
        sets = [f"train={_in_words(self.train)}"]
        if self.test is not None:
            sets.append(f"test={_in_words(self.test)}")
        classes = [] if self.classes is None else [f"classes={self.classes}"]
        return f"Data({', '.join([repr(self.name), *sets, *classes])})"


def _in_words(rows: Any) -> str:
    """A set of examples as `1,500 x (inputs float32 (8, 8, 1), targets int32 ())`."""
    if isinstance(rows, Split):
        arrays = {"inputs": rows.inputs, "targets": rows.targets}
    elif isinstance(rows, Named):
        arrays = rows.arrays
    else:
        return repr(rows)
    each = (f"{name} {a.dtype} {tuple(a.shape[1:])}" for name, a in arrays.items())
    return f"{len(rows):,} x ({', '.join(each)})"


def join(place: object, name: str, train: Split, test: Split) -> Data:
    """Makes one data set of two splits that agree.

    Args:
        place: Where they come from, for the error.
        name: What to call the data set.
        train: The examples to learn from.
        test: The examples to judge by.

    Returns:
        The data set, its classes counted over both splits.

    Raises:
        DataError: The splits differ in the shape or type of an example.
    """
    for what in ("inputs", "targets"):
        ours, theirs = getattr(train, what), getattr(test, what)
        if ours.shape[1:] != theirs.shape[1:] or ours.dtype != theirs.dtype:
            raise DataError(
                place,
                f"{what} of {ours.dtype} {ours.shape[1:]} to train on"
                f" and {theirs.dtype} {theirs.shape[1:]} to test on",
                "one shape and type per example in both",
                "make the two sets from the same source in the same way",
            )
    if train.targets.dtype != np.int32:
        return Data(name, train, test, None)
    highest = max(train.targets.max(), test.targets.max())
    return Data(name, train, test, int(highest) + 1)


def unit_interval(values: np.ndarray) -> np.ndarray:
    """Turns bytes into float32 in [0, 1]."""
    return np.divide(values, 255, dtype=np.float32)


def check_counts(place: object, inputs: int, targets: int) -> None:
    """Raises a `DataError` unless there is a target for every input."""
    if inputs != targets:
        raise DataError(
            place,
            f"{inputs:,} inputs and {targets:,} targets",
            "as many targets as inputs",
            "take both from the same set",
        )


def check_memory(place: object, needed: int) -> None:
    """Raises a `DataError` where `needed` bytes are more than the machine has."""
    import psutil  # here: reading the machine's state takes a while

    available = psutil.virtual_memory().available
    if needed > available:
        raise DataError(
            place,
            f"a header that asks for {needed / 2**30:,.1f} GiB",
            f"at most the {available / 2**30:,.1f} GiB of memory now available",
            "check the file's origin, or store fewer examples in it",
        )


def empty(place: object, shape: tuple[int, ...]) -> DataError:
    """The error for a set without examples, or examples without values."""
    return DataError(
        place,
        f"an empty set, of shape {shape}",
        "one example or more",
        "check how the file was made",
    )


def damaged(place: object, found: str, expected: str) -> DataError:
    """The error for a file that is not as it was written."""
    return DataError(place, found, expected, "fetch or write the file again")
