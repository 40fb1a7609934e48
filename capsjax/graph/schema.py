"""The document's form, as types: validation and JSON Schema both come from here.

The types are built from the three registries, so that a registered kind is at once
valid in documents and present in the schema. They are typed dictionaries: models take
three times as long.

pydantic validates them, because it reports every fault at once, each at the very key
or edge. Measured (`python -m bench.documents`, 2 cores, 100,000 edges, 6.6 MB, five
faults planted):

| library       | text to data | faults reported | at the very key |
|---------------|--------------|-----------------|-----------------|
| pydantic      | 123 ms       | 5               | 4               |
| msgspec       | 22 ms        | 1, the first    | 1               |
| jsonschema-rs | 90 ms        | 5               | 2               |
| jsonschema    | 47,000 ms    | 5               | 2               |

Of the 930 ms of `cj.load` for that document validation is a seventh; the structural
checks and shape inference take half.

The schema of the library's own kinds is shipped as `capsjax/graph/schema.json`;
`make schema` writes it.
"""

import dataclasses
import functools
import json
import types
from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from annotated_types import Len
from pydantic import ConfigDict, Field, StringConstraints, TypeAdapter
from typing_extensions import TypeAliasType, TypedDict

from capsjax.graph.kinds import (
    BACKWARDS,
    CAPS,
    LARGEST_RANK,
    LOSSES,
    WEIGHTINGS,
    Count,
    Kind,
    NonNegative,
    Registry,
    kind_fields,
)

FORMAT_VERSION = 1
LONGEST_NAME = 200

# Letters, digits and "_" of any script, inside a part also "." and "-". Written as what
# is left out, because dialects of regular expressions differ in what "\w" is.
_OUT = r":-@\[-^`{-\u00a0\u2000-\u206f\u3000\ufeff"
_PART = rf"[^\x00-/{_OUT}][^\x00-,/{_OUT}]*"

Name = Annotated[
    str,
    StringConstraints(pattern=rf"^{_PART}(/{_PART})*$", max_length=LONGEST_NAME),
]

_CONFIG = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


def kind_form(
    title: str, kind: str, record: type[Kind], open_to: Any = None, **more: Any
) -> Any:
    """The document form of one kind: its name, its settings, nothing else.

    Args:
        title: Name of the form.
        kind: Name of the kind.
        record: Its class.
        open_to: A further form that any setting may have.
        **more: Further keys.
    """
    hints = get_type_hints(record, include_extras=True)
    fields: dict[str, Any] = {**more, "kind": Literal[kind]}
    for field in kind_fields(record):
        hint = hints[field.name]
        if open_to is not None:
            hint = _open(hint, open_to)
        if field.default is not dataclasses.MISSING:
            hint = _optional(hint, field.default)
        fields[field.name] = hint
    doc = (record.__doc__ or "").strip().split("\n")[0]
    return _object(title, doc, fields)


def _open(hint: Any, form: Any) -> Any:
    """A type that takes the form, too, in its own place and in those of a tuple."""
    inner, *more = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    if get_origin(inner) is tuple:
        parts = [p if p is ... else _open(p, form) for p in get_args(inner)]
        inner = tuple[tuple(parts)]
    elif isinstance(inner, types.UnionType) or get_origin(inner) is Union:
        inner = Union[tuple(_open(part, form) for part in get_args(inner))]  # noqa: UP007
    return (Annotated[(inner, *more)] if more else inner) | form


def one_of(registry: Registry[Any], open_to: Any = None, **more: Any) -> Any:
    """The tagged union of a registry's kinds."""
    noun = registry.noun.split()[0] + ("_in_block" if open_to is not None else "")
    forms = tuple(
        kind_form(f"{noun}_{kind}", kind, registry[kind], open_to, **more)
        for kind in registry
    )
    return Annotated[Union[forms], Field(discriminator="kind")]  # noqa: UP007


Part = Literal[
    "document",
    "input",
    "capsule",
    "edge",
    "cap",
    "loss",
    "backward",
    "block",
    "use",
    "published",
]


def document_adapter() -> TypeAdapter[Any]:
    """The validator of whole documents, rebuilt only when a kind was registered."""
    return part_adapter("document")


def part_adapter(part: Part) -> TypeAdapter[Any]:
    """The validator of one part: to tell the sound parts of a faulty document."""
    return _adapter(part, *_versions())


def known_keys(part: str, kind: str | None = None) -> list[str]:
    """The keys that a part of a document may have."""
    if kind is not None:
        registry: Any = {
            "edge": WEIGHTINGS,
            "cap": CAPS,
            "loss": LOSSES,
            "backward": BACKWARDS,
        }[part]
        settings = [field.name for field in kind_fields(registry[kind])]
        own = ["source", "weight", "backward"] if part == "edge" else []
        return [*own, "kind", *settings]
    return list(_forms(*_versions())[part].__annotations__)


def _versions() -> tuple[int, ...]:
    return tuple(r.version for r in (WEIGHTINGS, CAPS, LOSSES, BACKWARDS))


@functools.lru_cache(maxsize=8)
def _adapter(part: Part, *versions: int) -> TypeAdapter[Any]:
    return TypeAdapter(_forms(*versions)[part])


