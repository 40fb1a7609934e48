"""Reads checkpoints: the newest sound one, and why those after it are not."""

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from capsjax.compiler import Network
from capsjax.compiler.parameters import some_faults
from capsjax.graph.errors import nearest
from capsjax.training.checkpoints.arrays import digest, read_arrays
from capsjax.training.checkpoints.faults import Damaged, refusal
from capsjax.training.checkpoints.record import (
    Record,
    read_record,
    require_identity,
)
from capsjax.training.checkpoints.slots import Slot, is_key, leaf_of, slots, wiring

CONTENT = "run"
"""The folder in a checkpoint's that holds its files, as orbax arranges them."""

_NUMBER = re.compile(r"\d{6,18}")


@dataclasses.dataclass(frozen=True, eq=False)
class Saved:
    """What is saved of a run.

    Attributes:
        steps: Steps taken in all.
        carry: What changes from step to step, a tree of arrays.
        rows: The history: one table by column an epoch.
        more: Plain data that belongs to the run beside it.
    """

    steps: int
    carry: Any
    rows: list[dict[str, Any]]
    more: dict[str, Any]


def numbers_in(folder: Path) -> list[int]:
    """The numbers of the checkpoints in a folder, the oldest first."""
    if not folder.is_dir():
        return []
    names = (each.name for each in folder.iterdir() if _NUMBER.fullmatch(each.name))
    return sorted({int(name) for name in names})


def folder_of(folder: Path, number: int) -> Path:
    """Where a checkpoint stands."""
    return folder / f"{number:06d}"


def read_checkpoint(
    folder: Path, net: Network, like: Any, identity: Mapping[str, Any] | None
) -> Saved:
    """Reads one checkpoint.

    Args:
        folder: The checkpoint's.
        net: The network.
        like: A carry, or its shapes: structure, types and shardings are taken from it.
        identity: What the run must be; None to read any.

    Raises:
        Damaged: It is no whole checkpoint.
        ValueError: It is whole, but of another run, or does not fit the carry.
    """
    content = folder / CONTENT
    try:
        record = read_record(content)
        if identity is not None:
            require_identity(record, identity, folder.parent)
        given, structure = jax.tree.flatten(like)
        leaves = [leaf_of(leaf) for leaf in given]
        found = slots(net, structure, leaves)
        _require_fit(record, found, folder)
        _check_files(record, content)
        wired = wiring(net, structure)
        into = {
            number: np.empty(leaf.shape, leaf.dtype)
            for number, leaf in enumerate(leaves)
            if number not in wired
        }
        read_arrays([content / name for name in record.files], found, into)
    except OSError as error:
        raise Damaged(f"{error}"[:500]) from None
    placed = [_placed({**into, **wired}[n], leaf) for n, leaf in enumerate(given)]
    carry = jax.tree.unflatten(structure, placed)
    return Saved(record.steps, carry, record.rows, record.more)


def _check_files(record: Record, content: Path) -> None:
    for name, stored in record.files.items():
        path = content / name
        if not path.is_file():
            raise Damaged(f"{name} is missing")
        size = path.stat().st_size
        if size != stored.bytes:
            raise Damaged(f"{name} has {size:,} bytes of {stored.bytes:,}")
        if digest(path) != (stored.bytes, stored.sha256):
            raise Damaged(f"{name} is not as it was written: its SHA-256 differs")


def _require_fit(record: Record, found: Mapping[str, Slot], folder: Path) -> None:
    """Raises `ValueError` where a checkpoint holds other arrays than the carry."""
    there = {n: f"{a.dtype} of shape {(*a.shape,)}" for n, a in record.arrays.items()}
    mine = {n: f"{slot.dtype} of shape {slot.shape}" for n, slot in found.items()}
    faults = [
        f"{name}: not in the checkpoint; expected {what}"
        for name, what in mine.items()
        if name not in there
    ]
    faults += [
        f"{name}: in the checkpoint, but not in this run; "
        f"{nearest(name, mine, 'take the optimizer and options it was saved with')}"
        for name in there
        if name not in mine
    ]
    faults += [
        f"{name}: found {there[name]}; expected {what}"
        for name, what in mine.items()
        if there.get(name, what) != what
    ]
    if faults:
        lines = "\n    ".join(some_faults(faults))
        raise ValueError(
            f"the checkpoint {folder} does not fit this run:\n    {lines}\n    cure: "
            "take the network, the optimizer and the precision that it was saved with"
        )


def _placed(array: Any, like: Any) -> Any:
    """An array of JAX's, where the one that it replaces stands."""
    if is_key(like):
        return jax.random.wrap_key_data(jnp.array(array), impl=_kind_of(like))
    sharding = getattr(like, "sharding", None)
    if sharding is None or (isinstance(like, jax.Array) and not like.committed):
        return jnp.array(array)
    whole = np.asarray(array)
    # Copies: a step may write to the memory of one device's part, which it is given.
    return jax.make_array_from_callback(
        whole.shape, sharding, lambda at: np.array(whole[at])
    )


def _kind_of(like: Any) -> Any:
    """The implementation of typed random keys, given these or their shapes."""
    return jax.random.key_impl(jnp.empty((0,), like.dtype))


def newest(
    folder: Path,
    net: Network,
    like: Any,
    identity: Mapping[str, Any] | None = None,
) -> tuple[Saved | None, list[str], list[int]]:
    """The newest sound checkpoint.

    Args:
        folder: The folder of the checkpoints.
        net: The network.
        like: A carry, or its shapes.
        identity: What the run must be; None to read any.

    Returns:
        It, or None if there is none at all; what was skipped, in words; and the
        numbers of those.

    Raises:
        ValueError: None is sound, although there are some; or it is of another run,
            or does not fit the carry.
    """
    skipped: list[tuple[int, str]] = []
    numbers = numbers_in(folder)
    for number in reversed(numbers):
        own = folder_of(folder, number)
        try:
            saved = read_checkpoint(own, net, like, identity)
        except Damaged as error:
            skipped.append((number, str(error)))
            continue
        used = f"{own} (step {saved.steps:,}) is used"
        texts = [
            f"{folder_of(folder, n)} is damaged: {why}; {used}" for n, why in skipped
        ]
        return saved, texts, [n for n, _ in skipped]
    if not skipped:
        return None, [], []
    lines = "; ".join(f"{folder_of(folder, n).name}: {why}" for n, why in skipped[:6])
    raise ValueError(
        refusal(
            f"no checkpoint in {folder} is sound",
            f"{len(skipped)}, each damaged: {lines}",
            "a whole one among them",
            "restore them from a copy; or begin anew, in another folder",
        )
    )
