"""How the members of a sweep are shared out: what a measured block is worth."""

import pytest

from capsjax.sweep.strategy import _share_of


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
