"""Normalize: mean 0 and standard deviation 1, channel by channel."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Self

import jax
import jax.numpy as jnp

from capsjax.compiler import Network
from capsjax.training.augment.kind import (
    Augmentation,
    Batch,
    pictures,
    register_augmentation,
)

Numbers = float | Sequence[float]


@register_augmentation("normalize")
class Normalize(Augmentation):
    """Brings images to the scale that networks learn best from.

        y = (x - mean) / std

    In training and in evaluation. Of a network's arrays it changes the inputs alone:
    what is reconstructed keeps its scale.

    Attributes:
        mean: One number, or one for each channel.
        std: The same; above zero.

    Example:
        >>> import jax, numpy as np
        >>> from capsjax.training import augment
        >>> batch = {"image": np.full((2, 4, 4, 1), 0.5, np.float32)}
        >>> out = augment.normalize(0.25, 0.5)(jax.random.key(0), batch, train=False)
        >>> float(out["image"].max())
        0.5
    """

    mean: Numbers = 0.0
    std: Numbers = 1.0

    def check(self) -> None:
        for name, low in (("mean", -math.inf), ("std", 0.0)):
            given: Any = getattr(self, name)
            values = given if isinstance(given, tuple) else (given,)
            if not values or not all(_is_number(x) and x > low for x in values):
                above = " above 0" if name == "std" else ""
                raise ValueError(
                    f"augmentation normalize, {name}: found {given!r}; expected a "
                    f"number{above}, or one for each channel"
                )

    def __call__(self, key: jax.Array, batch: Batch, train: bool) -> dict[str, Any]:
        # Rows can not be told from images flattened, and need no channels.
        if self.names:
            images = {name: batch[name] for name in self.names if name in batch}
        else:
            images = pictures(self, batch)
        if missing := [name for name in self.names if name not in images]:
            raise ValueError(
                f"augmentation {self}: found no {missing[0]!r} among "
                f"{', '.join(batch)}; expected it"
            )
        changed = {name: self._scaled(name, x) for name, x in images.items()}
        return {**batch, **changed}

    def _scaled(self, name: str, x: jax.Array) -> jax.Array:
        for values in (self.mean, self.std):
            if isinstance(values, tuple) and len(values) != x.shape[-1]:
                raise ValueError(
                    f"augmentation {self}: found {len(values)} numbers; expected one, "
                    f"or {x.shape[-1]}, as {name!r} has {x.shape[-1]} channels"
                )
        x = jnp.asarray(x)
        dtype = jnp.result_type(x.dtype, jnp.float32)
        mean, std = jnp.asarray(self.mean, dtype), jnp.asarray(self.std, dtype)
        return (x - mean) / std

    def of_network(self, net: Network) -> Self:
        if self.names:
            return super().of_network(net)
        images = [x.name for x in net.graph.inputs if len(x.shape) == 3]
        if not images:
            shapes = ", ".join(f"{x.name!r} {x.shape}" for x in net.graph.inputs)
            raise ValueError(
                f"augmentation {self}: found the inputs {shapes}; expected an image "
                "(H, W, C); cure: give names=..."
            )
        return dataclasses.replace(self, names=tuple(images))


def _is_number(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value)
