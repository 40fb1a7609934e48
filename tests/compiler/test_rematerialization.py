"""The choice of what is kept, against all choices of small problems."""

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capsjax.compiler.rematerialization import Option, Problem, Step


def chain(count: int, size: int = 1) -> Problem:
    """Each step reads the last one's array; each backward reads both."""
    return Problem(
        tuple(
            Step(1.0, {n: size}, (n - 1,), (n - 1, n) if n else (n,))
            for n in range(count)
        )
    )


@st.composite
def problems(draw):
    """At most six steps, each making one or two arrays and reading some before."""
    steps: list[Step] = []
    made: list[Any] = ["input"]
    for number in range(draw(st.integers(1, 6))):
        own = {
            (number, i): draw(st.integers(0, 5)) for i in range(draw(st.integers(1, 2)))
        }
        reads = draw(st.lists(st.sampled_from(made), unique=True, max_size=2))
        needs = draw(st.lists(st.sampled_from([*made, *own]), unique=True, max_size=3))
        options = [
            Option(draw(st.integers(0, 3)), draw(st.integers(0, 3)), 1.0, "own")
            for _ in range(draw(st.integers(0, 1)))
        ]
        work = float(draw(st.integers(1, 9)))
        steps.append(Step(work, own, tuple(reads), tuple(needs), tuple(options)))
        made += own
    return Problem(tuple(steps))


def all_choices(problem):
    """Peak and work of every way to cut and to treat the segments, by definition."""
    steps = problem.steps
    count = len(steps)
    for cuts in itertools.product((False, True), repeat=count - 1):
        ends = [n + 1 for n, cut in enumerate(cuts) if cut] + [count]
        segments = list(zip([0, *ends[:-1]], ends, strict=True))
        ways = [_ways(steps, *segment) for segment in segments]
        for chosen in itertools.product(*ways):
            held = np.cumsum([kept for kept, _, _ in chosen])
            inner = [inner for _, inner, _ in chosen]
            yield int(max(held + inner)), sum(work for *_, work in chosen)


def _ways(steps, start, stop):
    later = {a for s in steps[stop:] for a in (*s.reads, *s.needs)}
    needed = {a for s in steps for a in s.needs}
    sizes = {a: size for s in steps[start:stop] for a, size in s.makes.items()}
    boundary = sizes.keys() & later
    kept = sum(sizes[a] for a in sizes.keys() & (later | needed))
    inside = (sizes.keys() & needed) - boundary
    wanted, work = set(inside), 0.0
    for step in reversed(steps[start:stop]):
        if (step.makes.keys() - boundary) & wanted:
            wanted |= set(step.reads)
            work += step.work
    outside = sum(sizes[a] for a in boundary)
    ways = [(kept, 0, 0.0), (outside, sum(sizes[a] for a in inside), work)]
    if stop - start == 1:
        ways += [(outside + o.kept, o.inner, o.work) for o in steps[start].options]
    return ways


@settings(max_examples=60)
@given(problems(), st.integers(0, 20))
def test_the_least_work_of_all_choices(problem, budget):
    choices = list(all_choices(problem))
    assert problem.smallest == min([peak for peak, _ in choices] + [problem.full])
    fits: list[float] = [work for peak, work in choices if peak <= budget]
    if budget >= problem.full:
        fits.append(0.0)
    found = problem.choose(budget)
    if not fits:
        assert found is None
        return
    assert found is not None
    assert found.work == min(fits)
    assert found.peak <= budget


@settings(max_examples=60)
@given(problems(), st.integers(0, 20))
def test_what_is_held_by_running_the_choice(problem, budget):
    """Forward and backward, array by array: each is there when it is read."""
    choice = problem.choose(budget)
    if choice is None:
        return
    steps = problem.steps
    sizes = {a: size for s in steps for a, size in s.makes.items()}
    kept = set(choice.kept)
    for segment in reversed(choice.segments):
        there = kept | {"input"}
        for number in segment.again:
            assert there.issuperset(steps[number].reads)
            there |= steps[number].makes.keys()
        if segment.option is not None:
            there |= steps[segment.start].makes.keys()
        needs = {a for s in steps[segment.start : segment.stop] for a in s.needs}
        assert there >= needs
        if segment.option is None:
            held = sum(sizes[a] for a in (needs & there | kept) - {"input"})
            assert held <= budget
        kept = {a for a in kept if a[0] < segment.start}


def test_a_chain_takes_a_square_root():
    """Of 100 equal steps: 10 kept at the cuts, 9 within the segment."""
    problem = chain(100)
    assert problem.full == 100
    assert 13 <= problem.smallest <= 20
    assert problem.choose(problem.smallest - 1) is None
    choice = problem.choose(problem.smallest)
    assert choice is not None
    assert choice.peak == problem.smallest
    assert choice.work <= 100


def test_a_long_chain_is_cut_at_128_places():
    problem = chain(1000, 7)
    assert problem.smallest < problem.full / 10
    choice = problem.choose(problem.full // 10)
    assert choice is not None
    assert choice.peak <= problem.full // 10
    assert choice.work <= 1000


def test_the_curve_falls():
    problem = chain(30)
    curve = problem.curve()
    peaks = [choice.peak for choice in curve]
    work = [choice.work for choice in curve]
    assert peaks[0] == problem.smallest
    assert (peaks[-1], work[-1]) == (problem.full, 0)
    assert peaks == sorted(peaks)
    assert work == sorted(work, reverse=True)


def test_the_cheap_is_computed_again_before_the_dear():
    """Two arrays of one size; room for one: the dear one is kept."""
    steps = (
        Step(100.0, {"dear": 8}, (), ("dear",)),
        Step(1.0, {"joint": 1}, ("dear",), ()),
        Step(1.0, {"cheap": 8}, ("joint",), ("cheap",)),
        Step(1.0, {"end": 1}, ("cheap", "joint"), ("end",)),
        Step(9.0, {"last": 8}, ("end",), ("last",)),
    )
    choice = Problem(steps).choose(19)
    assert choice is not None
    assert "dear" in choice.kept
    assert choice.work == pytest.approx(1.0)
