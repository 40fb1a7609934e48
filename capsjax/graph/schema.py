"""The document's form, as types: validation and JSON Schema both come from here.

The types are built from the three registries, so that a registered kind is at once
valid in documents and present in the schema. pydantic validates them: of the libraries
measured (`python -m bench.documents`) it is the one that reports every fault at once,
each with its exact place, and it loads 100,000 edges in about a second.
"""

import dataclasses
import functools
from typing import Annotated, Any, Literal, Union, get_type_hints

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    create_model,
)

from capsjax.graph.kinds import (
    CAPS,
    LOSSES,
    WEIGHTINGS,
    Count,
    Kind,
    Registry,
    kind_fields,
)

FORMAT_VERSION = 1

Name = Annotated[
    str,
    StringConstraints(pattern=r"^\w[\w.-]*(/\w[\w.-]*)*$", max_length=200),
]

_CONFIG = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


def kind_model(kind: str, record: type[Kind], **more: Any) -> type[BaseModel]:
    """The document form of one kind: its name, its settings, nothing else."""
    hints = get_type_hints(record, include_extras=True)
    fields: dict[str, Any] = {"kind": (Literal[kind], ...), **more}
    for field in kind_fields(record):
        required = field.default is dataclasses.MISSING
        fields[field.name] = (hints[field.name], ... if required else field.default)
    doc = (record.__doc__ or "").strip().split("\n")[0]
    return _object(f"{record.__name__} ({kind})", doc, fields)


def one_of(registry: Registry[Any], **more: Any) -> Any:
    """The tagged union of a registry's kinds."""
    models = tuple(kind_model(kind, registry[kind], **more) for kind in registry)
    return Annotated[Union[models], Field(discriminator="kind")]  # noqa: UP007


def document_adapter() -> TypeAdapter[Any]:
    """The validator of whole documents, rebuilt only when a kind was registered."""
    return _adapters(WEIGHTINGS.version, CAPS.version, LOSSES.version)["document"]


def part_adapter(part: Literal["edge", "cap", "loss"]) -> TypeAdapter[Any]:
    """The validator of one part: to tell the sound parts of a faulty document."""
    return _adapters(WEIGHTINGS.version, CAPS.version, LOSSES.version)[part]


@functools.lru_cache(maxsize=1)
def _adapters(*versions: int) -> dict[str, TypeAdapter[Any]]:
    edge: Any = one_of(WEIGHTINGS, source=(Name, ...))
    cap: Any = one_of(CAPS)
    loss: Any = one_of(LOSSES)
    given = _object(
        "Input",
        "A capsule without sources; the shape is per example.",
        {"name": (Name, ...), "shape": (tuple[Count, ...], ...)},
    )
    capsule = _object(
        "Capsule",
        "Y = cap(sum over edges of W (x) Y_source + B).",
        {
            "name": (Name, ...),
            "from_": (list[edge], Field(min_length=1, alias="from")),
            "cap": (cap, {"kind": "identity"}),
            "bias": (Literal["full", "channel"] | None, "channel"),
        },
    )
    document = _object(
        "Document",
        "A declared graph of capsules.",
        {
            "format_version": (Literal[1], ...),
            "name": (Name, "network"),
            "inputs": (list[given], Field(min_length=1)),
            "capsules": (list[capsule], Field(min_length=1)),
            "outputs": (list[Name] | None, Field(None, min_length=1)),
            "losses": (dict[Name, loss], {}),
            "metadata": (dict[str, Any], {}),
        },
    )
    parts = {"document": document, "edge": edge, "cap": cap, "loss": loss}
    return {name: TypeAdapter(part) for name, part in parts.items()}


def _object(title: str, doc: str, fields: dict[str, Any]) -> Any:
    return create_model(title, __config__=_CONFIG, __doc__=doc, **fields)


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a document, with the kinds registered now.

    Returns:
        The schema as plain data. The schema of the library's own kinds is shipped as
        `capsjax/graph/schema.json`.

    Example:
        >>> import capsjax as cj
        >>> cj.json_schema()["title"]
        'capsjax graph'
    """
    schema = document_adapter().json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "capsjax graph",
    }
