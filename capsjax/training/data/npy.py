"""Folders of `.npy` files, mapped into memory: read page by page as they are needed."""

import math
from pathlib import Path

import numpy as np

from capsjax.training.data.npz import as_targets
from capsjax.training.data.split import (
    ACCEPTED,
    Data,
    DataError,
    Named,
    Split,
    check_counts,
    damaged,
    empty,
    join,
)

_SPLITS = ("train", "test")
_NUMBERS = "biuf"


def holds_npy(folder: Path) -> bool:
    """Whether a folder is one of `.npy` files."""
    return bool(_files(folder) or _files(folder / "train"))


def map_folder(folder: Path) -> Data:
    """Maps the arrays of a folder into memory.

    Args:
        folder: Has `x_train.npy`, `y_train.npy`, `x_test.npy` and `y_test.npy`; or
            arrays by name in folders `train` and `test`; or arrays by name.

    Returns:
        The data, named as the folder. Labels alone are read; what is mapped is as it
        is stored, with an axis of channels added to images of bytes that have none.

    Raises:
        DataError: A file is missing, damaged, empty, not of numbers, or at odds with
            another.
    """
    name, files = folder.resolve().name, _files(folder)
    if not files:
        train, test = (_named(folder / split) for split in _SPLITS)
        return Data(name, train, test, None)
    if "x_train" not in files:
        return Data(name, _named(folder), None, None)
    wanted = [f"{kind}_{split}" for split in _SPLITS for kind in "xy"]
    if missing := [f"{each}.npy" for each in wanted if each not in files]:
        raise DataError(
            folder,
            f"no {', '.join(missing)} among {', '.join(f'{x}.npy' for x in files)}",
            f"{', '.join(f'{each}.npy' for each in wanted)}",
            f"put it there; what can be read is {ACCEPTED}",
        )
    return join(folder, name, *(_pair(files, split) for split in _SPLITS))


def _files(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in sorted(folder.glob("*.npy"))}


def _pair(files: dict[str, Path], split: str) -> Split:
    x, y = files[f"x_{split}"], files[f"y_{split}"]
    inputs, targets = _map(x), _map(y)
    check_counts(f"{x} and {y.name}", len(inputs), len(targets))
    if inputs.dtype == np.uint8 and inputs.ndim == 3:
        inputs = inputs[..., None]
    whole = targets.dtype.kind in "biu" and math.prod(targets.shape[1:]) == 1
    return Split(inputs, as_targets(str(y), np.array(targets)) if whole else targets)


def _named(folder: Path) -> Named | None:
    files = _files(folder)
    arrays = {name: _map(path) for name, path in files.items()}
    if not arrays:
        return None
    first, *rest = arrays
    for name in rest:
        if len(arrays[name]) != len(arrays[first]):
            raise DataError(
                folder,
                f"{len(arrays[first]):,} rows in {first}.npy and "
                f"{len(arrays[name]):,} in {name}.npy",
                "as many rows in all",
                "make the files from the same set",
            )
    return Named(arrays)


def _map(path: Path) -> np.memmap:
    """Maps a file; runs no code in it, and reads its header alone."""
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except OSError:
        raise
    # Anything else is a fault of the file: NumPy's parser of headers, which are Python
    # literals, raises a dozen types.
    except Exception as error:
        raise damaged(path, f"damaged: {error}", "a whole .npy file") from error
    if array.dtype.kind not in _NUMBERS:
        raise DataError(
            path,
            f"values of type {array.dtype}",
            "numbers",
            "store a plain array of floats, integers or bytes",
        )
    if 0 in array.shape or not array.shape:
        raise empty(path, array.shape)
    # A shorter file can not be mapped; a longer one is not as it was written, either.
    size, expected = path.stat().st_size, array.offset + array.nbytes
    if size != expected:
        raise damaged(path, f"{size:,} bytes", f"{expected:,}, as its header says")
    return array
