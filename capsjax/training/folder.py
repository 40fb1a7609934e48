"""The folder of a run: what it is, its checkpoints, and in the end what it has learned.

graph.json                the network
run.json                  how it is trained, and what decides the result
history.csv               a row an epoch, as they come
checkpoints/              what to go on from
parameters.safetensors    and state.safetensors: at the end
"""

import contextlib
import dataclasses
import json
import os
import signal
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np

from capsjax.compiler import Network
from capsjax.compiler.parameters import flatten, show
from capsjax.graph import content_hash
from capsjax.graph import save as save_graph
from capsjax.graph.files import write_atomically
from capsjax.training import writers
from capsjax.training.checkpoints.lock import NAME as LOCK
from capsjax.training.identity import code_of, differences, digest, fingerprint
from capsjax.training.learner import Learner
from capsjax.training.loop import Loop, Place, Row
from capsjax.training.recipe import Recipe
from capsjax.training.run import Run
from capsjax.training.signals import Interrupted

FORMAT_VERSION = 1


@dataclasses.dataclass(eq=False)
class Folder:
    """The folder of a run that is under way.

    Attributes:
        path: Where it is.
        checkpointer: What keeps checkpoints in it.
        resumed: Whether it was there before.
        about: What stands in run.json.
        writers: What each row of the history is given to; of several processes, one
            writes it.
    """

    path: Path
    checkpointer: Any
    resumed: bool
    about: dict[str, Any]
    writers: tuple[writers.CSV, ...]
    _kept: Any = None

    def restored(self, carry: Any) -> tuple[Place, Any] | None:
        """Where the run goes on, from its newest sound checkpoint; None at the start.

        Args:
            carry: What a run begins with: names, shapes and types.
        """
        saved = self.checkpointer.latest(carry) if self.resumed else None
        for text in self.checkpointer.warnings:
            warnings.warn(text, stacklevel=2)
        if saved is None:
            return None
        rows = [dict(row) for row in saved.rows]
        place = Place(steps=saved.steps, rows=rows, **saved.more)
        self._kept = _moment(place)
        return place, saved.carry

    def due(self, steps: int, row: Row | None) -> bool:
        """Whether a checkpoint is to be kept; at the end of an epoch, with its row."""
        return self.checkpointer.due(steps, time.monotonic(), row)

    def within(self, steps: int) -> int:
        """The steps that may be taken until a checkpoint must be kept."""
        every = self.checkpointer.policy.every_steps
        return 2**31 - 1 if every is None else every - steps % every

    def save(self, loop: Loop, measured: bool = False) -> None:
        """Keeps a checkpoint; what it takes on the disk goes on beside the run.

        Where the last one is of the same moment, there is nothing to keep.

        Args:
            loop: The run.
            measured: Whether its last row was measured on these very parameters.
        """
        from capsjax.training.checkpoints import Saved

        place = loop.place
        if self._kept == _moment(place):
            return
        more = {
            "seconds": loop.seconds,
            "skipped": list(place.skipped),
            "scale": place.scale,
        }
        rows = [dict(row) for row in place.rows]
        saved = Saved(place.steps, loop.carry, rows, more)
        self.checkpointer.save(saved, measured=measured)
        self._kept = _moment(place)

    def interrupted(self, loop: Loop, total: int) -> Interrupted:
        """What is raised where a signal has ended the run; its checkpoint is kept."""
        self.checkpointer.wait()
        number = loop.signals.received or signal.SIGINT
        name = signal.Signals(number).name
        return Interrupted(
            f"{name} came: the run ended after step {loop.place.steps:,} of {total:,}; "
            f"a checkpoint is in {self.path}; to go on: the same again with "
            f"resume=True, or --out {self.path} --resume",
            number,
        )

    def finish(self, run: Run) -> None:
        """Writes what the run has learned."""
        self.checkpointer.wait()
        if not jax.process_index():
            run.write(self.path)


