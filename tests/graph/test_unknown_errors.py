"""Kinds, keys and versions unknown: the whole text of each error."""

import pytest

from capsjax.graph.kinds import CAPS, WEIGHTINGS
from tests.graph.spoil import DELETE, changed, refused

CASES = {
    "unknown kind of edge": (
        [("capsules.0.from.0.kind", "convv")],
        """
graph 'small' has 1 problem:
1. capsule 'c1', edge from 'image' (capsules[0].from[0].kind)
    found:    unknown kind 'convv'
    expected: one of WEIGHTINGS
    cure:     did you mean 'conv'?
""",
    ),
    "unknown kind of capsule function": (
        [("capsules.2.cap.kind", "sofmax")],
        """
graph 'small' has 1 problem:
1. capsule 'digit', cap (capsules[2].cap.kind)
    found:    unknown kind 'sofmax'
    expected: one of CAPS
    cure:     did you mean 'softmax'?
""",
    ),
    "unknown kind of loss": (
        [("losses.digit.kind", "quantile")],
        """
graph 'small' has 1 problem:
1. loss on 'digit' (losses.digit.kind)
    found:    unknown kind 'quantile'
    expected: one of binary_cross_entropy, cross_entropy, huber, margin, \
mean_squared_error, sum_squared_error
    cure:     use a known loss, or register it
""",
    ),
    "kind without its wrapping": (
        [("capsules.0.cap", "relu")],
        """
graph 'small' has 1 problem:
1. capsule 'c1', cap (capsules[0].cap)
    found:    'relu'
    expected: an object that names its kind, {"kind": ...}
    cure:     write {"kind": "relu"}
""",
    ),
    "no kind": (
        [("capsules.0.from.0.kind", DELETE)],
        """
graph 'small' has 1 problem:
1. capsule 'c1', edge from 'image' (capsules[0].from[0].kind)
    found:    no kind, in {'features': 4, 'source': 'image', 'window': [3, 3]}
    expected: one of WEIGHTINGS
    cure:     name the kind: {"kind": ...}
""",
    ),
    "unknown key of the document": (
        [("output", ["digit"])],
        """
graph 'small' has 1 problem:
1. output (output)
    found:    unknown key 'output'
    expected: one of format_version, name, inputs, blocks, capsules, outputs, losses, \
backward, metadata
    cure:     did you mean 'outputs'?
""",
    ),
    "unknown key of an input": (
        [("inputs.0.type", "float32")],
        """
graph 'small' has 1 problem:
1. input 'image', type (inputs[0].type)
    found:    unknown key 'type'
    expected: one of name, shape, dtype, learned
    cure:     did you mean 'dtype'?
""",
    ),
    "unknown key of a capsule": (
        [("capsules.0.activation", "relu")],
        """
graph 'small' has 1 problem:
1. capsule 'c1', activation (capsules[0].activation)
    found:    unknown key 'activation'
    expected: one of name, from, cap, bias, backward
    cure:     remove it
""",
    ),
    "unknown key of an edge": (
        [("capsules.0.from.0.strides", [2, 2])],
        """
graph 'small' has 1 problem:
1. capsule 'c1', edge from 'image', strides (capsules[0].from[0].strides)
    found:    unknown key 'strides'
    expected: one of source, weight, backward, kind, features, window, stride, \
padding, dilation, groups
    cure:     did you mean 'stride'?
""",
    ),
    "unknown key of a capsule function": (
        [("capsules.0.cap.slope", 0.1)],
        """
graph 'small' has 1 problem:
1. capsule 'c1', cap.slope (capsules[0].cap.slope)
    found:    unknown key 'slope'
    expected: one of kind
    cure:     remove it
""",
    ),
    "newer format": (
        [("format_version", 2)],
        """
graph 'small' has 1 problem:
1. format_version (format_version)
    found:    2
    expected: 1, the version known
    cure:     use a newer capsjax
""",
    ),
    "no format": (
        [("format_version", DELETE)],
        """
graph 'small' has 1 problem:
1. format_version (format_version)
    found:    no key 'format_version'
    expected: the key 'format_version'
    cure:     add it
""",
    ),
    "format as text": (
        [("format_version", "1")],
        """
graph 'small' has 1 problem:
1. format_version (format_version)
    found:    '1'
    expected: 1, the version known
    cure:     write 1, without quotes
""",
    ),
}


@pytest.mark.parametrize("changes, text", CASES.values(), ids=list(CASES))
def test_the_whole_text_of_an_error(changes, text):
    for name, table in (("WEIGHTINGS", WEIGHTINGS), ("CAPS", CAPS)):
        text = text.replace(name, ", ".join(sorted(table)))
    assert str(refused(changed(*changes))) == text.strip()
