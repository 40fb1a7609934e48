"""Parts of a wrong type or form: the whole text of each error."""

import pytest

from tests.graph.spoil import DELETE, changed, refused

CASES = {
    "missing setting": (
        [("capsules.0.from.0.features", DELETE)],
        """
graph 'small' has 1 problem:
1. capsule 'c1', edge from 'image', features (capsules[0].from[0].features)
    found:    no key 'features'
    expected: the key 'features'
    cure:     add it
""",
    ),
    "missing name": (
        [("capsules.2.name", DELETE), ("outputs", DELETE), ("losses", DELETE)],
        """
graph 'small' has 1 problem:
1. capsule number 3, name (capsules[2].name)
    found:    no key 'name'
    expected: the key 'name'
    cure:     add it
""",
    ),
    "name not text": (
        [("inputs.0.name", 5)],
        """
graph 'small' has 2 problems:
1. input number 1, name (inputs[0].name)
    found:    5
    expected: text
    cure:     correct the value
2. capsule 'c1', edge 1 (capsules[0].from[0].source)
    found:    a source named 'image'
    expected: the name of an input or of a capsule of this graph
    cure:     declare it, or remove the edge
""",
    ),
    "name with a blank": (
        [("name", "two words")],
        """
graph 'two words' has 1 problem:
1. name (name)
    found:    'two words'
    expected: a name of letters, digits, '_', '.', '-', parts separated by '/'
    cure:     rename it
""",
    ),
    "name too long": (
        [("name", "a" * 201)],
        """
graph \
'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' \
has 1 problem:
1. name (name)
    found:    \
'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'
    expected: text of at most 200 characters
    cure:     correct the value
""",
    ),
    "null edge": (
        [("capsules.2.from.1", None)],
        """
graph 'small' has 1 problem:
1. capsule 'digit', edge 2 (capsules[2].from[1])
    found:    None
    expected: an object that names its kind, {"kind": ...}
    cure:     write {"kind": "..."}
""",
    ),
    "edge without a source": (
        [("capsules.2.from.0.source", DELETE)],
        """
graph 'small' has 1 problem:
1. capsule 'digit', edge 1, source (capsules[2].from[0].source)
    found:    no key 'source'
    expected: the key 'source'
    cure:     add it
""",
    ),
    "capsules as an object": (
        [("capsules", {"c1": {}})],
        """
graph 'small' has 1 problem:
1. capsules (capsules)
    found:    {'c1': {}}
    expected: a list
    cure:     correct the value
""",
    ),
    "losses as a list": (
        [("losses", ["cross_entropy"])],
        """
graph 'small' has 1 problem:
1. losses (losses)
    found:    ['cross_entropy']
    expected: an object
    cure:     correct the value
""",
    ),
    "lone surrogate": (
        [("metadata", {"author": ["\ud800"]})],
        """
graph 'small' has 1 problem:
1. metadata.author[0] (metadata.author[0])
    found:    '\\ud800'
    expected: text in Unicode, without halves of surrogate pairs
    cure:     replace the value
""",
    ),
    "lone surrogate in a key": (
        [("metadata", {"\udfff": 1})],
        """
graph 'small' has 1 problem:
1. key '\\udfff' (metadata)
    found:    '\\udfff'
    expected: keys that are text in Unicode
    cure:     rename the key
""",
    ),
    "NaN in notes": (
        [("metadata", {"x": [0.0, float("nan")]})],
        """
graph 'small' has 1 problem:
1. metadata.x[1] (metadata.x[1])
    found:    nan
    expected: a finite number
    cure:     replace the value
""",
    ),
}


@pytest.mark.parametrize("changes, text", CASES.values(), ids=list(CASES))
def test_the_whole_text_of_an_error(changes, text):
    assert str(refused(changed(*changes))) == text.strip()
