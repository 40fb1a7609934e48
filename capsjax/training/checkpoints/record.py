"""checkpoint.json: what a checkpoint is, beside its arrays, with digests of it all."""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from capsjax.graph.errors import brief, listing
from capsjax.training.checkpoints.faults import Damaged, refusal

NAME = "checkpoint.json"
LARGEST = 1 << 28
"""Bytes of the record: it holds the history and names, no arrays."""

_FORMAT = 1
_FILE = re.compile(r"arrays-(\d{5})-of-(\d{5})\.safetensors")
_STRICT = ConfigDict(extra="forbid", strict=True, frozen=True)

Count = Annotated[int, Field(ge=0, lt=2**63)]


class Stored(BaseModel):
    """A file beside the record: its size and the SHA-256 of its content."""

    model_config = _STRICT
    bytes: Count
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Array(BaseModel):
    """The type and the shape of an array by name."""

    model_config = _STRICT
    dtype: str
    shape: list[Count]


class Record(BaseModel):
    """What stands in checkpoint.json.

    Attributes:
        format_version: 1.
        steps: Steps taken in all.
        value: Of the policy's best column, where it was measured at these steps.
        rows: The history.
        more: Whatever else belongs to the run.
        identity: What a run must have in common with this one to go on from it.
        arrays: All arrays by name.
        files: The files that hold them.
    """

    model_config = _STRICT
    format_version: Literal[1] = _FORMAT
    steps: Count
    value: float | None
    rows: list[dict[str, Any]]
    more: dict[str, Any]
    identity: dict[str, Any]
    arrays: dict[str, Array]
    files: dict[str, Stored]


def plain(value: Any, what: str) -> Any:
    """A deep copy as plain JSON data, NaN and infinities included.

    Raises:
        ValueError: There is something else in it.
    """
    try:
        return json.loads(json.dumps(value, default=_number))
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(
            refusal(
                f"{what} of a checkpoint",
                f"{error}"[:300],
                "plain data: numbers, texts, lists, tables by name",
                "give numbers or texts in place of objects",
            )
        ) from None


def _number(value: Any) -> Any:
    """Numbers of numpy and JAX as Python's."""
    if np.ndim(value) == 0 and hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{type(value).__name__} {brief(value)} is no JSON data")


def write_record(folder: Path, record: Mapping[str, Any]) -> bytes:
    """The bytes of checkpoint.json.

    Args:
        folder: The checkpoint's, for messages.
        record: What `Record` holds.

    Raises:
        ValueError: It is larger than what is read back.
    """
    content = {"format_version": _FORMAT, **record}
    text = json.dumps({"sha256": _digest(content), **content}, default=_number)
    if len(text) > LARGEST:
        raise ValueError(
            refusal(
                f"{folder.name}/{NAME}",
                f"{len(text):,} bytes",
                f"at most {LARGEST:,}",
                "keep less beside the arrays: fewer rows of the history",
            )
        )
    return text.encode()


def _digest(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, default=_number, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def read_record(folder: Path) -> Record:
    """Reads checkpoint.json.

    Raises:
        Damaged: It is missing or not as it was written; says why.
        OSError: It can't be read.
    """
    try:
        with open(folder / NAME, "rb") as file:
            text = file.read(LARGEST + 1)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise Damaged(f"{NAME} is missing") from None
    if len(text) > LARGEST:
        raise Damaged(f"{NAME} has more than {LARGEST:,} bytes")
    try:
        content = json.loads(text)
        sound = isinstance(content, dict) and content.pop("sha256", "") == _digest(
            content
        )
    except (ValueError, RecursionError) as error:
        raise Damaged(f"{NAME} is no JSON: {error}"[:300]) from None
    if not sound:
        raise Damaged(f"{NAME} is not as it was written: its SHA-256 differs")
    try:
        record = Record.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise Damaged(f"{NAME}: {place}: {first['msg']}"[:300]) from None
    _check_files(record)
    return record


def _check_files(record: Record) -> None:
    """That the files are those of all processes, and no paths to elsewhere."""
    count = len(record.files)
    for name in record.files:
        match = _FILE.fullmatch(name)
        if not match or int(match[2]) != count or int(match[1]) >= count:
            raise Damaged(f"{NAME} names the file {name[:200]!r} of {count}")


def require_identity(record: Record, identity: Mapping[str, Any], folder: Path) -> None:
    """Refuses to go on from a run that is another one.

    Raises:
        ValueError: Says in what it differs.
    """
    differing = [
        name
        for name in sorted({*record.identity, *identity})
        if not _equal(record.identity.get(name), identity.get(name))
    ]
    if differing:
        was = ", ".join(f"{n} {brief(record.identity.get(n))}" for n in differing[:6])
        now = ", ".join(f"{n} {brief(identity.get(n))}" for n in differing[:6])
        raise ValueError(
            refusal(
                f"the checkpoints in {folder} are of another run: "
                f"{listing(differing)} differ",
                f"{was}, in the checkpoint",
                f"{now}, of this run",
                "go on with what the run began with, or choose another folder",
            )
        )


def _equal(one: Any, two: Any) -> bool:
    """Equality of plain data in which NaN equals itself and 1 is not true."""
    if isinstance(one, float) and isinstance(two, float) and math.isnan(one):
        return math.isnan(two)
    return json.dumps(one, sort_keys=True) == json.dumps(two, sort_keys=True)