@contextmanager
def opened(
    path: str | os.PathLike[str],
    net: Network,
    recipe: Recipe,
    identity: dict[str, Any],
) -> Iterator[Folder]:
    """Opens the folder of a run, for one process at a time.

    Args:
        path: Where.
        net: The network.
        recipe: How the network is trained: when checkpoints are kept, whether the run
            may be there already, what else stands in run.json.
        identity: What decides the result, part by part, as plain data.

    Raises:
        FileExistsError: It holds another run, or something else, or a run that is not
            to be gone on with. Nothing is overwritten.
        OSError: It can't be written.
    """
    from capsjax.training.checkpoints import Checkpointer, Checkpoints

    path = Path(path)
    identity = json.loads(json.dumps(identity, default=str))
    there = _read(path)
    if there is not None:
        if not recipe.resume:
            raise FileExistsError(
                f"{path} holds a run already; choose another folder, or go on with it: "
                "resume=True, or --resume; nothing was overwritten"
            )
        differ = differences(there.get("identity") or {}, identity)
        if differ:
            raise FileExistsError(
                f"{path} holds another run: {'; '.join(differ)}; choose another "
                "folder, or call as before; nothing was overwritten"
            )
    elif path.exists() and not _is_free(path):
        raise FileExistsError(
            f"{path} exists, is not empty and holds no run; choose another folder, "
            "nothing was overwritten"
        )
    path.mkdir(parents=True, exist_ok=True)
    policy = recipe.checkpoints or Checkpoints()
    with Checkpointer.open(path, net, policy, identity) as checkpointer:
        first = not jax.process_index()  # of several processes, one writes
        if there is None and first:
            save_graph(net.graph, path / "graph.json")
        written = {
            "format_version": FORMAT_VERSION,
            "network": net.graph.name,
            "content_hash": content_hash(net.graph),
            "epochs": recipe.epochs,
            "steps": recipe.steps,
            **recipe.about,
            "identity": identity,
        }
        text = json.dumps(written, indent=1, default=str)
        if first:
            write_atomically(path / "run.json", text.encode())
        about = json.loads(text)
        with contextlib.ExitStack() as stack:
            found = (writers.csv(path / "history.csv"),) if first else ()
            for writer in found:
                stack.callback(writer.close)
            yield Folder(path, checkpointer, there is not None, about, found)


def _is_free(path: Path) -> bool:
    """Whether a folder is empty, or holds a beginning that was killed before run.json.

    Only this library writes the lock's file; so what else stands there is its own.
    """
    if not path.is_dir():
        return False
    found = {each.name for each in path.iterdir()}
    checkpoints = path / "checkpoints"
    if LOCK not in found or (checkpoints.is_dir() and any(checkpoints.iterdir())):
        return not found
    begun = (".graph.json.", ".run.json.")  # not yet renamed
    own = {LOCK, "graph.json", "checkpoints"}
    return all(name in own or name.startswith(begun) for name in found)


def _moment(place: Place) -> tuple[Any, ...]:
    """What tells two places of one run apart, but for the time."""
    return place.steps, len(place.rows), tuple(place.skipped), place.scale


def identity_of(
    learner: Learner, recipe: Recipe, given: Any, test: Any
) -> dict[str, Any]:
    """What decides the result of a run, part by part.

    Args:
        learner: What is learning.
        recipe: How it is trained.
        given: What it learns from.
        test: What it is measured on, or None.
    """
    net, optimizer = learner.net, learner.optimizer
    built_in = {name: repr(each) for name, each in optimizer.given.items()}
    own = ("batch_size", "seed", "initial_scale", "short_batch", "average", "guard")
    first = None
    if recipe.params is not None:
        named = flatten(net.named(recipe.params))
        first = {show(name): np.asarray(array) for name, array in named}
    return {
        "graph": content_hash(net.graph),
        "optimizer": [optimizer.name, optimizer.document or code_of(optimizer.make)],
        "settings": {**built_in, **dict(recipe.settings or {})},
        "class weights": recipe.class_weights,
        "augmentation": repr(learner.augment),
        "data": digest([fingerprint(given), fingerprint(test)]),
        "first parameters": fingerprint(first),
        "device": jax.default_backend(),
        **{name.replace("_", " "): getattr(recipe, name) for name in own},
    }


def _read(path: Path) -> dict[str, Any] | None:
    """What run.json says; None where there is no run."""
    file = path / "run.json"
    if not file.exists():
        return None
    try:
        found = json.loads(file.read_bytes())
    except ValueError as error:
        found = str(error)
    if not isinstance(found, dict) or found.get("format_version") != FORMAT_VERSION:
        raise FileExistsError(
            f"{file}: found {found if isinstance(found, str) else 'another format'}; "
            f"expected what a run writes, of format {FORMAT_VERSION}; choose another "
            "folder, nothing was overwritten"
        )
    return found
