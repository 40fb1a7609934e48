"""What an example is, before any is looked at: the shape and type of each array."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from capsjax.graph.kinds import Shape


@dataclasses.dataclass(frozen=True)
class Spec:
    """An array of one example.

    Attributes:
        shape: Without the axis of examples.
        dtype: The type of its values.
    """

    shape: Shape
    dtype: np.dtype

    @property
    def nbytes(self) -> int:
        """Bytes of one example."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    @property
    def holds_integers(self) -> bool:
        """Whether values are whole numbers, such as labels."""
        return np.issubdtype(self.dtype, np.integer)

    @property
    def holds_bytes(self) -> bool:
        """Whether values are bytes, as those of stored pictures are."""
        return self.dtype == np.uint8


Specs = Mapping[str, Spec]


def spec_of(array: Any) -> Spec:
    """That of an array's rows."""
    return Spec(tuple(array.shape[1:]), np.dtype(array.dtype))


def is_mapped(array: np.ndarray) -> bool:
    """Whether an array, or what it is a view of, is a file mapped into memory."""
    base: Any = array
    while base is not None:
        if isinstance(base, np.memmap):
            return True
        base = getattr(base, "base", None)
    return False
