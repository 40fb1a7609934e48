"""What an augmentation is: a record in a table, and which arrays it changes."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, Self, TypeVar

import jax

from capsjax.compiler import Network
from capsjax.graph.kinds import Kind, Registry

Batch = Mapping[str, Any]


class Augmentation(Kind):
    """Base of every augmentation. A subclass becomes a frozen dataclass by itself.

    Attributes:
        names: The arrays that it changes. Empty: all that it suits.
    """

    names: tuple[str, ...] = dataclasses.field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.names, str):
            object.__setattr__(self, "names", (self.names,))
        self.check()

    def check(self) -> None:
        """Raises `ValueError` where a setting is out of range."""

    def __call__(self, key: jax.Array, batch: Batch, train: bool) -> dict[str, Any]:
        """The batch, changed.

        Args:
            key: A random key.
            batch: Arrays by name, examples along the first axis.
            train: Whether it is a training step.

        Returns:
            Arrays of the same names and shapes.

        Raises:
            ValueError: It suits no array, or a named one is missing or does not suit.
        """
        raise TypeError(f"{type(self).__name__} declares no __call__")

    def of_network(self, net: Network) -> Self:
        """The same with what it takes from a network filled in.

        Raises:
            ValueError: A name is none of the network's inputs and outputs.
        """
        known = [each.name for each in net.graph.inputs]
        known += [name for name, _ in net.graph.losses]
        for name in self.names:
            if name not in known:
                raise ValueError(
                    f"augmentation {self}: found the name {name!r}; expected some of "
                    f"{', '.join(known)}, the inputs and outputs of network "
                    f"{net.graph.name!r}"
                )
        return self

    def document(self) -> dict[str, Any]:
        """The declaration, as plain data."""
        return {"kind": self.kind, **_plain(self.settings())}


AUGMENTATIONS: Registry[Augmentation] = Registry("augmentation")

A = TypeVar("A", bound=Augmentation)


def register_augmentation(kind: str) -> Callable[[type[A]], type[A]]:
    """A class decorator that enters an augmentation under the name `kind`.

    Raises:
        ValueError: The name is no identifier, or another record has it already.

    Example:
        >>> @register_augmentation("doctest_invert")
        ... class Invert(Augmentation):
        ...     def __call__(self, key, batch, train):
        ...         return {**batch, "image": 1 - batch["image"]}
        >>> print(Invert())
        doctest_invert
    """

    def enter(cls: type[A]) -> type[A]:
        AUGMENTATIONS.register(kind)(cls)
        return cls

    return enter


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, tuple) else value


def pictures(augmentation: Augmentation, batch: Batch) -> dict[str, jax.Array]:
    """The images of a batch by name, [B, H, W, C].

    Arrays of rank 4; and rows of as many numbers as an image has, which are images
    flattened, as the targets of a reconstruction by dense layers are.

    Raises:
        ValueError: There is none, or a named array is missing or no image.
    """
    names = augmentation.names or batch
    chosen = {name: batch[name] for name in names if name in batch}
    images = {name: x for name, x in chosen.items() if x.ndim == 4}
    if images:
        shape = next(iter(images.values())).shape[1:]
        images |= {
            name: x.reshape(x.shape[0], *shape)
            for name, x in chosen.items()
            if x.shape[1:] == (math.prod(shape),)
        }
    missing = [name for name in augmentation.names if name not in images]
    if missing or not images:
        shapes = ", ".join(f"{name!r} {x.shape}" for name, x in batch.items())
        raise ValueError(
            f"augmentation {augmentation}: found {shapes}; expected images "
            f"[B, H, W, C]{f' as {missing[0]!r}' if missing else ''}; cure: give "
            "names=..., or leave the augmentation out"
        )
    return images


def put_back(batch: Batch, changed: Batch) -> dict[str, Any]:
    """The batch with changed arrays, in the shapes that they had."""
    return {**batch, **{n: x.reshape(batch[n].shape) for n, x in changed.items()}}


def require_number(
    augmentation: Augmentation, name: str, low: float, high: float, whole: bool = False
) -> None:
    """Raises `ValueError` unless a setting is a number in a range."""
    value: Any = getattr(augmentation, name)
    types = int if whole else int | float
    fits = isinstance(value, types) and not isinstance(value, bool)
    if not fits or not low <= value <= high:
        what = "a whole number" if whole else "a number"
        span = f"of at least {low}" if high == math.inf else f"from {low} to {high}"
        raise ValueError(
            f"augmentation {augmentation.kind}, {name}: found {value!r}; expected "
            f"{what} {span}"
        )
