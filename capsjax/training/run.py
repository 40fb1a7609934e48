"""What a training run leaves: its result, and a folder that holds it."""

import dataclasses
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from capsjax.compiler import Network
from capsjax.compiler.parameters import flatten, show
from capsjax.graph import save as save_graph
from capsjax.graph.files import write_atomically

if TYPE_CHECKING:
    import pandas as pd


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Run:
    """The result of `cj.fit`.

    Attributes:
        net: The network.
        params: Trained parameters.
        state: Network state.
        history: One row an epoch: `epoch`, `seconds` since the start, `loss` and
            metrics of training, and with prefix `validation_` of validation.
    """

    net: Network
    params: Any
    state: Any
    history: "pd.DataFrame"

    def save(
        self, folder: str | os.PathLike[str], more: Mapping[str, bytes] | None = None
    ) -> Path:
        """Writes a run folder: graph.json, parameters.safetensors, history.csv.

        The folder appears whole or not at all. The connections of a large neural
        network stand in one more safetensors file, which graph.json names.

        Args:
            folder: Where; must not exist, or be empty.
            more: Further files by name, such as pictures.

        Returns:
            The folder.

        Raises:
            FileExistsError: The folder holds something already.
            OSError: It can't be written; nothing is left behind.
        """
        folder = Path(folder)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise FileExistsError(
                f"{folder} exists and is not empty; choose another folder, nothing "
                "was overwritten"
            )
        folder.parent.mkdir(parents=True, exist_ok=True)
        prefix = f".{folder.name}."
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=prefix))
        try:
            save_graph(self.net.graph, temporary / "graph.json")
            named = self.net.named(self.params)
            save_parameters(named, temporary / "parameters.safetensors")
            history = self.history.to_csv(index=False).encode()
            for name, content in {"history.csv": history, **(more or {})}.items():
                write_atomically(temporary / name, content)
            temporary.chmod(0o755)
            os.replace(temporary, folder)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        return folder

    def __repr__(self) -> str:
        last = self.history.iloc[-1]
        figures = ", ".join(
            f"{name} {value:.4g}"
            for name, value in last.items()
            if name not in ("epoch", "seconds")
        )
        return f"Run({self.net.graph.name!r}, {len(self.history)} epochs: {figures})"


def save_parameters(named: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Writes parameters by name as safetensors, atomically.

    Args:
        named: What `net.named(params)` gives.
        path: The file. Keys are `capsule:B` and `capsule:W:source`.

    Raises:
        OSError: The file can't be written.

    Example:
        >>> import os, tempfile, capsjax as cj, jax
        >>> net = cj.compile(cj.zoo.graph("mlp"))
        >>> params, state = net.init(jax.random.key(0))
        >>> path = os.path.join(tempfile.mkdtemp(), "mlp.safetensors")
        >>> cj.save_parameters(net.named(params), path)
        >>> again = net.from_named(cj.load_parameters(path))
        >>> bool(jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), params, again)))
        True
    """
    import safetensors.numpy

    flat = {
        show(name): np.ascontiguousarray(jax.device_get(array))
        for name, array in flatten(named)
    }
    write_atomically(path, safetensors.numpy.save(flat))


def load_parameters(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads parameters by name from safetensors; runs no code.

    Args:
        path: The file.

    Returns:
        What `net.from_named` takes: `{capsule: {"B": array, "W": {source: array}}}`.

    Raises:
        ValueError: The file is no sound safetensors file, or its keys name no
            parameters; says which.
        OSError: The file can't be read.
    """
    import safetensors
    import safetensors.numpy

    content = Path(path).read_bytes()
    try:
        flat = safetensors.numpy.load(content)
    except (safetensors.SafetensorError, KeyError, ValueError, TypeError) as error:
        raise ValueError(
            f"{path}: found {error}; expected a whole safetensors file; cure: copy or "
            "save it again"
        ) from None
    named: dict[str, Any] = {}
    for key, array in flat.items():
        capsule, *rest = key.split(":")
        own = named.setdefault(capsule, {})
        if rest == ["B"]:
            own["B"] = array
        elif len(rest) == 2 and rest[0] == "W":
            own.setdefault("W", {})[rest[1]] = array
        else:
            raise ValueError(
                f"{path}: found the key {key!r}; expected capsule:B or "
                "capsule:W:source; cure: save it by cj.save_parameters"
            )
    return named
