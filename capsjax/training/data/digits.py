"""Scikit-learn's handwritten digits: real images that need no download."""

import numpy as np

from capsjax.training.data.split import Data, Split, join


def read_digits() -> Data:
    """Reads the 1,797 digits: float32 `[N, 8, 8, 1]` in [0, 1], labels 0 to 9.

    Within each class every fifth example, in the order of the file, is a test
    example. No random numbers: their streams may change between versions.

    Returns:
        1,442 examples to learn from and 355 to judge by.
    """
    # Here and not above: scikit-learn takes longer to import than all of capsjax.
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    # Pixels are whole numbers from 0 to 16, so this is exact in float32.
    inputs = np.asarray(pixels, np.float32).reshape(-1, 8, 8, 1) / 16
    targets = np.asarray(labels, np.int32)
    test = np.zeros(len(targets), bool)
    for label in range(10):
        test[np.flatnonzero(targets == label)[4::5]] = True
    return join(
        "digits",
        "digits",
        Split(inputs[~test], targets[~test]),
        Split(inputs[test], targets[test]),
    )
