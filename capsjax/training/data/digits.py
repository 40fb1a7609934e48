"""Scikit-learn's handwritten digits: real images that need no download."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

from capsjax.training.data.split import Data, Split, join


def read_digits() -> Data:
    """Reads the 1,797 digits: float32 `[N, 8, 8, 1]` in [0, 1], labels 0 to 9.

    Within each class every fifth example, in the order of the file, is a test
    example. No random numbers: their streams may change between versions.

    Returns:
        1,442 examples to learn from and 355 to judge by.
    """
    pixels, labels = _table()
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


def _table() -> tuple[np.ndarray, np.ndarray]:
    """Pixels and labels, from scikit-learn's file where it is in its usual place.

    Importing scikit-learn would take longer than all else before the first step.
    """
    spec = importlib.util.find_spec("sklearn")
    for folder in (spec and spec.submodule_search_locations) or ():
        path = Path(folder, "datasets", "data", "digits.csv.gz")
        if path.exists():
            table = np.loadtxt(path, delimiter=",", dtype=np.int32)
            return table[:, :-1], table[:, -1]
    from sklearn.datasets import load_digits

    loaded: Any = load_digits()
    return loaded.data, loaded.target
