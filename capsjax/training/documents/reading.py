"""From the text of a document, TOML or JSON, to plain data."""

import os
import re
import tomllib
from pathlib import Path
from typing import Any

from capsjax.graph import plain
from capsjax.graph.errors import Problem

MOST_BYTES = 2**24
"""Of a document: more can't be meant."""

_PART = r"""(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+"""
_DEEP_KEY = re.compile(rf"(?<![\w-]){_PART}(?:\.[ \t]*+{_PART}){{{plain.DEEPEST}}}")


class UnreadableError(ValueError):
    """A text is no document.

    Attributes:
        expected: What it should be.
    """

    def __init__(self, found: str, expected: str):
        super().__init__(found)
        self.expected = expected


def content_of(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a file, of one that is too large no more than show that it is.

    Raises:
        OSError: It can't be read.
    """
    with Path(path).open("rb") as file:
        return file.read(MOST_BYTES + 1)


def read(text: str | bytes, source: str) -> tuple[Any, str, list[Problem]]:
    """The plain data of a document.

    Args:
        text: The document, TOML or JSON, or its bytes in UTF-8.
        source: The file it comes from: its ending decides. If that is neither .toml
            nor .json, the text is JSON if it begins with "{".

    Returns:
        The data, the text, and problems with keys of JSON that stand twice in one
        object.

    Raises:
        UnreadableError: It is neither; says why and where.
    """
    kind = Path(source).suffix.lower().removeprefix(".").upper()
    try:
        if len(text) > MOST_BYTES:
            raise ValueError(f"more than {MOST_BYTES // 2**20} MiB")
        whole = plain.decoded(text) if isinstance(text, bytes) else text
        if kind not in ("TOML", "JSON"):
            kind = "JSON" if whole.lstrip().startswith("{") else "TOML"
        if kind == "JSON":
            return plain.read(whole)
        if not whole.strip():
            raise ValueError("nothing: the document is empty")
        if _DEEP_KEY.search(whole):  # its reader's time grows with their square
            raise ValueError(f"a key of more than {plain.DEEPEST} parts")
        return tomllib.loads(whole), whole, []
    except RecursionError:
        found = "lists or tables nested too deeply"
    except ValueError as error:
        found = str(error).partition("; use sys.")[0][:200]
    raise UnreadableError(found, kind if kind in ("TOML", "JSON") else "TOML or JSON")


def position(document: Any, path: tuple[Any, ...]) -> list[int]:
    """Where a place stands in the document; keys that are missing, behind others."""
    found, value = [], document
    for step in path:
        if isinstance(value, dict):
            keys = list(value)
            found.append(keys.index(step) if step in value else len(keys))
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int):
            found.append(step)
            value = value[step] if step < len(value) else None
        else:
            break
    return found
