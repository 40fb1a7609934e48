"""What can be wrong with a checkpoint, said once."""

import os
from typing import Any


class Damaged(Exception):
    """A checkpoint is no whole one: it is skipped, and the one before it used."""


def refusal(place: str, found: str, expected: str, cure: str) -> str:
    """A message with a place and a cure, as all of the library's are."""
    found, expected = f"found:    {found}", f"expected: {expected}"
    return "\n    ".join((place, found, expected, f"cure:     {cure}"))


def writing_failed(error: BaseException, folder: Any, kept: str) -> OSError:
    """The error of a checkpoint that could not be written.

    Args:
        error: What happened.
        folder: The folder of the checkpoints.
        kept: What can be gone on from, in words.

    Returns:
        An error of the class that belongs to the number of the system's error.
    """
    number = getattr(error, "errno", None)
    reason = os.strerror(number) if number else f"{type(error).__name__}: {error}"
    text = refusal(
        f"the checkpoint can't be written to {os.fspath(folder)}",
        reason[:500],
        "a folder that can be written to, with space for one more checkpoint",
        f"make space, or the folder writable; {kept}",
    )
    return OSError(number, text) if number else OSError(text)
