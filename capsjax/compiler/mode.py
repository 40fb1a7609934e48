"""How a program is run: in training or inference, and with which keys."""

import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax

from capsjax.graph.typed import TypedCapsule, TypedEdge


class Mode(NamedTuple):
    """How a program is run.

    Attributes:
        train: Whether batch statistics are taken and capsule functions draw.
        key: A random key, of which each capsule that draws makes one of its own.
        numbers: What the keys of capsules in a run are made from, in place of names.
        settings: Traced settings that are given, by name.
        shares: The share of each example in the loss, [B]; None if all are alike.
    """

    train: bool = False
    key: Any = None
    numbers: Mapping[str, Any] = {}
    settings: Mapping[str, Any] = {}
    shares: Any = None

    def key_of(self, capsule: TypedCapsule) -> Any:
        """The capsule's own key, which depends on its name alone."""
        return self._of(capsule) if capsule.cap.draws else None

    def key_of_signal(self, capsule: TypedCapsule, edge: TypedEdge) -> Any:
        """The key of an edge's backward rule: of the capsule, and the edge's number."""
        own = self._of(capsule) if edge.backward.draws else None
        if own is None:
            return None
        number = [each.key for each in capsule.edges].index(edge.key)
        return jax.random.fold_in(jax.random.fold_in(own, zlib.crc32(b"edge")), number)

    def _of(self, capsule: TypedCapsule) -> Any:
        if self.key is None or not self.train:
            return None
        number = self.numbers.get(capsule.name)
        if number is None:
            number = zlib.crc32(capsule.name.encode())
        return jax.random.fold_in(self.key, number)


INFERENCE = Mode()
