"""Spoils checkpoints and holds the reader to its promise.

`python -m bench.checkpoint_faults`: each of `--count` checkpoints of a small network is
spoiled in one to three ways, in its bytes, its record or its arrays; every other one is
given new digests afterwards, so that what is inside is looked at. It must be refused by
an error that names it, or be read: as it was, or, with new digests, as another sound
one, with the same names, shapes and types. No other exception, no hang, no growth of
memory. Every one depends on `--seed` and its number alone: `--first NUMBER --count 1`.
"""

import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax

import capsjax as cj
from bench import fuzzing
from bench.fuzzing import Hang, Outcome
from bench.mutations import KEYS, MUTATIONS
from capsjax.training.checkpoints import Checkpointer, Checkpoints, Saved, newest
from capsjax.training.checkpoints.arrays import digest
from capsjax.training.checkpoints.reading import CONTENT
from capsjax.training.checkpoints.record import NAME, write_record

MORE = {"epoch": 2, "order": [3, 1], "name": "ü"}


def mutated(rng: random.Random, content: Path) -> None:
    """Spoils the files of a checkpoint."""
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        rng.choice(WAYS)(rng, content)
    if rng.random() < 0.5:
        _seal(content)


def _spoiled(rng: random.Random, content: bytes) -> bytes:
    """Bytes that are cut, flipped, left out, doubled or drawn."""
    i, j = sorted(rng.randrange(len(content) + 1) for _ in range(2))
    flipped = bytearray(content)
    if content:
        flipped[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return rng.choice(
        [
            content[:i],
            bytes(flipped),
            bytes(flipped),
            content[:i] + content[j:],
            content[:j] + content[i:j] + content[j:],
            content[:i] + rng.randbytes(rng.choice([1, 8, 100])) + content[i:],
            content[:i] + rng.choice([b"[" * 3000, b"9" * 5000, b'"', b"1e999"]),
        ]
    )


def _read(path: Path) -> bytes:
    """What is in a file: the beginning, where it was made a sparse one."""
    with open(path, "rb") as file:
        return file.read(2**24)


def _arrays(content: Path) -> Path:
    return next(iter(sorted(content.glob("*.safetensors"))), content / "none")


def _bytes_of_arrays(rng: random.Random, content: Path) -> None:
    path = _arrays(content)
    if path.is_file():
        path.write_bytes(_spoiled(rng, _read(path)))


def _bytes_of_record(rng: random.Random, content: Path) -> None:
    path = content / NAME
    if path.is_file():
        path.write_bytes(_spoiled(rng, _read(path)))


def _header(rng: random.Random, content: Path) -> None:
    """Names, shapes, types and offsets of the arrays."""
    path = _arrays(content)
    if not path.is_file():
        return
    whole = _read(path)
    length = int.from_bytes(whole[:8], "little")
    try:
        holder = [json.loads(whole[8 : 8 + length])]
        rng.choice(MUTATIONS)(rng, holder, KEYS)
        header = json.dumps(holder[0] if holder else None).encode()
    except (ValueError, RecursionError, OverflowError):
        return
    if rng.random() < 0.1:
        length = rng.choice([0, 1, 2**31, 2**63 - 1, 2**64 - 1])
    else:
        length = len(header)
    path.write_bytes(length.to_bytes(8, "little") + header + whole[8 + length :])


def _record(rng: random.Random, content: Path) -> None:
    """Anything in the record."""
    path = content / NAME
    try:
        holder = [json.loads(_read(path))]
        rng.choice(MUTATIONS)(rng, holder, KEYS)
        path.write_text(json.dumps(holder[0] if holder else None))
    except (OSError, ValueError, RecursionError, OverflowError):
        return


def _files(rng: random.Random, content: Path) -> None:
    """A file that is missing, twice there, a link or a folder."""
    path = rng.choice(list(content.iterdir()) or [content / "none"])
    way = rng.randrange(5)
    if way == 0 and path.is_file():
        path.unlink()
    elif way == 1:
        (content / "arrays-00001-of-00002.safetensors").write_bytes(b"x")
    elif way == 2 and path.is_file():
        path.unlink()
        path.mkdir()
    elif way == 3 and path.is_file():
        path.unlink()
        path.symlink_to(path.name)
    elif path.is_file():
        os.truncate(path, rng.choice([0, 1, 7, 8, 9, 2**33]))  # the last is sparse


WAYS: tuple[Callable[[random.Random, Path], None], ...] = (
    _bytes_of_arrays,
    _bytes_of_record,
    _header,
    _header,
    _record,
    _record,
    _files,
)


def _seal(content: Path) -> None:
    """Gives a record digests that fit what is there now, if it can be read at all."""
    path = _arrays(content)
    try:
        record = json.loads(_read(content / NAME))
        size = path.stat().st_size
        if path.name in record["files"] and size < 2**24:
            size, sha256 = digest(path)
            record["files"][path.name] = {"bytes": size, "sha256": sha256}
        record.pop("sha256", None)
        (content / NAME).write_bytes(write_record(content, record))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return


def attempt(folder: Path, net: cj.Network, carry: Any, more: Any) -> Outcome:
    """Reads the checkpoints of a folder."""
    started = time.perf_counter()
    message = ""
    try:
        saved, _, _ = newest(folder, net, carry)
        result = "another"
        if saved is None:
            result = "other: nothing is found"
        elif not _fits(saved.carry, carry):
            result = "other: it does not fit"
        elif saved.more == more and _equal(saved.carry, carry):
            result = "equal"
    except ValueError as error:
        result, message = "refused", str(error)
        if type(error) is not ValueError or len(message) > 10_000 or not message:
            result = f"other: {type(error).__name__}, or of immoderate length"
    except Hang:
        result = "other: hang"
    except Exception as error:
        result, message = f"other: {type(error).__name__}", str(error)[:300]
    return Outcome(result, time.perf_counter() - started, message)


def _fits(one: Any, two: Any) -> bool:
    kinds = [jax.tree.map(lambda a: (a.shape, a.dtype), tree) for tree in (one, two)]
    return kinds[0] == kinds[1]


def _equal(one: Any, two: Any) -> bool:
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True)
    return all(np.asarray(a).tobytes() == np.asarray(b).tobytes() for a, b in pairs)


