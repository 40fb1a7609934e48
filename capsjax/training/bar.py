"""The progress bar of a run, in the terminal or the notebook."""

import time
from collections.abc import Mapping
from typing import Any

_LOOK_EVERY = 0.25
"""Seconds between two times that the bar is drawn."""

_NOT_SHOWN = ("epoch", "seconds")


class Bar:
    """A progress bar, or none.

    Args:
        done: Steps that are behind the run already.
        steps: Steps in all.
        shown: Whether there is one.
    """

    def __init__(self, done: int, steps: int, shown: bool):
        from tqdm.auto import tqdm

        self.bar = tqdm(total=steps, initial=done, disable=not shown, unit="step")
        self.drawn = time.perf_counter()
        self.waiting = 0

    def __enter__(self) -> "Bar":
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.close()

    def due(self) -> bool:
        """Whether it is time to draw it."""
        return not self.bar.disable and time.perf_counter() - self.drawn > _LOOK_EVERY

    def advance(self, steps: int) -> None:
        """Counts steps."""
        self.waiting += steps

    def show_loss(self, epoch: int, loss: float) -> None:
        """Draws the bar with the loss of the epoch so far."""
        self.bar.set_description(f"epoch {epoch}, loss {loss:.4f}", refresh=False)
        self._draw()

    def show(self, row: Mapping[str, Any]) -> None:
        """Draws the bar with the figures of an epoch."""
        figures = {k: f"{v:.4f}" for k, v in row.items() if k not in _NOT_SHOWN}
        self.bar.set_description(f"epoch {row['epoch']} done", refresh=False)
        self.bar.set_postfix(figures, refresh=False)
        self._draw()

    def back(self, done: int) -> None:
        """Sets the bar back to so many steps."""
        self.waiting = 0
        self.bar.n = done
        self._draw()

    def _draw(self) -> None:
        self.bar.update(self.waiting)
        self.waiting, self.drawn = 0, time.perf_counter()
