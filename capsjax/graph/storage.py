"""Documents as text and as files. Nothing in a document is ever executed.

A document is a capsule graph's unless it has the key of another form of declaration,
which the part of the library that knows it enters in `FORMS`.
"""

import dataclasses
import gc
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from capsjax.graph import plain
from capsjax.graph.declaration import Graph
from capsjax.graph.document import canonical, judge, to_document
from capsjax.graph.errors import GraphError, Problem
from capsjax.graph.files import write_atomically


@dataclasses.dataclass(frozen=True)
class Form:
    """How declarations that are no `Graph` are written.

    Attributes:
        types: The classes of the declarations.
        write: `write(declaration, path)` returns the text of the document for the
            file `path`, and writes before what stands in files beside it.
        read: `read(document, problems, source)` returns the declaration. Given what
            is known to be wrong already and the file it was read from, if it was;
            raises `GraphError`.
        content: The bytes of what a declaration means, for its content hash.
    """

    types: tuple[type, ...]
    write: Callable[[Any, Path], str]
    read: Callable[[dict[str, Any], list[Problem], str], Any]
    content: Callable[[Any], Iterator[bytes]]


FORMS: dict[str, Form] = {}
"""Further forms, each by the key that only its documents have at the top."""


def save(graph: Any, path: str | os.PathLike[str]) -> None:
    """Writes a declaration as a JSON document, atomically.

    Args:
        graph: The graph; or a neural network, or a model of one, whose arrays of more
            than 1,000 connections stand in a safetensors file beside the document.
        path: The file; an existing one is replaced only by a whole new one.

    Raises:
        TypeError: It is no declaration.
        OSError: The file can't be written.
    """
    form = _form(graph)
    if form is None:
        text = plain.pretty(to_document(graph))
    else:
        text = form.write(graph, Path(path))
    write_atomically(path, (text + "\n").encode())


def content_hash(graph: Any) -> str:
    """SHA-256 of what a declaration means, as hexadecimal digits; notes don't count.

    Args:
        graph: The graph; or a neural network, or a model of one.

    Returns:
        64 hexadecimal digits; equal graphs have equal hashes. The hash of a neural
        network also fixes the order of its nodes and connections, in which its
        arrays of data and of parameters stand.

    Raises:
        TypeError: It is no declaration.

    Example:
        >>> import capsjax as cj
        >>> len(cj.content_hash(cj.zoo.graph("lenet-5")))
        64
    """
    form = _form(graph)
    digest = hashlib.sha256(canonical(graph).encode() if form is None else b"")
    for part in () if form is None else form.content(graph):
        digest.update(part)
    return digest.hexdigest()


def _form(declaration: Any) -> Form | None:
    """The form in which a declaration is written; None for a graph's."""
    if isinstance(declaration, Graph):
        return None
    for form in FORMS.values():
        if isinstance(declaration, form.types):
            return form
    known = [
        "Graph",
        *(each.__name__ for form in FORMS.values() for each in form.types),
    ]
    raise TypeError(
        f"expected a declaration ({', '.join(known)}), not "
        f"{type(declaration).__name__}; of a compiled network take net.graph"
    )


def load(path: str | os.PathLike[str]) -> Any:
    """Reads a declaration from a JSON document. Runs no code that the document names.

    Args:
        path: The file, JSON in UTF-8.

    Returns:
        The graph; or the model of a neural network, if the document has the key
        "neurons".

    Raises:
        GraphError: Everything that is wrong with the document, at once.
        OSError: The file can't be read.

    Example:
        >>> import os, tempfile, capsjax as cj
        >>> path = os.path.join(tempfile.mkdtemp(), "lenet-5.json")
        >>> cj.save(cj.zoo.graph("lenet-5"), path)
        >>> cj.load(path) == cj.zoo.graph("lenet-5")
        True
    """
    return parse(Path(path).read_bytes(), os.fspath(path))


def parse(text: str | bytes, source: str = "") -> Any:
    """Reads a declaration from the text of a JSON document.

    Args:
        text: The document, or its bytes in UTF-8.
        source: The file it comes from, for messages and for files beside it.

    Returns:
        The graph, or the model of a neural network.

    Raises:
        GraphError: Everything that is wrong with the document, at once.
    """
    with _without_collection():
        try:
            document, text, problems = plain.read(text)
        except ValueError as error:
            cure = "correct the document at this place"
            problem = Problem((), "the document", str(error)[:200], "JSON", cure)
            raise GraphError(source or "document", [problem]) from None
        keys = document if isinstance(document, dict) else {}
        for key, form in FORMS.items():
            if key in keys and "capsules" not in keys:
                return form.read(document, problems, source)
        return judge(document, text, problems, source)


@contextmanager
def _without_collection() -> Iterator[None]:
    """Keeps the garbage collector from walking a growing heap of live data.

    A document makes no circles: there is nothing to collect.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
