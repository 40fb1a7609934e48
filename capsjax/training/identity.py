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
    """A hash of all arrays of a data set."""
    if data is None:
        return ""
    arrays = data
    if not isinstance(data, Mapping):
        arrays = {"inputs": data.inputs, "targets": data.targets}
    found = hashlib.blake2b(digest_size=16)
    for name, array in sorted(arrays.items()):
        array = np.ascontiguousarray(array)
        found.update(f"{name} {array.dtype} {array.shape}".encode())
        found.update(array.data)
    return found.hexdigest()


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
