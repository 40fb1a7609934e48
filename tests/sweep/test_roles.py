"""Roles: what each axis sets, for a graph and for what makes one; texts of errors."""

import dataclasses
import functools
from typing import Any

import numpy as np
import optax
import pytest

import capsjax as cj
from capsjax.sweep.roles import Chosen, Roles, Setup, in_words, is_number, shown
from capsjax.training.optimizers import OPTIMIZERS, optimizer_of


def declared(units=8, cap="relu"):
    x = cj.input("x", (4,))
    h = cj.capsule("h", cj.matmul(x, units), cap=cap)
    y = cj.capsule("y", cj.matmul(h, 3), cap="softmax")
    return cj.graph(y, name="tiny", losses={"y": "cross_entropy"})


def roles(graph=None, optimizer: Any = None, names=(), **more):
    graph = declared() if graph is None else graph
    setup = Setup(graph, optimizer, 32, None, 1.0)
    return Roles(dataclasses.replace(setup, **more), tuple(names))


def chosen(values, *arguments, seed: Any = 0, **more) -> Chosen:
    return roles(*arguments, names=values, **more).chosen(7, values, seed)


def refused(text, values, *arguments, **more):
    with pytest.raises(ValueError) as caught:
        chosen(values, *arguments, **more)
    assert str(caught.value) == text


def test_a_member_without_settings_has_those_of_all():
    found = chosen({}, seed=3)
    assert found.number == 7 and found.values == {} and found.seed == 3
    assert found.graph == declared()
    assert found.optimizer.document == {"kind": "adam"} and found.numbers == {}
    assert (found.batch_size, found.precision, found.scale) == (32, None, 1.0)
    half = cj.Precision("bfloat16")
    found = chosen({}, batch_size=np.int64(8), precision=half, initial_scale=2)
    assert (found.batch_size, found.precision, found.scale) == (8, half, 2.0)
    assert type(found.batch_size) is int and type(found.scale) is float


def test_settings_of_training():
    values = {"batch_size": 64, "dtype": "bfloat16", "initial_scale": 0.5, "seed": 9}
    found = chosen(values, seed=9)
    assert (found.batch_size, found.scale, found.seed) == (64, 0.5, 9)
    assert found.precision == cj.Precision("bfloat16")
    assert found.numbers == {} and found.values == values
    own = cj.Precision("float16", outputs="float16")
    assert chosen({"dtype": own}).precision is own


def test_settings_of_the_optimizer():
    """Numbers are given to the program, others are built into the optimizer."""
    values = {"learning_rate": 0.1, "nesterov": True, "momentum": 0.9}
    found = chosen(values, None, "sgd")
    assert found.numbers == {"learning_rate": 0.1, "momentum": 0.9}
    assert found.optimizer.document == {"kind": "sgd", "nesterov": True}
    found = chosen({"optimizer.momentum": 1}, None, "sgd")
    assert found.numbers == {"momentum": 1}
    refused(
        "over: found the axes 'momentum' and 'optimizer.momentum', which are one "
        "setting; expected one of them",
        {"optimizer.momentum": 1, "momentum": 0.5},
        None,
        "sgd",
    )


def test_schedules_as_values():
    rate = {"kind": "cosine", "peak": 0.1, "steps": 50}
    found = chosen({"learning_rate": rate})
    assert found.optimizer.document == {"kind": "adam", "learning_rate": rate}
    values = {"learning_rate.peak": 0.2}
    found = chosen(values, None, {"kind": "adam", "learning_rate": rate})
    assert found.numbers == values


def test_settings_of_the_graph():
    values = {"h.features": 5, "y.temperature": 2.0, "h.cap": "tanh", "x.shape": [6]}
    found = chosen(values)
    assert found.graph == cj.with_settings(declared(), values)
    assert found.numbers == {}


