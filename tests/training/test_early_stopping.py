"""Early stopping: what counts as improvement, and when a run ends."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsjax.training.early_stopping import EarlyStopping


def rows(*losses, monitor="validation_loss"):
    return [{"epoch": i, "seconds": 1.0, monitor: x} for i, x in enumerate(losses, 1)]


CASES: dict[str, tuple[EarlyStopping, Any, int, bool]] = {
    "better and better": (EarlyStopping(patience=1), rows(3, 2, 1), 2, False),
    "worse once": (EarlyStopping(patience=1), rows(3, 2, 2.5), 1, True),
    "patient": (EarlyStopping(patience=3), rows(3, 2, 2.5, 4), 1, False),
    "out of patience": (EarlyStopping(patience=2), rows(3, 2, 2.5, 4), 1, True),
    "better again": (EarlyStopping(patience=2), rows(3, 2, 2.5, 1, 1.5), 3, False),
    "the same is no improvement": (EarlyStopping(patience=2), rows(1, 1, 1), 0, True),
    "too little": (
        EarlyStopping(patience=2, min_delta=0.5),
        rows(3, 2.8, 2.6),
        0,
        True,
    ),
    "little by little": (
        EarlyStopping(patience=3, min_delta=0.5),
        rows(3, 2.8, 2.6, 2.4),
        3,
        False,
    ),
    "no number": (EarlyStopping(patience=2), rows(3, math.nan, None), 0, True),
    "infinite": (EarlyStopping(patience=2), rows(3, -math.inf, 2), 2, False),
    "a number at last": (EarlyStopping(patience=3), rows(math.nan, None, 3), 2, False),
    "accuracy": (
        EarlyStopping("validation_accuracy", 1),
        rows(0.5, 0.6, monitor="validation_accuracy"),
        1,
        False,
    ),
    "less accuracy, if wanted": (
        EarlyStopping("accuracy", 1, maximize=False),
        rows(0.5, 0.6, monitor="accuracy"),
        0,
        True,
    ),
    "more of something": (
        EarlyStopping("reward", 1, 0.1, maximize=True),
        rows(0.5, 0.65, monitor="reward"),
        1,
        False,
    ),
}


@pytest.mark.parametrize("policy, history, best, stops", CASES.values(), ids=CASES)
def test_decisions(policy, history, best, stops):
    assert policy.best(history) == best
    assert policy.stops(history) is stops


def test_the_default():
    policy = EarlyStopping()
    assert policy == EarlyStopping("validation_loss", 5, 0.0, None)
    assert not policy.stops([]) and not policy.stops(rows(*[1] * 5))
    assert policy.stops(rows(*[1] * 6))


def test_what_was_never_finite_stops_but_has_no_best():
    policy = EarlyStopping(patience=2)
    assert not policy.stops(rows(math.nan)) and policy.stops(rows(math.nan, math.nan))
    with pytest.raises(ValueError) as caught:
        policy.best(rows(math.nan, None))
    assert str(caught.value) == (
        "early stopping: found no finite 'validation_loss' in 2 rows; expected one at "
        "least"
    )


@pytest.mark.parametrize(
    "policy, history, text",
    {
        "near": (
            EarlyStopping("validation_los"),
            rows(1),
            "early stopping: found no column 'validation_los' in the history; expected "
            "one of validation_loss; did you mean 'validation_loss'?",
        ),
        "no validation": (
            EarlyStopping(),
            rows(1, monitor="loss"),
            "early stopping: found no column 'validation_loss' in the history; "
            "expected one of loss; give validation data, or monitor one of them",
        ),
    }.values(),
)
def test_what_is_no_column(policy, history, text):
    for decide in (policy.stops, policy.best):
        with pytest.raises(ValueError) as caught:
            decide(history)
        assert str(caught.value) == text


BAD: dict[str, tuple[Any, str]] = {
    "monitor": ("", "found ''; expected a column, such as \"validation_loss\""),
    "patience": (0, "found 0; expected a whole number, at least 1"),
    "min_delta": (-0.1, "found -0.1; expected a number, at least 0"),
    "maximize": (1, "found 1; expected True, False or None"),
}
MORE_BAD: dict[str, list[Any]] = {
    "monitor": [3, None],
    "patience": [1.0, True, "5"],
    "min_delta": [math.nan, math.inf, "0", None, True, 10**400],
    "maximize": ["yes"],
}


@pytest.mark.parametrize("name", BAD)
def test_bad_values(name):
    value, text = BAD[name]
    with pytest.raises(ValueError) as caught:
        EarlyStopping(**{name: value})
    assert str(caught.value) == f"early stopping, {name}: {text}"
    for each in MORE_BAD[name]:
        with pytest.raises(ValueError, match=f"early stopping, {name}: found "):
            EarlyStopping(**{name: each})


@given(
    st.lists(st.floats() | st.none(), max_size=12),
    st.integers(1, 4),
    st.floats(0, 10),
)
def test_a_resumed_run_decides_the_same(losses, patience, delta):
    """It ends where the uninterrupted one did, whenever it is asked."""
    policy, history = EarlyStopping(patience=patience, min_delta=delta), rows(*losses)
    ends = [policy.stops(history[:n]) for n in range(len(history) + 1)]
    waited = 0
    reference = math.inf
    for n, loss in enumerate(losses, 1):
        better = loss is not None and math.isfinite(loss) and loss < reference - delta
        waited = 0 if better else waited + 1
        reference = loss if better else reference
        assert ends[n] == (waited >= patience)
