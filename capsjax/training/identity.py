"""What a piece of work is, so that it goes on only as what it was begun as."""

import hashlib
import inspect
import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from capsjax.graph.errors import brief


def digest(part: Any) -> str:
    """A hash of plain data."""
    text = json.dumps(part, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def code_of(make: Any) -> str:
    """The text of a function, as far as it can be told."""
    try:
        return inspect.getsource(getattr(make, "func", make))
    except (OSError, TypeError):
        return getattr(make, "__qualname__", type(make).__name__)


def fingerprint(data: Any) -> str:
    """A hash of a data set: of all its values, or of some where it is large.

    Of arrays that are mapped from a file or take more than 4 GiB, and of sources of
    items, a hundred examples are read, evenly spread.

    Args:
        data: None; arrays by name; what has `inputs` and `targets`, or `arrays`; or a
            source of items by index.
    """
    if data is None:
        return ""
    found = hashlib.blake2b(digest_size=16)
    arrays = getattr(data, "arrays", data)
    if hasattr(data, "inputs"):
        arrays = {"inputs": data.inputs, "targets": data.targets}
    if isinstance(arrays, Mapping):
        for name, array in sorted(arrays.items()):
            array = np.asanyarray(array)
            found.update(f"{name} {array.dtype} {array.shape}".encode())
            large = isinstance(array, np.memmap) or array.nbytes > _LARGE
            rows = array[_spread(len(array))] if large else array
            found.update(np.ascontiguousarray(rows).data)
        return found.hexdigest()
    found.update(str(len(data)).encode())
    for index in _spread(len(data)):
        item = data[int(index)]
        parts = item.values() if isinstance(item, Mapping) else item
        for part in parts:
            found.update(np.ascontiguousarray(part).data)
    return found.hexdigest()


_LARGE = 2**32


def _spread(count: int) -> np.ndarray:
    return np.unique(np.linspace(0, count - 1, 100).astype(int))


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """In what two identities differ, part by part, in words.

    Args:
        there: What was begun.
        here: What is to go on.
    """
    return [
        _difference(part, there.get(part), here.get(part))
        for part in dict.fromkeys([*here, *there])
        if there.get(part) != here.get(part)
    ]


def _difference(part: str, there: Any, here: Any) -> str:
    """How they differ in a part: with both values, where they tell something."""
    if all(
        isinstance(x, str) and re.fullmatch("[0-9a-f]{16,}", x) for x in (there, here)
    ):
        return f"other {part}"
    return f"{part} {brief(there)} there, {brief(here)} here"