def test_settings_of_a_kind_that_is_an_axis():
    """They are there for the members that have the kind."""
    over = {
        "h.cap": ["tanh", "leaky_relu"],
        "h.negative_slope": cj.axes.when({"h.cap": "leaky_relu"}, [0.1, 0.2]),
    }
    own = roles(names=over)
    found = [own.chosen(n, each, 0) for n, each in enumerate(cj.sweep_members(over))]
    caps = [str(each.graph.capsules[0].cap) for each in found]
    leaky = [f"leaky_relu(negative_slope={slope})" for slope in (0.1, 0.2)]
    assert caps == ["tanh", *leaky]


def test_members_alike_share_a_graph():
    """It is made, checked and typed once."""
    own = roles()
    one = own.chosen(0, {"h.features": 5, "learning_rate": 0.1}, 0)
    two = own.chosen(1, {"learning_rate": 0.2, "h.features": 5}, 1)
    assert one.graph is two.graph
    made = roles(make)
    one, two = (made.chosen(n, {"depth": 2, "y.temperature": 2.0}, n) for n in (0, 1))
    assert one.graph is two.graph


def make(depth, width=4, *, cap="relu"):
    """What makes a graph of structural settings."""
    if depth > 3:
        raise ValueError(f"too deep: {depth}")
    node = cj.input("x", (4,))
    for n in range(depth):
        node = cj.capsule(f"h{n}", cj.matmul(node, width), cap=cap)
    y = cj.capsule("y", cj.matmul(node, 3), cap="softmax")
    return cj.graph(y, name="made", losses={"y": "cross_entropy"})


def test_what_makes_a_graph():
    values = {"depth": 2, "cap": "tanh", "h1.features": 6, "y.loss.weight": 2.0}
    found = chosen(values, make)
    by_name = {"h1.features": 6, "y.loss.weight": 2.0}
    assert found.graph == cj.with_settings(make(2, cap="tanh"), by_name)
    assert chosen({"width": 7}, functools.partial(make, 1)).graph == make(1, 7)
    assert chosen({}, lambda: declared()).graph == declared()


def test_a_maker_may_have_settings_called_as_the_graphs():
    """It makes what it wants of them."""

    def own(backward):
        return cj.with_settings(declared(), {"backward": backward})

    found = chosen({"backward": "guided"}, own)
    assert found.graph == own("guided") and found.graph.backward is not None


def test_further_arguments_of_a_maker_are_no_settings():
    with pytest.raises(ValueError, match="found the axis 'more'; expected a setting"):
        chosen({"more": 1}, lambda **more: declared())
    with pytest.raises(ValueError, match=r"of what makes the graph \(units\), or of"):
        chosen({"rest": 1}, lambda *rest, units=8, **more: declared(units))


def test_an_axis_of_optimizers():
    """Names, declarations, functions and optimizers."""
    fixed = optax.sgd(0.1)
    given = ["sgd", {"kind": "adamw", "weight_decay": 0.1}, optax.lion, fixed]
    own = roles(optimizer="adam", names=["optimizer", "learning_rate"])
    found = [
        own.chosen(n, {"optimizer": each, "learning_rate": 0.5}, 0).optimizer
        if each is not fixed
        else own.chosen(n, {"optimizer": each}, 0).optimizer
        for n, each in enumerate(given)
    ]
    assert [each.name for each in found[:3]] == ["sgd", "adamw", "lion"]
    assert found[1].given["weight_decay"] == 0.1
    assert found[3].make() is fixed


def test_optimizers_alike_are_one():
    """Members of one program have one: functions as they are, tables by content."""
    own = roles()

    def made(given):
        return own.chosen(0, {"optimizer": given, "learning_rate": 0.1}, 0).optimizer

    assert (
        made({"kind": "sgd", "momentum": 0.5}).make
        is made({"momentum": 0.5, "kind": "sgd"}).make
    )
    assert made(optax.adam).make is made(optax.adam).make
    assert made(optax.adam).make is not made(optax.adamw).make
    declared_optimizer = optimizer_of("sgd")
    assert made(declared_optimizer).make is declared_optimizer.make


