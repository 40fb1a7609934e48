"""Export: a network as a folder that runs without its declaration's code.

    manifest.json            what it is, and the SHA-256 of every other file
    program.stablehlo        the function, as `jax.export` writes it
    layout.stablehlo         parameters by name -> as the program takes them
    graph.json               the document; nothing here reads it
    parameters.safetensors   parameters by name
    state.safetensors        what stands beside them, if there is anything

Programs are StableHLO, parameters are arrays: loading runs no code, and no kind need be
registered. Arrays stand in flat tables, whose keys are the names on the way to them.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from capsjax.compiler import parameters
from capsjax.compiler.ahead import Function, signature
from capsjax.graph import content_hash
from capsjax.graph import save as save_graph
from capsjax.graph.files import new_folder, write_atomically
from capsjax.platform import portable

if TYPE_CHECKING:
    from capsjax.compiler.network import Network

FORMAT = "capsjax exported network"
VERSION = 1
PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
Arrays = dict[str, Any]


def export(
    net: "Network",
    folder: str | os.PathLike[str],
    params: Any,
    state: Any,
    batch: Any = None,
    function: Function = "apply",
    train: bool | None = None,
) -> Path:
    """`Network.export`."""
    named = dict(parameters.flatten(net.named(params)))
    net.named_state(state)  # checks it
    tables = {parameters.show(name): array for name, array in named.items()}
    program, layout, made = _traced(net, named, state, batch, function, train)
    manifest = {
        "format": FORMAT,
        "format_version": VERSION,
        "name": net.graph.name,
        "content_hash": content_hash(net.graph),
        "function": function,
        "train": made.train,
        "draws": made.key is not None,
        "batch": {
            name: {
                "shape": [d if isinstance(d, int) else None for d in each.shape],
                "dtype": str(each.dtype),
            }
            for name, each in made.batch.items()
        },
        "platforms": list(program.platforms),
        "jax": jax.__version__,
    }
    with new_folder(folder) as new:
        save_graph(net.graph, new / "graph.json")
        _save(new / "parameters.safetensors", tables)
        _save(new / "state.safetensors", flat(state))
        write_atomically(new / "program.stablehlo", bytes(program.serialize()))
        write_atomically(new / "layout.stablehlo", bytes(layout.serialize()))
        files = sorted(path for path in new.iterdir())
        manifest["files"] = {path.name: _digest(path.read_bytes()) for path in files}
        text = json.dumps(manifest, indent=2) + "\n"
        write_atomically(new / "manifest.json", text.encode())
    return Path(folder)


def _traced(
    net: "Network",
    named: Mapping[parameters.Name, Any],
    state: Any,
    batch: Any,
    function: Function,
    train: bool | None,
) -> tuple[Any, Any, Any]:
    """The function and the layout of its parameters as `Exported`; its signature."""
    import jax.export

    typed = net.program.typed
    names = {parameters.show(name): name for name in named}
    unknown = batch is None
    if unknown:
        scope = jax.export.SymbolicScope(["batch >= 1"])
        (batch,) = jax.export.symbolic_shape("batch", scope=scope)
    made = signature(net, batch, function, train)

    def laid_out(table: Arrays) -> Arrays:
        arrays = {names[key]: array for key, array in table.items()}
        return flat(parameters.compiled(typed, arrays))

    by_name = {key: _type(named[name]) for key, name in names.items()}
    in_layout = jax.eval_shape(laid_out, by_name)
    trees = jax.tree.structure(made.params), jax.tree.structure(made.state)
    order = list(flat(made.params)), list(flat(made.state))

    def run(params: Arrays, state: Arrays, batch: Arrays, **key: Any) -> Any:
        taken = (
            jax.tree.unflatten(tree, [table[name] for name in keys])
            for tree, keys, table in zip(trees, order, (params, state), strict=True)
        )
        result = made.call(*taken, batch, **key)
        if function == "apply":
            return result[0], flat(result[1])
        if function == "loss":
            return result[0], (result[1][0], flat(result[1][1]))
        (loss, (outputs, new)), gradients = result
        return (loss, (outputs, flat(new))), flat(gradients)

    types = in_layout, {key: _type(array) for key, array in flat(state).items()}
    exported = jax.export.export(jax.jit(laid_out), platforms=PLATFORMS)
    layout = exported(by_name)
    if not unknown:
        traced = jax.export.export(jax.jit(run))
        return traced(*types, made.batch, **made.keywords), layout, made
    try:
        with portable():
            traced = jax.export.export(jax.jit(run), platforms=PLATFORMS)
            return traced(*types, made.batch, **made.keywords), layout, made
    except (jax.errors.InconclusiveDimensionOperation, TypeError) as error:
        raise ValueError(
            f"network {net.graph.name!r} can't be exported for batches of any size: "
            f"{str(error).splitlines()[0]}; cure: a batch size, such as batch=32"
        ) from error


def flat(tree: Any) -> Arrays:
    """A tree's arrays in one table; keys are the names on the way, with colons."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(p, simple=True, separator=":"): x for p, x in leaves}


def _type(array: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(np.shape(array), jax.numpy.result_type(array))


def _save(path: Path, arrays: Mapping[str, Any]) -> None:
    import safetensors.numpy

    whole = {key: np.ascontiguousarray(jax.device_get(x)) for key, x in arrays.items()}
    write_atomically(path, safetensors.numpy.save(whole))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
