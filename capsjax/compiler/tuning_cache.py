"""What tuning has found, in a file among the user's caches.

The file `algorithms.json` maps a key, a digest of everything that a time depends on, to
the name of an algorithm. A name that is no applicable algorithm's is passed over, so
reading the file runs nothing. A damaged file is reported and written anew.
"""

import contextlib
import hashlib
import json
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax

from capsjax.compiler.cache import cache_folder, processor
from capsjax.compiler.choices import Operation
from capsjax.compiler.options import compiler_options
from capsjax.compiler.stored_step import package_files
from capsjax.graph.files import write_atomically

_PACKAGES = "jax", "jaxlib"


class TuningCache:
    """The file, read once; written once, if anything was added."""

    def __init__(self) -> None:
        folder = cache_folder()
        self.path = None if folder is None else folder / "algorithms.json"
        self.found = {} if self.path is None else _read(self.path)
        self.added: dict[str, Any] = {}
        device = jax.devices()[0]
        self.machine = [
            *(f"{name} {version(name)}" for name in _PACKAGES),
            f"{device.platform} {device.device_kind} {jax.device_count()}",
            processor(),
            str(compiler_options()),
            *package_files(),
        ]

    def key(
        self,
        operation: Operation,
        role: str,
        names: list[str],
        looped: bool,
        dtype: Any,
    ) -> str:
        """A digest of what is computed, by what, where."""
        what = [str(operation), role, *names, str(looped), str(dtype), *self.machine]
        return hashlib.sha256("\n".join(what).encode()).hexdigest()

    def get(self, key: str) -> str | None:
        """The name that was found before, if any was."""
        entry = self.found.get(key)
        return entry.get("algorithm") if isinstance(entry, dict) else None

    def put(self, key: str, name: str, seconds: dict[str, float]) -> None:
        """Adds what was found now."""
        self.added[key] = {"algorithm": name, "seconds": seconds}

    def write(self) -> None:
        """Writes what was added, beside what others have written meanwhile."""
        if self.path is None or not self.added:
            return
        with contextlib.suppress(OSError):  # a full disk, a container without a home
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # it was reported when it was read
                entries = _read(self.path) | self.added
            content = json.dumps({"format": 1, "entries": entries}, indent=1)
            write_atomically(self.path, content.encode())


def _read(path: Path) -> dict[str, Any]:
    """The entries of a file; none if there is no file, or it is damaged."""
    try:
        content = path.read_bytes()
    except OSError:
        return {}
    try:
        document = json.loads(content)
        if document["format"] == 1 and isinstance(document["entries"], dict):
            return document["entries"]
    except (ValueError, TypeError, KeyError, RecursionError):
        pass
    warnings.warn(
        f"{path} is damaged; the algorithms in it are measured again", stacklevel=2
    )
    return {}