def test_networks_of_neurons_have_no_settings_by_name():
    neurons = cj.neural.network(2, 2, [0, 1, 2], [2, 2, 3])
    found = chosen({"learning_rate": 0.1}, neurons)
    assert found.graph is neurons and found.numbers == {"learning_rate": 0.1}
    assert chosen({"n": 2}, lambda n: neurons).graph is neurons
    with pytest.raises(ValueError, match="found the axis 'h.cap'; expected a setting"):
        chosen({"h.cap": "tanh"}, neurons)


TRAINING = "seed, batch_size, dtype, optimizer, initial_scale"
ADAM = ", ".join(optimizer_of("adam").settings)


def test_an_unknown_axis_with_the_nearest():
    def text(name, cure, optimizer=f"adam ({ADAM})", more=""):
        return (
            f"over: found the axis {name!r}; expected a setting of training "
            f"({TRAINING}), of the optimizer {optimizer}{more}, or of the graph, such "
            f"as c1.features; {cure}"
        )

    refused(text("learnin_rate", "did you mean 'learning_rate'?"), {"learnin_rate": 1})
    refused(text("batchsize", "did you mean 'batch_size'?"), {"batchsize": 1})
    refused(text("h.feature", "did you mean 'h.features'?"), {"h.feature": 1})
    refused(text("momentum", "name one of them"), {"momentum": 1})
    near = "did you mean 'optimizer'?"
    refused(text("optimizer.rate", near), {"optimizer.rate": 1})
    maker = ", of what makes the graph (depth, width, cap)"
    refused(
        text("widht", "did you mean 'width'?", more=maker),
        {"depth": 1, "widht": 2},
        make,
    )
    near = "did you mean 'depth'?"
    refused(text("dept", near, more=maker), {"dept": 1}, make)
    fixed = f"{type(optax.sgd(1)).__name__} (whose settings are built in)"
    cure = "name one of them"
    refused(text("momentum", cure, fixed), {"momentum": 1}, None, optax.sgd(0.1))
    when = 'name one of them, or cj.axes.when({"optimizer": ...}, ...) for some alone'
    values = {"optimizer": "adam", "trust": 0.9}
    refused(text("trust", when), values)


def test_names_that_could_be_two_things():
    def maker(learning_rate, seed=0, initial_scale=1.0):
        return declared()

    adam = "a setting of the optimizer adam"
    refused(
        f"over: found the axis 'learning_rate', which is {adam} and a setting of what "
        "makes the graph; expected one of them; cure: optimizer.learning_rate for the "
        "optimizer's, or rename the other",
        {"learning_rate": 0.1},
        maker,
    )
    refused(
        "over: found the axis 'seed', which is a setting of training and a setting of "
        "what makes the graph; expected one of them; cure: rename the other",
        {"seed": 1, "optimizer.learning_rate": 0.1},
        functools.partial(maker, 0.1),
    )
    refused(
        "over: found the axis 'initial_scale', which is a setting of training and a "
        "setting of the optimizer rmsprop; expected one of them; cure: "
        "optimizer.initial_scale for the optimizer's, or rename the other",
        {"initial_scale": 0.1},
        None,
        "rmsprop",
    )
    found = chosen({"optimizer.initial_scale": 0.1}, None, "rmsprop")
    assert found.numbers == {"initial_scale": 0.1} and found.scale == 1.0


