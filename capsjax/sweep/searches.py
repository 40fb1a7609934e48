"""Searches: which members are taken how far.

A search is given the sweep under way and takes its members further, rung by rung; it
decides on metrics alone, so that a sweep that is gone on with decides the same again.
"""

import dataclasses
import math
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from capsjax.sweep.axes import Range
from capsjax.sweep.roles import Roles, is_number
from capsjax.sweep.space import Space

if TYPE_CHECKING:
    from capsjax.sweep.session import Session


class Search(Protocol):
    """Which members are taken how far."""

    def members(self, begun: int) -> int:
        """How many members there will be, of so many that the sweep begins with."""
        ...

    def rows(self, rows: list[int]) -> int:
        """How many rows of training all members will take together, for the bar.

        Args:
            rows: The rows of each member that learns to the end.
        """
        ...

    def run(self, session: "Session", space: Space, roles: Roles) -> None:
        """Takes the members as far as they shall go."""
        ...

    def document(self) -> dict[str, Any]:
        """What decides its results, as plain data."""
        ...


class _Given:
    """A search among the members that are there."""

    def members(self, begun: int) -> int:
        return begun


@dataclasses.dataclass(frozen=True)
class All(_Given):
    """Every member learns to the end."""

    def rows(self, rows: list[int]) -> int:
        return sum(rows)

    def run(self, session: "Session", space: Space, roles: Roles) -> None:
        session.advance({n: session.lengths(n).rows for n in session.members})

    def document(self) -> dict[str, Any]:
        return {"kind": "all"}


