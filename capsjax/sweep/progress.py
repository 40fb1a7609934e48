"""One bar for a whole sweep: members done, the best so far, members a second."""

import threading
import time
from typing import Any

_LOOK_EVERY = 0.1


class Progress:
    """A bar in the terminal or the notebook, or none.

    Args:
        shown: Whether there is one.
        members: How many members there will be.
        rows: How many rows of history they will have together.
        metric: What members are ranked by.
    """

    def __init__(self, shown: bool, members: int, rows: int, metric: str):
        from tqdm.auto import tqdm

        self._bar: Any = tqdm(
            total=rows,
            disable=not shown,
            bar_format="{desc} |{bar}| {percentage:.0f} % [{elapsed}<{remaining}]",
        )
        self._members, self._done, self._metric = members, 0, metric
        self._best: float | None = None
        self._start = self._looked = time.perf_counter()
        self._lock, self._waiting = threading.Lock(), 0
        self._show(force=True)

    def grow(self, members: int, rows: int) -> None:
        """More members, or rows, than were known of."""
        with self._lock:
            self._members += members
            self._bar.total += rows
            self._show()

    def rows(self, count: int) -> None:
        """So many rows are done; may be called by several threads."""
        with self._lock:
            self._waiting += count
            self._show()

    def finished(self, members: int, best: float | None) -> None:
        """So many members are done; the best value so far, if there is one."""
        with self._lock:
            self._done += members
            self._best = best
            self._show()

    def close(self) -> None:
        """Leaves the bar as it is."""
        with self._lock:
            self._show(force=True)
            self._bar.close()

    @property
    def text(self) -> str:
        """What stands before the bar."""
        seconds = max(time.perf_counter() - self._start, 1e-9)
        parts = [f"{self._done} of {self._members} members"]
        if self._done:
            parts.append(f"{self._done / seconds:.3g} a second")
        if self._best is not None:
            parts.append(f"best {self._metric} {self._best:.4g}")
        return ", ".join(parts)

    def _show(self, force: bool = False) -> None:
        now = time.perf_counter()
        if self._bar.disable or (now - self._looked < _LOOK_EVERY and not force):
            return
        self._bar.set_description_str(self.text, refresh=False)
        self._bar.update(self._waiting)
        self._bar.refresh()
        self._waiting, self._looked = 0, now
