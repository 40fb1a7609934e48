"""Documents as text and as files. Nothing in a document is ever executed."""

import gc
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from capsjax.graph import plain
from capsjax.graph.declaration import Graph
from capsjax.graph.document import judge, to_document
from capsjax.graph.errors import GraphError, Problem
from capsjax.graph.files import write_atomically


def save(graph: Graph, path: str | os.PathLike[str]) -> None:
    """Writes a graph as a JSON document, atomically.

    Args:
        graph: The graph.
        path: The file; an existing one is replaced only by a whole new one.

    Raises:
        OSError: The file can't be written.
    """
    text = json.dumps(to_document(graph), indent=2, ensure_ascii=False)
    write_atomically(path, (text + "\n").encode())


def load(path: str | os.PathLike[str]) -> Graph:
    """Reads a graph from a JSON document. Runs no code that the document names.

    Args:
        path: The file, JSON in UTF-8.

    Returns:
        The graph.

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


def parse(text: str | bytes, source: str = "") -> Graph:
    """Reads a graph from the text of a JSON document.

    Args:
        text: The document, or its bytes in UTF-8.
        source: The file it comes from, for messages.

    Returns:
        The graph.

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
