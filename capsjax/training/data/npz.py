"""Data sets in one `.npz` file, as Keras stores them."""

import math
import zipfile
from pathlib import Path

import numpy as np

from capsjax.training.data.split import (
    ACCEPTED,
    Data,
    DataError,
    Split,
    check_counts,
    check_memory,
    damaged,
    empty,
    join,
    unit_interval,
)

_ARRAYS = ("x_train", "y_train", "x_test", "y_test")


def read_npz(path: Path) -> Data:
    """Reads `x_train`, `y_train`, `x_test` and `y_test`; runs no code in the file.

    Args:
        path: A zip archive of NumPy arrays.

    Returns:
        The data, named as the file.

    Raises:
        DataError: The file is no archive, is damaged, lacks an array, or holds one
            that is empty, not of numbers, or at odds with another.
    """
    if not zipfile.is_zipfile(path):
        raise DataError(
            path,
            "a file that is not a zip archive",
            ACCEPTED,
            "save arrays with numpy.savez; for idx files give their folder",
        )
    arrays = _read_arrays(path)
    splits = []
    for name in ("train", "test"):
        inputs = _inputs(_place(path, f"x_{name}"), arrays[f"x_{name}"])
        targets = as_targets(_place(path, f"y_{name}"), arrays[f"y_{name}"])
        place = f"{path}, arrays 'x_{name}' and 'y_{name}'"
        check_counts(place, len(inputs), len(targets))
        splits.append(Split(inputs, targets))
    return join(path, path.resolve().stem, *splits)


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = _members(path, archive)
            check_memory(path, sum(_check(path, archive, m) for m in members.values()))
            return {n: _read_array(archive, m) for n, m in members.items()}
    except (DataError, OSError):
        raise
    # Anything else is a fault of the file. It cannot be narrower: zipfile, zlib and
    # NumPy's parser of headers, which are Python literals, raise a dozen types.
    except Exception as error:
        found = f"damaged archive: {type(error).__name__}: {error}"
        raise damaged(path, found, "a whole file") from error


def _members(path: Path, archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    found = {i.filename.removesuffix(".npy"): i for i in archive.infolist()}
    if missing := [name for name in _ARRAYS if name not in found]:
        raise DataError(
            path,
            f"no {', '.join(missing)} among {', '.join(sorted(found)) or 'nothing'}",
            f"the arrays {', '.join(_ARRAYS)}",
            "numpy.savez(path, x_train=..., y_train=..., x_test=..., y_test=...)",
        )
    return {name: found[name] for name in _ARRAYS}


def _check(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> int:
    """Judges an array by its header; returns the bytes it needs with a float copy."""
    place = _place(path, member.filename.removesuffix(".npy"))
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        # A third version exists only for records with names beyond Latin-1, which
        # the second one's reader refuses as it should.
        if version == (1, 0):
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        else:
            shape, _, dtype = np.lib.format.read_array_header_2_0(file)
        size = member.file_size - file.tell()
    if dtype.kind not in "biuf":
        raise DataError(
            place,
            "Python objects" if dtype.hasobject else f"values of type {dtype}",
            "numbers; objects are never unpickled, because unpickling runs code",
            "store a plain array of floats, integers or bytes",
        )
    if 0 in shape or not shape:
        raise empty(place, shape)
    count = math.prod(shape)
    if min(shape) < 0 or count * dtype.itemsize != size:
        expected = f"{shape} of {dtype} = {count * dtype.itemsize:,} bytes"
        raise damaged(place, f"{size:,} bytes of values", expected)
    return count * (dtype.itemsize + 4)


def _read_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(member) as file:
        array = np.lib.format.read_array(file, allow_pickle=False)
        file.read(1)  # reaching the end makes zipfile compare its checksum
    return array


def _inputs(place: str, inputs: np.ndarray) -> np.ndarray:
    if inputs.dtype == np.uint8:
        scaled = unit_interval(inputs)
        return scaled[..., None] if inputs.ndim == 3 else scaled
    if inputs.dtype.kind != "f":
        raise DataError(
            place,
            f"inputs of type {inputs.dtype}",
            "uint8, which is divided by 255, or floats, which are taken as they are",
            "store x.astype('uint8') or x.astype('float32')",
        )
    return inputs.astype(np.float32, copy=False)


def as_targets(place: str, targets: np.ndarray) -> np.ndarray:
    """Labels as int32 where targets are labels, else float32.

    Raises:
        DataError: Labels are negative, or beyond int32.
    """
    whole = targets.dtype.kind in "biu"
    if whole and targets.ndim == 2 and targets.shape[1] == 1:
        targets = targets[:, 0]  # as Keras stores the labels of CIFAR
    if not whole or targets.ndim > 1:
        return targets.astype(np.float32, copy=False)
    lowest, highest = int(targets.min()), int(targets.max())
    if lowest < 0 or highest >= 2**31 - 1:
        raise DataError(
            place,
            f"labels from {lowest} to {highest}",
            f"labels from 0 to {2**31 - 2}",
            "number the classes 0, 1, 2, ...",
        )
    return targets.astype(np.int32)


def _place(path: Path, name: str) -> str:
    return f"{path}, array {name!r}"
