"""The platform for which kernels are chosen: this process's, or every one."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import jax

_PORTABLE = ContextVar("portable", default=False)


def platform() -> str:
    """JAX's name of the platform, such as "cpu"; "any" while `portable` is in force."""
    return "any" if _PORTABLE.get() else jax.default_backend()


@contextmanager
def portable() -> Iterator[None]:
    """What is traced meanwhile uses JAX's own kernels alone.

    These run on every platform, and take a batch whose size is not known.
    """
    token = _PORTABLE.set(True)
    try:
        yield
    finally:
        _PORTABLE.reset(token)
