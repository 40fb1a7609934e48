"""Writers: where the rows of a history go while a network is trained.

A writer is any callable `writer(row)` that takes a row of the history, a table of
numbers by name: `cj.fit(..., callbacks=[writer])`. Two are here; `close()` ends them:

    cj.writers.csv("run.csv")            a file that grows line by line
    cj.writers.tensorboard("logs/run")   what TensorBoard shows

Another service is a function of one's own. Weights & Biases, say:

    import wandb

    with wandb.init(project="digits") as logged:
        cj.fit(net, data, callbacks=[logged.log])

Both are exact where a run goes on from an earlier step: what stands there of later
ones, written before the run was broken off, is replaced.
"""

import csv as files
import io
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from capsjax.graph.files import write_atomically

__all__ = [
    "CSV",
    "TensorBoard",
    "csv",
    "tensorboard",
]

Row = Mapping[str, Any]
_POSITIONS = ("step", "epoch")


def csv(path: str | os.PathLike[str]) -> "CSV":
    """Writes each row to a CSV file at once, so that others can watch it grow.

    Args:
        path: The file; its folder is made. Where it holds rows of earlier steps, it
            goes on behind them; rows of the same step and of later ones are replaced.

    Returns:
        The writer. In the end the file is that of `run.history.to_csv(index=False)`.

    Raises:
        OSError: On writing, if the file can't be written.
        ValueError: On writing, if the file is another one than this writes.

    Example:
        >>> import os, tempfile, capsjax as cj
        >>> path = os.path.join(tempfile.mkdtemp(), "run.csv")
        >>> writer = cj.writers.csv(path)
        >>> for epoch in (1, 2):
        ...     writer({"epoch": epoch, "loss": 1 / epoch})
        >>> writer.close()
        >>> writer = cj.writers.csv(path)  # goes on from the end of the first epoch
        >>> writer({"epoch": 2, "loss": 0.25})
        >>> writer.close()
        >>> print(Path(path).read_text(), end="")
        epoch,loss
        1,1.0
        2,0.25
    """
    return CSV(path)


def tensorboard(folder: str | os.PathLike[str]) -> "TensorBoard":
    """Writes each row for TensorBoard: `tensorboard --logdir FOLDER`.

    The tag of a column `loss` is `training/loss`, that of `validation_loss` is
    `validation/loss`. The step is that of the row, or else its epoch. Where a run goes
    on, TensorBoard is told to forget what it was shown of later steps.

    Args:
        folder: Where the events go; one run a folder.

    Returns:
        The writer.

    Raises:
        ModuleNotFoundError: tensorboardX is not installed.

    Example:
        >>> import tempfile, capsjax as cj
        >>> writer = cj.writers.tensorboard(tempfile.mkdtemp())
        >>> writer({"epoch": 1, "loss": 0.5, "validation_loss": 0.6})
        >>> writer.close()
    """
    return TensorBoard(folder)


class CSV:
    """What `cj.writers.csv` gives.

    Attributes:
        path: The file.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)
        self._file: IO[str] | None = None
        self._columns: list[str] = []
        self._last = -math.inf

    def __call__(self, row: Row) -> None:
        """Writes a row.

        Args:
            row: Numbers by name.
        """
        place = _position(row)[1]
        known = place > self._last and set(row) <= set(self._columns)
        if self._file is None or not known:
            self._begin(row)
        assert self._file is not None
        self._last = place
        self._file.write(_text([[_cell(row.get(name)) for name in self._columns]]))
        self._file.flush()

    def close(self) -> None:
        """Closes the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _begin(self, row: Row) -> None:
        """Brings what stands in the file to where this row comes next."""
        self.close()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        before = [each for each in self._read(row) if _is_before(each, row)]
        columns = dict.fromkeys(name for each in before for name in each)
        self._columns = list(columns | dict.fromkeys(row))
        lines = [[each.get(name, "") for name in self._columns] for each in before]
        write_atomically(self.path, _text([self._columns, *lines]).encode())
        self._file = self.path.open("a", encoding="utf-8", newline="")

    def _read(self, row: Row) -> list[dict[str, str]]:
        """The rows in the file, but for a last one that was broken off."""
        if not self.path.exists():
            return []
        text = self.path.read_text("utf-8")
        whole = text[: text.rfind("\n") + 1]
        head, *lines = list(files.reader(io.StringIO(whole, newline=""))) or [[]]
        place = _position(row)[0]
        if lines and place not in head:
            raise ValueError(
                f"{self.path}: found the columns {', '.join(head)}; expected those of "
                f"a history, with {place!r}; nothing was overwritten; cure: choose "
                "another file"
            )
        return [dict(zip(head, line, strict=False)) for line in lines]


class TensorBoard:
    """What `cj.writers.tensorboard` gives.

    Attributes:
        folder: Where the events go.
    """

    def __init__(self, folder: str | os.PathLike[str]):
        self.folder = Path(folder)
        self._make = _summary_writer()
        self._writer: Any = None

    def __call__(self, row: Row) -> None:
        """Writes a row.

        Args:
            row: Numbers by name.
        """
        name, step = _position(row)
        if self._writer is None:
            self._writer = self._make(os.fspath(self.folder), purge_step=int(step))
        for column, value in row.items():
            if column != name and isinstance(_plain(value), int | float):
                self._writer.add_scalar(_tag(column), _plain(value), int(step))
        self._writer.flush()

    def close(self) -> None:
        """Writes what is left, and closes the file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _summary_writer() -> Any:
    try:
        from tensorboardX import SummaryWriter
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "cj.writers.tensorboard needs tensorboardX; cure: pip install "
            "'capsjax[tensorboard]'",
            name="tensorboardX",
        ) from error
    return SummaryWriter


def _tag(column: str) -> str:
    part, _, rest = column.partition("_")
    return f"validation/{rest}" if part == "validation" else f"training/{column}"


def _position(row: Row) -> tuple[str, float]:
    """By which column rows are ordered, and where this one is."""
    for name in _POSITIONS:
        if name in row:
            return name, row[name]
    raise ValueError(
        f"found a row with {', '.join(row) or 'nothing'}; expected 'epoch' or 'step' "
        "in it"
    )


def _is_before(line: Mapping[str, str], row: Row) -> bool:
    name, place = _position(row)
    try:
        return float(line[name]) < place
    except (KeyError, ValueError):
        return False


def _plain(value: Any) -> Any:
    """A number of Python's, where it is one of numpy's or JAX's."""
    return value.item() if hasattr(value, "item") else value


def _cell(value: Any) -> Any:
    """A value as pandas writes it: nothing for what is no number."""
    value = _plain(value)
    empty = value is None or (isinstance(value, float) and math.isnan(value))
    return "" if empty else value


def _text(lines: list[list[Any]]) -> str:
    text = io.StringIO(newline="")
    files.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()
