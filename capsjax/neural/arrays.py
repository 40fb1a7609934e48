"""The arrays of a neural network in a safetensors file beside its document."""

import hashlib
import os
import stat
from pathlib import Path
from typing import Any

import numpy as np

from capsjax.graph.errors import Problem, brief, listing
from capsjax.graph.files import write_atomically
from capsjax.graph.memory import gibibytes

DTYPES = {
    "sources": np.dtype("<i4"),
    "targets": np.dtype("<i4"),
    "activation_of": np.dtype("<i4"),
    "weights": np.dtype("<f8"),
    "biases": np.dtype("<f8"),
}
"""What a file may hold, and as what it is written."""

REQUIRED = ("sources", "targets")

_INTEGERS = ("I32", "I64")
_FLOATS = ("F32", "F64")
_PATH = ("neurons", "arrays")


def write(arrays: dict[str, np.ndarray], document: Path) -> str:
    """Writes arrays beside a document, in a file that is named by what it holds.

    A document that is written anew never finds its old arrays overwritten: they keep
    their name, and may be deleted once no document names them.

    Returns:
        The file's name.
    """
    import safetensors.numpy

    content = safetensors.numpy.save(
        {
            name: np.ascontiguousarray(each, DTYPES[name])
            for name, each in arrays.items()
        }
    )
    digest = hashlib.sha256(content).hexdigest()[:16]
    name = f"{document.stem}-{digest}.safetensors"
    write_atomically(document.parent / name, content)
    return name


def read(name: Any, source: str) -> tuple[dict[str, np.ndarray], list[Problem]]:
    """Reads the arrays that a document names; judges them by their header first.

    Args:
        name: The file's name, as the document has it.
        source: The document's file; empty, if it was read from none.

    Returns:
        The arrays, and what is wrong with them; no arrays if anything is.
    """
    problem = _judge_name(name, source)
    if problem is not None:
        return {}, [problem]
    import safetensors

    path = Path(source).parent / name
    try:
        # A link could lead out of the folder, a pipe would be waited for.
        if not stat.S_ISREG(os.lstat(path).st_mode):
            return {}, [_problem(name, "a link, a folder or a device", *_COPY)]
        with safetensors.safe_open(path, framework="numpy") as file:
            slices = {key: file.get_slice(key) for key in file.keys()}
            problems = _judge_header(name, slices, os.path.getsize(path))
            if problems:
                return {}, problems
            return {key: file.get_tensor(key) for key in slices}, []
    except FileNotFoundError:
        found, cure = "no such file", "copy it too: it belongs to the document"
        where = f"the file {name!r} in the folder of the document"
        return {}, [_problem(name, found, where, cure)]
    except (OSError, safetensors.SafetensorError) as error:
        return {}, [_problem(name, str(error)[:200], *_COPY)]


_COPY = ("a whole safetensors file", "copy or save it again, as cj.save wrote it")


def _judge_name(name: Any, source: str) -> Problem | None:
    plain = isinstance(name, str) and not set(name) & set("/\\:\0") and len(name) < 256
    if not plain or not name.endswith(".safetensors") or name.startswith("."):
        expected = "the plain name of a .safetensors file in the folder of the document"
        cure = "put the file beside the document and write its name without a folder"
        return _problem(name, brief(name), expected, cure)
    if not source:
        found = f"the file {name!r}, beside a document that was read from no file"
        return _problem(name, found, "a document in a file", "read it by cj.load(path)")
    return None


def _judge_header(name: str, slices: dict[str, Any], size: int) -> list[Problem]:
    """What is wrong with arrays by their names, types and axes, before reading any."""
    import psutil  # here: reading the machine's state takes a while

    available = psutil.virtual_memory().available
    if size > available:
        found, most = f"{gibibytes(size)} of arrays", gibibytes(available)
        expected = f"at most the {most} of memory now available"
        return [_problem(name, found, expected, "a smaller network, or more memory")]
    known = listing(DTYPES)
    problems = [
        _problem(name, f"an array {brief(key)}", f"among {known}", "remove it")
        for key in slices
        if key not in DTYPES
    ]
    problems += [
        _problem(name, f"no array {key!r}", f"the array {key!r}", "add it")
        for key in REQUIRED
        if key not in slices
    ]
    for key, each in slices.items():
        dtype, shape = each.get_dtype(), tuple(each.get_shape())
        types = _FLOATS if key in ("weights", "biases") else _INTEGERS
        if key in DTYPES and (dtype not in types or len(shape) != 1):
            found = f"{key!r} as {dtype} of shape {shape}"
            expected = f"{' or '.join(types)}, in one row"
            cure = "save the array with that type and one axis"
            problems.append(_problem(name, found, expected, cure))
    return problems


def _problem(name: Any, found: str, expected: str, cure: str) -> Problem:
    return Problem(_PATH, f"arrays in {brief(name)}", found, expected, cure)
