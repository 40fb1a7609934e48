"""Inputs to predict for, from a file: .npy, .npz, or an image."""

import io
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

import capsjax as cj
from capsjax.graph.errors import listing
from capsjax.training.binding import given_inputs
from capsjax.training.data.split import DataError, check_memory, damaged, unit_interval

_IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
_ACCEPTED = "an .npy file, an .npz file, or an image such as a PNG"
_GRAY = (0.299, 0.587, 0.114)  # how bright red, green and blue are: ITU-R BT.601


def read_inputs(path: Path, net: cj.Network) -> dict[str, np.ndarray]:
    """Inputs by name, [N, ...]; runs no code in the file.

    Args:
        path: An .npz file of arrays by input name, or of one; an .npy file, or an
            image, for the first input. One example may be without its axis.
        net: The network.

    Raises:
        DataError: The file is damaged, or does not fit the network.
        OSError: It can't be read.
    """
    inputs = {each.name: each.shape for each in given_inputs(net)}
    first = next(iter(inputs))
    ending = path.suffix.lower()
    if ending in _IMAGES:
        image = _read_image(path)
        return {first: _as_pixels(path, image, inputs[first])[None]}
    if ending not in (".npy", ".npz"):
        raise DataError(path, f"the ending {ending!r}", _ACCEPTED, "convert the file")
    arrays = _read_arrays(path)
    if ending == ".npy" or (len(arrays) == 1 and not arrays.keys() & inputs.keys()):
        arrays = {first: next(iter(arrays.values()))}
    unknown = [name for name in arrays if name not in inputs]
    if unknown or not arrays:
        raise DataError(
            path,
            f"the arrays {listing(arrays) or '(none)'}",
            f"some of {listing(inputs)}",
            f"numpy.savez(path, {first}=...)",
        )
    found = {
        name: _fitted(
            f"{path}, array {name!r}", array, inputs[name], name in net.typed.integers
        )
        for name, array in arrays.items()
    }
    counts = {name: len(array) for name, array in found.items()}
    if len(set(counts.values())) > 1:
        raise DataError(
            path, f"{counts} examples", "as many of each input", "store them together"
        )
    return found


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays of a file, once it is known that they fit into memory."""
    try:
        if path.suffix.lower() == ".npy":
            check_memory(path, path.stat().st_size)
            return {"": _array(path.read_bytes())}
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            check_memory(path, sum(each.file_size for each in members))
            return {
                each.filename.removesuffix(".npy"): _array(archive.read(each))
                for each in members
            }
    except (DataError, OSError):
        raise
    # As for data sets: numpy's and zipfile's readers raise a dozen types.
    except Exception as error:
        found = f"a damaged file: {type(error).__name__}: {error}"
        raise damaged(path, found, "a whole file of NumPy arrays") from error


def _array(content: bytes) -> np.ndarray:
    """An array from the bytes of an .npy file, whose header must not promise more."""
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    header = np.lib.format.read_array_header_1_0
    if version != (1, 0):
        header = np.lib.format.read_array_header_2_0
    shape, _, dtype = header(file)
    if dtype.kind not in "biuf":
        raise TypeError(f"values of type {dtype}, where numbers are expected")
    if math.prod(shape) * dtype.itemsize != len(content) - file.tell():
        raise ValueError(f"a header of {shape} {dtype} and another number of bytes")
    file.seek(0)
    return np.lib.format.read_array(file, allow_pickle=False)


def _fitted(
    place: str, array: np.ndarray, shape: tuple[int, ...], integers: bool
) -> np.ndarray:
    """Examples of a declared shape: floats as they are, bytes divided by 255."""
    if integers:
        array = _whole_numbers(place, array)
    else:
        array = _floats(place, array)
    for whole in (array, array[None]):
        if whole.ndim and len(whole) and whole.shape[1:] == shape:
            return whole
        one_channel = shape[-1:] == (1,) and whole.shape[1:] == shape[:-1]
        row = len(shape) == 1 and math.prod(whole.shape[1:]) == shape[0]
        if whole.ndim > 1 and len(whole) and (one_channel or row):
            return whole.reshape(len(whole), *shape)
    raise DataError(
        place,
        f"an array of shape {array.shape}",
        f"examples of shape {shape}: [N, {', '.join(map(str, shape))}], or one alone",
        "reshape or resize it before it is stored",
    )


def _whole_numbers(place: str, array: np.ndarray) -> np.ndarray:
    if array.dtype.kind not in "iu":
        raise DataError(
            place,
            f"values of type {array.dtype}",
            "integers, as the input's capsules look them up",
            "store x.astype('int32')",
        )
    return array.astype(np.int32)


def _floats(place: str, array: np.ndarray) -> np.ndarray:
    if array.dtype == np.uint8:
        array = unit_interval(array)
    if array.dtype.kind != "f":
        raise DataError(
            place,
            f"values of type {array.dtype}",
            "floats, which are taken as they are, or uint8, which is divided by 255",
            "store x.astype('float32')",
        )
    return array.astype(np.float32, copy=False)


def _read_image(path: Path) -> np.ndarray:
    """An image with values in [0, 1], [H, W, channels]."""
    from matplotlib.image import imread

    try:
        image: Any = imread(path)
    except FileNotFoundError:
        raise
    # A damaged image makes the readers of formats raise a dozen types.
    except Exception as error:
        found = f"a damaged image: {type(error).__name__}: {error}"
        raise damaged(path, found, "a whole image") from error
    if image.dtype == np.uint8:
        image = unit_interval(image)
    if image.dtype.kind != "f":
        image = image / np.iinfo(image.dtype).max
    image = image.astype(np.float32)
    return image[..., None] if image.ndim == 2 else image


def _as_pixels(path: Path, image: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """An image with the channels of an input: gray of colors, or the other way round.

    What is see-through is dropped. The size must be that of the input: how to cut or
    to scale is not for us to know.
    """
    if image.shape[-1] in (2, 4):
        image = image[..., :-1]
    channels = shape[-1] if len(shape) == 3 else 1
    if channels == 1 and image.shape[-1] == 3:
        image = (image @ np.array(_GRAY, np.float32))[..., None]
    elif channels == 3 and image.shape[-1] == 1:
        image = np.repeat(image, 3, axis=-1)
    if image.shape == shape or (len(shape) < 3 and image.size == math.prod(shape)):
        return image.reshape(shape)
    height, width = image.shape[:2]
    raise DataError(
        path,
        f"an image of {height} rows and {width} columns",
        f"one that fits the input's shape, {shape}",
        "cut or scale it to that size",
    )
