"""How what is declared or compiled shows itself in a notebook, without knowing how.

Pictures belong to `capsjax.view`, which no logic imports. `import capsjax` says here
what makes them, and that is first imported when a notebook asks.
"""

from collections.abc import Callable
from typing import Any

_makers: list[Callable[[Any], dict[str, Any]]] = []


def show_by(maker: Callable[[Any], dict[str, Any]]) -> None:
    """Says what makes the contents by media type that a notebook shows."""
    _makers[:] = [maker]


class Shown:
    """Shows itself in a notebook by what `show_by` was given."""

    __slots__ = ()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        return _makers[0](self) if _makers else {"text/plain": repr(self)}
