"""The one place where the library itself calls `jax.jit`.

What XLA is told beside a program stands here, so that the training step, programs
compiled ahead of time and stored ones are all compiled alike.
"""

from collections.abc import Callable
from typing import Any

import jax

from capsjax.compiler.options import compiler_options


def jit(function: Callable[..., Any], **settings: Any) -> Any:
    """`jax.jit` with the compiler's options; never inside another `jax.jit`.

    Args:
        function: A pure function.
        settings: Further arguments of `jax.jit`.

    Returns:
        What `jax.jit` returns.
    """
    return jax.jit(function, compiler_options=compiler_options(), **settings)
