"""Exported networks, loaded: arrays and StableHLO, no declaration and no kinds."""

import dataclasses
import functools
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.core
import jax.numpy as jnp

from capsjax.compiler.exported import FORMAT, VERSION
from capsjax.compiler.jit import jit
from capsjax.graph.errors import nearest

_FILES = ("graph.json", "layout.stablehlo", "parameters.safetensors")
_FILES += ("program.stablehlo", "state.safetensors")


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class ExportedNetwork:
    """A network's function, loaded by `cj.load_exported`.

    Attributes:
        name: The network's name.
        function: "apply", "loss", or "gradient".
        train: Whether it is training.
        batch: Types of inputs and targets by name; None in a shape is the batch size.
        platforms: The platforms it was exported for.
        params: Parameters, a table of arrays.
        state: State, a table of arrays.
    """

    name: str
    function: str
    train: bool
    batch: dict[str, tuple[tuple[int | None, ...], Any]]
    platforms: tuple[str, ...]
    params: dict[str, jax.Array]
    state: dict[str, jax.Array]
    _program: Any

    def __call__(self, batch: Mapping[str, Any], *, key: Any = None) -> Any:
        """The function of the parameters and state that were exported.

        Args:
            batch: Inputs, and targets for a loss, by name.
            key: A random key, if the network draws in training.

        Returns:
            What the network's own function returns: `(outputs, state)` of apply,
            `(loss, (outputs, state))` of loss, and with the gradients behind it of
            gradient; state and gradients as tables, like `params` and `state`.

        Raises:
            ValueError: The batch does not fit; says which array, by name.
        """
        return self.run(self.params, self.state, batch, key=key)

    def run(
        self,
        params: dict[str, jax.Array],
        state: dict[str, jax.Array],
        batch: Mapping[str, Any],
        *,
        key: Any = None,
    ) -> Any:
        """The function of other parameters and state, such as those of a later step.

        Args:
            params: Parameters, in a table as `params` is.
            state: State, in a table as `state` is.
            batch: As for a call.
            key: As for a call.

        Returns:
            As a call.

        Raises:
            ValueError: As a call.
        """
        draws = "key" in self._keywords
        if draws and key is None:
            raise ValueError(
                f"exported network {self.name!r} draws; found no key; expected "
                "key=jax.random.key(...), a new one for each step"
            )
        given = self._taken(batch)
        arguments = params, state, given
        traced = any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves(arguments))
        run = self._program.call if traced else self._compiled
        return run(*arguments, **({"key": key} if draws else {}))

    @functools.cached_property
    def _compiled(self) -> Callable[..., Any]:
        return jit(self._program.call)

    @functools.cached_property
    def _keywords(self) -> set[str]:
        types = jax.tree.unflatten(self._program.in_tree, self._program.in_avals)
        return set(types[1])

    def _taken(self, batch: Mapping[str, Any]) -> dict[str, jax.Array]:
        """The batch as the program takes it, checked."""
        if not isinstance(batch, Mapping):
            names = ", ".join(map(repr, self.batch))
            raise ValueError(
                f"arrays are given by name, such as {{{names}: array}}, not as "
                f"{type(batch).__name__}"
            )
        faults = [
            f"{name!r}: unknown name; {nearest(name, set(self.batch), 'remove it')}"
            for name in batch
            if name not in self.batch
        ]
        taken, sizes = {}, {}
        for name, (shape, dtype) in self.batch.items():
            if name not in batch:
                faults.append(f"{name!r}: missing; expected {_described(shape, dtype)}")
                continue
            array = jnp.asarray(batch[name])
            if not _fits(array, shape, dtype):
                faults.append(
                    f"{name!r}: found {array.dtype} of shape {array.shape}; expected "
                    f"{_described(shape, dtype)}"
                )
                continue
            taken[name] = array.astype(dtype)
            if shape[:1] == (None,):
                sizes[name] = array.shape[0]
        if len(set(sizes.values())) > 1:
            faults.append(f"batch sizes differ: {sizes}")
        if faults:
            lines = "\n    ".join(faults)
            raise ValueError(
                f"the batch does not fit exported network {self.name!r}:\n    {lines}"
            )
        return taken

    def __repr__(self) -> str:
        mode = "training" if self.train else "inference"
        return f"ExportedNetwork({self.name!r}, {self.function} in {mode})"


