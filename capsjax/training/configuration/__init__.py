"""A run as a document, TOML or JSON: all of `cj.fit` that is plain data.

    format_version = 1
    epochs = 20                          # or steps
    batch_size = 128
    seed = 0
    accumulate = 2                       # steps for one update of the parameters
    average = 0.999                      # decay of a moving average of them
    short_batch = "mask"
    guard = "skip"
    class_weights = "balanced"           # or { 0 = 1.0, 3 = 10.0 }

    [optimizer]
    kind = "adamw"
    weight_decay = 1e-4
    clip_norm = 1.0
    learning_rate = { kind = "cosine", peak = 1e-3, steps = 9000, warmup = 500 }

    [[augment]]
    kind = "shift"
    pixels = 2

    [early_stopping]
    monitor = "validation_loss"
    patience = 5

    [checkpoints]
    every_seconds = 60
    best = "validation_accuracy"

    [mesh]
    axes = { data = 4, model = 2 }
    rules = { out = "model" }

form      the types of the document
faults    what is wrong with them, in words of runs
checks    what types can't say

What all documents have in common stands in `capsjax.training.documents`. Loading runs
no code. All that is wrong is said at once.
"""

import dataclasses
import json
import os
from collections.abc import Mapping
from typing import Any

from capsjax.compiler import Precision
from capsjax.training.configuration.checks import checked
from capsjax.training.configuration.faults import (
    RunConfigurationError as RunConfigurationError,
)
from capsjax.training.configuration.faults import known_keys, own_words, place_of
from capsjax.training.configuration.form import RunForm
from capsjax.training.documents.faults import Dialect, parsed, validated
from capsjax.training.documents.reading import content_of
from capsjax.training.early_stopping import EarlyStopping

_RUN = Dialect(
    form=RunForm,
    error=RunConfigurationError,
    place_of=place_of,
    known=known_keys,
    own_words=own_words,
    checks=checked,
    forms_at={"optimizer": (1,), "class_weights": (1, 3), "mesh": (3,)},
)

_AS_THEY_ARE = (
    *("epochs", "steps", "batch_size", "seed", "average", "initial_scale"),
    *("short_batch", "augment", "guard"),
)


@dataclasses.dataclass(frozen=True)
class RunConfiguration:
    """How a network learns, as it was declared; read by `cj.load_run_configuration`.

    Attributes:
        form: What the document says, key by key.
        source: The file it was read from, if it was; of no matter for equality.
    """

    form: RunForm = dataclasses.field(repr=False)
    source: str = dataclasses.field(default="", compare=False)

    @property
    def document(self) -> dict[str, Any]:
        """What is declared, no more, as plain data: saved as JSON, it is read again."""
        told = self.form.model_dump(exclude_unset=True)
        return {key: value for key, value in told.items() if value is not None}

    @property
    def precision(self) -> Precision | None:
        """What `cj.compile(graph, precision=...)` takes.

        Raises:
            ValueError: It asks for float64, and JAX's 64-bit mode is off.
        """
        dtype = self.form.dtype
        return None if dtype is None else Precision(dtype)

    def arguments(self) -> dict[str, Any]:
        """What `cj.fit(net, data, **arguments)` takes: what is declared, no more.

        The type to compute with belongs to the network: `cj.compile(graph,
        precision=configuration.precision)`.

        Example:
            >>> import capsjax as cj
            >>> text = 'format_version = 1\\nsteps = 90\\naccumulate = 2'
            >>> cj.parse_run_configuration(text).arguments()
            {'steps': 90, 'optimizer': {'kind': 'adam', 'accumulate': 2}}
        """
        told, form = self.document, self.form
        found = {key: told[key] for key in _AS_THEY_ARE if key in told}
        optimizer = form.optimizer
        if form.accumulate is not None:
            kind = "adam" if optimizer is None else optimizer
            declared = {"kind": kind} if isinstance(kind, str) else kind
            optimizer = {**declared, "accumulate": form.accumulate}
        if optimizer is not None:
            found["optimizer"] = optimizer
        if form.class_weights is not None:
            found["class_weights"] = _by_class(form.class_weights)
        if form.early_stopping is not None:
            found["early_stopping"] = EarlyStopping(**told["early_stopping"])
        if form.checkpoints is not None:
            found["checkpoints"] = _checkpoints(told["checkpoints"])
        if form.mesh is not None:
            found |= {"mesh": form.mesh.axes, "rules": form.mesh.rules}
        return found

    def having(self, **keys: Any) -> "RunConfiguration":
        """The same with other values of some keys; None leaves a key out.

        Raises:
            RunConfigurationError: Everything that is wrong with it, at once.

        Example:
            >>> import capsjax as cj
            >>> run = cj.parse_run_configuration("format_version = 1\\nsteps = 90")
            >>> run.having(steps=None, epochs=3).document
            {'format_version': 1, 'epochs': 3}
        """
        given = {**self.document, **keys}
        given = {key: value for key, value in given.items() if value is not None}
        return RunConfiguration(validated(_RUN, given, self.source), self.source)

    @staticmethod
    def of(document: Mapping[str, Any]) -> "RunConfiguration":
        """A configuration from plain data.

        Raises:
            RunConfigurationError: Everything that is wrong with it, at once.
        """
        return RunConfiguration(validated(_RUN, dict(document)))

    @staticmethod
    def json_schema() -> dict[str, Any]:
        """The JSON Schema of the document.

        It is shipped as `capsjax/training/configuration/schema.json`.

        Example:
            >>> import capsjax as cj
            >>> cj.RunConfiguration.json_schema()["required"]
            ['format_version']
        """
        dialect = "https://json-schema.org/draft/2020-12/schema"
        return {"$schema": dialect, **RunForm.model_json_schema()}


