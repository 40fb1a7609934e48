"""Algorithms: one record for each way to compute the same, and the choice among them.

What is computed, such as the input gradient of a convolution, is a `Role`: a table of
records. A record says for which problems (shapes and settings) it can be used and what
it costs there. The choice is

    the one that was asked for, if it can be used here
    on CPU, the cheapest of those that can be used
    elsewhere, and in portable programs, the library's own: the first of the table

Costs are compared within a role only; their unit is the role's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from capsjax.platform import platform


@dataclass(frozen=True)
class Algorithm:
    """One way to compute a role.

    Attributes:
        name: Its name, unique within the role.
        run: The function.
        applies: Whether it can compute a problem at all, in a program of bearable
            length.
        cost: What it takes, in the role's unit.
    """

    name: str
    run: Callable[..., Any]
    applies: Callable[[Any], bool]
    cost: Callable[[Any], float]


@dataclass(frozen=True)
class Role:
    """Something to compute, with all ways to do so.

    Attributes:
        name: What it is.
        algorithms: The records; the library's own is the first and always applies.
    """

    name: str
    algorithms: tuple[Algorithm, ...]

    def __getitem__(self, name: str) -> Algorithm:
        """The record of this name."""
        return next(each for each in self.algorithms if each.name == name)

    def applicable(self, problem: Any) -> tuple[Algorithm, ...]:
        """The records that can compute a problem."""
        return tuple(each for each in self.algorithms if each.applies(problem))

    def choose(self, problem: Any, asked: str | None = None) -> Algorithm:
        """The record that computes a problem here.

        Args:
            problem: Shapes and settings.
            asked: The name of the one that is asked for, if any is.

        Returns:
            The record.
        """
        if _platform() == "any":
            return self.algorithms[0]
        found = self.applicable(problem)
        for each in found:
            if each.name == asked:
                return each
        if _platform() != "cpu":
            return found[0]
        return min(found, key=lambda each: each.cost(problem))


@dataclass(frozen=True)
class Choice:
    """A role of an operation, for one problem."""

    role: Role
    problem: Any


def always(problem: Any) -> bool:
    """An algorithm without conditions."""
    return True


def _platform() -> str:
    return platform()
