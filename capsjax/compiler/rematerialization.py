"""Which arrays are kept for the backward pass, and which are computed again.

The problem: steps in the order in which they run, the arrays that each makes, those
that its forward and those that its backward reads. The backward pass runs the steps in
reverse. An array that a backward reads is either kept from the forward pass on, or
computed again.

The family of choices (Kusumoto et al.'s canonical strategies, over those lower sets
that are prefixes of the order): the order is cut into segments. Of the arrays made in
a segment, those that a later segment reads, its boundary, are kept. The rest is

    kept, too: what backward rules read of it; or
    computed again from the boundaries, once, just before the segment's backward, and
    released behind it: the segment's interior.

Bytes held are most in the backward of some segment: those kept of it and of all
segments before it, and its interior. What later segments kept is released by then. With
K(i, j), I(i, j), W(i, j) the bytes kept of the segment [i, j), its interior, and the
work of computing it again, either way, the least work within M bytes is

    min of w over (m, w) in front(n)
    front(j) = least pairs of { (m + K(i, j), w + W(i, j)) : (m, w) in front(i),
                                m + K(i, j) + I(i, j) <= M, i < j }

by dynamic programming over Pareto fronts: exact within the family, as long as there
are at most 128 places to cut and no front exceeds 512 pairs. Beyond, the order is cut
at the cheapest place in each of 128 ranges of equal bytes; and of a front the least
work in each of 512 equal intervals of memory stays, so that k segments cost no more
than the best choice in M (1 - k / 512) bytes would. The smallest possible M is found by
bisection, since for "is it possible" the least m of each front is all that counts.

A step may offer choices of its own (copies that run one after the other, a part of
them computed again): these compete with the two above where it stands alone.

Source: Kusumoto, Inoue, Watanabe, Akiba & Koyama, "A Graph Theoretic Framework of
Recomputation Algorithms for Memory-Efficient Backpropagation", NeurIPS 2019; Chen, Xu,
Zhang & Guestrin, arXiv 1604.06174.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import numpy as np

from capsjax.compiler.pareto import Front

_MOST_CUTS = 128


class Option(NamedTuple):
    """A choice that a step offers where it stands alone, in place of keeping all.

    Attributes:
        kept: Bytes kept of what the step makes.
        inner: Bytes held besides in its backward.
        work: Work of computing again.
        name: What it is, for the one who carries it out.
    """

    kept: int
    inner: int
    work: float
    name: Any = None


class Step(NamedTuple):
    """A step of the forward pass.

    Attributes:
        work: What it costs to run it again.
        makes: Arrays that it makes, with their bytes.
        reads: Arrays that its forward reads.
        needs: Arrays that its backward reads.
        options: Choices of its own.
    """

    work: float
    makes: dict[Any, int]
    reads: tuple[Any, ...]
    needs: tuple[Any, ...]
    options: tuple[Option, ...] = ()


@dataclasses.dataclass(frozen=True)
class Segment:
    """Steps that are treated alike.

    Attributes:
        start: The first step.
        stop: The step behind the last.
        again: The steps that are computed again, in order; none if all is kept.
        option: The name of the step's own choice, if that was taken.
        kept: Bytes kept.
        inner: Bytes held besides in the segment's backward.
        work: Work of computing again.
    """

    start: int
    stop: int
    again: tuple[int, ...]
    option: Any
    kept: int
    inner: int
    work: float


@dataclasses.dataclass(frozen=True)
class Choice:
    """What is kept and what is computed again.

    Attributes:
        segments: The segments, in order.
        kept: Arrays kept from the forward pass on.
    """

    segments: tuple[Segment, ...]
    kept: frozenset[Any]

    @property
    def work(self) -> float:
        """Work of all that is computed again."""
        return sum(each.work for each in self.segments)

    @property
    def peak(self) -> int:
        """Bytes held where most are."""
        held = np.cumsum([each.kept for each in self.segments])
        inner = np.array([each.inner for each in self.segments])
        return int(np.max(held + inner, initial=0))


class _Offer(NamedTuple):
    """What can be done with the steps between two cuts."""

    kept: int
    inner: int
    work: float
    again: bool = False
    option: Any = None


@dataclasses.dataclass(frozen=True, eq=False)
class Problem:
    """Steps in the order in which they run; every array made before it is read.

    Arrays that no step makes (inputs, parameters) are there anyway and cost nothing.
    """

    steps: tuple[Step, ...]

    @functools.cached_property
    def full(self) -> int:
        """Bytes held if nothing is computed again."""
        return sum(self._sizes[array] for array in self.needed)

    @functools.cached_property
    def smallest(self) -> int:
        """The smallest budget for which there is a choice."""
        low, high = -1, self.full  # impossible, possible
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self._possible(middle) else (middle, high)
        return high

    def choose(self, budget: int) -> Choice | None:
        """The choice with the least work that holds at most `budget` bytes.

        Args:
            budget: Bytes.

        Returns:
            The choice; None if there is none.
        """
        if budget >= self.full:
            return self._choice([(0, len(self.steps), _Offer(self.full, 0, 0.0))])
        found = self._cheapest(budget)
        return None if found is None else self._choice(found)

    def curve(self, points: int = 9) -> list[Choice]:
        """Choices from the smallest budget to the one that keeps all.

        Args:
            points: How many budgets are tried, in equal ratios.

        Returns:
            Choices of ascending bytes and descending work, without repetition.
        """
        low, high = max(self.smallest, 1), max(self.full, 1)
        found: list[Choice] = []
        for budget in np.geomspace(low, high, points):
            choice = self.choose(min(max(round(budget), self.smallest), high))
            if choice is not None and (not found or choice.work < found[-1].work):
                found.append(choice)
        return found

    # ---- what the steps say

    @functools.cached_property
    def _sizes(self) -> dict[Any, int]:
        return {array: size for s in self.steps for array, size in s.makes.items()}

    @functools.cached_property
    def needed(self) -> frozenset[Any]:
        """The arrays that some step makes and some backward reads."""
        needed = {array for step in self.steps for array in step.needs}
        return frozenset(needed & self._sizes.keys())

    @functools.cached_property
    def _last(self) -> dict[Any, int]:
        """The last step that reads an array, forward or backward."""
        last: dict[Any, int] = {}
        for number, step in enumerate(self.steps):
            last |= dict.fromkeys((*step.reads, *step.needs), number)
        return last

    def _again(self, stop: int) -> list[int]:
        """The steps that a segment up to `stop` computes again, wherever it starts.

        Those that make something that is wanted and is not on the boundary; a step
        that stands before the segment's start is none of it.
        """
        wanted = set(self.needed)
        found = []
        for number in reversed(range(stop)):
            step = self.steps[number]
            inner = [a for a in step.makes if self._last.get(a, -1) < stop]
            if wanted.intersection(inner):
                wanted.update(step.reads)
                found.append(number)
        return found[::-1]

    # ---- the choices between two cuts

    @functools.cached_property
    def _cuts(self) -> list[int]:
        count = len(self.steps)
        if count <= _MOST_CUTS:
            return list(range(count + 1))
        across, made = np.zeros(count + 1), np.zeros(count)
        for number, step in enumerate(self.steps):
            made[number] = sum(step.makes.values())
            for array, size in step.makes.items():
                across[number + 1 : self._last.get(array, number) + 1] += size
        reached = np.cumsum(made + 1)  # one more: equal shares even of nothing
        share = np.minimum(
            (_MOST_CUTS * reached / reached[-1]).astype(int), _MOST_CUTS - 1
        )
        cuts = {0, count}
        for number in range(_MOST_CUTS):
            places = np.flatnonzero(share == number)
            if len(places):
                cuts.add(int(places[np.argmin(across[places])]))
        # A step with choices of its own must be able to stand alone.
        alone = [n for n, step in enumerate(self.steps) if step.options]
        return sorted(cuts | {n + shift for n in alone for shift in (0, 1)})

    @functools.cached_property
    def _offers(self) -> list[list[list[_Offer]]]:
        """By the cut where a segment ends, then by that where it starts."""
        offers: list[list[list[_Offer]]] = [[]]
        count = len(self.steps)
        for stop in self._cuts[1:]:
            boundary, kept, inner = (np.zeros(count, int) for _ in range(3))
            for number, step in enumerate(self.steps[:stop]):
                for array, size in step.makes.items():
                    outside, needed = (
                        self._last.get(array, -1) >= stop,
                        array in self.needed,
                    )
                    boundary[number] += size * outside
                    kept[number] += size * (outside or needed)
                    inner[number] += size * (needed and not outside)
            work = np.zeros(count)
            again = self._again(stop)
            work[again] = [self.steps[number].work for number in again]
            sums = [
                np.cumsum(a[::-1])[::-1].tolist() for a in (boundary, kept, inner, work)
            ]
            offers.append([])
            for start in self._cuts:
                if start >= stop:
                    break
                outside, all_kept, inside, worked = (each[start] for each in sums)
                found = [_Offer(all_kept, 0, 0.0)]
                if inside:
                    found.append(_Offer(outside, inside, worked, True))
                if stop - start == 1:
                    found += [
                        _Offer(outside + o.kept, o.inner, o.work, False, o.name)
                        for o in self.steps[start].options
                    ]
                offers[-1].append(found)
        return offers

    def _possible(self, budget: int) -> bool:
        least: list[int | None] = [0]
        for offers in self._offers[1:]:
            found = [
                before + offer.kept
                for before, choices in zip(least, offers, strict=True)
                if before is not None
                for offer in choices
                if before + offer.kept + offer.inner <= budget
            ]
            least.append(min(found, default=None))
        return least[-1] is not None

    def _cheapest(self, budget: int) -> list[tuple[int, int, _Offer]] | None:
        """Start, stop and offer of each segment of the choice with the least work."""
        fronts = [Front(np.zeros(1, int), np.zeros(1), [])]
        origins: list[Any] = [None]
        for offers in self._offers[1:]:
            parts = []
            for before, choices in enumerate(offers):
                front = fronts[before]
                for offer in choices:
                    room = budget - offer.kept - offer.inner
                    fits = np.searchsorted(front.memory, room, side="right")
                    if fits:
                        parts.append((before, offer, int(fits)))
            memory = [fronts[b].memory[:n] + offer.kept for b, offer, n in parts]
            work = [fronts[b].work[:n] + offer.work for b, offer, n in parts]
            fronts.append(Front.of(memory, work, budget))
            origins.append(parts)
        if not len(fronts[-1].memory):
            return None
        found: list[tuple[int, int, _Offer]] = []
        cut, place = len(self._cuts) - 1, len(fronts[-1].memory) - 1  # the least work
        while cut:
            part, place = fronts[cut].origins[place]
            before, offer, _ = origins[cut][part]
            found.append((self._cuts[before], self._cuts[cut], offer))
            cut = before
        return found[::-1]

    # ---- the choice

    def _choice(self, found: list[tuple[int, int, _Offer]]) -> Choice:
        segments, kept = [], set()
        for start, stop, offer in found:
            steps = range(start, stop)
            again = [n for n in self._again(stop) if n >= start] if offer.again else []
            inner = {
                array
                for n in again
                for array in self.steps[n].makes
                if self._last.get(array, -1) < stop
            }
            wanted = {array for n in steps for array in self.steps[n].needs}
            wanted |= {array for n in again for array in self.steps[n].reads}
            if offer.option is not None:
                wanted |= set(self.steps[start].reads)
                inner |= {
                    array
                    for array in self.steps[start].makes
                    if self._last.get(array, -1) < stop
                }
            kept |= (wanted - inner) & self._sizes.keys()
            segments.append(
                Segment(
                    *(start, stop, tuple(again), offer.option),
                    *(offer.kept, offer.inner, offer.work),
                )
            )
        return Choice(tuple(segments), frozenset(kept))
