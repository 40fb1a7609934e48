"""What a training run leaves: its result, and a folder that holds it."""

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from capsjax.compiler import Network
from capsjax.compiler.state import named_state_shapes
from capsjax.displayed import Displayed
from capsjax.graph import plain
from capsjax.graph import save as save_graph
from capsjax.graph.files import new_folder, write_atomically
from capsjax.training.saved import save_parameters, save_state

if TYPE_CHECKING:
    import pandas as pd


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Run(Displayed):
    """The result of `cj.fit`.

    Attributes:
        net: The network.
        params: Trained parameters.
        state: Network state.
        history: One row an epoch: `epoch`, `seconds` since the start, `loss` and
            metrics of training, and with prefix `validation_` of validation.
        configuration: What the run was told, as plain data, where that is known: it
            stands in run.json, and has no effect on what is loaded.
        average: Moving average of the parameters, if one was kept.
        faults: What the guard has found, `Fault`s.
        folder: Where it is kept, if it is.
    """

    net: Network
    params: Any
    state: Any
    history: "pd.DataFrame"
    configuration: Mapping[str, Any] | None = None
    average: Any = None
    faults: tuple[Any, ...] = ()
    folder: Path | None = None

    @property
    def evaluated(self) -> Any:
        """The parameters that validation measures: the average, where one was kept."""
        return self.params if self.average is None else self.average

    def save(
        self, folder: str | os.PathLike[str], more: Mapping[str, bytes] | None = None
    ) -> Path:
        """Writes a run folder: graph.json, parameters.safetensors, history.csv.

        The configuration stands in run.json, if there is one. Where capsule functions
        carry state (running statistics), it stands in state.safetensors. The
        connections of a large neural network stand in one more safetensors file, which
        graph.json names. The folder appears whole or not at all; `cj.load_run` reads
        it.

        Args:
            folder: Where; must not exist, or be empty.
            more: Further files by name, such as pictures.

        Returns:
            The folder.

        Raises:
            FileExistsError: The folder holds something already.
            ValueError: The configuration is no plain data.
            OSError: It can't be written; nothing is left behind.
        """
        with new_folder(folder) as new:
            save_graph(self.net.graph, new / "graph.json")
            if self.configuration is not None:
                text = configuration_text(self.configuration)
                write_atomically(new / "run.json", text.encode())
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
        if not len(self.history):
            return f"Run({self.net.graph.name!r}, 0 epochs)"
        last = self.history.iloc[-1]
        figures = ", ".join(
            f"{name} {value:.4g}"
            for name, value in last.items()
            if name not in ("epoch", "seconds")
        )
        return f"Run({self.net.graph.name!r}, {len(self.history)} epochs: {figures})"


def configuration_text(configuration: Mapping[str, Any]) -> str:
    """A configuration as canonical JSON: equal ones have equal texts.

    Args:
        configuration: Plain data.

    Raises:
        ValueError: Something in it is no plain data; says where.
    """
    document, problems = plain.clean(dict(configuration))
    if problems:
        raise ValueError(f"configuration: {problems[0]}")
    return json.dumps(document, sort_keys=True, indent=2, ensure_ascii=False) + "\n"
