"""What a training run leaves: its result, and a folder that holds it."""

import dataclasses
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from capsjax.compiler import Network
from capsjax.compiler.parameters import flatten, nest, show
from capsjax.compiler.state import named_state_shapes, with_wiring
from capsjax.graph import save as save_graph
from capsjax.graph.files import new_folder, write_atomically

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
        average: Moving average of the parameters, if one was kept.
        faults: What the guard has found, `Fault`s.
    """

    net: Network
    params: Any
    state: Any
    history: "pd.DataFrame"
    average: Any = None
    faults: tuple[Any, ...] = ()

    def save(
        self, folder: str | os.PathLike[str], more: Mapping[str, bytes] | None = None
    ) -> Path:
        """Writes a run folder: graph.json, parameters.safetensors, history.csv.

        Where capsule functions carry state (running statistics), it stands in
        state.safetensors. The connections of a large neural network stand in one more
        safetensors file, which graph.json names. The folder appears whole or not at
        all.

        Args:
            folder: Where; must not exist, or be empty.
            more: Further files by name, such as pictures.

        Returns:
            The folder.

        Raises:
            FileExistsError: The folder holds something already.
            OSError: It can't be written; nothing is left behind.
        """
        with new_folder(folder) as new:
            save_graph(self.net.graph, new / "graph.json")
            self.write(new, more)
        return Path(folder)

    def write(self, folder: Path, more: Mapping[str, bytes] | None = None) -> None:
        """Writes what was learned, and further files, into a folder that is there."""
        save_parameters(self.net.named(self.params), folder / "parameters.safetensors")
        if self.average is not None:
            named = self.net.named(self.average)
            save_parameters(named, folder / "average.safetensors")
        if named_state_shapes(self.net.program.typed):
            save_state(self.net, self.state, folder / "state.safetensors")
        history = self.history.to_csv(index=False).encode()
        for name, content in {"history.csv": history, **(more or {})}.items():
            write_atomically(folder / name, content)

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
        path: The file. Keys are `capsule:B`, `capsule:W:source`, `capsule:cap:name`
            for parameters of a capsule function's own, and `weight:W` for a shared
            weight.

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
    _write(path, flatten(named))


def load_parameters(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads parameters by name from safetensors; runs no code.

    Args:
        path: The file.

    Returns:
        What `net.from_named` takes: `{capsule: {"B": array, "W": {source: array}}}`,
        with "cap" for parameters of a capsule function's own.

    Raises:
        ValueError: The file is no sound safetensors file, or its keys name no
            parameters; says which.
        OSError: The file can't be read.
    """
    named: dict[str, Any] = {}
    for key, array in sorted(_read(path).items()):
        *parts, last = key.split(":")
        table: Any = named
        for part in parts:
            table = table.setdefault(part, {}) if isinstance(table, dict) else None
        sound = re.fullmatch("[^:]+:(B|W|(W|cap):[^:]+)", key)
        if not sound or not isinstance(table, dict) or last in table:
            raise ValueError(
                f"{path}: found the key {key!r}; expected capsule:B, capsule:W:source, "
                "capsule:cap:name or weight:W; cure: save it by cj.save_parameters"
            )
        table[last] = array
    return named


def save_state(net: Network, state: Any, path: str | os.PathLike[str]) -> None:
    """Writes what is carried from step to step, atomically.

    That is running statistics, and the feedback weights of backward rules. The wiring
    of neurons stands in the graph and is not written.

    Args:
        net: The network.
        state: Its state.
        path: The file, of safetensors. Keys are `capsule:name`, and
            `capsule:feedback:source` for feedback weights.

    Raises:
        ValueError: The state does not fit the network.
        OSError: The file can't be written.

    Example:
        >>> import os, tempfile, capsjax as cj, jax
        >>> x = cj.input("x", (3,))
        >>> h = cj.capsule("h", cj.identity(x), cap="standardize", bias=None)
        >>> net = cj.compile(cj.graph(h))
        >>> params, state = net.init(jax.random.key(0))
        >>> path = os.path.join(tempfile.mkdtemp(), "state.safetensors")
        >>> save_state(net, state, path)
        >>> load_state(net, path)["h"]["variance"]
        Array([1., 1., 1.], dtype=float32)
    """
    names = named_state_shapes(net.program.typed)
    arrays = flatten(net.named_state(state))
    _write(path, ((name, array) for name, array in arrays if name in names))


def load_state(net: Network, path: str | os.PathLike[str]) -> Any:
    """Reads the state of a network from safetensors; runs no code.

    Args:
        net: The network.
        path: The file, from `save_state`.

    Returns:
        The state, with the wiring of neurons where there are any.

    Raises:
        ValueError: The file is no sound safetensors file, or does not fit the network;
            says what is missing, unknown or of another shape.
        OSError: The file can't be read.
    """
    expected = named_state_shapes(net.program.typed)
    arrays = {}
    for key, array in sorted(_read(path).items()):
        name = tuple(key.split(":"))
        if name not in expected:
            raise ValueError(
                f"{path}: found the key {key!r}; expected capsule:name of what network "
                f"{net.graph.name!r} carries; cure: load it into the network that it "
                "was saved from"
            )
        arrays[name] = jnp.asarray(array)
    try:
        return net.state_from_named(with_wiring(nest(arrays), net.program.wiring()))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _write(path: str | os.PathLike[str], arrays: Iterable[tuple[Any, Any]]) -> None:
    import safetensors.numpy

    flat = {
        show(name): np.ascontiguousarray(jax.device_get(array))
        for name, array in arrays
    }
    write_atomically(path, safetensors.numpy.save(flat))


def _read(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    import safetensors
    import safetensors.numpy

    content = Path(path).read_bytes()
    try:
        return safetensors.numpy.load(content)
    except (safetensors.SafetensorError, KeyError, ValueError, TypeError) as error:
        raise ValueError(
            f"{path}: found {error}; expected a whole safetensors file; cure: copy or "
            "save it again"
        ) from None
