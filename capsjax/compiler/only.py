"""Some of what a network can tell: only what is asked for is computed.

The function that tells all is traced, and gives out what is asked for. What nothing
that is given out depends on, JAX leaves out of the program, inside of loops as well:
gradients of weights, signals below those that are asked for, capsules that stand behind
them, and stacks of arrays of a run's copies.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal

import jax

from capsjax.graph.errors import brief, listing, nearest

if TYPE_CHECKING:
    from capsjax.compiler.network import Network

Method = Literal["deltas", "activations"]


def asked_for(net: Network, only: Iterable[str]) -> tuple[str, ...]:
    """The names that are asked for, each once.

    Raises:
        ValueError: Some are unknown, with the nearest known ones; or it is no list.
    """
    if isinstance(only, str):
        raise ValueError(f"found only={only!r}; expected names, such as [{only!r}]")
    names = tuple(dict.fromkeys(only))
    unknown = [name for name in names if name not in net.shapes]
    if unknown:
        found = listing(map(brief, unknown))
        known = f"expected some of {listing(net.shapes)}"
        raise ValueError(
            f"network {net.graph.name!r}: found only= with {found}, no such capsule; "
            f"{nearest(unknown[0], net.shapes, known)}"
        )
    return names


class Only:
    """A network's functions that tell some of all, each traced once."""

    def __init__(self, net: Network):
        self._net = net
        self._compiled = functools.cache(self._compile)

    def __call__(
        self,
        method: Method,
        only: Iterable[str],
        params: Any,
        state: Any,
        batch: Any,
        train: bool,
        key: Any,
        settings: Any,
        **more: Any,
    ) -> dict[str, Any]:
        """What a method of the network gives, of some capsules.

        Args:
            method: Its name.
            only: Names of the capsules.
            params: Parameters.
            state: State.
            batch: Inputs, and targets, by name.
            train: Whether capsule functions that differ in training do so.
            key: Random key for capsule functions that draw.
            settings: Traced settings by name, or None.
            more: What else the method takes.

        Raises:
            ValueError: As for the method; or a capsule is unknown.
        """
        names = asked_for(self._net, only)
        some = self._compiled(method, names, train)
        return some(params, state, batch, key, settings, more)

    def _compile(
        self, method: Method, names: tuple[str, ...], train: bool
    ) -> Callable[..., dict[str, Any]]:
        tell = getattr(self._net, method)

        def some(
            params: Any, state: Any, batch: Any, key: Any, settings: Any, more: Any
        ) -> dict[str, Any]:
            given = {"train": train, "key": key, "settings": settings, **more}
            found = tell(params, state, batch, **given)
            for name in names:
                if name not in found:
                    raise ValueError(
                        f"network {self._net.graph.name!r}: found only= with {name!r}, "
                        "which no output needs; expected a capsule that leads to one"
                    )
            return {name: found[name] for name in names}

        return jax.jit(some)
