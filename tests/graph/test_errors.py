"""Names, structure, shapes, sizes, losses: the whole text of each error."""

from types import SimpleNamespace

import psutil
import pytest

from tests.graph.spoil import DELETE, changed, refused

CASES = {
    "same name twice": (
        [
            ("capsules.1.name", "c1"),
            ("capsules.2.from.0.source", "c1"),
            ("capsules.1.from.0.source", "image"),
            ("capsules.2.from.0", {"source": "c1", "kind": "reshape", "shape": [10]}),
        ],
        """
graph 'small' has 1 problem:
1. name 'c1' (capsules[1].name)
    found:    2 inputs or capsules with this name
    expected: a name of its own for each
    cure:     rename all but one; if one capsule is meant, declare it once and let \
every reader name it as its source
""",
    ),
    "name of an input taken": (
        [("capsules.1.name", "image"), ("capsules.2.from.0.source", "c1")],
        """
graph 'small' has 1 problem:
1. name 'image' (capsules[1].name)
    found:    2 inputs or capsules with this name
    expected: a name of its own for each
    cure:     rename all but one; if one capsule is meant, declare it once and let \
every reader name it as its source
""",
    ),
    "missing source": (
        [("capsules.1.from.0.source", "c2")],
        """
graph 'small' has 2 problems:
1. capsule 'flat', edge 1 (capsules[1].from[0].source)
    found:    a source named 'c2'
    expected: the name of an input or of a capsule of this graph
    cure:     declare it, or remove the edge
2. the graph is not connected
    found:    2 components: {'image', 'c1'}; {'flat', 'digit'}
    expected: one connected graph
    cure:     join the components by an edge, or declare each as a graph of its own
""",
    ),
    "missing source, none near": (
        [
            (
                "capsules.2.from.1",
                {"source": "encoder", "kind": "matmul", "features": 10},
            )
        ],
        """
graph 'small' has 1 problem:
1. capsule 'digit', edge 2 (capsules[2].from[1].source)
    found:    a source named 'encoder'
    expected: the name of an input or of a capsule of this graph
    cure:     declare it, or remove the edge
""",
    ),
    "cycle": (
        [("capsules.0.from.1", {"source": "digit", "kind": "identity"})],
        """
graph 'small' has 1 problem:
1. a cycle (capsules[0].from[1].source)
    found:    'c1' -> 'flat' -> 'digit' -> 'c1'
    expected: a graph without cycles
    cure:     remove one of these edges, such as 'digit' -> 'c1'
""",
    ),
    "capsule that reads itself": (
        [("capsules.2.from.1", {"source": "digit", "kind": "identity"})],
        """
graph 'small' has 1 problem:
1. a cycle (capsules[2].from[1].source)
    found:    'digit' -> 'digit'
    expected: a graph without cycles
    cure:     remove one of these edges, such as 'digit' -> 'digit'
""",
    ),
    "two parts": (
        [
            ("inputs.1", {"name": "other", "shape": [3]}),
            (
                "capsules.3",
                {"name": "aside", "from": [{"source": "other", "kind": "identity"}]},
            ),
        ],
        """
graph 'small' has 1 problem:
1. the graph is not connected
    found:    2 components: {'image', 'c1', 'flat', 'digit'}; {'other', 'aside'}
    expected: one connected graph
    cure:     join the components by an edge, or declare each as a graph of its own
""",
    ),
    "input nobody reads": (
        [("inputs.1", {"name": "mask", "shape": [3]})],
        """
graph 'small' has 1 problem:
1. input 'mask' (inputs[1])
    found:    no capsule reads it
    expected: an edge from every input
    cure:     give a capsule an edge from it, or remove the input
""",
    ),
    "contributions of two shapes": (
        [("capsules.2.from.1", {"source": "flat", "kind": "matmul", "features": 12})],
        """
graph 'small' has 1 problem:
1. capsule 'digit', edges from 'flat' and 'flat' (capsules[2].from[1])
    found:    matmul(features=10) on 'flat' contributes (10,), matmul(features=12) \
on 'flat' contributes (12,)
    expected: contributions of one shape, because a capsule adds them up
    cure:     change one of the two edges so that both give (10,) or (12,), or use \
`place` on both to put them side by side
""",
    ),
    "operation and shape": (
        [
            (
                "capsules.1.from.0",
                {"source": "c1", "kind": "vote", "capsules": 2, "dimension": 3},
            )
        ],
        """
graph 'small' has 1 problem:
1. capsule 'flat', edge from 'c1' (vote(capsules=2, dimension=3)) \
(capsules[1].from[0])
    found:    shape (6, 6, 4)
    expected: [lower capsules, dimension], two axes
    cure:     reshape the source to a list of capsule vectors
""",
    ),
    "window larger than its source": (
        [("capsules.0.from.0.window", [9, 9])],
        """
graph 'small' has 1 problem:
1. capsule 'c1', edge from 'image' (conv(features=4, window=(9, 9))) \
(capsules[0].from[0])
    found:    a window of 9 on axis 0 of size 8 with padding (0, 0)
    expected: a window of at most 8
    cure:     a smaller window, or padding="SAME"
""",
    ),
    "capsule function and shape": (
        [("capsules.1.cap", {"kind": "max_pool", "window": [2, 2]})],
        """
graph 'small' has 1 problem:
1. capsule 'flat', capsule function max_pool(window=(2, 2)) (capsules[1].cap)
    found:    U of shape (144,) under a window of 2 axes
    expected: 2 spatial axes, then channels
    cure:     give the window as many axes as U has before its channels
""",
    ),
    "parameters larger than memory": (
        [
            (
                "capsules.1.from.0",
                {"source": "c1", "kind": "conv", "features": 1048576, "window": [6, 6]},
            ),
            ("losses", DELETE),
            (
                "capsules.1.from.0",
                {
                    "source": "c1",
                    "kind": "conv",
                    "features": 1000000,
                    "window": [3, 3],
                    "padding": "SAME",
                },
            ),
            (
                "capsules.2.from.0",
                {
                    "source": "flat",
                    "kind": "conv",
                    "features": 1000000,
                    "window": [1, 1],
                },
            ),
        ],
        """
graph 'small' has 1 problem:
1. graph 'small', parameters (capsules[2])
    found:    1,000,037,000,040 parameters, 3,725.4 GiB; the most, \
1,000,001,000,000, in capsule 'digit'
    expected: at most 16.0 GiB, the memory of this machine
    cure:     fewer features in 'digit', or a larger machine
""",
    ),
    "example larger than memory": (
        [("inputs.0.shape", [2**31 - 1, 2**31 - 1, 1])],
        """
graph 'small' has 4 problems:
1. input 'image' (inputs[0].shape)
    found:    shape (2147483647, 2147483647, 1) takes 17,179,869,168.0 GiB for one \
example
    expected: at most 16.0 GiB, the memory of this machine
    cure:     a smaller shape
2. capsule 'c1' (capsules[0])
    found:    U (2147483645, 2147483645, 4) and Y (2147483645, 2147483645, 4) take \
137,438,953,088.0 GiB for one example
    expected: at most 16.0 GiB, the memory of this machine
    cure:     smaller shapes
3. capsule 'flat' (capsules[1])
    found:    U (18446744022169944100,) and Y (18446744022169944100,) take \
137,438,953,088.0 GiB for one example
    expected: at most 16.0 GiB, the memory of this machine
    cure:     smaller shapes
4. graph 'small', parameters (capsules[2])
    found:    184,467,440,221,699,441,050 parameters, 687,194,765,440.0 GiB; the \
most, 184,467,440,221,699,441,010, in capsule 'digit'
    expected: at most 16.0 GiB, the memory of this machine
    cure:     fewer features in 'digit', or a larger machine
""",
    ),
    "loss on a capsule that is no output": (
        [("losses.c1", {"kind": "mean_squared_error"})],
        """
graph 'small' has 1 problem:
1. loss mean_squared_error on 'c1' (losses.c1)
    found:    a capsule that is not an output
    expected: the name of an output: 'digit'
    cure:     add 'c1' to the outputs, or remove the loss
""",
    ),
    "loss on nothing": (
        [("losses.digits", {"kind": "mean_squared_error"})],
        """
graph 'small' has 1 problem:
1. loss mean_squared_error on 'digits' (losses.digits)
    found:    no such capsule
    expected: the name of an output: 'digit'
    cure:     did you mean 'digit'?
""",
    ),
    "loss unsuited to its capsule function": (
        [("capsules.2.cap.kind", "relu")],
        """
graph 'small' has 1 problem:
1. loss cross_entropy on capsule 'digit' (losses.digit)
    found:    a capsule function relu, whose Y are no probabilities
    expected: cap="softmax" or cap="log_softmax"
    cure:     give the capsule cap="softmax": together with this loss it is \
computed from U, stable for any logits
""",
    ),
    "output listed twice": (
        [("outputs.1", "digit")],
        """
graph 'small' has 1 problem:
1. output 'digit' (outputs[1])
    found:    a name that stands in the list before
    expected: the name of a capsule, once
    cure:     list it once
""",
    ),
    "output that is an input": (
        [("outputs.1", "image")],
        """
graph 'small' has 1 problem:
1. output 'image' (outputs[1])
    found:    an input
    expected: the name of a capsule, once
    cure:     name a capsule; one that reads the input by `identity` serves
""",
    ),
    "unknown output": (
        [("outputs.1", "digits")],
        """
graph 'small' has 1 problem:
1. output 'digits' (outputs[1])
    found:    no capsule of this name
    expected: the name of a capsule, once
    cure:     did you mean 'digit'?
""",
    ),
}


@pytest.mark.parametrize("changes, text", CASES.values(), ids=list(CASES))
def test_the_whole_text_of_an_error(changes, text, monkeypatch):
    memory = SimpleNamespace(total=16 * 2**30)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    assert str(refused(changed(*changes))) == text.strip()
