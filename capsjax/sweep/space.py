"""Spaces: the axes of a sweep together, and the members that come of them.

Lists are a grid: every combination is a member, in the order of nested loops, the last
axis the innermost. Ranges are drawn: each combination of the lists is there `samples`
times, with another point of the ranges each time, drawn by chance or as a sequence of
low discrepancy, which leaves smaller holes. An axis under a condition is there only
where the condition holds, and does not multiply the others; under a condition on what
is drawn it must be drawn itself. Every combination is there once for each seed.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

import numpy as np

from capsjax.graph.errors import brief, listing, nearest
from capsjax.sweep.axes import NO_LISTS, Range, Values, When, plain, value_at

Sampler = Literal["sobol", "halton", "random"]

Over = Mapping[Any, Any]


@dataclasses.dataclass(frozen=True)
class Space:
    """The axes, checked.

    Attributes:
        axes: Each axis: the names that are swept together, its condition, if there is
            one, and its values (tuples, of as many as there are names) or range.
    """

    axes: tuple[tuple[tuple[str, ...], When | None, Any], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all axes, in the order given."""
        return tuple(name for names, _, _ in self.axes for name in names)

    @property
    def ranges(self) -> dict[str, Range]:
        """The ranges by name."""
        return {
            names[0]: axis for names, _, axis in self.axes if isinstance(axis, Range)
        }

    def axis(self, name: str) -> Any:
        """The range of an axis; or its values, in order."""
        for names, _, axis in self.axes:
            if name in names:
                if isinstance(axis, Range):
                    return axis
                return [value[names.index(name)] for value in axis]
        raise KeyError(name)

    def combinations(self) -> Iterator[tuple[Values, list[str]]]:
        """Every combination of the lists, and the names of the ranges it draws from."""
        yield from self._from(0, {}, [])

    def _from(self, number: int, values: Values, drawn: list[str]) -> Iterator[Any]:
        if number == len(self.ordered):
            yield self.in_turn(values), list(drawn)
            return
        names, condition, axis = self.ordered[number]
        asked = condition.conditions if condition is not None else ()
        # What is drawn is not known yet: a range under a condition on it may be there.
        known = tuple(each for each in asked if each[0] not in drawn)
        if not When(known, axis).holds(values):
            yield from self._from(number + 1, values, drawn)
        elif isinstance(axis, Range):
            yield from self._from(number + 1, values, [*drawn, names[0]])
        else:
            for value in axis:
                own = dict(zip(names, value, strict=True))
                yield from self._from(number + 1, {**values, **own}, drawn)

    def spread(self, count: int, seed: int) -> Iterator[Values]:
        """Members spread evenly over all axes, lists among them."""
        for point in shares(len(self.axes), count, "sobol", seed):
            values: Values = {}
            for share, (names, condition, axis) in zip(
                point, self.ordered, strict=True
            ):
                if condition is None or condition.holds(values):
                    drawn = isinstance(axis, Range)
                    own = (axis.at(share),) if drawn else value_at(axis, share)
                    values |= dict(zip(names, own, strict=True))
            yield self.in_turn(values)

    def in_turn(self, values: Values) -> Values:
        """Values in the order of the axes, whichever were decided first."""
        return {name: values[name] for name in self.names if name in values}

    @property
    def ordered(self) -> list[Any]:
        """Axes, each behind those that its condition asks for."""
        waiting, found, known = list(self.axes), [], set()
        while waiting:
            for each in waiting:
                condition = each[1]
                needed = dict(condition.conditions) if condition is not None else {}
                if known.issuperset(needed):
                    found.append(each)
                    known.update(each[0])
                    waiting.remove(each)
                    break
            else:
                names = [each[0][0] for each in waiting]
                raise ValueError(
                    f"over: the conditions of {listing(map(brief, names))} ask for "
                    "each other; expected an order among them"
                )
        return found


def space_of(over: Over) -> Space:
    """The axes of a sweep, checked.

    Args:
        over: Values or ranges by name; see the head of this file.

    Raises:
        ValueError: An axis is empty, of another form, or there twice; a condition asks
            for what is no axis.
        TypeError: It is no mapping.
    """
    if not isinstance(over, Mapping):
        raise TypeError(
            "over is a mapping of settings to values, such as "
            f'{{"learning_rate": [1e-3, 1e-2]}}, not {brief(over)}'
        )
    axes = [_axis(key, given) for key, given in over.items()]
    names = [name for own, _, _ in axes for name in own]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(
                f"over: found the axis {name!r} {names.count(name)} times; expected "
                "each once"
            )
    for own, condition, _ in axes:
        for name, _ in condition.conditions if condition is not None else ():
            if name not in names or name in own:
                raise ValueError(
                    f"over, {own[0]!r}: found a condition on {brief(name)}, which is "
                    f"no other axis; {nearest(name, set(names) - set(own), 'add it')}"
                )
    made = Space(tuple(axes))
    for own, condition, _ in made.ordered:  # raises where they go in a circle
        for name, among in condition.conditions if condition is not None else ():
            _require_possible(own[0], name, among, made.axis(name))
    return made


def _require_possible(own: str, name: str, among: tuple[Any, ...], axis: Any) -> None:
    """Raises where a condition asks for a value that an axis never has."""
    if isinstance(axis, Range) and axis.kind != "choice":
        return
    values = axis.values if isinstance(axis, Range) else axis
    for value in among:
        if value not in values:
            texts = [each for each in values if isinstance(each, str)]
            cure = nearest(value, texts, "add it, or leave it out")
            raise ValueError(
                f"over, {own!r}: found a condition on {name!r} being {brief(value)}; "
                f"expected one of its values, {listing(map(brief, values))}; {cure}"
            )


