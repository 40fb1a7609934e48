"""Readers: examples by their indices, from arrays or from a source of single items.

A *source* is anything with `__len__` and `__getitem__(index)`, as the sources of grain
and the map-style data sets of torch are. An item is a mapping of arrays by name, or a
pair (input, target). Where a source has `__getitems__(indices)`, which gives a list of
items, it is asked for a batch at once. Data sets of Hugging Face are sources, too,
whose columns are read as arrays of numpy; only their public interface is used, so
`datasets` is no dependency.

All readers have the same attributes:

    count           how many examples there are
    specs           what an example is: shapes and types by column
    read(indices)   columns of a batch by name, rows along the first axis
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from capsjax.graph.errors import brief
from capsjax.training.data.spec import Specs, is_mapped, spec_of
from capsjax.training.data.split import DataError

Columns = dict[str, np.ndarray]


class Reader(Protocol):
    """What feeds are read by."""

    @property
    def count(self) -> int:
        """How many examples there are."""
        ...

    @property
    def specs(self) -> Specs:
        """What an example is, by column."""
        ...

    def read(self, indices: np.ndarray) -> Columns:
        """Columns of a batch by name, rows along the first axis."""
        ...


class ArrayReader:
    """Rows of arrays, in memory or mapped into it."""

    def __init__(self, columns: Mapping[str, np.ndarray]):
        self.columns = dict(columns)
        self.specs: Specs = {name: spec_of(array) for name, array in columns.items()}
        self.count = min(len(array) for array in columns.values())
        self.mapped = frozenset(n for n, array in columns.items() if is_mapped(array))
        # As plain arrays: taking rows of np.memmap makes an np.memmap of each batch.
        self._plain = {name: np.asarray(array) for name, array in columns.items()}

    def read(self, indices: np.ndarray) -> Columns:
        """Copies of rows: what is mapped is read from its file here."""
        return {n: np.take(array, indices, axis=0) for n, array in self._plain.items()}


def is_source(given: Any) -> bool:
    """Whether something gives items by index, and is neither array, text nor table."""
    if isinstance(given, Mapping | str | bytes) or hasattr(given, "shape"):
        # A table of Hugging Face has a shape as well.
        return _is_table(given)
    return hasattr(given, "__len__") and hasattr(given, "__getitem__")


def _is_table(given: Any) -> bool:
    return hasattr(given, "column_names") and hasattr(given, "with_format")


class SourceReader:
    """Items of a source.

    The first item says what all have: names, shapes, and whether numbers are whole.

    Args:
        source: The source. It is read by one thread at a time.
        what: What to call it in messages: "data", "validation".
        wanted: What to say was expected where its items are no examples.

    Raises:
        DataError: There are no items, or the first can not be read.
        TypeError: The first item is neither a mapping nor a pair.
    """

    def __init__(self, source: Any, what: str, wanted: str = "examples"):
        self.what = what
        self._table = _is_table(source)
        self._source = source.with_format("numpy") if self._table else source
        self.count = len(source)
        if not self.count:
            raise DataError(
                what, "an empty set", "one example or more", "check how it was made"
            )
        first = self._item(0)
        if _columns_of(first) is None:
            raise TypeError(
                f"{what} must be {wanted}, not {type(source).__name__} of "
                f"{type(first).__name__}"
            )
        columns = {name: x[None] for name, x in self._checked(0, first).items()}
        self.specs: Specs = {name: spec_of(x) for name, x in columns.items()}
        self.pairs = not isinstance(first, Mapping)

    def read(self, indices: np.ndarray) -> Columns:
        """Items put together; those that can not be read or differ are named."""
        self._require_length()
        at = [int(index) for index in indices]
        try:
            batch = self._batch(at)
            if batch is not None and self._fits(batch, len(at)):
                return self._typed(batch)
        except Exception:
            pass  # one by one below, where the example at fault is named
        items = [self._checked(index, self._item(index)) for index in at]
        return self._typed({n: np.stack([x[n] for x in items]) for n in self.specs})

    def _require_length(self) -> None:
        found = len(self._source)
        if found != self.count:
            raise DataError(
                self.what,
                f"{found:,} examples",
                f"{self.count:,}, as when training began",
                "give a source that stays as it is, or begin anew",
            )

    def _batch(self, at: Sequence[int]) -> Columns | None:
        """Columns of many items at once, where the source can; else None."""
        if self._table:
            return {n: np.asarray(x) for n, x in self._source[at].items()}
        many = getattr(self._source, "__getitems__", None)
        items = (
            [self._source[index] for index in at] if many is None else list(many(at))
        )
        found = [_columns_of(item) for item in items]
        if any(x is None or x.keys() != self.specs.keys() for x in found):
            return None
        return {n: np.stack([np.asarray(x[n]) for x in found if x]) for n in self.specs}

    def _fits(self, batch: Columns, count: int) -> bool:
        return batch.keys() == self.specs.keys() and all(
            array.shape == (count, *self.specs[name].shape)
            and array.dtype.kind == self.specs[name].dtype.kind
            for name, array in batch.items()
        )

    def _typed(self, batch: Columns) -> Columns:
        specs = self.specs
        return {n: x.astype(specs[n].dtype, copy=False) for n, x in batch.items()}

    def _item(self, index: int) -> Any:
        try:
            return self._source[index]
        except Exception as error:
            raise DataError(
                f"{self.what}, example {index}",
                f"{type(error).__name__}: {error}",
                "an item",
                "read it by hand, data[index], and look into it",
            ) from error

    def _checked(self, index: int, item: Any) -> Columns:
        """An item as arrays by name, compared with the first one."""
        place = f"{self.what}, example {index}"
        found = _columns_of(item)
        if found is None:
            raise DataError(
                place,
                brief(item),
                "arrays by name, or a pair (input, target)",
                "give every example in one form",
            )
        arrays = {name: np.asarray(value) for name, value in found.items()}
        for name, array in arrays.items():
            if array.dtype.kind not in "biuf":
                raise DataError(
                    f"{place}, array {name!r}",
                    f"values of type {array.dtype}",
                    "numbers",
                    "leave the array out, or turn it into numbers",
                )
        specs = getattr(self, "specs", None)
        if specs is not None:
            self._compare(place, arrays, specs)
        return arrays

    def _compare(self, place: str, arrays: Columns, specs: Specs) -> None:
        if arrays.keys() != specs.keys():
            raise DataError(
                place,
                f"the arrays {', '.join(arrays) or '(none)'}",
                f"{', '.join(specs)}, as in example 0",
                "give the same arrays in every example",
            )
        for name, array in arrays.items():
            spec = specs[name]
            if array.shape != spec.shape or array.dtype.kind != spec.dtype.kind:
                raise DataError(
                    f"{place}, array {name!r}",
                    f"{array.dtype} of shape {array.shape}",
                    f"{spec.dtype} of shape {spec.shape}, as in example 0",
                    "give all examples one shape and type, e.g. by padding",
                )


def _columns_of(item: Any) -> dict[str, Any] | None:
    """An item's arrays by name; a pair's are called "inputs" and "targets"."""
    if isinstance(item, Mapping):
        return dict(item)
    if isinstance(item, tuple | list) and len(item) == 2:
        return {"inputs": item[0], "targets": item[1]}
    return None