@functools.lru_cache(maxsize=1)
def _forms(*versions: int) -> dict[str, Any]:
    rule: Any = _named("BackwardRule", one_of(BACKWARDS))
    more = {"weight": NotRequired[Name], "backward": NotRequired[rule]}
    edge: Any = one_of(WEIGHTINGS, source=Name, **more)
    cap: Any = one_of(CAPS)
    loss: Any = one_of(LOSSES)
    shape: Any = Annotated[tuple[Count, ...], Len(0, LARGEST_RANK)]
    names: Any = Annotated[list[Name], Len(1)]
    given: Any = _object(
        "Input",
        "A capsule without sources; the shape is per example.",
        {
            "name": Name,
            "shape": shape,
            "dtype": _optional(Literal["float", "integer"], "float"),
            "learned": _optional(bool, False),
        },
    )
    capsule: Any = _object(
        "Capsule",
        "Y = cap(sum over edges of W (x) Y_source + B).",
        _capsule_keys(edge, cap, Literal["full", "channel", None], rule),
    )
    document = {
        "format_version": Literal[1],
        "name": _optional(Name, "network"),
        "inputs": Annotated[list[given], Len(1)],
        "capsules": Annotated[list[capsule], Len(1)],
        "outputs": _optional(names | None, None),
        "losses": _optional(dict[Name, loss], {}),
        "backward": NotRequired[rule],
        "metadata": _optional(dict[str, Any], {}),
    }
    doc = "A declared graph of capsules."
    entry: Any = Annotated[list[capsule | _use_form(Count)], Len(1)]
    blocks: Any = _optional(dict[Name, _block_form(_entry_in_block())], {})
    body = {"blocks": blocks, "capsules": entry}
    keys = ["format_version", "name", "inputs", "blocks", *list(document)[3:]]
    published = {key: (document | body)[key] for key in keys}
    return {
        "document": _object("Document", doc, document),
        "published": _object("DocumentWithBlocks", doc, published),
        "input": given,
        "capsule": capsule,
        "edge": edge,
        "cap": cap,
        "loss": loss,
        "backward": rule,
        "block": _block_form(Any),
        "use": _use_form(Count),
    }


def _capsule_keys(edge: Any, cap: Any, bias: Any, rule: Any) -> dict[str, Any]:
    return {
        "name": Name,
        "from": Annotated[list[edge], Len(1)],
        "cap": _optional(cap, {"kind": "identity"}),
        "bias": _optional(bias, "channel"),
        "backward": NotRequired[rule],
    }


def _entry_in_block() -> Any:
    """A capsule or a use inside a block: a parameter may stand for any setting."""
    doc = "Stands for the value of a parameter of the block."
    parameter: Any = _object("Parameter", doc, {"parameter": Name})
    weight = NotRequired[Name | parameter]
    own_rule = one_of(BACKWARDS, parameter)
    rule = _named("BackwardRuleInBlock", own_rule | parameter)
    more = {"weight": weight, "backward": NotRequired[rule]}
    edge = one_of(WEIGHTINGS, parameter, source=Name, **more)
    cap = one_of(CAPS, parameter) | parameter
    bias = Literal["full", "channel", None] | parameter
    capsule: Any = _object(
        "CapsuleInBlock", "A capsule of a block.", _capsule_keys(edge, cap, bias, rule)
    )
    return capsule | _use_form(Count | parameter)


def _block_form(entry: Any) -> Any:
    """A block whose capsules have the given form."""
    words: Any = Annotated[list[Name], Len(1)]
    return _object(
        "Block",
        "A named sub-graph with parameters.",
        {
            "inputs": words,
            "parameters": _optional(list[Name], []),
            "defaults": _optional(dict[Name, Any], {}),
            "capsules": Annotated[list[entry], Len(1)],
            "output": NotRequired[Name],
        },
    )


def _use_form(repeat: Any) -> Any:
    return _object(
        "Use" if repeat is Count else "UseInBlock",
        "A use of a block: its capsules stand in this place.",
        {
            "name": Name,
            "block": Name,
            "from": Annotated[list[Name], Len(1)],
            "with": _optional(dict[Name, Any], {}),
            "repeat": NotRequired[repeat],
            "first": _optional(NonNegative, 1),
        },
    )


def _object(title: str, doc: str, fields: dict[str, Any]) -> Any:
    """A typed dictionary made from data."""
    form: Any = TypedDict(title, fields)  # pyright: ignore
    form.__doc__ = doc
    form.__pydantic_config__ = _CONFIG
    return form


def _named(title: str, form: Any) -> Any:
    """A form that the schema states once and refers to."""
    return TypeAliasType(title, form)  # pyright: ignore


def _optional(hint: Any, default: Any) -> Any:
    """A key that may be left out; the default is for the schema's readers."""
    extra = {"default": json.loads(json.dumps(default))}
    return NotRequired[Annotated[hint, Field(json_schema_extra=extra)]]


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
    schema = part_adapter("published").json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "capsjax graph",
    }


def schema_text() -> str:
    """The JSON Schema as the text of a file."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"
