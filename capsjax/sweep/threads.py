"""Threads that compute as the thread does that starts them.

JAX keeps what `with jax.enable_x64(True):` and its like say for each thread by itself.
"""

import contextlib
from collections.abc import Callable
from typing import Any

import jax


def as_here(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, for another thread, under the settings of JAX of this one."""
    config: Any = jax.config
    wide = config.jax_enable_x64
    precision = config.jax_default_matmul_precision
    device = config.jax_default_device

    def run(*arguments: Any) -> Any:
        with contextlib.ExitStack() as stack:
            stack.enter_context(jax.enable_x64(wide))
            stack.enter_context(jax.default_matmul_precision(precision))
            stack.enter_context(jax.default_device(device))
            return function(*arguments)

    return run
