"""A traced program kept on disk: the next process neither traces nor lowers it again.

What stands in the file is the program as `jax.export` writes it, StableHLO behind its
SHA-256; XLA's executable of it is found by JAX's own cache. A function in Python has no
name that says all it does. So the caller states an identity, and it is joined with all
else that decides what tracing makes: the arguments' types, the platform, JAX's
settings, versions, and the files of this library. Where kinds of the user's own are
registered, whose code may change without notice, nothing is stored.
"""

import contextlib
import hashlib
import importlib.metadata
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from capsjax.compiler.jit import jit
from capsjax.graph.files import write_atomically
from capsjax.graph.kinds import BACKWARDS, CAPS, LOSSES, WEIGHTINGS

_PACKAGES = ("jax", "jaxlib", "numpy", "optax")


def stored_jit(
    function: Callable[..., Any], identity: str, folder: Path | None
) -> Callable[..., Any]:
    """`jit(function, donate_argnums=0)` whose traced program is kept on disk.

    Args:
        function: A pure function whose result has the structure of its first argument.
        identity: Says what the function computes, with every number that is built in.
        folder: Where programs are kept; None for nowhere.

    Returns:
        The compiled function, for arguments of the types of its first call.
    """
    plain = jit(function, donate_argnums=0)
    if folder is None or not _closed():
        return plain
    made: list[Callable[..., Any]] = []

    def call(first, *rest):
        if not made:
            made.append(_made(function, identity, folder, (first, *rest)) or plain)
        return made[0](first, *rest)

    return call


def _made(
    function: Callable[..., Any],
    identity: str,
    folder: Path,
    arguments: tuple[Any, ...],
) -> Callable[..., Any] | None:
    """The program from its file, or traced now and written to it; None if it can't be.

    What can't be exported, such as a call into a library of the platform, can still be
    compiled; and what is wrong with the function, it then says itself.
    """
    leaves, tree = jax.tree.flatten(arguments)
    path = folder / "steps" / f"{_key(identity, leaves, tree)}.step"
    program = _read(path)
    if program is None:
        try:
            program = _exported(function, leaves, tree)
            content = bytes(program.serialize())
        except Exception:
            return None
        with contextlib.suppress(OSError):  # a full disk, say
            path.parent.mkdir(exist_ok=True)
            write_atomically(path, hashlib.sha256(content).digest() + content)
    result = jax.tree.structure(arguments[0])
    first, rest = jax.tree.leaves(arguments[0]), jax.tree.leaves(arguments[1:])
    run = jit(lambda first, *rest: program.call(*first, *rest), donate_argnums=0)
    # Compiled here and now, since its results are bound to their device, unlike the
    # first arguments: under `jit` this difference alone would compile it again.
    run = run.lower(first, *rest).compile()

    def call(first, *rest):
        found = run(jax.tree.leaves(first), *jax.tree.leaves(rest))
        return jax.tree.unflatten(result, found)

    return call


def _exported(function: Any, leaves: list[Any], tree: Any) -> Any:
    """The function between flat lists of arrays: only these can be written."""
    from jax import export

    def flat(*leaves):
        return jax.tree.leaves(function(*jax.tree.unflatten(tree, leaves)))

    return export.export(jax.jit(flat))(*leaves)


def _read(path: Path) -> Any:
    """The program in a file; None if there is no file, or it is not whole."""
    from jax import export

    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, program = content[:32], content[32:]
    if hashlib.sha256(program).digest() != digest:
        return None
    return export.deserialize(bytearray(program))


def _key(identity: str, leaves: list[Any], tree: Any) -> str:
    """All that decides what tracing makes of the function, as hexadecimal digits."""
    device = jax.devices()[0]
    parts = [
        identity,
        str(tree),
        *(str(jax.typeof(leaf)) for leaf in leaves),
        f"{device.platform} {device.device_kind} {len(jax.devices())}",
        *(f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES),
        *(f"{name}={value}" for name, value in sorted(jax.config.values.items())),
        *package_files(),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def package_files() -> list[str]:
    """This library's files as they are now: while it is worked on, they change."""
    root = Path(__file__).parent.parent
    found = []
    for folder, _, names in sorted(os.walk(root)):
        for name in sorted(names):
            if name.endswith(".py"):
                status = os.stat(os.path.join(folder, name))
                found.append(f"{name} {status.st_size} {status.st_mtime_ns}")
    return found


def _closed() -> bool:
    """Whether all kinds are this library's own."""
    tables = WEIGHTINGS, CAPS, LOSSES, BACKWARDS
    kinds: list[type] = [table[kind] for table in tables for kind in table]
    return all(
        kind.__module__.startswith("capsjax.")
        and getattr(sys.modules[kind.__module__], kind.__name__, None) is kind
        for kind in kinds
    )
