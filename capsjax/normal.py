"""Normal numbers for initial values, drawn by programs that are compiled quickly.

XLA on CPU takes 0.3 to 1.4 seconds to compile JAX's own for each shape, most of it in
LLVM; 0.2 at its first level of optimization, for the same bits (2 cores, jaxlib
0.10.2). A network of a few shapes spends most of its start-up there. What runs once
need not run well.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
from jax.core import Tracer

from capsjax.platform import platform

_QUICKLY = {"xla_backend_optimization_level": 1}


def normal(key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
    """`jax.random.normal(key, shape, dtype)`, bit by bit.

    Args:
        key: A random key.
        shape: Shape of the result.
        dtype: Its type.
    """
    if isinstance(key, Tracer) or platform() != "cpu":
        return jax.random.normal(key, shape, dtype)
    return _program(tuple(shape), jax.numpy.dtype(dtype))(key)


@functools.cache
def _program(shape: tuple[int, ...], dtype: Any) -> Callable[[jax.Array], jax.Array]:
    draw = functools.partial(jax.random.normal, shape=shape, dtype=dtype)
    return jax.jit(draw, compiler_options=_QUICKLY)
