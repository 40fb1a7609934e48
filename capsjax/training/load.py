"""load_run: a run's folder, read back. Nothing that stands in it is ever executed."""

import csv
import io
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from capsjax.compiler import Network
from capsjax.compiler import compile as compile_graph
from capsjax.compiler.state import named_state_shapes, with_wiring
from capsjax.graph import content_hash, plain
from capsjax.graph import load as load_graph
from capsjax.graph.errors import brief, listing
from capsjax.training.run import Run
from capsjax.training.saved import load_parameters, load_state

if TYPE_CHECKING:
    import pandas as pd

_AGAIN = "cure: copy or save the run again"


def load_run(folder: str | os.PathLike[str], net: Network | None = None) -> Run:
    """Reads what a run has left in its folder; runs no code.

    Args:
        folder: The folder, as `Run.save` or `capsjax train` writes it: graph.json,
            parameters.safetensors, history.csv; and, if they are there, run.json,
            state.safetensors and average.safetensors.
        net: The network to load into, where it was compiled in a way of its own, with
            traced settings, say; left out, graph.json is compiled.

    Returns:
        The run.

    Raises:
        FileNotFoundError: A file is missing; says which.
        ValueError: A file is damaged, or does not fit the others; says which, where,
            and what is expected. A fault of the graph is a `GraphError`.
        OSError: A file can't be read.

    Example:
        >>> import os, tempfile, capsjax as cj
        >>> x = cj.input("x", (2,))
        >>> y = cj.capsule("y", cj.matmul(x, 1))
        >>> net = cj.compile(cj.graph(y, losses={"y": "mean_squared_error"}))
        >>> data = {"x": [[0.0, 1.0]], "y": [[1.0]]}
        >>> run = cj.fit(net, data, epochs=3, progress=False)
        >>> folder = run.save(os.path.join(tempfile.mkdtemp(), "run"))
        >>> again = cj.load_run(folder)
        >>> bool(again.history.equals(run.history))
        True
    """
    folder = Path(folder)
    require_run(folder)
    configuration = read_configuration(folder)
    history = read_history(folder / "history.csv")
    graph = load_graph(folder / "graph.json")
    if net is None:
        net = compile_graph(graph)
    elif content_hash(net.graph) != content_hash(graph):
        raise ValueError(
            f"{folder / 'graph.json'}: found another network than the one that is "
            f"given, {net.graph.name!r}; expected the same declaration; cure: leave "
            "net= out, or compile this graph.json"
        )
    params = _parameters(net, folder / "parameters.safetensors")
    average = folder / "average.safetensors"
    return Run(
        net=net,
        params=params,
        state=_state(net, folder),
        history=history,
        configuration=configuration,
        average=_parameters(net, average) if average.is_file() else None,
        folder=folder,
    )


def require_run(folder: Path) -> None:
    """Raises `FileNotFoundError` unless a folder has the files that every run has."""
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder}: found no such folder; expected the folder of a run; cure: "
            "check the path, or see capsjax runs"
        )
    missing = [name for name in NEEDED if not (folder / name).is_file()]
    if missing:
        there = listing(sorted(path.name for path in folder.iterdir())) or "nothing"
        cure = "cure: give the folder of a run, or copy it again"
        if (folder / "checkpoints").is_dir():
            cure = "cure: the run was broken off; go on with it, or wait for its end"
        raise FileNotFoundError(
            f"{folder}: found no {listing(missing)} among {there}; expected the "
            f"folder of a run, with {listing(NEEDED)}; {cure}"
        )


NEEDED = ("graph.json", "history.csv", "parameters.safetensors")
"""The files that every finished run has."""


def read_configuration(folder: Path) -> dict[str, Any] | None:
    """What stands in run.json; None if there is no such file.

    Raises:
        ValueError: It is no JSON object; says where.
    """
    path = folder / "run.json"
    if not path.is_file():
        return None
    try:
        document, _, problems = plain.read(path.read_bytes())
    except ValueError as error:
        raise ValueError(
            f"{path}: found {str(error)[:200]}; expected JSON; {_AGAIN}"
        ) from None
    problems = problems or plain.clean(document)[1]
    if problems:
        raise ValueError(f"{path}: {problems[0]}")
    if not isinstance(document, dict):
        raise ValueError(
            f"{path}: found {brief(document)}; expected a JSON object; {_AGAIN}"
        )
    return document


def read_history(path: Path) -> "pd.DataFrame":
    """A run's history, number by number as it was written.

    Raises:
        ValueError: It is no table of numbers; says in which line.
    """
    import pandas as pd  # here: `import capsjax` shall not wait for it

    try:
        text = plain.decoded(path.read_bytes())
        head, *lines = csv.reader(io.StringIO(text), strict=True) or [[]]
    except (csv.Error, ValueError) as error:
        raise ValueError(f"{path}: found {error}; expected CSV; {_AGAIN}") from None
    if not head and not any(lines):
        return pd.DataFrame()
    if len(set(head)) < len(head) or not all(name.strip() for name in head):
        raise ValueError(
            f"{path}, line 1: found the names {brief(head)}; expected one for each "
            f"column, each once; {_AGAIN}"
        )
    rows = [_numbers(path, at, line, head) for at, line in enumerate(lines, 2)]
    columns = zip(*rows, strict=True) if rows else [()] * len(head)
    return pd.DataFrame(dict(zip(head, map(list, columns), strict=True)))


def _numbers(path: Path, at: int, line: list[str], head: list[str]) -> list[float]:
    """The numbers of a line; nothing stands for one that is not known."""
    if len(line) != len(head):
        raise ValueError(
            f"{path}, line {at}: found {len(line)} cells; expected {len(head)}, as "
            f"there are columns; {_AGAIN}"
        )
    found = []
    for name, cell in zip(head, line, strict=True):
        if re.fullmatch(r"-?\d{1,18}", cell):
            found.append(int(cell))
        elif re.fullmatch(r"-?(\d+\.?\d*(e[+-]?\d+)?|inf|nan)|", cell):
            found.append(float(cell or "nan"))
        else:
            raise ValueError(
                f"{path}, line {at}, column {brief(name)}: found {brief(cell)}; "
                f"expected a number; {_AGAIN}"
            )
    return found


def _parameters(net: Network, path: Path) -> Any:
    named = load_parameters(path)
    kinds = {str(array.dtype) for array in jax.tree.leaves(named)}
    wrong = [kind for kind in sorted(kinds) if not jnp.issubdtype(kind, jnp.floating)]
    if wrong:
        raise ValueError(
            f"{path}: found parameters of type {listing(wrong)}; expected floating "
            f"point; {_AGAIN}"
        )
    try:
        return net.from_named(named)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _state(net: Network, folder: Path) -> Any:
    path = folder / "state.safetensors"
    if path.is_file():
        return load_state(net, path)
    carried: Mapping[Any, Any] = named_state_shapes(net.program.typed)
    if carried:
        raise FileNotFoundError(
            f"{folder}: found no state.safetensors; expected one, as network "
            f"{net.graph.name!r} carries {listing(':'.join(n) for n in carried)} from "
            "step to step; cure: copy the run again"
        )
    return net.state_from_named(with_wiring({}, net.program.wiring()))