def _axis(key: Any, given: Any) -> tuple[tuple[str, ...], When | None, Any]:
    names = key if isinstance(key, tuple) else (key,)
    for name in names:
        if not isinstance(name, str) or not name:
            raise ValueError(f"over: found the axis {brief(name)}; expected a name")
    place = f"over, {' and '.join(map(repr, names))}"
    condition = given if isinstance(given, When) else None
    axis = given.axis if isinstance(given, When) else given
    if isinstance(axis, Range):
        if len(names) > 1:
            raise ValueError(f"{place}: found a range; expected tuples of values")
        return names, condition, axis
    axis = plain(axis)
    # Iterators are empty at the second time, and an optimizer of optax is a tuple.
    other = isinstance(axis, NO_LISTS | Iterator) or hasattr(axis, "_fields")
    if other or not isinstance(axis, Iterable):
        raise ValueError(
            f"{place}: found {brief(axis)}; expected a list of values, or a range, "
            "such as cj.axes.uniform(0, 1)"
        )
    values = list(map(plain, axis))
    if not values:
        raise ValueError(f"{place}: found no values; expected one or more")
    if not isinstance(key, tuple):
        return names, condition, tuple((value,) for value in values)
    for value in values:
        if not isinstance(value, list | tuple) or len(value) != len(names):
            raise ValueError(
                f"{place}: found {brief(value)}; expected {len(names)} values, one for "
                "each of the names that are swept together"
            )
    return names, condition, tuple(map(tuple, values))


def sweep_members(
    over: Over,
    *,
    samples: int | None = None,
    sampler: Sampler = "sobol",
    sample_seed: int = 0,
) -> Iterator[Values]:
    """The members of a sweep over axes, without seeds.

    Args:
        over: Values or ranges by name.
        samples: How many points of the ranges are drawn for each combination of the
            lists.
        sampler: "sobol" or "halton", sequences of low discrepancy, scrambled; or
            "random".
        sample_seed: Decides what is drawn.

    Returns:
        Values by name, one member after the other.

    Raises:
        ValueError: As for `cj.sweep`.

    Example:
        >>> import capsjax as cj
        >>> over = {"learning_rate": cj.axes.log_uniform(1e-4, 1e-1), "b1": [0.8, 0.9]}
        >>> members = list(cj.sweep_members(over, samples=4))
        >>> len(members), sorted(members[0])
        (8, ['b1', 'learning_rate'])
    """
    space = space_of(over)
    ranges = space.ranges
    if not ranges:
        if samples is not None:
            raise ValueError(
                f"found samples={brief(samples)} without a range to draw from; "
                "expected one, such as cj.axes.log_uniform(1e-4, 1e-1), or no samples"
            )
        return (values for values, _ in space.combinations())
    if not isinstance(samples, int | np.integer) or samples < 1:
        raise ValueError(
            f"found samples={brief(samples)} with {listing(map(brief, ranges))} to "
            "draw from; expected how many points to draw, samples=64"
        )
    _require_drawn(space)
    drawing = list(space.combinations())
    samples = int(samples)
    count = sum(samples if drawn else 1 for _, drawn in drawing)
    points = shares(len(ranges), count, sampler, sample_seed)
    return _drawn(space, drawing, samples, points)


def _require_drawn(space: Space) -> None:
    """Raises where lists stand under conditions on ranges."""
    for names, condition, axis in space.axes:
        asked = dict(condition.conditions) if condition is not None else {}
        of_ranges = [name for name in asked if name in space.ranges]
        if of_ranges and not isinstance(axis, Range):
            raise ValueError(
                f"over, {names[0]!r}: found a list of values under a condition on "
                f"{of_ranges[0]!r}, which is drawn; expected a range, such as "
                "cj.axes.choice([...])"
            )


def _drawn(
    space: Space,
    combinations: Iterable[tuple[Values, list[str]]],
    samples: int,
    points: np.ndarray,
) -> Iterator[Values]:
    """Members of combinations of the lists, with points of the ranges."""
    column = {name: number for number, name in enumerate(space.ranges)}
    waiting = iter(points)
    for values, drawn in combinations:
        for _ in range(samples if drawn else 1):
            point, own = next(waiting), dict(values)
            for names, condition, axis in space.ordered:
                name = names[0]
                if name in drawn and (condition is None or condition.holds(own)):
                    own[name] = axis.at(point[column[name]])
            yield space.in_turn(own)


def shares(axes: int, count: int, sampler: Sampler, seed: int) -> np.ndarray:
    """Points in the unit cube, [count, axes]."""
    if sampler == "random":
        return np.random.default_rng(seed).random((count, axes))
    from scipy.stats import qmc

    if sampler == "sobol":
        engine = qmc.Sobol(axes, scramble=True, rng=np.random.default_rng(seed))
        return engine.random_base2(max(count - 1, 0).bit_length())[:count]
    if sampler == "halton":
        engine = qmc.Halton(axes, scramble=True, rng=np.random.default_rng(seed))
        return engine.random(count)
    raise ValueError(
        f"found the sampler {brief(sampler)}; expected 'sobol', 'halton' or 'random'"
    )
