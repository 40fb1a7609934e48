"""A sweep's folder: what is done stays done.

    sweep.json            what is swept, and what decides the results
    table.csv             a row for each member
    history.csv           a row for each member and row of its training
    members/00012/        a member that is kept: graph.json, parameters.safetensors,
                          state.safetensors if there is any, settings.json
    units/NAME            results of blocks of members, each renamed into its place

A unit's file holds what its members carry until they are done; then the metrics alone.
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import jax

from capsjax.compiler import Network
from capsjax.compiler.state import named_state_shapes
from capsjax.graph import save as save_graph
from capsjax.graph.errors import brief
from capsjax.graph.files import new_folder, write_atomically
from capsjax.sweep.files import result_bytes, result_of
from capsjax.sweep.program import Program
from capsjax.sweep.unit import Result, Unit
from capsjax.training.identity import differences
from capsjax.training.saved import (
    load_parameters,
    load_state,
    save_parameters,
    save_state,
)

FORMAT_VERSION = 1


class Store:
    """The folder of a sweep.

    Args:
        folder: Where.
        identity: What decides the results, part by part, as plain data.
        about: What else stands in sweep.json.

    Raises:
        FileExistsError: The folder holds another sweep, or something else; says what
            differs. Nothing is overwritten.
        OSError: It can't be written.
    """

    def __init__(
        self, folder: str | os.PathLike[str], identity: dict[str, Any], about: Any
    ):
        self.folder = Path(folder)
        self.identity = json.loads(json.dumps(identity, default=str))
        path = self.folder / "sweep.json"
        there = _read_json(path) if path.exists() else None
        if there is None:
            if self.folder.exists() and not _is_empty(self.folder):
                raise FileExistsError(
                    f"{self.folder} exists, is not empty and holds no sweep; choose "
                    "another folder, nothing was overwritten"
                )
            (self.folder / "units").mkdir(parents=True, exist_ok=True)
            (self.folder / "members").mkdir(exist_ok=True)
            there = {"format_version": FORMAT_VERSION, "identity": self.identity}
            there |= {"plan": None, **about}
            _write_json(path, there)
        self._require_same(there)
        self._about = there

    def _require_same(self, there: Any) -> None:
        if there.get("format_version") != FORMAT_VERSION:
            raise FileExistsError(
                f"{self.folder} holds a sweep of format "
                f"{brief(there.get('format_version'))}; expected {FORMAT_VERSION}; "
                "choose another folder, nothing was overwritten"
            )
        found = there.get("identity", {})
        differ = differences(found, self.identity)
        if differ:
            raise FileExistsError(
                f"{self.folder} holds another sweep: {'; '.join(differ)}; choose "
                "another folder, or remove this one; nothing was overwritten"
            )

    @property
    def plan(self) -> Any:
        """How groups are run, as first chosen, or None."""
        return self._about["plan"]

    def keep_plan(self, plan: Any) -> None:
        """Keeps how groups are run, so that going on gives the same bits."""
        self._about = {**self._about, "plan": plan}
        _write_json(self.folder / "sweep.json", self._about)

    @property
    def text(self) -> str:
        """The identity as text."""
        return json.dumps(self.identity, sort_keys=True)

    def _path(self, unit: Unit) -> Path:
        return self.folder / "units" / f"{unit.name(self.text)}.safetensors"

    def read(self, unit: Unit, program: Program) -> Result | None:
        """What came of a unit so far; None if nothing did.

        Raises:
            ValueError: Its file is damaged.
        """
        path = self._path(unit)
        if not path.exists():
            return None
        return result_of(program, path.read_bytes(), str(path))

    def write(self, unit: Unit, program: Program, result: Result) -> None:
        """Puts what came of a unit in its place."""
        write_atomically(self._path(unit), result_bytes(program, result))

    def member_folder(self, number: int) -> Path:
        """Where a member that is kept stands."""
        return self.folder / "members" / f"{number:05}"

    def keep(
        self, number: int, net: Network, graph: Any, params: Any, state: Any, about: Any
    ) -> None:
        """Writes a member: its graph, its parameters and state by name."""
        place = self.member_folder(number)
        if place.exists():
            return
        with new_folder(place) as new:
            save_graph(graph, new / "graph.json")
            save_parameters(net.named(params), new / "parameters.safetensors")
            if named_state_shapes(net.program.typed):
                save_state(net, state, new / "state.safetensors")
            _write_json(new / "settings.json", about)

    def drop(self, number: int) -> None:
        """Removes a member that is no longer kept."""
        shutil.rmtree(self.member_folder(number), ignore_errors=True)

    def parameters(self, number: int, net: Network) -> tuple[Any, Any]:
        """Parameters and state of a member that is kept.

        Raises:
            FileNotFoundError: It is not kept.
        """
        place = self.member_folder(number)
        params = net.from_named(load_parameters(place / "parameters.safetensors"))
        if not named_state_shapes(net.program.typed):
            return params, net.init(jax.random.key(0))[1]
        return params, load_state(net, place / "state.safetensors")

    def write_tables(self, table: Any, history: Any) -> None:
        """Writes both tables as they are now."""
        for name, frame in (("table.csv", table), ("history.csv", history)):
            content = frame.to_csv(index=name == "table.csv").encode()
            write_atomically(self.folder / name, content)


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())


def _read_json(path: Path) -> Any:
    try:
        found = json.loads(path.read_bytes())
    except ValueError as error:
        raise FileExistsError(
            f"{path}: found {error}; expected what a sweep writes; cure: remove the "
            "folder, or choose another"
        ) from None
    return found if isinstance(found, dict) else {}


def _write_json(path: Path, content: Any) -> None:
    write_atomically(path, json.dumps(content, indent=1, default=str).encode())
