"""The one place where the library itself calls `jax.jit`.

What XLA is told beside a program stands here, so that the training step, programs
compiled ahead of time and stored ones are all compiled alike.
"""

from collections.abc import Callable
from typing import Any

import jax


def compiler_options() -> dict[str, bool | int | str] | None:
    """XLA's options on this platform; None leaves XLA's own."""
    return None


def jit(function: Callable[..., Any], **settings: Any) -> Any:
    """`jax.jit` with the compiler's options.

    Args:
        function: A pure function.
        settings: Further arguments of `jax.jit`.

    Returns:
        What `jax.jit` returns.
    """
    return jax.jit(function, compiler_options=compiler_options(), **settings)
