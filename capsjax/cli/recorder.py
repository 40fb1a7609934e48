"""A recorder of some steps of a run, for `capsjax train --profile`."""

import contextlib
from pathlib import Path
from typing import Any

import jax

import capsjax as cj

_FIRST, _LAST = 5, 25
"""The steps that are recorded: behind the first ones, which compile and warm up."""


class Recorder:
    """Records some steps as a trace; called after each of them.

    Args:
        folder: Where the trace is written.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._stack = contextlib.ExitStack()
        self._begun: int | None = None

    def __call__(self, step: int, params: Any, state: Any) -> None:
        """Begins and ends recording."""
        self._begun = step if self._begun is None else self._begun
        taken = step - self._begun
        if taken == _FIRST:
            jax.block_until_ready(params)
            self._stack.enter_context(cj.profiled(self._folder))
        elif taken == _LAST:
            jax.block_until_ready(params)
            self._stack.close()

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()
