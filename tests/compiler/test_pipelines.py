"""Pipelines other than the default: fewer passes, passes of one's own, wrong ones."""

import dataclasses
import re
from typing import Any

import hypothesis.strategies as st
import jax
import pytest
from hypothesis import given

import capsjax as cj
from capsjax.compiler.verify import CompilerError
from capsjax.compiler.verify_passes import require_losses
from capsjax.graph.assignment import without_rules
from capsjax.graph.typed import TypedCapsule
from tests.compiler.random_graphs import graphs
from tests.compiler.test_against_interpreter import gradients, problem
from tests.helpers_capsjax import close, draw, examples, quick


def some(passes: Any) -> st.SearchStrategy[Any]:
    """Any of the passes, in their order."""
    each = [st.booleans().map(lambda taken, x=x: [x] * taken) for x in passes]
    return st.tuples(*each).map(lambda found: sum(found, []))


def needs_pairs(graph: cj.Graph) -> bool:
    """Whether a loss has no form but the pair with its capsule function."""
    caps = {capsule.name: capsule.cap.kind for capsule in graph.capsules}
    return any(
        caps[name] == "log_softmax" and loss.kind == "cross_entropy"
        for name, loss in graph.losses
    )


@examples(2)
@given(graphs(), some(cj.passes.PIPELINE))
def test_every_combination_of_passes_means_the_same(graph, passes):
    """Outputs, loss, all gradients and all error signals are the interpreter's."""
    if needs_pairs(graph) and "pair_losses" not in [each.name for each in passes]:
        with pytest.raises(ValueError, match="expected the pass pair_losses"):
            cj.compile(graph, passes=passes)
        passes.append(cj.passes.Pass(cj.passes.pair_losses, observable=True))
    params, inputs, targets = problem(graph)
    exact = cj.compile(graph, passes=passes)
    plain = cj.compile(graph, backward="autodiff")
    mine = exact.from_named(_padded(exact, plain.named(params)))
    found, expected = quick(
        lambda mine, params, inputs: (
            gradients(exact, targets)(mine, inputs),
            gradients(plain, targets)(params, inputs),
        )
    )(mine, params, inputs)
    close(found[0][0], expected[0][0])
    close(found[1], expected[1])
    (own, by_input), (theirs, by_input_too) = found[0][1], expected[0][1]
    close(by_input, by_input_too)
    close(exact.named(own), _padded(exact, plain.named(theirs)))


def _padded(net: cj.Network, named: Any) -> Any:
    """With zeros for the parameters that no output needs, where none were dropped."""
    params = jax.eval_shape(net.init, jax.random.key(0))[0]
    zeros = net.named(jax.tree.map(lambda x: jax.numpy.zeros(x.shape), params))
    return zeros | named


def stateful() -> cj.Graph:
    """Running statistics, a mask that is drawn, an identity, a concatenation."""
    x = cj.input("x", (4,))
    norm = cj.capsule("norm", cj.matmul(x, 4), cap="standardize")
    same = cj.capsule("same", cj.identity(norm), bias=None)
    drop = cj.capsule("drop", cj.channel_scale(same), cap=cj.caps.dropout(0.5))
    both = cj.capsule("both", cj.place(drop), cj.place(x), bias=None)
    out = cj.capsule("out", cj.matmul(both, 3), cap="sigmoid")
    return cj.graph(out, losses={"out": "binary_cross_entropy"})


@pytest.mark.parametrize("first", [0, 1])
def test_state_and_keys_are_the_same_whatever_the_passes(first):
    graph, key = stateful(), jax.random.key(1)
    passes = cj.passes.PIPELINE[first::2]
    net = cj.compile(graph, passes=passes)
    plain = cj.compile(graph, backward="autodiff")
    params, state = plain.init(jax.random.key(0))
    batch = {"x": draw((3, 4)), "out": jax.nn.sigmoid(draw((3, 3)))}

    def everything(net):
        def loss(params):
            return net.loss(params, state, batch, key=key)

        found = jax.value_and_grad(loss, has_aux=True)(params)
        return found, net.deltas(params, state, batch, key=key)

    close(*quick(lambda: (everything(net), everything(plain)))())


def three() -> cj.Graph:
    """Two hidden capsules, an output with a loss."""
    x = cj.input("x", (4,))
    a = cj.capsule("a", cj.matmul(x, 4), cap="tanh")
    b = cj.capsule("b", cj.identity(a), bias=None)
    out = cj.capsule("out", cj.matmul(b, 2), cap="softmax")
    return cj.graph(out, name="three", losses={"out": "cross_entropy"})


def renamed(typed, **changes):
    """The typed graph with fields of capsule "a" changed."""
    capsules = tuple(
        dataclasses.replace(c, **changes) if c.name == "a" else c
        for c in typed.capsules
    )
    return dataclasses.replace(typed, capsules=capsules), ["a changed"]


def relu_for_tanh(typed):
    """A pass that changes the meaning, so that its effect shows."""
    return renamed(typed, cap=cj.caps.relu())


