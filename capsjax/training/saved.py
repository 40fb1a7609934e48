"""Parameters and state by name as safetensors files: written whole, read safely."""

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from capsjax.compiler import Network
from capsjax.compiler.parameters import flatten, nest, show
from capsjax.compiler.state import named_state_shapes, with_wiring
from capsjax.graph.files import write_atomically


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

    content = Path(path).read_bytes()
    try:
        # Not by safetensors.numpy, which writes bfloat16 and does not read it.
        found = safetensors.deserialize(content)
        return {
            name: np.frombuffer(each["data"], _TYPES[each["dtype"]]).reshape(
                each["shape"]
            )
            for name, each in found
        }
    except (safetensors.SafetensorError, KeyError, ValueError, TypeError) as error:
        raise ValueError(
            f"{path}: found {error}; expected a whole safetensors file; cure: copy or "
            "save it again"
        ) from None


_TYPES: dict[str, Any] = {"BF16": jnp.bfloat16, "BOOL": np.bool_}
_TYPES |= {f"F{size}": f"<f{size // 8}" for size in (16, 32, 64)}
_TYPES |= {f"I{size}": f"<i{size // 8}" for size in (8, 16, 32, 64)}
_TYPES |= {f"U{size}": f"<u{size // 8}" for size in (8, 16, 32, 64)}
