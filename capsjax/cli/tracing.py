"""What `capsjax train --trace` records, and where it is kept."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import capsjax as cj
from capsjax.graph.files import write_atomically
from capsjax.training.data import Data
from capsjax.training.dataset import bind

_EXAMPLES = 128


def tracer_of(net: cj.Network, data: Data, every: int) -> cj.Tracer:
    """A tracer on the first examples of the training set."""
    arrays = bind(net, data.train, "data").arrays
    batch = {name: np.asarray(array[:_EXAMPLES]) for name, array in arrays.items()}
    return cj.trace(net, batch, every=every)


def together(*given: Callable[..., None] | None) -> Callable[..., None] | None:
    """What watches a run, as one; None if nothing does."""
    watching = [each for each in given if each is not None]
    if len(watching) < 2:
        return watching[0] if watching else None

    def watch(step: int, params: Any, state: Any) -> None:
        for each in watching:
            each(step, params, state)

    return watch


def recorded(tracer: cj.Tracer, path: Path) -> Any:
    """Writes what was recorded, behind what stands there of the steps before."""
    import pandas as pd

    table, before = tracer.table, read_trace(path)
    if not len(table):
        return before
    if before is not None:
        earlier = before[before["step"] < table["step"].min()]
        table = pd.concat([earlier, table], ignore_index=True)
    write_atomically(path, table.to_csv(index=False).encode())
    return table


def read_trace(path: Path) -> Any:
    """The table of a tracer, if it was saved."""
    if not path.is_file():
        return None
    import pandas as pd

    try:
        table = pd.read_csv(path, keep_default_na=False, na_values={"value": [""]})
        return table.astype({"step": int, "value": float})
    except (ValueError, KeyError) as error:
        raise ValueError(
            f"{path}: found {error}; expected the table of a tracer; cure: remove it, "
            "or save it again, tracer.table.to_csv(path, index=False)"
        ) from None
