"""Writes checkpoints of a run while it goes on, and reads them back."""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import jax

from capsjax.compiler import Network
from capsjax.training.checkpoints.due import Due
from capsjax.training.checkpoints.faults import Damaged, writing_failed
from capsjax.training.checkpoints.lock import RunLock
from capsjax.training.checkpoints.policy import Checkpoints
from capsjax.training.checkpoints.quiet import Quiet
from capsjax.training.checkpoints.reading import (
    CONTENT,
    Saved,
    folder_of,
    newest,
    numbers_in,
)
from capsjax.training.checkpoints.record import (
    plain,
    read_record,
    require_identity,
)
from capsjax.training.checkpoints.snapshot import Copier

if TYPE_CHECKING:
    from capsjax.training.checkpoints.writer import Writer

FOLDER = "checkpoints"
"""The folder of the checkpoints in that of the run."""


class Checkpointer:
    """Checkpoints of one run.

    A checkpoint is `checkpoints/000012/run/`: `checkpoint.json` and one safetensors
    file a process. Its number counts checkpoints, not steps: the newest one has the
    largest, also after a run went back to an earlier step. A folder that has that name
    is whole: it is written elsewhere, and renamed.

    Attributes:
        folder: The folder of the checkpoints.
        policy: When they are written, and which are kept.
        warnings: Texts that name the damaged checkpoints that were skipped.

    Example:
        >>> import tempfile, capsjax as cj, jax, optax
        >>> from capsjax.training.checkpoints import Checkpointer, Checkpoints, Saved
        >>> net = cj.compile(cj.zoo.graph("mlp"))
        >>> params, state = net.init(jax.random.key(0))
        >>> carry = {"params": params, "state": state,
        ...          "optimizer": optax.adam(1e-3).init(params)}
        >>> run = tempfile.mkdtemp()
        >>> policy = Checkpoints(every_steps=100)
        >>> with Checkpointer.open(run, net, policy, {"seed": 0}) as checkpointer:
        ...     checkpointer.save(Saved(100, carry, [{"epoch": 1, "loss": 0.5}], {}))
        >>> with Checkpointer.open(run, net, policy, {"seed": 0}) as checkpointer:
        ...     saved = checkpointer.latest(carry)
        >>> saved.steps, saved.rows
        (100, [{'epoch': 1, 'loss': 0.5}])
    """

    folder: Path
    policy: Checkpoints
    warnings: list[str]

    def __init__(
        self,
        folder: str | os.PathLike[str],
        net: Network,
        policy: Checkpoints,
        identity: Mapping[str, Any],
    ):
        """Use `Checkpointer.open`."""
        self.folder = Path(os.path.abspath(folder)) / FOLDER
        self.policy = policy
        self.warnings = []
        self._net = net
        self._identity = plain(dict(identity), "the identity")
        self._copier = Copier()
        self._damaged: set[int] = set()
        self._due = Due(policy)
        self._writing: int | None = None
        self._resources = contextlib.ExitStack()
        self._writer: Writer | None = None
        self._lock: RunLock | None = None
        if jax.process_index() == 0:
            self._lock = RunLock.of(self.folder.parent)
            self._resources.callback(self._lock.release)
        try:
            if self._lock is not None:
                self.folder.mkdir(exist_ok=True)
            self._look()
            self._resources.enter_context(Quiet())  # also while orbax is imported
            from capsjax.training.checkpoints import writer

            self._writer = writer.Writer(self.folder, net, self._kept)
        except OSError as error:
            self.close()
            raise writing_failed(error, self.folder, self._whole()) from error
        except BaseException:
            self.close()
            raise

    @classmethod
    def open(
        cls,
        folder: str | os.PathLike[str],
        net: Network,
        policy: Checkpoints,
        identity: Mapping[str, Any],
    ) -> "Checkpointer":
        """Opens a run folder for writing checkpoints, and locks it.

        Args:
            folder: The run folder; it is made if it is not there.
            net: The network.
            policy: When checkpoints are written, and which are kept.
            identity: Plain data that a run must have in common with the one that
                wrote the checkpoints to go on from them.

        Returns:
            The checkpointer, a context manager that waits for what is being written.

        Raises:
            BlockingIOError: Another process writes to the folder; says which.
            ValueError: The checkpoints in it are of another run; says in what.
            OSError: It can't be written to.
        """
        return cls(folder, net, policy, identity)

    def due(self, steps: int, now: float, row: Mapping[str, Any] | None = None) -> bool:
        """Whether a checkpoint is to be written.

        With several processes, the first one's clock decides for all: all call this
        after the same steps.

        Args:
            steps: Steps taken in all.
            now: The time in seconds, of a clock that never goes back.
            row: The row of the history of the epoch that ends here, if one does.
        """
        return self._due(steps, now, row)

    def save(self, saved: Saved, *, measured: bool = False) -> None:
        """Copies what is to be saved and begins to write it.

        The arrays may be donated once this returns. What is being written already is
        waited for.

        Args:
            saved: What is saved.
            measured: Whether the last row of the history was measured on these very
                parameters, so that they may be the best.

        Raises:
            OSError: This checkpoint, or the last one, can't be written. What was
                written before is left as it is, and saving may be tried again.
            ValueError: Something in `rows` or `more` is no plain data.
        """
        self.wait()
        if self._writer is None:
            raise ValueError("the checkpointer is closed; open it again")
        value = self._due.value_of(saved.rows[-1]) if measured and saved.rows else None
        record = {
            "steps": int(saved.steps),
            "value": value,
            "rows": plain(saved.rows, "the history"),
            "more": plain(saved.more, "what is saved more"),
            "identity": self._identity,
        }
        number = max(self._numbers(), default=0) + 1
        snapshot = self._copier.snapshot(saved.carry)
        if value is not None:
            self._due.values[number] = value
        self._damaged.discard(number)
        self._writing = number
        try:
            self._writer.save(number, snapshot, record)
        except Exception as error:
            self._give_up(error)
        self._due.saved(saved.steps)

    def wait(self) -> None:
        """Waits until what is being written is whole.

        Raises:
            OSError: It can't be written.
        """
        if self._writer is None or self._writing is None:
            return
        try:
            self._writer.wait(self._writing)
        except Exception as error:
            self._give_up(error)
        self._writing = None

    def latest(self, like: Any) -> Saved | None:
        """The newest sound checkpoint.

        Damaged ones are skipped, and named in `warnings`.

        Args:
            like: A carry, or its shapes: structure, types and shardings are taken
                from it, values are not.

        Returns:
            It; None if there is no checkpoint.

        Raises:
            ValueError: None is sound, although there are some; or they are of another
                run, or do not fit the carry.
        """
        self.wait()
        saved, texts, damaged = newest(self.folder, self._net, like, self._identity)
        self.warnings += [text for text in texts if text not in self.warnings]
        self._damaged |= set(damaged)
        if saved is not None:
            self._due.saved(saved.steps)
        return saved

    def close(self) -> None:
        """Waits for what is being written and gives the folder back.

        Raises:
            OSError: It can't be written.
        """
        try:
            self.wait()
        finally:
            writer, self._writer = self._writer, None
            with self._resources:
                if writer is not None:
                    writer.close()

    def __enter__(self) -> "Checkpointer":
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        try:
            self.close()
        except Exception as late:
            if error is None:
                raise
            error.add_note(str(late))  # neither hides the other

    def _numbers(self) -> list[int]:
        return numbers_in(self.folder)

    def _look(self) -> None:
        """Reads the records that are there: values, and that it is the same run."""
        sound = None
        for number in self._numbers():
            own = folder_of(self.folder, number)
            try:
                record = read_record(own / CONTENT)
            except (Damaged, OSError):
                continue
            sound = record
            if record.value is not None and record.value == record.value:
                self._due.values[number] = record.value
        if sound is not None:
            require_identity(sound, self._identity, self.folder)

    def _kept(self, numbers: list[int]) -> set[int]:
        """What is kept when a checkpoint is written; damaged ones count for nothing."""
        sound = [n for n in sorted(numbers) if n not in self._damaged]
        kept = self.policy.kept(sound, self._due.values)
        oldest = sound[-self.policy.keep :][0]
        return kept | {n for n in self._damaged if n > oldest}

    def _whole(self) -> str:
        """What can be gone on from, in words."""
        for number in reversed(self._numbers()):
            own = folder_of(self.folder, number)
            with contextlib.suppress(Damaged, OSError):
                record = read_record(own / CONTENT)
                return f"{own} (step {record.steps:,}) is as it was"
        return "there is no earlier one"

    def _give_up(self, error: Exception) -> NoReturn:
        """Forgets what was begun, and raises what went wrong."""
        number, self._writing = self._writing, None
        self._due.values.pop(number or 0, None)
        if isinstance(error, ValueError):
            raise error
        raise writing_failed(error, self.folder, self._whole()) from error
