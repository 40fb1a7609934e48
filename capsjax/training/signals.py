"""Signals that end a run in good order: the step is finished, and a checkpoint kept."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

import jax
import numpy as np

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """A run ended by a signal, with all that it had learned kept.

    It is no `Exception`, as `KeyboardInterrupt` is none: what handles errors must not
    take it for one.

    Attributes:
        signal: The signal's number.
        exit_code: What a command exits with: 128 and the signal's number, so 130 after
            Ctrl-C and 143 after SIGTERM.
    """

    def __init__(self, message: str, number: int):
        super().__init__(message)
        self.signal = number
        self.exit_code = 128 + number


class Signals:
    """Notes SIGINT and SIGTERM in place of what they do, as a context manager.

    The second one does what it always does. What the process ignores, as `nohup` and
    shells' background jobs let it ignore SIGINT, stays ignored. Outside the main
    thread, where Python lets no one handle signals, nothing is noted.

    Attributes:
        received: The number of the signal that came, or None.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Signals":
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) != signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._restore()

    def come(self) -> bool:
        """Whether a signal came: to any of the processes that train together.

        All of them must ask after the same steps.
        """
        if jax.process_count() > 1:
            from jax.experimental import multihost_utils

            own = np.asarray(self.received or 0)
            self.received = int(multihost_utils.process_allgather(own).max()) or None
        return self.received is not None

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