@dataclasses.dataclass(frozen=True)
class Halving(_Given):
    """Successive halving: of `eta` members the best goes on; made by `cj.halving`.

    Attributes:
        eta: How many compete for a place in the next rung.
        rungs: How many rungs; as many as leave one member, if None.
    """

    eta: int = 3
    rungs: int | None = None

    def fractions(self, members: int) -> list[float]:
        """How far each rung goes, as parts of the whole way."""
        most = max(1, round(math.log(max(members, 1), self.eta) - 1e-9) + 1)
        count = most if self.rungs is None else min(self.rungs, most)
        return [float(self.eta) ** (rung + 1 - count) for rung in range(count)]

    def rows(self, rows: list[int]) -> int:
        left, before, total = len(rows), 0.0, 0.0
        mean = sum(rows) / max(len(rows), 1)
        for fraction in self.fractions(len(rows)):
            total += left * (fraction - before) * mean
            before, left = fraction, -(-left // self.eta)
        return round(total)

    def run(self, session: "Session", space: Space, roles: Roles) -> None:
        going = list(session.members)
        fractions = self.fractions(len(going))
        for number, fraction in enumerate(fractions):
            stops = {
                n: max(1, round(fraction * session.lengths(n).rows)) for n in going
            }
            session.advance(stops)
            if number + 1 < len(fractions):
                alive = [n for n in going if session.members[n].status == "running"]
                kept = session.order(alive)[: max(1, -(-len(going) // self.eta))]
                session.finish([n for n in alive if n not in set(kept)], "stopped")
                going = kept

    def document(self) -> dict[str, Any]:
        return {"kind": "halving", **dataclasses.asdict(self)}


@dataclasses.dataclass(frozen=True)
class Population(_Given):
    """Population based training; made by `cj.population`.

    Attributes:
        every: Rows between two looks at the population.
        share: Of a group, how many of the worst take over from as many of the best.
        factors: What a number is multiplied by, one of them.
        resample: How often a number from a range is drawn anew in place of that.
        seed: Decides who takes over from whom, and what is drawn.
    """

    every: int = 1
    share: float = 0.25
    factors: tuple[float, ...] = (0.8, 1.25)
    resample: float = 0.25
    seed: int = 0

    def rows(self, rows: list[int]) -> int:
        return sum(rows)

    def run(self, session: "Session", space: Space, roles: Roles) -> None:
        generator = np.random.default_rng(self.seed)
        row, last = 0, max(session.lengths(n).rows for n in session.members)
        while row < last:
            row = min(row + self.every, last)
            session.advance(
                {n: min(row, session.lengths(n).rows) for n in session.members}
            )
            for group in range(len(session.programs)):
                self._exploit(session, group, space, roles, generator)

    def _exploit(
        self,
        session: "Session",
        group: int,
        space: Space,
        roles: Roles,
        generator: np.random.Generator,
    ) -> None:
        """The worst of a group take over what the best carry, and change it."""
        going = [
            n
            for n, each in session.members.items()
            if each.group == group and each.status == "running"
        ]
        ranked = session.order(going)
        count = min(int(self.share * len(going)), len(ranked) // 2)
        for loser in ranked[len(ranked) - count :] if count else ():
            winner = ranked[int(generator.integers(count))]
            self._take_over(session, loser, winner, space, roles, generator)

    def _take_over(
        self,
        session: "Session",
        loser: int,
        winner: int,
        space: Space,
        roles: Roles,
        generator: np.random.Generator,
    ) -> None:
        own, best = session.members[loser], session.members[winner]
        # The random key stays its own, so that the two draw differently.
        own.carry = {**best.carry, "key": own.carry["key"]}
        values = dict(best.member.values)
        for name in values:
            changed = self._changed(name, values[name], space, generator)
            trial = {**values, name: changed}
            made = roles.chosen(loser, trial, own.member.seed)
            ((group, member),) = session.groups.place([made])
            if group == own.group and member.plain() != own.member.plain():
                values, own.member = trial, member

    def _changed(
        self, name: str, value: Any, space: Space, generator: np.random.Generator
    ) -> Any:
        """A number, moved within what the axis allows; anything else as it is."""
        factor = self.factors[int(generator.integers(len(self.factors)))]
        anew, share = generator.random(), generator.random()
        if not is_number(value) or name in ("seed", "batch_size", "initial_scale"):
            return value
        axis = space.axis(name)
        if isinstance(axis, Range):
            if axis.kind == "choice" or anew < self.resample:
                return axis.at(share)
            low, high = axis.low, axis.high
        else:
            numbers = [each for each in axis if is_number(each)]
            low, high = min(numbers), max(numbers)
        moved = min(max(value * factor, low), high)
        return round(moved) if isinstance(value, int) else moved

    def document(self) -> dict[str, Any]:
        return {"kind": "population", **dataclasses.asdict(self)}


def halving(eta: int = 3, *, rungs: int | None = None) -> Halving:
    """Successive halving: all begin, and after each rung the best `1 / eta` go on.

    The rungs lie at 1, 1/eta, 1/eta^2, ... of the whole way, so that each rung takes
    about as many steps as the others, over all its members. Rungs are synchronous: a
    rung is judged when all have reached it.

    Args:
        eta: How many compete for a place in the next rung, at least 2.
        rungs: How many rungs; left out, as many as leave one member.

    Returns:
        What `cj.sweep(search=...)` takes.

    Example:
        >>> import capsjax as cj
        >>> cj.halving(4).fractions(64)
        [0.015625, 0.0625, 0.25, 1.0]

    Source: Jamieson & Talwalkar, arXiv 1502.07943; Li et al., arXiv 1810.05934.
    """
    if eta < 2:
        raise ValueError(f"eta is {eta}; expected 2 or more")
    if rungs is not None and rungs < 1:
        raise ValueError(f"rungs is {rungs}; expected 1 or more")
    return Halving(eta, rungs)


def population(
    *,
    every: int = 1,
    share: float = 0.25,
    factors: tuple[float, ...] = (0.8, 1.25),
    resample: float = 0.25,
    seed: int = 0,
) -> Population:
    """Population based training: the worst take over from the best, and change.

    After every so many rows the worst members of each group take over what the best
    carry (parameters, state, the optimizer's state) and their numbers, each multiplied
    by one of the factors, or drawn anew from its range. What needs another program
    (features, batch size) stays as it is. The history holds the numbers of every row.

    Args:
        every: Rows between two looks at the population.
        share: How many take over, as a part of their group, up to a half.
        factors: What a number may be multiplied by.
        resample: How often a number from a range is drawn anew instead.
        seed: Decides who takes over from whom, and what is drawn.

    Returns:
        What `cj.sweep(search=...)` takes.

    Example:
        >>> import capsjax as cj
        >>> cj.population(every=2).share
        0.25

    Source: Jaderberg et al., arXiv 1711.09846.
    """
    if every < 1:
        raise ValueError(f"every is {every}; expected 1 or more")
    if not 0 < share <= 0.5:
        raise ValueError(f"share is {share}; expected above 0, up to 0.5")
    if not 0 <= resample <= 1:
        raise ValueError(f"resample is {resample}; expected from 0 to 1")
    if not factors or min(factors) <= 0:
        raise ValueError(f"factors is {factors}; expected numbers above zero")
    return Population(every, share, tuple(factors), resample, seed)