def test_a_pass_of_ones_own_runs_shows_and_is_observed():
    own = cj.passes.Pass(relu_for_tanh, observable=True)
    net = cj.compile(three(), passes=[*cj.passes.PIPELINE, own])
    text = str(cj.explain(net))
    assert "pass relu_for_tanh:\n  a changed\n" in text
    assert text.index("pass pair_losses") < text.index("pass relu_for_tanh")
    params, state = net.init(jax.random.key(0))
    found = net.activations(params, state, {"x": jax.numpy.ones((1, 4))})["a"]
    close(found["Y"], jax.nn.relu(found["U"]))
    assert cj.compile(three(), passes=()).stages[1:] == ()


def test_every_pass_is_there_by_its_name():
    for each in cj.passes.PIPELINE:
        assert getattr(cj.passes, each.name) is each.run


def dropped(typed):
    """Drops `b`, reading `a` instead."""
    capsules = [c for c in typed.capsules if c.name != "b"]
    capsules[-1] = _reading(capsules[-1], "a")
    return dataclasses.replace(typed, capsules=tuple(capsules)), ["dropped b"]


def _reading(capsule: TypedCapsule, source: str) -> TypedCapsule:
    terms = tuple(dataclasses.replace(t, source=source) for t in capsule.terms)
    return dataclasses.replace(capsule, terms=terms)


def no_outputs(typed):
    """Loses the only output."""
    return dataclasses.replace(typed, outputs=("a",), losses=()), []


def no_loss(typed):
    """Loses the loss."""
    return dataclasses.replace(typed, losses=()), []


def another_bias(typed):
    """Adds a parameter."""
    capsules = tuple(
        dataclasses.replace(c, bias_shape=(4,)) if c.name == "b" else c
        for c in typed.capsules
    )
    return dataclasses.replace(typed, capsules=capsules), []


def scalar_bias(typed):
    """Changes a parameter's shape."""
    return renamed(typed, bias_shape=())


def unknown_source(typed):
    """Reads what is not there."""
    last = _reading(typed.capsules[-1], "nobody")
    return dataclasses.replace(typed, capsules=(*typed.capsules[:-1], last)), []


BREACHES = {
    dropped: "after dropped: capsule 'b', which an output needs, is gone; expected it "
    "to stay; cure: cj.passes.Pass(..., observable=False)",
    no_outputs: "after no_outputs: outputs: found a (4,); expected out (2,), as before",
    no_loss: "after no_loss: losses: found none; expected cross_entropy on out, as "
    "before",
    another_bias: "after another_bias: found parameter 'b.B' of shape (4,); expected "
    "none",
    scalar_bias: "after scalar_bias: found parameter 'a.B' of shape (); expected shape "
    "(4,), as before",
    unknown_source: "after unknown_source: capsule 'out': reads 'nobody', which does "
    "not stand before it",
}


@pytest.mark.parametrize("breach", BREACHES)
def test_a_breach_names_the_pass(breach):
    own = cj.passes.Pass(breach, observable=True)
    with pytest.raises(CompilerError, match=re.escape(BREACHES[breach])):
        cj.compile(three(), passes=(own,))


def test_a_pass_keeps_backward_rules():
    own = cj.passes.Pass(lambda typed: (without_rules(typed), []), observable=False)
    text = "capsule 'b': backward rules none; expected stop, as before"
    with pytest.raises(CompilerError, match=text):
        cj.compile(three(), passes=(own,), backward={"b": "stop"})


def test_what_is_not_observable_may_drop_capsules():
    net = cj.compile(three(), passes=(cj.passes.Pass(dropped, observable=False),))
    assert [capsule.name for capsule in net.program.typed.capsules] == ["a", "out"]


def forgotten(typed) -> Any:
    """No notes."""
    return typed


def one_note(typed) -> Any:
    """A note in the place of a list."""
    return typed, "done"


WRONG: list[Any] = [
    (
        (cj.passes.Pass(forgotten, True),),
        "pass 'forgotten' returned ",
        "; expected (TypedGraph, list of str)",
    ),
    (
        (cj.passes.Pass(one_note, True),),
        "pass 'one_note' returned ",
        "; expected (TypedGraph, list of str)",
    ),
    (
        (cj.passes.PIPELINE[0], dropped),
        "passes[1]: found <function dropped",
        "expected a cj.passes.Pass; cure: cj.passes.Pass(function, observable=False)",
    ),
    (cj.passes.PIPELINE[0], "passes: found ", "expected a sequence of cj.passes.Pass"),
]


@pytest.mark.parametrize("wrong", range(len(WRONG)))
def test_what_is_no_pass_is_refused(wrong):
    passes, *parts = WRONG[wrong]
    with pytest.raises(TypeError) as caught:
        cj.compile(three(), passes=passes)
    assert all(part in str(caught.value) for part in parts)


def test_losses_that_have_another_form_need_no_pair():
    require_losses(cj.compile(three(), passes=()).program.typed)
