"""What stands in run folders, as far as a list needs it: no array is read."""

import dataclasses
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from capsjax.graph import plain
from capsjax.training.load import read_configuration, read_history

if TYPE_CHECKING:
    import pandas as pd

_DEEPEST = 4
_SIGNS = ("history.csv", "run.json", "checkpoints")


@dataclasses.dataclass(frozen=True)
class Listed:
    """A run in a list.

    Attributes:
        folder: Where it is.
        network: The name of the network; empty, if graph.json can't be read.
        data: What it learned from, as far as run.json says it.
        parameters: How many; None, if it has not been saved.
        history: The history; None, if there is none yet.
        when: When it was last written to, in seconds since 1970.
        ended: How it ended, or what is wrong with it.
    """

    folder: Path
    network: str
    data: str
    parameters: int | None
    history: "pd.DataFrame | None"
    when: float
    ended: str


def find_runs(folder: Path) -> Iterator[Path]:
    """Folders of runs in a folder, by name, itself among them; follows no links."""
    for place, folders, files in os.walk(folder):
        depth = len(Path(place).relative_to(folder).parts)
        if "graph.json" in files and any(x in _SIGNS for x in (*files, *folders)):
            yield Path(place)
            folders.clear()
        elif depth >= _DEEPEST:
            folders.clear()
        folders[:] = sorted(name for name in folders if not name.startswith("."))


def listed(folder: Path) -> Listed:
    """A run, as far as its files tell it; what is wrong with them is told, too."""
    faults: list[str] = []

    def told(read: Any, otherwise: Any) -> Any:
        try:
            return read()
        except (OSError, ValueError) as error:
            faults.append(f"damaged: {error}")
            return otherwise

    configuration = told(lambda: read_configuration(folder), None) or {}
    path = folder / "history.csv"
    history = told(lambda: read_history(path), None) if path.exists() else None
    network = told(lambda: _name(folder / "graph.json"), "")
    arrays = folder / "parameters.safetensors"
    parameters = told(lambda: _count(arrays), None) if arrays.exists() else None
    ended = configuration.get("ended")
    if faults:
        ended = faults[0]
    elif not isinstance(ended, str):
        ended = "finished" if arrays.exists() else "not finished"
    times = [each.stat().st_mtime for each in folder.iterdir() if each.is_file()]
    when = max(times, default=0.0)
    data = _data(configuration)
    return Listed(folder, network, data, parameters, history, when, ended)


def best_of(history: "pd.DataFrame", name: str) -> float:
    """The best value of a metric: the largest of a share, the least of a loss."""
    values = history[name].to_numpy(float)
    values = values[~np.isnan(values)]
    if not len(values):
        return math.nan
    return float(values.max() if name.endswith("accuracy") else values.min())


def metrics_of(history: "pd.DataFrame") -> list[str]:
    """Columns of metrics: of validation, if there are any."""
    names = [n for n in map(str, history.columns) if n not in _NO_METRIC]
    return [n for n in names if n.startswith("validation_")] or names


_NO_METRIC = ("epoch", "step", "seconds")


def _name(path: Path) -> str:
    document = plain.read(path.read_bytes())[0]
    name = document.get("name") if isinstance(document, dict) else None
    if not isinstance(name, str):
        raise ValueError(f"{path}: found no name; expected the document of a network")
    return name


def _count(path: Path) -> int:
    """Number of parameters, by the head of the file alone."""
    import safetensors

    try:
        with safetensors.safe_open(path, "numpy") as file:
            return sum(math.prod(file.get_slice(k).get_shape()) for k in file.keys())
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path}: found {error}; expected safetensors") from None


def _data(configuration: dict[str, Any]) -> str:
    """What data is called in a configuration; empty, where that is not said."""
    data = configuration.get("data")
    if isinstance(data, dict):
        data = data.get("name") or data.get("source")
    return data if isinstance(data, str) else ""
