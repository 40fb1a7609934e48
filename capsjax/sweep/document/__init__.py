"""A sweep as a document, TOML or JSON: all that `cj.sweep` takes as plain data.

    format_version = 1
    epochs = 10
    seeds = 3
    samples = 16
    optimizer = { kind = "adamw", weight_decay = 1e-4 }
    search = { kind = "halving", eta = 3 }

    [over]
    learning_rate = { log = [1e-4, 1e-1], count = 8 }    # or linear: a grid
    "drop.rate" = { uniform = [0.0, 0.5] }               # or log_uniform: drawn
    "c1.features" = { integers = [8, 64] }               # or log_integers
    "c1.cap" = { choice = ["relu", "tanh"] }
    batch_size = [16, 32]                                # a list, or { values = [...] }
    b1 = { values = [0.8, 0.9], when = { batch_size = 16 } }

    [[zip]]                                              # swept together
    initial_scale = [0.5, 1.0]
    b2 = [0.99, 0.999]

axis_form, form    the types of the document
faults             what is wrong with them, in words of sweeps
checks             what types can't say

What all documents have in common stands in `capsjax.training.documents`. Loading runs
no code. All that is wrong is said at once.
"""

import dataclasses
import os
from typing import Any

from capsjax.compiler import Precision
from capsjax.sweep.document.checks import checked
from capsjax.sweep.document.faults import SweepError as SweepError
from capsjax.sweep.document.faults import fault, known_keys, own_words, place_of
from capsjax.sweep.document.form import KEYS, Sweep
from capsjax.sweep.space import space_of
from capsjax.training.documents.faults import Dialect, parsed
from capsjax.training.documents.reading import content_of

_CHOICES = ("seeds", "keep", "strategy", "memory_limit")
_SWEEP = Dialect(
    form=Sweep,
    error=SweepError,
    place_of=place_of,
    known=known_keys,
    own_words=own_words,
    checks=checked,
    forms_at={
        "over": (2,),
        **dict.fromkeys(("search", "optimizer", *_CHOICES), (1,)),
    },
)

_AS_THEY_ARE = tuple(
    key
    for key in KEYS
    if key not in ("format_version", "over", "zip", "dtype", "search")
)


@dataclasses.dataclass(frozen=True)
class SweepDocument:
    """A sweep as it was declared; read by `cj.load_sweep`.

    Attributes:
        form: What the document says, key by key.
        source: The file it was read from, if it was.
        text: The document itself.
    """

    form: Sweep = dataclasses.field(repr=False)
    source: str
    text: str = dataclasses.field(repr=False)

    @property
    def over(self) -> dict[Any, Any]:
        """The axes, as `cj.sweep` takes them."""
        over = {
            name: each if isinstance(each, list) else each.axis()
            for name, each in self.form.over.items()
        }
        return over | {tuple(each.columns): each.axis() for each in self.form.zip}

    def arguments(self) -> dict[str, Any]:
        """What `cj.sweep(graph, data, **arguments)` takes: what is declared, no more.

        Raises:
            ValueError: It asks for float64, and JAX's 64-bit mode is off.

        Example:
            >>> import capsjax as cj
            >>> text = "format_version = 1\\nsteps = 90\\nover.b1 = [0.8, 0.9]"
            >>> cj.parse_sweep(text).arguments()
            {'over': {'b1': [0.8, 0.9]}, 'steps': 90}
        """
        given = {key: getattr(self.form, key) for key in _AS_THEY_ARE}
        found = {key: each for key, each in given.items() if each is not None}
        if self.form.dtype is not None:
            found["precision"] = Precision(self.form.dtype)
        search = self.form.made_search()
        if search is not None:
            found["search"] = search
        return {"over": self.over, **found}

    @staticmethod
    def json_schema() -> dict[str, Any]:
        """The JSON Schema of the document.

        Example:
            >>> import capsjax as cj
            >>> cj.SweepDocument.json_schema()["required"]
            ['format_version']
        """
        return Sweep.model_json_schema()


def load_sweep(path: str | os.PathLike[str]) -> SweepDocument:
    """Reads a sweep from a document, TOML or JSON. Runs no code.

    Args:
        path: The file, in UTF-8. One that ends in neither .toml nor .json is JSON if
            it begins with "{".

    Returns:
        The document: `cj.sweep(graph, data, **document.arguments())`.

    Raises:
        SweepError: Everything that is wrong with the document, at once.
        OSError: The file can't be read.

    Example:
        >>> import pathlib, tempfile, capsjax as cj
        >>> path = pathlib.Path(tempfile.mkdtemp(), "sweep.toml")
        >>> text = 'format_version = 1\\nover."c1.features" = [8, 16]'
        >>> _ = path.write_text(text)
        >>> cj.load_sweep(path).over
        {'c1.features': [8, 16]}
    """
    return parse_sweep(content_of(path), os.fspath(path))


def parse_sweep(text: str | bytes, source: str = "") -> SweepDocument:
    """Reads a sweep from the text of a document.

    Args:
        text: The document, TOML or JSON, or its bytes in UTF-8.
        source: The file it comes from: for messages, and for its ending.

    Returns:
        The document.

    Raises:
        SweepError: Everything that is wrong with the document, at once.

    Example:
        >>> import capsjax as cj
        >>> cj.parse_sweep("format_version = 1\\nover.b1.log = [0.1, 0.9]")
        Traceback (most recent call last):
          ...
        capsjax.sweep.document.faults.SweepError: sweep has 1 problem:
        1. axis 'b1', count (over.b1.count)
            found:    no key 'count'
            expected: the key 'count'
            cure:     add it: how many values, both ends among them
    """
    form, text = parsed(_SWEEP, text, source)
    found = SweepDocument(form, source, text)
    try:
        space_of(found.over)
    except ValueError as error:
        cure = "leave out one of the conditions"
        why = str(error).partition("; expected ")
        problem = fault(("over",), why[0].removeprefix("over: "), why[2], cure)
        raise SweepError([problem], source) from None
    return found
