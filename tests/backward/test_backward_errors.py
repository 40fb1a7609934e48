"""Bad rules, in Python and in documents: place, found, expected, cure; round trips."""

from typing import Any

import hypothesis.strategies as st
import jax
import pytest
from hypothesis import given, settings

import capsjax as cj
from capsjax.graph import from_document, to_document
from tests.graph.spoil import SOUND, changed
from tests.helpers_capsjax import draw

IN_DOCUMENTS = {
    "no weight": (
        [("capsules.1.from.0.backward", {"kind": "feedback_alignment"})],
        """capsule 'flat', edge from 'c1' (reshape(shape=(-1,))), backward rule \
feedback_alignment (capsules[1].from[0].backward)
    found:    reshape, which has no weight
    expected: an edge with a weight, such as matmul or conv
    cure:     remove the rule, or give it to an edge with a weight""",
    ),
    "no setting": (
        [("capsules.2.backward", {"kind": "scale"})],
        """capsule 'digit', backward.factor (capsules[2].backward.factor)
    found:    no key 'factor'
    expected: the key 'factor'
    cure:     add it""",
    ),
    "another's setting": (
        [("capsules.2.from.0.backward", {"kind": "stop", "factor": 2})],
        """capsule 'digit', edge from 'flat', backward.factor \
(capsules[2].from[0].backward.factor)
    found:    unknown key 'factor'
    expected: one of kind
    cure:     remove it""",
    ),
    "a bad setting": (
        [("capsules.1.backward", {"kind": "clip", "norm": -1})],
        """capsule 'flat', backward.norm (capsules[1].backward.norm)
    found:    -1
    expected: a number above 0.0
    cure:     correct the value""",
    ),
    "no object": (
        [("backward", "stop")],
        """backward (backward)
    found:    'stop'
    expected: an object that names its kind, {"kind": ...}
    cure:     write {"kind": "stop"}""",
    ),
    "no loss": (
        [("losses", {}), ("backward", {"kind": "direct_feedback_alignment"})],
        """backward rule direct_feedback_alignment, for the whole graph (backward)
    found:    a graph without losses
    expected: a loss on an output
    cure:     declare one: cj.graph(..., losses={"digit": "cross_entropy"})""",
    ),
    "an output": (
        [("capsules.2.backward", {"kind": "direct_feedback_alignment"})],
        """capsule 'digit', backward rule direct_feedback_alignment \
(capsules[2].backward)
    found:    an output with a loss of its own
    expected: a hidden capsule
    cure:     remove the rule: its error is the output's already""",
    ),
    "no rectifier": (
        [("capsules.2.backward", {"kind": "guided"})],
        """capsule 'digit', backward rule guided (capsules[2].backward)
    found:    softmax, which does not rectify
    expected: one of relu, leaky_relu, elu, selu, gelu, silu, softplus
    cure:     give the rule to a capsule with one of them""",
    ),
}


@pytest.mark.parametrize("changes, text", IN_DOCUMENTS.values(), ids=IN_DOCUMENTS)
def test_faults_of_documents(changes, text):
    with pytest.raises(cj.GraphError) as raised:
        from_document(changed(*changes))
    assert str(raised.value) == f"graph 'small' has 1 problem:\n1. {text}"


def graph(**more: Any) -> cj.Graph:
    """Pooling, then a product; a loss unless told otherwise."""
    image = cj.input("image", (4, 4, 1))
    pool = cj.capsule("pool", cj.identity(image), cap=cj.caps.max_pool((2, 2)))
    flat = cj.capsule("flat", cj.reshape(pool, (-1,)), bias=None)
    h = cj.capsule("h", cj.matmul(flat, 4), cap="relu")
    y = cj.capsule("y", cj.matmul(h, 2))
    return cj.graph(y, **{"losses": {"y": "mean_squared_error"}, **more})


WHEN_COMPILED = {
    "unknown rule": (
        "feedback_alignement",
        ["backward", "unknown rule 'feedback_alignement'", "'feedback_alignment'?"],
    ),
    "unknown rule in a mapping": (
        {"h": "loca"},
        ["backward['h']", "unknown rule 'loca'", "did you mean 'local'?"],
    ),
    "unknown capsule": (
        {"hh": "stop"},
        ["backward['hh']", "no capsule 'hh'", "did you mean 'h'?"],
    ),
    "unknown edge": (
        {("pool", "h"): "stop"},
        ["backward[('pool', 'h')]", "no edge from 'pool' into 'h'", "one of 'flat'"],
    ),
    "no place": ({3: "stop"}, ["backward[3]", "a pair (source, capsule)", "write {"]),
    "no settings": (
        {("h", "y"): "scale"},
        ["backward[('h', 'y')]", "'scale' without its settings", "backward.scale("],
    ),
    "another shape": (
        {"pool": "straight_through"},
        ["capsule 'pool'", "Y (2, 2, 1) of U (4, 4, 1)", "U and Y have one shape"],
    ),
    "no function": (
        {("h", "y"): "straight_through"},
        ["edge from 'h'", "acts on capsule functions", "give it to the capsule"],
    ),
    "no own loss": (
        {"h": "local"},
        ["capsule 'h'", "no loss on the capsule", "list it among the outputs"],
    ),
    "a class": (cj.backward.stop, ["unknown rule <class", "as a record, such as"]),
}


