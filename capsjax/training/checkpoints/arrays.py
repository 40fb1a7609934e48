"""Files of arrays: what one process holds of a carry, in safetensors.

A key is the name of an array, or `name@row,column` for a part of it that begins there.
Types that numpy and safetensors do not have in common stand as bytes, along one more
axis; the record of the checkpoint says which type it is.
"""

import hashlib
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import ml_dtypes
import numpy as np

from capsjax.graph.kinds import Shape
from capsjax.training.checkpoints.faults import Damaged
from capsjax.training.checkpoints.slots import Slot
from capsjax.training.checkpoints.snapshot import Snapshot

_NATIVE = {
    np.dtype(each)
    for each in (
        *("float64", "float32", "float16", "complex64", "bool"),
        *("int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8"),
        ml_dtypes.bfloat16,
    )
}
_CHUNK = 1 << 22


def file_name(process: int, processes: int) -> str:
    """What the file of a process is called."""
    return f"arrays-{process:05d}-of-{processes:05d}.safetensors"


def write_arrays(path: Path, found: Mapping[str, Slot], snapshot: Snapshot) -> None:
    """Writes what this process holds of a carry, down to the disk.

    Args:
        path: The file.
        found: The slots of the carry.
        snapshot: The carry.

    Raises:
        OSError: It can't be written.
    """
    import safetensors
    import safetensors.numpy

    tensors: dict[str, np.ndarray] = {}
    for name, slot in found.items():
        for start, array in _overlaps(slot, snapshot):
            whole = array.shape == slot.shape
            key = name if whole else f"{name}@{','.join(map(str, start))}"
            tensors[key] = _stored(array)
    try:
        safetensors.numpy.save_file(tensors, path)
    except safetensors.SafetensorError as error:
        raise _as_system_error(error, path) from error
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def _as_system_error(error: Exception, path: Path) -> OSError:
    """The library says the number of the system's error in its text alone."""
    number = str(error).rpartition("os error ")[2].rstrip(')" }')
    if number.isdigit():
        return OSError(int(number), os.strerror(int(number)), os.fspath(path))
    return OSError(str(error))


def _overlaps(
    slot: Slot, snapshot: Snapshot
) -> Iterator[tuple[tuple[int, ...], np.ndarray]]:
    """The parts of a slot that are here: where in the slot each begins, and it."""
    for part in snapshot.parts[slot.leaf]:
        bounds = []
        for at, size, first, last in zip(
            part.start, part.array.shape, slot.start, slot.stop, strict=True
        ):
            bounds.append((max(at, first), min(at + size, last), at, first, last))
        if any(b < a or (a == b and last > first) for a, b, _, first, last in bounds):
            continue
        array = part.array[tuple(slice(a - at, b - at) for a, b, at, *_ in bounds)]
        start = tuple(a - first for a, _, _, first, _ in bounds)
        if slot.stacked:
            array, start = array[0], start[1:]
        yield start, array


def _stored(array: np.ndarray) -> np.ndarray:
    array = np.ascontiguousarray(array).reshape(array.shape)  # it makes () to (1,)
    if array.dtype in _NATIVE:
        return array
    return array[..., None].view(np.uint8)


def stored_shape(shape: Shape, dtype: np.dtype) -> Shape:
    """The shape in which an array stands in a file."""
    return shape if dtype in _NATIVE else (*shape, dtype.itemsize)


def digest(path: Path) -> tuple[int, str]:
    """The size of a file and the SHA-256 of its content, in bounded memory."""
    total = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            total.update(chunk)
        return file.tell(), total.hexdigest()


def read_arrays(
    paths: list[Path], found: Mapping[str, Slot], into: Mapping[int, np.ndarray]
) -> None:
    """Reads the files of all processes into the leaves of a carry.

    Args:
        paths: The files.
        found: The slots of the carry: no more is read, and no other shape.
        into: The leaves by number; filled in.

    Raises:
        Damaged: A file is no sound one, or holds something else.
        OSError: A file can't be read.
    """
    import safetensors

    parts: dict[str, list[tuple[tuple[int, ...], Shape]]] = {}
    for path in paths:
        try:
            with safetensors.safe_open(path, framework="numpy") as file:
                for key in file.keys():
                    name, start = _parsed(key, found)
                    slot = found.get(name)
                    if slot is None:
                        raise Damaged(f"{path.name} holds {key[:200]!r}, not expected")
                    view = file.get_slice(key)
                    shape = tuple(view.get_shape())
                    if slot.dtype not in _NATIVE:
                        shape = shape[:-1]
                    _check(path, key, view, slot, start, shape)
                    array = file.get_tensor(key)
                    _fill(into[slot.leaf], slot, start, array, shape)
                    parts.setdefault(name, []).append((start, shape))
        except safetensors.SafetensorError as error:
            raise Damaged(f"{path.name}: {error}"[:500]) from None
    for name, slot in found.items():
        _check_whole(name, slot, parts.get(name, []))


def _parsed(key: str, found: Mapping[str, Slot]) -> tuple[str, tuple[int, ...]]:
    """The name of an array and where the part begins."""
    if key in found:
        return key, (0,) * len(found[key].shape)
    name, at, start = key.rpartition("@")
    numbers = start.split(",")
    if not at or not all(n.isascii() and n.isdigit() and len(n) < 20 for n in numbers):
        return key, ()
    return name, tuple(map(int, numbers))


def _check(path, key, view, slot: Slot, start, shape: Shape) -> None:
    """That a part lies within its slot and is stored as the slot's type is."""
    expected = stored_shape(shape, slot.dtype)
    inside = len(start) == len(shape) == len(slot.shape) and all(
        a + b <= c for a, b, c in zip(start, shape, slot.shape, strict=True)
    )
    code = _CODES.get(slot.dtype, "U8")
    if not inside or tuple(view.get_shape()) != expected or view.get_dtype() != code:
        raise Damaged(
            f"{path.name} holds {key[:200]!r} as {view.get_dtype()} of shape "
            f"{tuple(view.get_shape())}; expected a part of {slot.dtype} of shape "
            f"{slot.shape}"
        )


_CODES = {
    np.dtype(ml_dtypes.bfloat16): "BF16",
    np.dtype(bool): "BOOL",
    np.dtype(np.complex64): "C64",
} | {
    np.dtype(f"{kind}{bits}"): f"{code}{bits}"
    for kind, code in (("float", "F"), ("int", "I"), ("uint", "U"))
    for bits in (8, 16, 32, 64)
    if (kind, bits) != ("float", 8)
}


def _fill(leaf: np.ndarray, slot: Slot, start, array: np.ndarray, shape) -> None:
    if slot.dtype not in _NATIVE:
        array = np.ascontiguousarray(array).view(slot.dtype).reshape(shape)
    if slot.stacked:
        start, shape = (0, *start), (1, *shape)
        array = array[None]
    region = tuple(
        slice(first + a, first + a + b)
        for first, a, b in zip(slot.start, start, shape, strict=True)
    )
    leaf[region] = array


def _check_whole(name: str, slot: Slot, parts) -> None:
    """That the parts of an array cover it, each place once."""
    full = sum(math.prod(shape) for _, shape in parts) == math.prod(slot.shape)
    if len(parts) > 1 and full:  # as many as there are: all are covered, or some twice
        covered = np.zeros(slot.shape, bool)
        for start, shape in parts:
            ends = zip(start, shape, strict=True)
            covered[tuple(slice(a, a + b) for a, b in ends)] = True
        full = bool(covered.all())
    if not full or not parts:
        raise Damaged(f"the parts of {name!r} do not make up its shape {slot.shape}")