def test_what_can_not_be_made_is_said_of_the_member():
    refused(
        "member 7 (h.features=0, learning_rate=0.1) can't be made: graph 'tiny' has 1 "
        "problem:\n"
        "1. capsule 'h', edge from 'x', features (capsules[0].from[0].features)\n"
        "    found:    0\n"
        "    expected: a number of at least 1\n"
        "    cure:     correct the value",
        {"h.features": 0, "learning_rate": 0.1},
    )
    refused(
        "member 7 (h.cap=LeakyRelu) can't be made: setting 'h.cap' is a record, "
        "leaky_relu(...), or its name, 'leaky_relu', not the class LeakyRelu",
        {"h.cap": cj.caps.leaky_relu},
    )
    refused(
        "member 7 (depth=9, learning_rate=0.1) can't be made: too deep: 9",
        {"depth": 9, "learning_rate": 0.1},
        make,
    )
    with pytest.raises(ValueError) as caught:
        chosen({"depth": 1, "width": -1}, make)
    text = "member 7 (depth=1, width=-1) can't be made: graph 'made' has "
    assert str(caught.value).startswith(text) and "capsule 'h0'" in str(caught.value)
    assert isinstance(caught.value.__cause__, cj.GraphError)
    with pytest.raises(ValueError, match=r"member 7 \(depth=2\) can't be m") as found:
        chosen({"depth": "2"}, make)
    assert isinstance(found.value.__cause__, TypeError)


def test_what_is_wrong_with_a_maker():
    refused(
        "what makes the graph: found no depth; expected an axis of this name in over, "
        "or a default",
        {"width": 3},
        make,
    )
    refused(
        "member 7 () can't be made: what makes the graph returned None; expected a "
        "Graph, cj.graph(outputs...)",
        {},
        lambda: None,
    )
    with pytest.raises(TypeError) as caught:
        roles(graph=3)
    assert str(caught.value) == (
        "cj.sweep takes a Graph, or a function that makes one of settings by name, "
        "not 3"
    )


def test_settings_that_the_optimizer_lacks():
    refused(
        "optimizer adamw: found no learning_rate; expected an axis of this name in "
        "over, or a value: functools.partial(adamw, learning_rate=...)",
        {"weight_decay": 0.1},
        None,
        optax.adamw,
    )
    found = chosen({"learning_rate": 0.1}, None, optax.adamw)
    assert found.numbers == {"learning_rate": 0.1}
    chosen({}, None, functools.partial(optax.adamw, learning_rate=0.1))


KINDS = ", ".join(OPTIMIZERS)
WRONG: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "batch size": (
        {"batch_size": 0},
        {},
        "batch_size is 0; expected a number, 1 or more",
    ),
    "part of an example": (
        {"batch_size": 2.5},
        {},
        "batch_size is 2.5; expected a number, 1 or more",
    ),
    "batch size of all": (
        {},
        {"batch_size": True},
        "batch_size is True; expected a number, 1 or more",
    ),
    "scale": (
        {"initial_scale": 0},
        {},
        "initial_scale is 0; expected a number above zero",
    ),
    "scale as text": (
        {"initial_scale": "2"},
        {},
        "initial_scale is '2'; expected a number above zero",
    ),
    "type": (
        {"dtype": "float31"},
        {},
        "precision, compute: found 'float31'; expected one of bfloat16, float16, "
        "float32, float64",
    ),
    "seed": (
        {"seed": 0.5},
        {"seed": 0.5},
        "seed is 0.5; expected a whole number, 0 or more",
    ),
    "negative seed": (
        {"seed": -1},
        {"seed": -1},
        "seed is -1; expected a whole number, 0 or more",
    ),
    "optimizer": (
        {"optimizer": "adan_"},
        {},
        f"optimizer: found the kind 'adan_'; expected one of {KINDS}; did you mean "
        "'adan'?",
    ),
    "text in place of a number": (
        {"weight_decay": "1e-4"},
        {"optimizer": "adamw"},
        "optimizer adamw, weight_decay: found '1e-4'; expected a number",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_the_whole_text_of_an_error(case):
    values, more, text = WRONG[case]
    refused(text, values, **more)


def test_numbers_and_words():
    assert is_number(1) and is_number(0.5) and not is_number(True)
    assert not is_number("1") and not is_number(None)
    values = {"a": 0.1234567, "b": optax.adam, "c": optax.sgd, "d": [1, "x"]}
    assert in_words(values) == "a=0.123457, b=adam, c=sgd, d=[1, 'x']"
    assert shown(functools.partial(optax.adam)) == "partial"