def load_exported(folder: str | os.PathLike[str]) -> ExportedNetwork:
    """Loads what `net.export` wrote. Runs no code of the declaration.

    Args:
        folder: The folder.

    Returns:
        The network's function: `model(inputs)`, with parameters and state in it.

    Raises:
        ValueError: The folder is no exported network, or damaged, or not for this
            platform or version; says which.
        OSError: It can't be read.

    Example:
        >>> import os, tempfile, capsjax as cj, jax
        >>> net = cj.compile(cj.zoo.graph("mlp"))
        >>> params, state = net.init(jax.random.key(0))
        >>> folder = net.export(os.path.join(tempfile.mkdtemp(), "mlp"), params, state)
        >>> model = cj.load_exported(folder)
        >>> model
        ExportedNetwork('mlp', apply in inference)
        >>> outputs, state = model({"x": jax.numpy.ones((2, 5))})
        >>> outputs["y"].shape
        (2, 4)
    """
    import jax.export
    import safetensors
    import safetensors.numpy

    folder = Path(folder)
    manifest, files = _read(folder)
    here = jax.export.default_export_platform()
    if here not in manifest["platforms"]:
        raise ValueError(
            f"{folder}: found a program for {', '.join(manifest['platforms'])}; "
            f"expected one for {here}; cure: export it there, or without a batch size "
            "for every platform"
        )
    try:
        program = jax.export.deserialize(bytearray(files["program.stablehlo"]))
        layout = jax.export.deserialize(bytearray(files["layout.stablehlo"]))
        named = safetensors.numpy.load(files["parameters.safetensors"])
        state = safetensors.numpy.load(files["state.safetensors"])
        batch = {
            name: (tuple(each["shape"]), jnp.dtype(each["dtype"]))
            for name, each in manifest["batch"].items()
        }
        params = jit(layout.call)({key: jnp.asarray(x) for key, x in named.items()})
    except Exception as error:  # whatever JAX finds: every file is what was written
        raise ValueError(
            f"{folder}: found what JAX {jax.__version__} can't read "
            f"({str(error).splitlines()[0][:200]}); expected a network exported by "
            f"JAX {manifest['jax']}, or one near it; cure: export it again"
        ) from error
    return ExportedNetwork(
        manifest["name"],
        manifest["function"],
        manifest["train"],
        batch,
        tuple(manifest["platforms"]),
        params,
        {key: jnp.asarray(array) for key, array in state.items()},
        program,
    )


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The manifest and the contents of all files, which are those it names."""
    path = folder / "manifest.json"
    try:
        manifest = json.loads(path.read_bytes())
        known = manifest["format"] == FORMAT
        version, digests = manifest["format_version"], dict(manifest["files"])
    except (ValueError, TypeError, KeyError):
        known, version, digests = False, None, {}
        manifest = {}
    if not known:
        raise ValueError(
            f"{path}: found something else; expected the manifest of an exported "
            "network, which net.export writes"
        )
    if version != VERSION:
        raise ValueError(
            f"{path}: found format_version {version!r}; expected {VERSION}; cure: "
            "load it with the version of capsjax that wrote it, or export it again"
        )
    files = {}
    for name in _FILES:
        files[name] = (folder / name).read_bytes()
        if hashlib.sha256(files[name]).hexdigest() != digests.get(name):
            raise ValueError(
                f"{folder / name}: found another content than was written; expected "
                "the SHA-256 of manifest.json; cure: copy or export it again"
            )
    return manifest, files


def _fits(array: jax.Array, shape: tuple[int | None, ...], dtype: Any) -> bool:
    """Whether an array has a shape, and a type of the same kind."""
    kinds = jnp.floating, jnp.integer
    same = any(
        jnp.issubdtype(array.dtype, kind) and jnp.issubdtype(dtype, kind)
        for kind in kinds
    )
    return (
        same
        and len(array.shape) == len(shape)
        and all(
            found == size if size is not None else found >= 1
            for found, size in zip(array.shape, shape, strict=True)
        )
    )


def _described(shape: tuple[int | None, ...], dtype: Any) -> str:
    sizes = ", ".join("batch" if size is None else str(size) for size in shape)
    return f"{dtype} of shape [{sizes}]"
