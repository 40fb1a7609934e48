"""Augmentation: pure functions inside the training step, declared as plain data.

    augmentation = augment.chain(augment.shift(2), augment.normalize(0.13, 0.31))
    batch = augmentation(key, batch, train=True)

A batch is a table of arrays by the names of the network's inputs and outputs, examples
along the first axis. Each example draws its own numbers; arrays of one example, such as
an image and its reconstruction's target, are moved alike. In evaluation only
`normalize` does something. In documents an augmentation is a table, or a list of them:

    {"kind": "shift", "pixels": 2}
"""

from capsjax.training.augment.chain import Chain as chain
from capsjax.training.augment.declared import augmentation_of
from capsjax.training.augment.kind import (
    AUGMENTATIONS,
    Augmentation,
    register_augmentation,
)
from capsjax.training.augment.mixup import Mixup as mixup
from capsjax.training.augment.normalize import Normalize as normalize
from capsjax.training.augment.pictures import Crop as crop
from capsjax.training.augment.pictures import Flip as flip
from capsjax.training.augment.pictures import Shift as shift

__all__ = [
    "AUGMENTATIONS",
    "Augmentation",
    "augmentation_of",
    "chain",
    "crop",
    "flip",
    "mixup",
    "normalize",
    "register_augmentation",
    "shift",
]
