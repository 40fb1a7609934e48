"""Mixup: examples that lie between two."""

import dataclasses
import functools
import math
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np

from capsjax.compiler import Network
from capsjax.training.augment.kind import (
    Augmentation,
    Batch,
    register_augmentation,
    require_number,
)

_QUANTILES = 4096


@functools.lru_cache(maxsize=64)
def _quantiles(alpha: float) -> np.ndarray:
    """Values of Beta(alpha, alpha) that part it into pieces of one probability."""
    from scipy.special import betaincinv  # here: few runs mix examples

    middles = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
    return betaincinv(alpha, alpha, middles).astype(np.float32)


@register_augmentation("mixup")
class Mixup(Augmentation):
    """Mixes each example with another one of the batch, inputs and targets alike.

        y = m x + (1 - m) x',   m from Beta(alpha, alpha)

    Labels become one-hot rows first, so targets are shares of classes. Each example
    has its own m; its partner x' is that of a random permutation of the batch. m is one
    of 4,096 quantiles of the distribution, each as likely: `jax.random.beta` takes
    seconds to compile.

    Attributes:
        alpha: Above zero: the larger, the nearer are shares to one half.
        classes: Names of targets that are labels, and their numbers of classes:
            `(("digit", 10),)`. `of_network` fills it in.

    Example:
        >>> import jax, numpy as np
        >>> from capsjax.training import augment
        >>> batch = {"x": np.eye(3), "y": np.arange(3)}
        >>> mix = augment.mixup(0.4, classes=(("y", 3),))
        >>> mixed = mix(jax.random.key(0), batch, train=True)
        >>> bool(np.allclose(mixed["x"], mixed["y"], atol=1e-6))
        True

    Source:
        H. Zhang et al., mixup: Beyond empirical risk minimization (2018).
    """

    alpha: float = 0.2
    classes: tuple[tuple[str, int], ...] = dataclasses.field(default=(), kw_only=True)

    def check(self) -> None:
        require_number(self, "alpha", 0, math.inf)
        if not 0 < self.alpha < math.inf:
            raise ValueError(
                f"augmentation mixup, alpha: found {self.alpha!r}; expected a number "
                "above 0"
            )

    def __call__(self, key: jax.Array, batch: Batch, train: bool) -> dict[str, Any]:
        names = self.names or tuple(batch)
        if missing := [name for name in names if name not in batch]:
            raise ValueError(
                f"augmentation {self}: found no {missing[0]!r} among "
                f"{', '.join(batch)}; expected it"
            )
        if not train:
            return {**batch}
        arrays = {name: self._real(name, batch[name]) for name in names}
        size = next(iter(arrays.values())).shape[0]
        partners, shares = jax.random.split(key)
        partner = jax.random.permutation(partners, size)
        quantiles = jnp.asarray(_quantiles(self.alpha))
        share = quantiles[jax.random.randint(shares, (size,), 0, len(quantiles))]

        def mixed(x: jax.Array) -> jax.Array:
            m = share.astype(x.dtype).reshape(size, *[1] * (x.ndim - 1))
            return m * x + (1 - m) * x[partner]

        return {**batch, **{name: mixed(x) for name, x in arrays.items()}}

    def _real(self, name: str, x: jax.Array) -> jax.Array:
        x = jnp.asarray(x)
        if not jnp.issubdtype(x.dtype, jnp.integer):
            return x
        classes = dict(self.classes).get(name)
        if classes is None:
            raise ValueError(
                f"augmentation {self}: found whole numbers as {name!r}; expected what "
                "can be mixed; cure: give its number of classes, "
                f"classes=(({name!r}, 10),), or the names of other arrays"
            )
        return jax.nn.one_hot(x, classes, dtype=jnp.float32)

    def of_network(self, net: Network) -> Self:
        own = super().of_network(net)
        classes: list[tuple[str, int]] = []
        for name, loss in net.graph.losses:
            has_classes: bool = getattr(loss, "classes", False)
            if has_classes:
                classes.append((name, net.shapes[name].output[-1]))
        return dataclasses.replace(own, classes=own.classes or tuple(classes))