@pytest.mark.parametrize("rules, parts", WHEN_COMPILED.values(), ids=WHEN_COMPILED)
def test_faults_when_compiled(rules, parts):
    with pytest.raises(cj.GraphError) as raised:
        cj.compile(graph(), backward=rules)
    text = str(raised.value)
    assert "has 1 problem" in text
    for part in parts:
        assert part in text


def test_direct_feedback_without_a_loss():
    with pytest.raises(cj.GraphError, match="no output with a loss that the capsule"):
        cj.compile(graph(losses=None), backward={"h": "direct_feedback_alignment"})


def test_ones_own_rule_of_a_wrong_shape(own_kinds):
    """The capsule, the edge, the rule and both shapes are named."""

    @cj.register_backward("too_small")
    class TooSmall(cj.BackwardRule):
        def signal(self, delta, w, y, key, edge):
            return delta

    @cj.register_backward("too_narrow")
    class TooNarrow(cj.BackwardRule):
        acts = "function"

        def through(self, dy, exact):
            return dy[:, :1]

    batch = {"image": draw((3, 4, 4, 1)), "y": draw((3, 2))}
    for place, rule, text in (
        (("h", "y"), TooSmall(), "capsule 'y', edge from 'h': backward rule too_small"),
        ("h", TooNarrow(), "capsule 'h': backward rule too_narrow"),
    ):
        net = cj.compile(graph(), backward={place: rule})
        params, state = jax.eval_shape(net.init, jax.random.key(0))
        with pytest.raises(TypeError) as raised:
            jax.eval_shape(
                jax.grad(lambda *p, n=net: n.loss(*p, batch)[0]), params, state
            )
        shape = (3, 2) if rule.kind == "too_small" else (3, 1)
        assert str(raised.value) == f"{text} gives shape {shape}; expected (3, 4)"


def test_a_block_may_call_a_source_as_the_graph_calls_its_output():
    """Feedback weights of both would stand under one name in the state."""

    @cj.block
    def stage(x):
        y = cj.capsule("y", cj.matmul(x, 3), cap="tanh")
        return cj.capsule("h", cj.matmul(y, 5), cap="tanh")

    x = cj.input("x", (4,))
    y = cj.capsule("y", cj.matmul(stage("s", x), 2))
    graph = cj.graph(y, losses={"y": "mean_squared_error"})
    rules = {"*": "feedback_alignment", "s/h": "direct_feedback_alignment"}
    with pytest.raises(cj.GraphError) as raised:
        cj.compile(graph, backward=rules)
    text = """
1. capsule 's/h'
    found:    feedback weights of an edge and of an output, both 'y'
    expected: two names in the state
    cure:     rename the output, or the source inside the block"""
    assert str(raised.value).endswith(text)
    cj.compile(graph, backward={"s/h": "direct_feedback_alignment"})


# ---- documents


def test_documents_without_rules_are_what_they_were():
    """No new key in them, and the hash of before there were rules."""
    plain = from_document(SOUND)
    assert "backward" not in str(to_document(plain))
    ruled = from_document(changed(("backward", {"kind": "stop"})))
    assert cj.content_hash(plain) != cj.content_hash(ruled)
    assert plain != ruled


@st.composite
def documents(draw_one: Any) -> dict[str, Any]:
    """The sound document with rules in some places."""

    def some(*options: Any) -> Any:
        return draw_one(st.sampled_from([None, *options]))

    real = st.floats(0.1, 3.0)
    edge = {"kind": "scale", "factor": draw_one(real)}, {"kind": "exact"}
    norm = {"kind": "clip", "norm": draw_one(real)}
    weighted = {"kind": "kolen_pollack", "decay": 0.5}, {"kind": "sign_symmetric"}
    rules = {
        "capsules.0.from.0.backward": some(*edge, *weighted),
        "capsules.0.backward": some({"kind": "guided"}, norm, *weighted),
        "capsules.1.from.0.backward": some(*edge, {"kind": "stop"}),
        "capsules.1.backward": some({"kind": "straight_through"}),
        "capsules.2.backward": some({"kind": "local"}, *weighted),
        "backward": some({"kind": "direct_feedback_alignment"}, *edge),
    }
    return changed(*((place, rule) for place, rule in rules.items() if rule))


@settings(max_examples=20)
@given(documents())
def test_documents_with_rules_round_trip(document):
    first = from_document(document)
    again = to_document(first)
    assert from_document(again) == first
    assert cj.content_hash(from_document(again)) == cj.content_hash(first)
    assert to_document(from_document(again)) == again
    counted = str(again).count("'backward'")
    assert counted == str(document).count("'backward'")
    cj.compile(first)
