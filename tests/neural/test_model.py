"""A model: what it declares, and what is said of a readout that does not fit."""

import pytest

import capsjax as cj
from capsjax.graph import Input
from capsjax.neural import Model, model, network

NET = network(2, 2, [0, 1, 0, 1], [2, 2, 3, 3])


def test_a_model_declares_what_a_graph_does():
    loss = cj.losses.cross_entropy(weight=0.5)
    declared = model(NET, "softmax", loss, name="wired", metadata={"by": ["hand"]})
    assert declared.inputs == (Input("x", (2,)),)
    assert declared.outputs == ("y",)
    assert declared.losses == (("y", loss),)
    assert declared.name == "wired"
    assert declared.metadata == {"by": ["hand"]}
    assert declared.cap == cj.caps.softmax()
    assert repr(declared) == (
        "Model('wired', NeuralNetwork(2 inputs, 2 neurons, 4 connections, 2 levels, "
        "2 outputs), cap softmax, loss cross_entropy(weight=0.5))"
    )


def test_a_model_of_nothing_but_a_network():
    declared = model(NET)
    assert declared == Model(NET, cj.caps.identity(), None, "neurons")
    assert declared.losses == ()
    assert declared.metadata == {}


def test_models_are_equal_as_what_they_declare():
    again = network(2, 2, [1, 0, 1, 0], [3, 3, 2, 2])
    one, other = model(NET, metadata={"a": 1}), model(again)
    assert one == other and hash(one) == hash(other)
    assert one != model(NET, name="other")
    assert one != model(NET, "tanh")
    assert one != model(NET, loss="mean_squared_error")


FAULTS = {
    "loss that does not suit the cap": (
        dict(loss="cross_entropy"),
        "loss cross_entropy on capsule 'y' (loss)\n"
        "    found:    a capsule function identity, whose Y are no probabilities\n"
        '    expected: cap="softmax" or cap="log_softmax"\n'
        '    cure:     give the capsule cap="softmax": together with this loss it is '
        "computed from U, stable for any logits",
    ),
    "unknown loss": (
        dict(loss="margn"),
        "loss on 'y' (loss.kind)\n"
        "    found:    unknown kind 'margn'\n"
        "    expected: one of binary_cross_entropy, cross_entropy, huber, margin, "
        "mean_squared_error, sum_squared_error\n"
        "    cure:     did you mean 'margin'?",
    ),
    "cap without its settings": (
        dict(cap="max_pool"),
        "capsule 'y', cap.window (cap.window)\n"
        "    found:    no key 'window'\n"
        "    expected: the key 'window'\n"
        "    cure:     add it",
    ),
    "name": (
        dict(name="two words"),
        "name (name)\n"
        "    found:    'two words'\n"
        "    expected: a name of letters, digits, '_', '.', '-', parts separated by "
        "'/'\n"
        "    cure:     rename it",
    ),
}


@pytest.mark.parametrize("given, text", FAULTS.values(), ids=FAULTS)
def test_what_does_not_fit_is_said_with_its_cure(own_kinds, given, text):
    with pytest.raises(cj.GraphError) as raised:
        model(NET, **given)
    name = given.get("name", "neurons")
    assert str(raised.value) == f"graph {name!r} has 1 problem:\n1. {text}"


def test_a_cap_that_does_not_fit_the_shape():
    with pytest.raises(cj.GraphError) as raised:
        model(NET, cj.caps.max_pool((2, 2)))
    assert [each.path for each in raised.value.problems] == [("cap",)]


def test_all_faults_are_said_at_once():
    with pytest.raises(cj.GraphError) as raised:
        model(NET, "sofmax", "crossentropy", name="")
    places = {each.path for each in raised.value.problems}
    assert places == {("cap", "kind"), ("loss", "kind"), ("name",)}


WRONG_TYPES = {
    "no network": (
        (cj.zoo.graph("mlp"),),
        "a model is made of a NeuralNetwork, not of Graph; make one with "
        "cj.neural.network(inputs, neurons, sources, targets)",
    ),
    "no capsule function": (
        (NET, 3),
        "capsule 'y': a capsule function is a record, such as cj.caps.route(3), or a "
        'name, "relu", not 3',
    ),
    "no loss": (
        (NET, "softmax", 3),
        "the loss on 'y' is a record, such as cj.losses.margin(), or a name, "
        '"margin", not 3',
    ),
}


@pytest.mark.parametrize("given, text", WRONG_TYPES.values(), ids=WRONG_TYPES)
def test_what_is_of_another_type(given, text):
    with pytest.raises(TypeError) as raised:
        model(*given)
    assert str(raised.value) == text
