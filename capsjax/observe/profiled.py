"""profiled: a trace of what runs, with capsules' names, for the usual viewers."""

import contextlib
import dataclasses
import gzip
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax

from capsjax.compiler.profiling import module_name, operations, scope
from capsjax.graph.files import write_atomically


@dataclasses.dataclass
class Profiled:
    """A trace while it is made, and its files afterwards.

    Attributes:
        folder: Where it is written.
        files: The files, once it is written.
    """

    folder: Path
    files: tuple[Path, ...] = ()
    _programs: dict[str, dict[str, str]] = dataclasses.field(default_factory=dict)

    def names(self, compiled: Any) -> None:
        """Gives the operations of a program the names of their capsules.

        Args:
            compiled: What `jax.jit(function).lower(...).compile()` returns, of the
                program that runs within; in any order, at any time before the end.
        """
        text = compiled.as_text() or ""
        known = {
            # Steps that are taken in one loop all stand in its body.
            name: re.sub(r"^(while/(body|cond)/?)+", "", scope(op.op_name))
            for name, op in operations(text).items()
        }
        self._programs[module_name(text)] = known

    def _write_names(self) -> None:
        """Puts capsules' names before those of operations, in the files of events."""
        for path in self.files:
            if not path.name.endswith(".trace.json.gz"):
                continue
            document = json.loads(gzip.decompress(path.read_bytes()))
            for event in document.get("traceEvents", ()):
                given = event.get("args") or {}
                known = self._programs.get(str(given.get("hlo_module")), {})
                place = known.get(str(given.get("hlo_op")))
                if place:
                    event["name"] = f"{place}: {event['name']}"
                    given["capsule"] = place
            packed = gzip.compress(json.dumps(document).encode(), compresslevel=6)
            write_atomically(path, packed)


@contextlib.contextmanager
def profiled(folder: str | os.PathLike[str]) -> Iterator[Profiled]:
    """Records what runs within as a trace that the usual viewers open.

    `*.xplane.pb` is for XProf and TensorBoard (`tensorboard --logdir FOLDER`), which
    show each operation's scopes: the capsule, and `backward`. `*.trace.json.gz` is for
    Perfetto (ui.perfetto.dev), which knows operations by XLA's names alone: those of
    programs that are given to `names` have their capsule's name before them.

    What runs within shall be some steps, not hours: the profiler holds all in memory.
    It slows small operations down; for figures by capsule see `net.profile`.

    Args:
        folder: Where the trace is written, below `plugins/profile`; may hold others.

    Yields:
        The trace; its `files` are known when it is written.

    Raises:
        RuntimeError: Another trace is being made; JAX makes one at a time.

    Example:
        >>> import capsjax as cj, tempfile
        >>> x = cj.input("x", (4,))
        >>> net = cj.compile(cj.graph(cj.capsule("h", cj.matmul(x, 3), cap="tanh")))
        >>> params, state = net.init(jax.random.key(0))
        >>> apply = net.lower(8).compile()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with cj.profiled(folder) as trace:
        ...         trace.names(apply)
        ...         outputs, _ = apply(params, state, {"x": jax.numpy.ones((8, 4))})
        ...         _ = jax.block_until_ready(outputs)
        ...     sorted("".join(file.suffixes) for file in trace.files)
        ['.trace.json.gz', '.xplane.pb']
    """
    trace = Profiled(Path(folder))
    before = set(trace.folder.rglob("*"))
    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = 0
    try:
        with jax.profiler.trace(os.fspath(folder), profiler_options=options):
            yield trace
    finally:
        new = set(trace.folder.rglob("*")) - before
        trace.files = tuple(sorted(path for path in new if path.is_file()))
        trace._write_names()
