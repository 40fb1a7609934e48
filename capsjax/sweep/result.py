"""What a sweep leaves: tables, the best members, and how it was run."""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from capsjax.displayed import Displayed
from capsjax.sweep.session import Session
from capsjax.sweep.tables import plain, tables_of
from capsjax.training.run import Run

if TYPE_CHECKING:
    import pandas as pd


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class SweepResult(Displayed):
    """The result of `cj.sweep`.

    A tidy table of the history, not a cube of arrays: members may have rows at other
    steps than others have, and what reads tables reads it. A Dataset of xarray has
    what speaks for it, too: for 1,024 members with 100 rows of 4 metrics it is made in
    0.6 to 0.7 of the time of a table of columns, averaged over seeds in 0.2 to 0.3 of
    it, and takes 0.4 of the memory, as it holds no steps; but that is some 20 ms, and
    importing it takes 0.4 to 0.6 s longer (`python -m bench.sweep history`, others at
    work).

    Attributes:
        table: One row a member, indexed by `member`: a column for each axis, `seed`,
            `status` ("done", "diverged", "stopped" by the search), `epoch` and `step`
            reached, the last value of each metric (not a number where the member
            diverged), `diverged_at`, the first step whose loss or parameters were not
            finite, and `group`.
        history: One row for each member and row of its training: `member`, `epoch`,
            `step`, the metrics; and the numbers that a search has changed.
        axes: Names of the axes.
        metric: What members are ranked by.
        maximize: Whether more is better.
        groups: One row for each group of members that a program serves: how they were
            run and why, seconds of compilation, and how many programs were compiled.
        seconds: What it took, compilation included.
        folder: Where it is kept, if it is.
    """

    table: "pd.DataFrame"
    history: "pd.DataFrame"
    axes: tuple[str, ...]
    metric: str
    maximize: bool
    groups: "pd.DataFrame"
    seconds: float
    folder: Path | None
    session: Session = dataclasses.field(repr=False)

    def best(self, count: int | None = None) -> Any:
        """The best members: rows of the table, the best first.

        Args:
            count: How many; left out, the best one alone, as a series.

        Raises:
            ValueError: No member came to an end with a finite metric.
        """
        numbers = self._ranked()
        if count is None:
            return self.table.loc[numbers[0]]
        return self.table.loc[numbers[:count]]

    def _ranked(self) -> list[int]:
        numbers = self.session.ranked()
        if not numbers:
            raise ValueError(
                f"of {len(self.table)} members none is over with a finite "
                f"{self.metric}; {len(self.diverged)} diverged"
            )
        return numbers

    def _number(self, member: int | None) -> int:
        """A member's number: that of the best, if none is given."""
        if member is None:
            return self._ranked()[0]
        self._learning(member)
        return member

    @property
    def diverged(self) -> "pd.DataFrame":
        """The members that diverged."""
        return self.table.loc[self.table["status"] == "diverged"]

    @property
    def compilations(self) -> int:
        """How many programs were compiled."""
        return sum(self.groups["compilations"].tolist())

    def settings(self, member: int) -> dict[str, Any]:
        """What a member has, by axis."""
        return dict(self._learning(member).member.values)

    def run(self, member: int | None = None) -> Run:
        """A member as what `cj.fit` returns: its network, parameters and history.

        Args:
            member: Its number; the best one, if left out.

        Raises:
            ValueError: There is no such member; or its parameters were not kept.
        """
        return self.session.run_of(self._number(member))

    def params(self, member: int | None = None) -> Any:
        """Parameters of a member; as for `run`."""
        return self.run(member).params

    def graph(self, member: int | None = None) -> Any:
        """The declaration of a member; the best one's, if left out."""
        return self._learning(self._number(member)).chosen.graph

    def save_table(self, path: str | os.PathLike[str]) -> Path:
        """Writes the table as CSV."""
        path = Path(path)
        self.table.to_csv(path)
        return path

    def _learning(self, number: int) -> Any:
        if number not in self.session.members:
            raise ValueError(
                f"found member {number}; expected 0 to {len(self.table) - 1}"
            )
        return self.session.members[number]

    def __repr__(self) -> str:
        counts = self.table["status"].value_counts()
        parts = [f"{counts[name]} {name}" for name in counts.index]
        numbers = self.session.ranked()
        best = ""
        if numbers:
            row = self.table.loc[numbers[0]]
            values = plain(self._learning(numbers[0]).member.values)
            own = ", ".join(f"{k}={_short(v)}" for k, v in values.items())
            best = f"; best {self.metric} {row[self.metric]:.4g} with {own}"
        return f"SweepResult({len(self.table)} members: {', '.join(parts)}{best})"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def result_of(session: Session, seconds: float) -> SweepResult:
    """What a sweep leaves."""
    import pandas as pd

    table, history = tables_of(session)
    rows = []
    for number, group in enumerate(session.groups.all):
        program, choice = session.programs[number], session.choices[number]
        members = [n for n, x in session.members.items() if x.group == number]
        made = program.compiled.values()
        rows.append(
            {
                "members": len(members),
                "parameters": group.learner.net.parameter_count,
                "batch_size": program.lengths.batch_size,
                "lanes": choice.lanes,
                "threads": choice.threads,
                "strategy": str(choice),
                "given": ", ".join([*group.places, *group.traced]),
                "compilations": len(made),
                "compile_seconds": round(sum(each.seconds for each in made), 3),
            }
        )
    groups = pd.DataFrame(rows, index=pd.RangeIndex(len(rows), name="group"))
    store = session.store
    return SweepResult(
        table,
        history,
        session.names,
        session.metric,
        session.maximize,
        groups,
        round(seconds, 3),
        None if store is None else store.folder,
        session,
    )


def metric_of(names: Mapping[str, Any] | tuple[str, ...], asked: str | None) -> str:
    """What members are ranked by: what was asked for, or the most telling metric."""
    from capsjax.graph.errors import nearest

    names = tuple(names)
    if asked is not None:
        if asked not in names:
            raise ValueError(
                f"metric: found {asked!r}; expected one of {', '.join(names)}; "
                + nearest(asked, names, "name one of them")
            )
        return asked
    telling = ("validation_accuracy", "validation_loss", "accuracy", "loss")
    return next(name for name in telling if name in names)
