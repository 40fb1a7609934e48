"""Faults of a run configuration in words of their own, with their places."""

from typing import Any

from capsjax.graph.errors import Path, Problem, brief, format_path
from capsjax.training.configuration.form import KEYS, TABLES
from capsjax.training.documents.faults import DocumentError


class RunConfigurationError(DocumentError):
    """Everything that is wrong with a run configuration, collected and raised once.

    Attributes:
        problems: The faults as data, in the order of the document.
        source: The file it was read from, if it was.
    """

    noun = "run configuration"


def place_of(path: Path) -> str:
    """A path for a reader: the key, and the place within."""
    if not path:
        return "the document"
    first, rest = f"key {brief(path[0])}", path[1:]
    if path[0] == "augment" and rest and isinstance(rest[0], int):
        first, rest = f"augmentation number {rest[0] + 1}", rest[1:]
    return ", ".join([first, *([format_path(rest)] if rest else [])])


def fault(path: Path, found: str, expected: str, cure: str, /) -> Problem:
    """A fault at a place of the document."""
    return Problem(path, place_of(path), found, expected, cure)


def known_keys(document: Any, path: Path) -> tuple[str, ...]:
    """The keys that may stand where an unknown one was found."""
    return KEYS if len(path) == 1 else tuple(TABLES[str(path[0])].model_fields)


def own_words(document: Any, path: Path, error: Any) -> Problem | None:
    """A fault that pydantic found in words of runs; None for the common ones."""
    if error["type"] == "missing" and path == ("mesh", "axes"):
        cure = "add it, such as axes = { data = -1 }"
        return fault(path, "no key 'axes'", "the key 'axes'", cure)
    if error["type"] == "too_short" and path == ("mesh", "axes"):
        return fault(path, "no axis", "one axis at least", "add data = -1")
    return None
