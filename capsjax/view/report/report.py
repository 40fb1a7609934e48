"""report: all that is to be seen of a run, as one HTML page."""

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from capsjax.graph.files import write_atomically
from capsjax.view.report import pictures, tables
from capsjax.view.report.judged import examined
from capsjax.view.templates import template

if TYPE_CHECKING:
    import pandas as pd


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Report:
    """A finished report.

    Attributes:
        html: The page: it loads nothing and runs no script.
    """

    html: str

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes the page, atomically.

        Args:
            path: The file; an existing one is replaced.

        Returns:
            The file.

        Raises:
            OSError: It can't be written.
        """
        write_atomically(path, self.html.encode())
        return Path(path)

    def __repr__(self) -> str:
        return f"<report, {len(self.html.encode()) / 1024:,.0f} KiB>"


def report(run: Any, data: Any = None, trace: "pd.DataFrame | Any | None" = None):
    """Makes a page on a run: what was told, what was learned, and how well.

    It shows the last and the best metrics, the configuration, the graph, learning
    curves, parameters of each capsule, and the history. With data, also a confusion
    matrix and the examples of the largest loss; with a trace, lengths of error signals
    and weights of each capsule over the steps.

    Args:
        run: What `cj.fit` or `cj.load_run` gives.
        data: What `cj.evaluate` takes; of a training and a test set, the test set is
            shown.
        trace: What `cj.trace` gave to watch the run by, or its table.

    Returns:
        The report, at most a few MB: large pictures and long tables are thinned out. It
        has `.html` and `.save(path)`.

    Raises:
        ValueError: The data does not fit the network; the trace is none.

    Example:
        >>> import capsjax as cj
        >>> image = cj.input("image", (8, 8, 1))
        >>> flat = cj.capsule("flat", cj.reshape(image, (-1,)), bias=None)
        >>> digit = cj.capsule("digit", cj.matmul(flat, 10), cap="softmax")
        >>> net = cj.compile(cj.graph(digit, losses={"digit": "cross_entropy"}))
        >>> run = cj.fit(net, cj.load_data("digits"), epochs=1, progress=False)
        >>> cj.view.report(run, cj.load_data("digits")).html[:15]
        '<!doctype html>'
    """
    table = getattr(trace, "table", trace)
    return Report(
        template(Path(__file__).with_name("page.html.jinja")).render(
            name=run.net.graph.name,
            facts=tables.facts(run.net),
            metrics=tables.metrics(run.history),
            configuration=tables.configuration(run.configuration or {}),
            notes=tables.configuration(getattr(run.net.graph, "metadata", {}) or {}),
            graph=pictures.graph(run.net),
            curves=pictures.curves(run.history),
            parameters=tables.parameters(run.net, run.params),
            trace=None if table is None else pictures.trace(run.net, table),
            examined=None if data is None else examined(run, data),
            history=tables.history(run.history),
        )
    )
