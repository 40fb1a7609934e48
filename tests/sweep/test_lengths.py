"""Lengths: rows and blocks of a member, and which examples its steps take."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from capsjax.sweep.lengths import Lengths, largest_divisor, lengths_of, orders
from capsjax.training.dataset import permutation


@st.composite
def lengths(draw):
    count, size = draw(st.integers(1, 60)), draw(st.integers(1, 20))
    epoch = count // min(size, count)
    if draw(st.booleans()):
        return lengths_of(count, size, draw(st.integers(1, 4)), None, None)
    steps = draw(st.integers(1, 3 * epoch))
    every = draw(st.sampled_from([n for n in range(1, steps + 1) if steps % n == 0]))
    return lengths_of(count, size, None, steps, draw(st.sampled_from([None, every])))


@given(lengths())
def test_rows_and_blocks_add_up(found):
    assert found.block * found.row == found.every
    assert found.every * found.rows == found.steps
    assert found.block * found.blocks == found.steps
    assert found.block <= 64 and found.epoch == found.count // found.batch_size >= 1
    assert found.epochs_after(0) == 0
    passes = found.steps / found.epoch
    assert found.epochs_after(found.rows) == pytest.approx(passes, abs=1e-4)
    assert isinstance(found.epochs_after(found.rows), int) == (passes == int(passes))


@given(lengths(), st.integers(0, 2**31), st.data())
def test_steps_take_the_examples_that_fit_takes(found, seed, data):
    """Of any blocks in a row, wherever epochs begin and end in them."""
    start = data.draw(st.integers(0, found.blocks - 1))
    stop = data.draw(st.integers(start + 1, found.blocks))
    fed = [
        permutation(found.count, found.batch_size, seed, epoch)
        for epoch in range(1, -(-found.steps // found.epoch) + 1)
    ]
    expected = np.concatenate(fed)[start * found.block : stop * found.block]
    given = orders(found, seed, start, stop)
    assert given.shape == (stop - start, found.block, found.batch_size)
    assert given.dtype == np.int32
    np.testing.assert_array_equal(given.reshape(expected.shape), expected)


def test_by_epochs_a_row_is_one():
    found = lengths_of(1000, 32, epochs=3, steps=None, every=None)
    assert found == Lengths(1000, 32, steps=93, every=31, block=31)
    assert (found.epoch, found.rows, found.row, found.blocks) == (31, 3, 1, 3)
    assert found.epochs_after(2) == 2
    found = lengths_of(1000, 32, epochs=None, steps=None, every=None)
    assert found.rows == 1 and found.steps == 31


def test_by_steps_a_row_is_an_epoch_or_less():
    found = lengths_of(1000, 32, epochs=3, steps=90, every=None)
    assert (found.steps, found.every, found.rows) == (90, 30, 3)
    assert found.epochs_after(1) == round(30 / 31, 4) == 0.9677


def test_rows_of_several_epochs_and_of_parts():
    found = lengths_of(1000, 10, epochs=4, steps=None, every=200)
    assert (found.rows, found.block, found.row, found.blocks) == (2, 50, 4, 8)
    assert found.epochs_after(1) == 2
    found = lengths_of(1000, 10, epochs=1, steps=None, every=25)
    assert (found.rows, found.block, found.epochs_after(1)) == (4, 25, 0.25)


def test_fewer_examples_than_a_batch_are_one():
    found = lengths_of(5, 32, epochs=2, steps=None, every=None)
    assert (found.batch_size, found.epoch, found.steps) == (5, 1, 2)


@given(st.integers(1, 5000), st.integers(1, 5000))
def test_the_largest_divisor(number, most):
    found = largest_divisor(number, most)
    assert number % found == 0 and 1 <= found <= most
    assert not [n for n in range(found + 1, min(number, most) + 1) if number % n == 0]


@pytest.mark.parametrize("every, near", [(64, 50), (3, 2), (2000, 1000), (999, 1000)])
def test_rows_divide_the_steps(every, near):
    with pytest.raises(ValueError) as caught:
        lengths_of(100, 10, epochs=None, steps=1000, every=every)
    assert str(caught.value) == (
        f"every is {every}; expected a divisor of the 1,000 steps of a member, such as "
        f"{near}"
    )


def test_rows_divide_the_steps_of_epochs():
    with pytest.raises(ValueError, match="every is 7; expected a divisor of the 20"):
        lengths_of(100, 10, epochs=2, steps=None, every=7)
