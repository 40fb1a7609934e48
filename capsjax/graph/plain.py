"""JSON text to plain data and back, with the exact places of what is not JSON.

Refused although Python's `json` lets it pass: keys that stand twice in one object,
lone surrogates, NaN and infinities, bytes that are not UTF-8.
"""

import json
import math
from collections import Counter
from typing import Any

from capsjax.graph.errors import Path, Problem, brief, format_path

DEEPEST = 150
_WIDTH = 120
MOST_DIGITS = 3600  # Python itself reads and writes 4300


def read(text: str | bytes) -> tuple[Any, str, list[Problem]]:
    """Reads JSON.

    Args:
        text: The text, or its bytes in UTF-8.

    Returns:
        The data, the text as it was read, and problems with keys that stand twice
        (the last one was taken, as JSON readers do).

    Raises:
        ValueError: It is no JSON; says why and where.
    """
    if isinstance(text, bytes):
        text = decoded(text)
    if not text.strip():
        raise ValueError("nothing: the document is empty")
    twice: list[tuple[dict[str, Any], list[tuple[str, Any]]]] = []

    def make_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) < len(pairs):
            twice.append((made, pairs))
        return made

    try:
        document = json.loads(text, object_pairs_hook=make_object)
    except RecursionError:
        raise ValueError("lists or objects nested too deeply") from None
    except ValueError as error:
        raise ValueError(str(error).partition("; use sys.")[0]) from None
    return document, text, _repeated_keys(document, twice) if twice else []


def decoded(content: bytes) -> str:
    """Text in UTF-8.

    Raises:
        ValueError: It is something else; says where.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        byte = content[error.start]
        raise ValueError(
            f"byte 0x{byte:02x} at position {error.start}, which is not UTF-8"
        ) from None


def _repeated_keys(document: Any, twice: list[Any]) -> list[Problem]:
    places = {id(made): None for made, _ in twice}
    problems = []
    stack: list[tuple[Path, Any]] = [((), document)]
    pairs_of = {id(made): pairs for made, pairs in twice}
    while stack:
        path, value = stack.pop()
        if id(value) in places:
            counts = Counter(key for key, _ in pairs_of[id(value)])
            problems += [
                Problem(
                    (*path, key),
                    f"key {brief(key)}",
                    f"it stands {count} times in one object",
                    "each key once",
                    "remove all but one: the others would be lost silently",
                )
                for key, count in counts.items()
                if count > 1
            ]
        stack += [((*path, step), inner) for step, inner in _children(value)]
    return problems


def write(document: Any) -> str:
    """The JSON text of plain data; numpy's numbers and arrays count as plain.

    Raises:
        TypeError: Something in it is no JSON data.
        ValueError: NaN, an infinity, a circle.
        RecursionError: It is nested too deeply.
    """
    return json.dumps(document, allow_nan=False, default=_as_list)


def pretty(value: Any, indent: int = 0, used: int = 0) -> str:
    """JSON text for people: what fits on a line stands on one line.

    Args:
        value: Plain data.
        indent: How far the lines of the value are indented.
        used: How much of its first line is used already.
    """
    text = json.dumps(value, ensure_ascii=False)
    fits = indent + used + len(text) < _WIDTH
    if fits or not value or not isinstance(value, dict | list):
        return text
    if isinstance(value, dict):
        names = [f"{json.dumps(key, ensure_ascii=False)}: " for key in value]
        inner = value.values()
        opening, closing = "{}"
    else:
        names, inner = [""] * len(value), value
        opening, closing = "[]"
    parts = [
        name + pretty(each, indent + 2, len(name))
        for name, each in zip(names, inner, strict=True)
    ]
    start = "\n" + " " * (indent + 2)
    return f"{opening}{start}{f',{start}'.join(parts)}\n{' ' * indent}{closing}"


def _as_list(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is no JSON data")


def clean(document: Any) -> tuple[Any, list[Problem]]:
    """A copy in which null stands for all that is no JSON, and where that was."""
    problems: list[Problem] = []
    return _clean(document, (), problems), problems


def _clean(value: Any, path: Path, problems: list[Problem]) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        expected = _flaw(value)
    elif len(path) > DEEPEST:
        expected = f"lists and objects nested at most {DEEPEST} deep"
    elif isinstance(value, dict):
        return {
            key: _clean(inner, (*path, key), problems)
            for key, inner in value.items()
            if _is_sound_key(key, path, problems)
        }
    elif isinstance(value, list | tuple):
        return [_clean(inner, (*path, i), problems) for i, inner in enumerate(value)]
    elif hasattr(value, "tolist"):
        try:
            return _clean(value.tolist(), path, problems)
        except Exception:  # traced and deleted arrays have no values
            expected = "JSON data"
    else:
        expected = "JSON data: an object, a list, text, a number, true, false or null"
    if expected:
        place = format_path(path) if path else "the document"
        cure = "replace the value"
        problems.append(Problem(path, place, brief(value), expected, cure))
        return None
    return value


def _flaw(value: Any) -> str:
    """What should stand in the place of a number or a text; empty if it is sound."""
    if isinstance(value, float) and not math.isfinite(value):
        return "a finite number"
    if isinstance(value, int) and value.bit_length() > 12_000:
        return f"an integer of at most {MOST_DIGITS} digits"
    if isinstance(value, str) and not _is_unicode(value):
        return "text in Unicode, without halves of surrogate pairs"
    return ""


def _is_sound_key(key: Any, path: Path, problems: list[Problem]) -> bool:
    if isinstance(key, str) and _is_unicode(key):
        return True
    expected = "keys that are text in Unicode"
    place = f"key {brief(key)}"
    problems.append(Problem(path, place, brief(key), expected, "rename the key"))
    return False


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _children(value: Any) -> list[tuple[Any, Any]]:
    if isinstance(value, dict):
        return list(value.items())
    return list(enumerate(value)) if isinstance(value, list) else []
