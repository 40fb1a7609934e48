"""Weights of examples by their labels: exact, from any source, or refused."""

import re
from typing import Any

import numpy as np
import pytest

import capsjax as cj
from capsjax.training.class_weights import example_weights
from capsjax.training.dataset import bind

LABELS = np.array([0, 2, 2, 2, 0, 2, 2], np.int32)
X = np.ones((7, 4), np.float32)


def network(heads=("y",), loss="cross_entropy"):
    x = cj.input("x", (4,))
    made = [cj.capsule(name, cj.matmul(x, 3), cap="softmax") for name in heads]
    losses = dict.fromkeys(heads, loss)
    return cj.compile(cj.graph(*made, name="tiny", losses=losses))


def weights(given: Any, labels: Any = LABELS, heads=("y",)) -> np.ndarray:
    net = network(heads)
    data = bind(net, {"x": X, **dict.fromkeys(heads, labels)}, "data")
    found = example_weights(net, data, given)
    assert found is not None
    return found


def test_none_is_none():
    net = network()
    data = bind(net, {"x": X, "y": LABELS}, "data")
    assert example_weights(net, data, None) is None


def test_balanced_is_that_of_scikit_learn():
    from sklearn.utils.class_weight import compute_sample_weight

    found = weights("balanced")
    assert found.dtype == np.float32 and found.mean() == pytest.approx(1)
    np.testing.assert_allclose(found, compute_sample_weight("balanced", LABELS))


def test_every_class_that_occurs_counts_the_same():
    found = weights("balanced")
    assert found[LABELS == 0].sum() == pytest.approx(found[LABELS == 2].sum())


def test_classes_that_are_not_named_weigh_one():
    np.testing.assert_array_equal(weights({2: 0.5}), np.where(LABELS == 2, 0.5, 1))
    np.testing.assert_array_equal(weights({}), np.ones(7))


def test_rows_over_classes_are_labels():
    rows = np.eye(3, dtype=np.float32)[LABELS]
    np.testing.assert_array_equal(weights({0: 3.0}, rows), weights({0: 3.0}))


def test_weights_of_two_outputs_are_multiplied():
    given = {"a": {0: 2.0}, "b": {0: 3.0, 2: 5.0}}
    found = weights(given, heads=("a", "b"))
    np.testing.assert_array_equal(found, np.where(LABELS == 0, 6, 5))


def test_labels_of_a_source_are_read():
    net = network()
    source = [{"x": x, "y": y} for x, y in zip(X, LABELS, strict=True)]
    data = bind(net, source, "data")
    np.testing.assert_array_equal(
        example_weights(net, data, "balanced"), weights("balanced")
    )


BAD = {
    "word": ("equal", "class_weights of 'y': found 'equal'; expected 'balanced', or"),
    "type": ({"y": 3.0}, "class_weights of 'y': found 3.0; expected 'balanced', or"),
    "class": ({3: 1.0}, "class_weights of 'y': found the class 3; expected 0 to 2"),
    "true": ({True: 1.0}, "class_weights of 'y': found the class True; expected 0"),
    "negative": ({1: -1.0}, "'y', class 1: found -1.0; expected a finite number of"),
    "infinite": ({1: np.inf}, "'y', class 1: found inf; expected a finite number"),
    "output": (
        {"z": "balanced"},
        "class_weights: found 'z'; expected an output with one label an example: y",
    ),
    "nothing": (
        {0: 0.0, 2: 0.0},
        "class_weights: found 0 for all examples; expected some above",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_refused(case):
    given, text = BAD[case]
    with pytest.raises(ValueError, match=re.escape(text)):
        weights(given)


def test_outputs_must_be_named_where_there_are_several_or_none():
    with pytest.raises(ValueError, match="found 2 outputs with one label an example:"):
        weights("balanced", heads=("a", "b"))
    net = network(loss="mean_squared_error")
    data = bind(net, {"x": X, "y": np.ones((7, 3), np.float32)}, "data")
    with pytest.raises(ValueError, match="found 0 outputs with one label an example;"):
        example_weights(net, data, "balanced")
