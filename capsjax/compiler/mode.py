"""How a program is run: in training or inference, and with which keys."""

import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax

from capsjax.graph.typed import TypedCapsule


class Mode(NamedTuple):
    """How a program is run.

    Attributes:
        train: Whether batch statistics are taken and capsule functions draw.
        key: A random key, of which each capsule that draws makes one of its own.
        numbers: What the keys of capsules in a run are made from, in place of names.
    """

    train: bool = False
    key: Any = None
    numbers: Mapping[str, Any] = {}

    def key_of(self, capsule: TypedCapsule) -> Any:
        """The capsule's own key, which depends on its name alone."""
        if self.key is None or not self.train or not capsule.cap.draws:
            return None
        number = self.numbers.get(capsule.name)
        if number is None:
            number = zlib.crc32(capsule.name.encode())
        return jax.random.fold_in(self.key, number)


INFERENCE = Mode()
