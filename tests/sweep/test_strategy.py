"""How the members of a sweep are shared out: the rule, and what a block is worth."""

from types import SimpleNamespace
from typing import Any

import pytest

from capsjax.sweep import strategy
from capsjax.sweep.strategy import _expected, _share_of


@pytest.mark.parametrize(
    ("lanes", "threads", "rounds"),
    [
        (1, 1, 64),
        (1, 2, 32),
        (32, 2, 1),
        (64, 2, 1),  # the second thread has nothing to run
        (64, 1, 1),
        (40, 1, 2),  # the second program is not full
        (24, 2, 2),
    ],
)
def test_a_member_has_its_share_of_all_rounds(lanes, threads, rounds):
    assert _share_of(3.0, lanes, 64, threads) == 3.0 * rounds / 64


@pytest.mark.parametrize(
    ("work", "steps", "lanes"),
    [
        (3e5, 500, 32),
        (9e5, 500, 1),  # compiling lanes would take longer than they save
        (9e5, 10_000, 32),
        (9e6, 10_000, 1),
    ],
)
def test_the_rule_knows_how_long_a_sweep_is(monkeypatch, work, steps, lanes):
    monkeypatch.setattr(strategy, "step_flops", lambda program: work)
    lengths = SimpleNamespace(blocks=steps // 10, block=10)
    cpu = SimpleNamespace(platform="cpu")
    program: Any = SimpleNamespace(devices=[cpu], lengths=lengths)
    assert _expected(program, 64, 64, 2) == lanes
