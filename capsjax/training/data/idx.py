"""Folders of idx files, the format of MNIST.

An idx file is two zero bytes, the type of its values (8: unsigned byte), its rank,
each dimension as a big-endian 32-bit integer, and then the values.
"""

import contextlib
import gzip
import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

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

_RANKS = {"images": 3, "labels": 1}
_GZIP_MAGIC = b"\x1f\x8b"
_File = IO[bytes] | gzip.GzipFile


def read_folder(folder: Path) -> Data:
    """Reads the four files of a folder as images `[N, H, W, 1]` and labels `[N]`.

    Args:
        folder: Holds images and labels of the sets `train` and `t10k`.

    Returns:
        The data, named as the folder.

    Raises:
        DataError: A file is missing, damaged, empty or at odds with another.
    """
    # All four are found before the first is read: a missing one is told at once.
    found = [[_find(folder, s, kind) for kind in _RANKS] for s in ("train", "t10k")]
    train, test = (_read_split(images, labels) for images, labels in found)
    return join(folder, folder.resolve().name, train, test)


def _find(folder: Path, split: str, kind: str) -> Path:
    stem, ending = f"{split}-{kind}", f"idx{_RANKS[kind]}-ubyte"
    for name in (f"{stem}-{ending}", f"{stem}.{ending}"):  # both are in use
        for candidate in (folder / name, folder / f"{name}.gz"):
            if candidate.is_file():
                return candidate
    names = sorted(p.name for p in folder.iterdir())
    shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
    raise DataError(
        folder,
        f"no {stem}-{ending} among {shown}" if names else "an empty folder",
        f"{stem}-{ending} or {stem}-{ending}.gz",
        f"put it there; what can be read is {ACCEPTED}",
    )


def _read_split(images: Path, labels: Path) -> Split:
    inputs, targets = _read(images, "images"), _read(labels, "labels")
    check_counts(f"{images} and {labels.name}", len(inputs), len(targets))
    return Split(unit_interval(inputs)[..., None], targets.astype(np.int32))


def _read(path: Path, kind: str) -> np.ndarray:
    """Reads a file, never more of it than its header promises and one byte."""
    with _open(path) as (file, packed):
        shape = _read_shape(file, path, kind)
        count = math.prod(shape)
        expected = f"{' x '.join(map(str, shape))} = {count:,} bytes after the header"
        # Gzip tells its size only at its end, where a bomb has gone off already.
        if not packed and (size := path.stat().st_size - file.tell()) != count:
            raise damaged(path, f"{size:,} bytes after the header", expected)
        check_memory(path, 5 * count)  # as bytes, and as float32 or int32
        values = np.empty(count, np.uint8)
        read = _read_into(file, values.data)
        if read < count:
            raise damaged(path, f"only {read:,} bytes after the header", expected)
        # Reaching the end also makes gzip compare its checksum.
        if file.read(1):
            raise damaged(path, f"more than {count:,} bytes", expected)
    return values.reshape(shape)


@contextlib.contextmanager
def _open(path: Path) -> Iterator[tuple[_File, bool]]:
    """Opens a file, gzipped or not whatever its name: browsers unpack silently."""
    with open(path, "rb") as file:
        packed = file.read(2) == _GZIP_MAGIC
        file.seek(0)
        if not packed:
            yield file, False
            return
        try:
            with gzip.GzipFile(fileobj=file) as unpacked:
                yield unpacked, True
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise damaged(path, f"damaged gzip: {error}", "a whole file") from error


def _read_shape(file: _File, path: Path, kind: str) -> tuple[int, ...]:
    rank = _RANKS[kind]
    header = file.read(4 + 4 * rank)
    magic = bytes((0, 0, 8, rank))
    if header[:4] != magic:
        raise DataError(
            path,
            f"it begins with the bytes {header[:4].hex(' ') or '(none)'}",
            f"{magic.hex(' ')}, which is {kind} of unsigned bytes, rank {rank}",
            "check that images and labels are not swapped, or fetch the file again",
        )
    if len(header) < 4 + 4 * rank:
        found = f"it ends in its header, after {len(header)} bytes"
        raise damaged(path, found, f"a header of {4 + 4 * rank} bytes")
    shape = struct.unpack(f">{rank}I", header[4:])
    if 0 in shape:
        raise empty(path, shape)
    return shape


def _read_into(file: _File, view: memoryview) -> int:
    read = 0
    # In pieces: gzip answers a large request by allocating as much once more.
    while chunk := file.read(min(len(view) - read, 1 << 20)):
        view[read : read + len(chunk)] = chunk
        read += len(chunk)
    return read