def load_run_configuration(path: str | os.PathLike[str]) -> RunConfiguration:
    """Reads how a network learns from a document, TOML or JSON. Runs no code.

    Args:
        path: The file, in UTF-8. One that ends in neither .toml nor .json is JSON if
            it begins with "{".

    Returns:
        The configuration: `cj.fit(net, data, **configuration.arguments())`.

    Raises:
        RunConfigurationError: Everything that is wrong with the document, at once.
        OSError: The file can't be read.

    Example:
        >>> import pathlib, tempfile, capsjax as cj
        >>> path = pathlib.Path(tempfile.mkdtemp(), "run.toml")
        >>> _ = path.write_text('format_version = 1\\nbatch_size = 64')
        >>> cj.load_run_configuration(path).arguments()
        {'batch_size': 64}
    """
    return parse_run_configuration(content_of(path), os.fspath(path))


def parse_run_configuration(text: str | bytes, source: str = "") -> RunConfiguration:
    """Reads how a network learns from the text of a document.

    Args:
        text: The document, TOML or JSON, or its bytes in UTF-8.
        source: The file it comes from: for messages, and for its ending.

    Returns:
        The configuration.

    Raises:
        RunConfigurationError: Everything that is wrong with the document, at once.

    Example:
        >>> import capsjax as cj
        >>> cj.parse_run_configuration("format_version = 1\\nepoch = 3")
        Traceback (most recent call last):
          ...
        capsjax.training.configuration.faults.RunConfigurationError: run configuration
        has 1 problem:
        1. key 'epoch' (epoch)
            found:    unknown key 'epoch'
            expected: one of format_version, epochs, ...
            cure:     did you mean 'epochs'?
    """
    return RunConfiguration(parsed(_RUN, text, source)[0], source)


def schema_text() -> str:
    """The JSON Schema as the text of a file."""
    schema = RunConfiguration.json_schema()
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _by_class(given: Any) -> Any:
    """Class weights with classes as numbers, which keys of documents can't be."""
    if not isinstance(given, dict):
        return given
    return {
        name if isinstance(inner, str | dict) else int(name): _by_class(inner)
        for name, inner in given.items()
    }


def _checkpoints(told: Mapping[str, Any]) -> Any:
    """The policy that a table of checkpoints declares."""
    from capsjax.training.checkpoints import Checkpoints

    best, more = told.get("best"), told.get("maximize")
    more = bool(best and best.endswith("accuracy")) if more is None else more
    return Checkpoints(**{**told, "maximize": more})
