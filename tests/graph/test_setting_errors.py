"""Settings of a wrong type or range: the whole text of each error."""

import pytest

from tests.graph.spoil import changed, refused

CASES = {
    "bool for int": (
        [("capsules.0.from.0.features", True)],
        """
graph 'small' has 1 problem:
1. capsule 'c1', edge from 'image', features (capsules[0].from[0].features)
    found:    True
    expected: an integer
    cure:     correct the value
""",
    ),
    "float for int": (
        [("capsules.0.from.0.features", 4.5)],
        """
graph 'small' has 1 problem:
1. capsule 'c1', edge from 'image', features (capsules[0].from[0].features)
    found:    4.5
    expected: an integer
    cure:     correct the value
""",
    ),
    "whole float for int": (
        [("capsules.0.from.0.features", 4.0)],
        """
graph 'small' has 1 problem:
1. capsule 'c1', edge from 'image', features (capsules[0].from[0].features)
    found:    4.0
    expected: an integer
    cure:     write 4
""",
    ),
    "text for int": (
        [("capsules.0.from.0.features", "4")],
        """
graph 'small' has 1 problem:
1. capsule 'c1', edge from 'image', features (capsules[0].from[0].features)
    found:    '4'
    expected: an integer
    cure:     write 4, without quotes
""",
    ),
    "zero": (
        [("inputs.0.shape.1", 0)],
        """
graph 'small' has 1 problem:
1. input 'image', shape[1] (inputs[0].shape[1])
    found:    0
    expected: a number of at least 1
    cure:     correct the value
""",
    ),
    "negative": (
        [("capsules.0.from.0.window.1", -3)],
        """
graph 'small' has 1 problem:
1. capsule 'c1', edge from 'image', window[1] (capsules[0].from[0].window[1])
    found:    -3
    expected: a number of at least 1
    cure:     correct the value
""",
    ),
    "huge int": (
        [("capsules.0.from.0.features", 2**31)],
        """
graph 'small' has 1 problem:
1. capsule 'c1', edge from 'image', features (capsules[0].from[0].features)
    found:    2147483648
    expected: a number of at most 2147483647
    cure:     correct the value
""",
    ),
    "int of 4000 digits": (
        [("capsules.0.from.0.features", 10**4000)],
        """
graph 'small' has 1 problem:
1. capsule 'c1', edge from 'image', features (capsules[0].from[0].features)
    found:    an integer of about 3986 digits
    expected: a number of at most 2147483647
    cure:     correct the value
""",
    ),
    "NaN": (
        [("losses.digit.weight", float("nan"))],
        """
graph 'small' has 1 problem:
1. losses.digit.weight (losses.digit.weight)
    found:    nan
    expected: a finite number
    cure:     replace the value
""",
    ),
    "infinity": (
        [("losses.digit.weight", float("inf"))],
        """
graph 'small' has 1 problem:
1. losses.digit.weight (losses.digit.weight)
    found:    inf
    expected: a finite number
    cure:     replace the value
""",
    ),
    "null for a list": (
        [("capsules.0.from.0.window", None)],
        """
graph 'small' has 1 problem:
1. capsule 'c1', edge from 'image', window (capsules[0].from[0].window)
    found:    None
    expected: a list
    cure:     correct the value
""",
    ),
    "number for a list": (
        [("inputs.0.shape", 64)],
        """
graph 'small' has 1 problem:
1. input 'image', shape (inputs[0].shape)
    found:    64
    expected: a list
    cure:     correct the value
""",
    ),
    "too many axes": (
        [("inputs.0.shape", [1] * 33)],
        """
graph 'small' has 1 problem:
1. input 'image', shape (inputs[0].shape)
    found:    [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, ...]
    expected: a list of at most 32
    cure:     leave some out
""",
    ),
    "window of four axes": (
        [("capsules.0.from.0.window", [1, 1, 1, 1])],
        """
graph 'small' has 1 problem:
1. capsule 'c1', edge from 'image', window (capsules[0].from[0].window)
    found:    [1, 1, 1, 1]
    expected: a list of at most 3
    cure:     leave some out
""",
    ),
    "padding by an unknown word": (
        [("capsules.0.from.0.padding", "same")],
        """
graph 'small' has 1 problem:
1. capsule 'c1', edge from 'image', padding (capsules[0].from[0].padding)
    found:    'same'
    expected: 'SAME' or 'VALID' or a list
    cure:     did you mean 'SAME'?
""",
    ),
    "padding negative": (
        [("capsules.0.from.0.padding", [[0, 0], [0, -1]])],
        """
graph 'small' has 1 problem:
1. capsule 'c1', edge from 'image', padding[1][1] \
(capsules[0].from[0].padding[1][1])
    found:    -1
    expected: a number of at least 0
    cure:     correct the value
""",
    ),
    "padding not in pairs": (
        [("capsules.0.from.0.padding", [1, 1])],
        """
graph 'small' has 2 problems:
1. capsule 'c1', edge from 'image', padding[0] (capsules[0].from[0].padding[0])
    found:    1
    expected: a list
    cure:     correct the value
2. capsule 'c1', edge from 'image', padding[1] (capsules[0].from[0].padding[1])
    found:    1
    expected: a list
    cure:     correct the value
""",
    ),
    "no temperature, and nothing but smoothing": (
        [("capsules.2.cap.temperature", 0), ("losses.digit.smoothing", 1.0)],
        """
graph 'small' has 2 problems:
1. capsule 'digit', cap.temperature (capsules[2].cap.temperature)
    found:    0
    expected: a number above 0.0
    cure:     correct the value
2. loss on 'digit', smoothing (losses.digit.smoothing)
    found:    1.0
    expected: a number below 1.0
    cure:     correct the value
""",
    ),
    "a negative temperature and smoothing": (
        [
            ("capsules.2.cap", {"kind": "log_softmax", "temperature": -0.5}),
            ("losses.digit.smoothing", -0.1),
        ],
        """
graph 'small' has 2 problems:
1. capsule 'digit', cap.temperature (capsules[2].cap.temperature)
    found:    -0.5
    expected: a number above 0.0
    cure:     correct the value
2. loss on 'digit', smoothing (losses.digit.smoothing)
    found:    -0.1
    expected: a number of at least 0.0
    cure:     correct the value
""",
    ),
    "bias by an unknown word": (
        [("capsules.0.bias", "none")],
        """
graph 'small' has 1 problem:
1. capsule 'c1', bias (capsules[0].bias)
    found:    'none'
    expected: 'full', 'channel' or null
    cure:     write null, without quotes; in Python, None
""",
    ),
}


@pytest.mark.parametrize("changes, text", CASES.values(), ids=list(CASES))
def test_the_whole_text_of_an_error(changes, text):
    assert str(refused(changed(*changes))) == text.strip()