def sample(folder: Path) -> tuple[cj.Network, Any]:
    """Writes a sound checkpoint; the network and the carry that it holds."""
    x = cj.input("x", (4,))
    h = cj.capsule("h", cj.matmul(x, 3), cap="standardize", bias=None)
    y = cj.capsule("y", cj.matmul(h, 3), cap="softmax")
    net = cj.compile(cj.graph(y, name="tiny", losses={"y": "cross_entropy"}))
    params, state = net.init(jax.random.key(0))
    carry = {
        "params": params,
        "state": state,
        "optimizer": optax.adam(1e-3).init(params),
        "key": jax.random.key_data(jax.random.key(0)),
    }
    with Checkpointer.open(folder, net, Checkpoints(), {"seed": 0}) as checkpointer:
        checkpointer.save(Saved(7, carry, [{"epoch": 1, "loss": 0.5}], MORE))
    return net, carry


def main(arguments: list[str] | None = None) -> int:
    parser = fuzzing.options("python -m bench.checkpoint_faults", 10_000, 512)
    with tempfile.TemporaryDirectory() as place:
        net, carry = sample(Path(place) / "made")
        made = Path(place) / "made" / "checkpoints" / "000001" / CONTENT
        folder = Path(place) / "spoiled" / "checkpoints"

        def spoiled(rng: random.Random) -> Path:
            shutil.rmtree(folder, ignore_errors=True)
            content = Path(shutil.copytree(made, folder / "000001" / CONTENT))
            mutated(rng, content)
            return folder

        def attempted(folder: Path) -> Outcome:
            return attempt(folder, net, carry, MORE)

        attempted(made.parent.parent)  # what is allocated but once
        results = {
            "refused": "refused",
            "equal": "equal",
            "another": "sound with other content",
        }
        options = parser.parse_args(arguments)
        return fuzzing.run(options, "checkpoints", results, spoiled, attempted)


if __name__ == "__main__":
    sys.exit(main())
