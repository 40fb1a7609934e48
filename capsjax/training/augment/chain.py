"""Chain: augmentations one after another."""

from typing import Any, Self

import jax

from capsjax.compiler import Network
from capsjax.training.augment.kind import Augmentation, Batch, register_augmentation


@register_augmentation("chain")
class Chain(Augmentation):
    """Several augmentations, each with a random key of its own.

    Attributes:
        steps: In the order in which they are applied.

    Example:
        >>> from capsjax.training import augment
        >>> augment.chain(augment.shift(2), augment.flip()).document()
        {'kind': 'chain', 'steps': [{'kind': 'shift'}, {'kind': 'flip'}]}
    """

    steps: tuple[Augmentation, ...] = ()

    def __init__(self, *steps: Augmentation):
        object.__setattr__(self, "names", ())
        object.__setattr__(self, "steps", steps)
        for step in steps:
            if not isinstance(step, Augmentation):
                raise TypeError(
                    f"augmentation chain: found {type(step).__name__}; expected "
                    "augmentations, such as cj.augment.shift(2)"
                )

    def __call__(self, key: jax.Array, batch: Batch, train: bool) -> dict[str, Any]:
        changed = dict(batch)
        for number, step in enumerate(self.steps):
            changed = step(jax.random.fold_in(key, number), changed, train)
        return changed

    def of_network(self, net: Network) -> Self:
        return type(self)(*(step.of_network(net) for step in self.steps))

    def document(self) -> dict[str, Any]:
        return {"kind": self.kind, "steps": [step.document() for step in self.steps]}

    def __str__(self) -> str:
        return f"chain({', '.join(map(str, self.steps))})"
