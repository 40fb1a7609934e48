"""Augmentations that move pictures: shift, crop, flip.

Each example is moved by its own offsets with one slice of its padded picture. Of what
was measured for 128 images of 28x28 (and of 32x32x3, 96x96x3, 224x224x3) on CPU,

    a batched dynamic slice                  90 us
    gathering every pixel by its place      105 us
    choosing among all shifts by `where`    305 us to 1,040 us, by what XLA fuses
    products with one-hot matrices          882 us

the first is the quickest at every size, or within an eighth of it, and the simplest.
"""

import math
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp

from capsjax.training.augment.kind import (
    Augmentation,
    Batch,
    pictures,
    put_back,
    register_augmentation,
    require_number,
)

Fill = Literal["constant", "edge", "reflect", "symmetric", "wrap"]


@register_augmentation("shift")
class Shift(Augmentation):
    """Moves each image by up to some pixels, down or up and right or left.

        y[i, j] = x[i - d, j - e],   d, e uniform in -pixels .. pixels

    where x is zero outside. One pair of offsets an example: all its images move alike.

    Attributes:
        pixels: The furthest that an image is moved along an axis.

    Example:
        >>> import jax, numpy as np
        >>> from capsjax.training import augment
        >>> batch = {"image": np.ones((8, 28, 28, 1), np.float32)}
        >>> moved = augment.shift(2)(jax.random.key(0), batch, train=True)
        >>> moved["image"].shape, bool(moved["image"].sum() < batch["image"].sum())
        ((8, 28, 28, 1), True)

    Source:
        S. Sabour, N. Frosst and G. Hinton, Dynamic routing between capsules (2017),
        section 5: shifted by up to 2 pixels in each direction with zero padding.
    """

    pixels: int = 2

    def check(self) -> None:
        require_number(self, "pixels", 0, math.inf, whole=True)

    def __call__(self, key: jax.Array, batch: Batch, train: bool) -> dict[str, Any]:
        images = pictures(self, batch)
        return (
            _moved(key, batch, images, self.pixels, "constant") if train else {**batch}
        )


@register_augmentation("crop")
class Crop(Augmentation):
    """Pads each image and cuts a window of its old size out, at a random place.

    With `fill="constant"`, zeros, it is the same as `shift`; other fills leave no dark
    borders.

    Attributes:
        padding: Pixels that are added on each side.
        fill: What they hold, as `jnp.pad` calls it: "reflect", "edge", "symmetric",
            "wrap", or "constant" for zeros.

    Example:
        >>> import jax, numpy as np
        >>> from capsjax.training import augment
        >>> batch = {"image": np.ones((8, 32, 32, 3), np.float32)}
        >>> cut = augment.crop(4)(jax.random.key(0), batch, train=True)
        >>> float(cut["image"].min())
        1.0
    """

    padding: int = 4
    fill: Fill = "reflect"

    def check(self) -> None:
        require_number(self, "padding", 0, math.inf, whole=True)
        if self.fill not in get_args(Fill):
            raise ValueError(
                f"augmentation crop, fill: found {self.fill!r}; expected one of "
                f"{', '.join(get_args(Fill))}"
            )

    def __call__(self, key: jax.Array, batch: Batch, train: bool) -> dict[str, Any]:
        images = pictures(self, batch)
        return (
            _moved(key, batch, images, self.padding, self.fill) if train else {**batch}
        )


@register_augmentation("flip")
class Flip(Augmentation):
    """Mirrors each image, left to right, with some probability.

    Attributes:
        probability: How often.

    Example:
        >>> import jax, numpy as np
        >>> from capsjax.training import augment
        >>> batch = {"image": np.arange(4.0).reshape(1, 1, 4, 1)}
        >>> flipped = augment.flip(1.0)(jax.random.key(0), batch, train=True)
        >>> flipped["image"].ravel().tolist()
        [3.0, 2.0, 1.0, 0.0]
    """

    probability: float = 0.5

    def check(self) -> None:
        require_number(self, "probability", 0, 1)

    def __call__(self, key: jax.Array, batch: Batch, train: bool) -> dict[str, Any]:
        images = pictures(self, batch)
        if not train:
            return {**batch}
        size = next(iter(images.values())).shape[0]
        turned = jax.random.bernoulli(key, self.probability, (size, 1, 1, 1))
        return put_back(
            batch, {n: jnp.where(turned, x[:, :, ::-1], x) for n, x in images.items()}
        )


def _moved(
    key: jax.Array, batch: Batch, images: Batch, reach: int, fill: Fill
) -> dict[str, Any]:
    """Each example's images, cut out of their padded ones at one random place."""
    size = next(iter(images.values())).shape[0]
    starts = jax.random.randint(key, (size, 2), 0, 2 * reach + 1)
    margin = (reach, reach)

    def one(start: jax.Array, padded: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        return jax.lax.dynamic_slice(padded, (*start, 0), shape)

    changed = {}
    for name, x in images.items():
        padded = jnp.pad(jnp.asarray(x), ((0, 0), margin, margin, (0, 0)), mode=fill)
        cut = jax.vmap(lambda s, p, shape=x.shape[1:]: one(s, p, shape))
        changed[name] = cut(starts, padded)
    return put_back(batch, changed)
