"""A recorder of some steps of a run, for `capsjax train --profile`."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

import capsjax as cj
from capsjax.compiler.jit import jit

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
        self._programs: list[Any] = []

    def compiled(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Compiles a function as training does, and keeps what names its operations.

        The program of the first call is compiled once more for that: JAX does not
        show the one that it runs.
        """
        run = jit(function, donate_argnums=0)
        seen: list[None] = []

        def call(*arguments: Any) -> Any:
            if not seen:
                seen.append(None)
                self._programs.append(run.lower(*arguments).compile())
            return run(*arguments)

        return call

    def __call__(self, step: int, params: Any, state: Any) -> None:
        """Begins and ends recording."""
        self._begun = step if self._begun is None else self._begun
        taken = step - self._begun
        if taken == _FIRST:
            jax.block_until_ready(params)
            trace = self._stack.enter_context(cj.profiled(self._folder))
            for program in self._programs:
                trace.names(program)
        elif taken == _LAST:
            jax.block_until_ready(params)
            self._stack.close()

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()
