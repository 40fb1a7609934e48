"""Settings by name: every form of name, what they do, the text of each error."""

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

import capsjax as cj
from capsjax.graph import from_document, to_document
from capsjax.graph.kinds import BACKWARDS, CAPS, LOSSES, WEIGHTINGS, kind_fields
from capsjax.graph.settings import known_settings
from tests.compiler.random_graphs import graphs
from tests.graph.block_documents import SOUND_BLOCKS, random_blocks


def declared() -> cj.Graph:
    """Every place that has settings, blocks aside."""
    x = cj.input("x", (8,))
    h = cj.capsule(
        "h",
        cj.with_backward(cj.matmul(x, 6), cj.backward.scale(0.5)),
        cj.matmul(x, 6),
        cap=cj.caps.leaky_relu(0.1),
        backward=cj.backward.clip(1.0),
    )
    y = cj.capsule("y", cj.matmul(h, 4), cap="softmax")
    z = cj.capsule("z", cj.matmul(h, 3))
    loss = cj.losses.cross_entropy(weight=0.5)
    rule = cj.backward.noise(0.1)
    return cj.graph(y, z, name="net", losses={"y": loss}, backward=rule)


def capsule(graph: cj.Graph, name: str) -> Any:
    return next(each for each in graph.capsules if each.name == name)


FORMS: dict[str, tuple[str, Any, Callable[[Any], Any]]] = {
    "capsule": ("y.features", 5, lambda g: capsule(g, "y").edges[0].weighting.features),
    "capsule's function": ("h.negative_slope", 0.3, lambda g: slope(g)),
    "function": ("h.cap.negative_slope", 0.3, lambda g: slope(g)),
    "cap": ("y.cap", "log_softmax", lambda g: capsule(g, "y").cap.kind),
    "bias": ("h.bias", None, lambda g: capsule(g, "h").bias),
    "backward": ("h.backward", "guided", lambda g: capsule(g, "h").backward.kind),
    "its setting": ("h.backward.norm", 2.0, lambda g: capsule(g, "h").backward.norm),
    "edge": ("y.from.h.transposed", False, lambda g: edge(g, 0, "y").transposed),
    "second edge": ("h.from.x#2.features", 6, lambda g: edge(g, 1).features),
    "edge's rule": ("h.from.x.backward.factor", 0.2, lambda g: rule(g, 0).factor),
    "another rule": ("h.from.x#2.backward", "stop", lambda g: rule(g, 1).kind),
    "loss": ("y.loss", "margin", lambda g: dict(g.losses)["y"].kind),
    "loss that was not there": (
        "z.loss",
        "mean_squared_error",
        lambda g: dict(g.losses)["z"].kind,
    ),
    "its weight": ("y.loss.weight", 2.0, lambda g: dict(g.losses)["y"].weight),
    "rule of the graph": ("backward", "guided", lambda g: g.backward.kind),
    "its deviation": ("backward.deviation", 0.2, lambda g: g.backward.deviation),
    "input": ("x.shape", (9,), lambda g: g.inputs[0].shape),
}


def slope(graph: cj.Graph) -> float:
    return capsule(graph, "h").cap.negative_slope


def edge(graph: cj.Graph, number: int, name: str = "h") -> Any:
    return capsule(graph, name).edges[number].weighting


def rule(graph: cj.Graph, number: int) -> Any:
    return capsule(graph, "h").edges[number].backward


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_name(form):
    """It changes what it names, and nothing else."""
    name, value, found = FORMS[form]
    before = declared()
    after = cj.with_settings(before, {name: value})
    assert found(after) == value
    assert before == declared()  # as it was
    assert name in known_settings(before)
    changed, there = to_document(after), to_document(before)
    assert count_of_differences(there, changed) <= 1


def count_of_differences(one, two) -> int:
    """Places at which two documents differ; one that is more or fewer counts as one."""
    if isinstance(one, dict) and isinstance(two, dict):
        if "kind" in one and one.get("kind") != two.get("kind"):
            return 1
        keys = [*one, *(key for key in two if key not in one)]
        return sum(count_of_differences(one.get(k), two.get(k)) for k in keys)
    if isinstance(one, list) and isinstance(two, list) and len(one) == len(two):
        return sum(map(count_of_differences, one, two))
    return one != two


@pytest.mark.parametrize(
    "value",
    [
        "leaky_relu",
        cj.caps.leaky_relu(0.01),
        {"kind": "leaky_relu"},
        {"kind": "leaky_relu", "negative_slope": np.float64(0.01)},
    ],
)
def test_kinds_as_a_name_a_record_or_a_mapping(value):
    after = cj.with_settings(declared(), {"y.loss": None, "y.cap": value})
    assert capsule(after, "y").cap == cj.caps.leaky_relu(0.01)


def test_losses_and_rules_are_taken_away():
    names = ["y.loss", "h.backward", "h.from.x.backward", "backward"]
    after = cj.with_settings(declared(), dict.fromkeys(names))
    assert after.losses == () and after.backward is None
    assert capsule(after, "h").backward is None and rule(after, 0) is None
    assert cj.with_settings(after, dict.fromkeys(names)) == after


def test_kinds_come_first_whatever_the_order():
    """A setting may be one of a kind that is put in its place at the same time."""
    given = {
        "h.negative_slope": 0.2,
        "h.cap": cj.caps.leaky_relu(0.5),
        "y.temperature": 2,
    }
    first = cj.with_settings(declared(), {"h.cap": "tanh"})
    after = cj.with_settings(first, given)
    assert capsule(after, "h").cap == cj.caps.leaky_relu(0.2)
    assert capsule(after, "y").cap.temperature == 2
    assert "h.negative_slope" in known_settings(first, {"h.cap": "leaky_relu"})
    assert "h.negative_slope" not in known_settings(declared(), {"h.cap": "tanh"})
    with pytest.raises(cj.GraphError, match="setting 'h.negative_slope'"):
        cj.with_settings(declared(), {"h.cap": "tanh", "h.negative_slope": 0.2})


def test_lists_arrays_and_numbers_of_numpy():
    image = cj.input("image", (8, 8, 1))
    graph = cj.graph(cj.capsule("c", cj.conv(image, 4, (3, 3))))
    given = {"c.window": np.array([5, 5]), "c.features": np.int64(2)}
    after = cj.with_settings(graph, given)
    assert capsule(after, "c").edges[0].weighting == edge_of(cj.conv(image, 2, (5, 5)))
    assert cj.with_settings(graph, {"c.window": [5, 5], "c.features": 2}) == after


def edge_of(incoming):
    return incoming.weighting


def test_names_with_dots_and_slashes():
    x = cj.input("x.1", (8,))
    h = cj.capsule("stage/h.1", cj.matmul(x, 6), cap="relu")
    graph = cj.graph(cj.capsule("y.cap", cj.matmul(h, 4)))
    given = {"stage/h.1.from.x.1.features": 7, "y.cap.cap": "tanh", "x.1.shape": (3,)}
    after = cj.with_settings(graph, given)
    assert edge(after, 0, "stage/h.1").features == 7
    assert capsule(after, "y.cap").cap.kind == "tanh"
    assert after.inputs[0].shape == (3,)


@cj.block
def residual(x, *, features, cap="relu"):
    h = cj.capsule("h", cj.matmul(x, features), cap=cap)
    edges = cj.matmul(h, 8), cj.identity(x)
    return cj.capsule("out", *edges, cap=cj.caps.leaky_relu(0.1))


@cj.block
def stage(x, *, features, layers):
    return residual("layer", x, features=features, repeat=layers)


def of_blocks() -> cj.Graph:
    x = cj.input("x", (8,))
    first = residual("first", x, features=3, cap="tanh")
    more = residual("more", first, features=cj.each([4, 5]), repeat=2)
    y = cj.capsule("y", cj.matmul(stage("deep", more, features=2, layers=2), 4))
    return cj.graph(y, losses={"y": "mean_squared_error"})


def names(graph: cj.Graph) -> list[str]:
    return [each.name for each in graph.capsules]


def test_parameters_and_copies_of_a_use():
    given = {
        "first.cap": cj.caps.leaky_relu(0.3),
        "more.features": cj.each([6, 7, 9]),
        "more.repeat": 3,
        "deep.layers": 1,
    }
    after = cj.with_settings(of_blocks(), given)
    assert capsule(after, "first/h").cap == cj.caps.leaky_relu(0.3)
    widths = [edge(after, 0, f"more{n}/h").features for n in (1, 2, 3)]
    assert widths == [6, 7, 9]
    assert names(after)[-3:] == ["deep/layer1/h", "deep/layer1/out", "y"]
    same = cj.with_settings(after, {"more.features": {"each": [6, 7, 9]}})
    assert same == after
    one = cj.with_settings(of_blocks(), {"more.features": 6})
    assert edge(one, 0, "more2/h").features == 6


def test_a_parameter_that_was_at_its_default():
    after = cj.with_settings(of_blocks(), {"more.cap": "sigmoid"})
    assert capsule(after, "more2/h").cap.kind == "sigmoid"
    assert capsule(after, "first/h").cap.kind == "tanh"


def test_capsules_within_a_block_change_in_all_its_uses():
    after = cj.with_settings(of_blocks(), {"residual/out.negative_slope": 0.4})
    found = {capsule(after, name).cap for name in names(after) if name.endswith("out")}
    assert found == {cj.caps.leaky_relu(0.4)}
    after = cj.with_settings(of_blocks(), {"residual/out.from.h.backward": "stop"})
    assert capsule(after, "deep/layer2/out").edges[0].backward is not None


def test_copies_may_be_declared_within_a_block():
    @cj.block
    def twice(x, *, features):
        return residual("layer", x, features=features, repeat=2)

    x = cj.input("x", (8,))
    graph = cj.graph(cj.capsule("y", cj.matmul(twice("deep", x, features=2), 4)))
    after = cj.with_settings(graph, {"twice/layer.repeat": 3})
    assert len(names(after)) == len(names(graph)) + 2


def test_an_output_that_a_use_gives_stays_its_output():
    """However many copies there are, and its loss with it."""
    x = cj.input("x", (8,))
    deep = stage("deep", x, features=2, layers=2, repeat=2)
    graph = cj.graph(deep, losses={"deep": "mean_squared_error"})
    assert graph.outputs == ("deep2/layer2/out",)
    for copies, layers in ((1, 2), (3, 1), (2, 4)):
        given = {"deep.repeat": copies, "deep.layers": layers, "deep.loss.weight": 2.0}
        after = cj.with_settings(graph, given)
        assert after.outputs == (f"deep{copies}/layer{layers}/out",)
        assert [name for name, _ in after.losses] == list(after.outputs)
        assert dict(after.losses)[after.outputs[0]].weight == 2.0
        assert len(after.capsules) == 2 * copies * layers
    by_capsule = cj.with_settings(graph, {"deep2/layer2/out.loss": None})
    assert by_capsule.losses == ()


def test_a_network_of_the_zoo_by_its_depth():
    graph = cj.zoo.graph("resnet-20-cifar")
    after = cj.with_settings(graph, {"stage1/block.repeat": 9, "stage.repeats": 8})
    expected = cj.zoo.graph("resnet-56-cifar")
    assert dataclasses.replace(expected, name=graph.name) == after


def own_values(graph: cj.Graph) -> dict[str, Any]:
    """Every setting that a graph's document has, by names that are one setting's."""
    document, found = to_document(graph), {}
    for name, places in known_settings(graph).items():
        inside: Any = document
        for step in places[0]:
            left_out = isinstance(inside, dict) and step not in inside
            inside = None if left_out or inside is None else inside[step]
        if len(places) == 1 and inside is not None:
            found[name] = inside
    return found


@given(graphs())
@settings(max_examples=25)
def test_what_is_there_already_changes_nothing(graph):
    """Also numbers at their defaults, which documents leave out."""
    assert cj.with_settings(graph, {}) == graph
    assert cj.with_settings(graph, own_values(graph)) == graph
    for each in graph.capsules:
        records = [(each.name + ".cap", each.cap)]
        if len({e.source for e in each.edges}) == len(each.edges):
            keys = [f"{each.name}.from.{e.source}" for e in each.edges]
            pairs = zip(keys, each.edges, strict=True)
            records += [(key, e.weighting) for key, e in pairs]
        for place, record in records:
            values = {f.name: getattr(record, f.name) for f in kind_fields(record)}
            numbers = {
                f"{place}.{name}": value
                for name, value in values.items()
                if isinstance(value, int | float)
            }
            assert cj.with_settings(graph, numbers) == graph


@given(st.randoms(use_true_random=False))
@settings(max_examples=25)
def test_what_is_there_already_changes_nothing_in_blocks(chance):
    graph = from_document(random_blocks(chance))
    after = cj.with_settings(graph, own_values(graph))
    assert after == graph and to_document(after) == to_document(graph)


def test_metadata_is_kept():
    x = cj.input("x", (8,))
    y = cj.capsule("y", cj.matmul(x, 4))
    graph = cj.graph(y, metadata={"author": "me"})
    assert cj.with_settings(graph, {"y.features": 3}).metadata == {"author": "me"}


def test_kinds_of_ones_own(own_kinds):
    @cj.register_cap("settings_shifted")
    class Shifted(cj.Cap):
        """Its setting is called as what every capsule has."""

        bias: float = 0.5
        steps: int = 1

        def forward(self, u):
            return u + self.bias

    x = cj.input("x", (8,))
    graph = cj.graph(cj.capsule("y", cj.matmul(x, 4), cap="settings_shifted"))
    after = cj.with_settings(graph, {"y.cap.bias": 2.0, "y.bias": None, "y.steps": 3})
    assert capsule(after, "y").cap == Shifted(2.0, 3)
    assert capsule(after, "y").bias is None


def test_settings_that_have_no_hash(own_kinds):
    @cj.register_cap("settings_table")
    class Table(cj.Cap):
        """Holds a mapping, so that no graph with it can be kept by its hash."""

        table: dict[str, int]

        def forward(self, u):
            return u

    x = cj.input("x", (8,))
    graph = cj.graph(cj.capsule("y", cj.matmul(x, 4), cap=Table({"a": 1})))
    with pytest.raises(TypeError, match="unhashable"):
        hash(graph)
    after = cj.with_settings(graph, {"y.table": {"a": 2}, "y.features": 3})
    assert capsule(after, "y").cap.table == {"a": 2}


def refused(graph: cj.Graph, given, text: str) -> None:
    with pytest.raises(cj.GraphError) as caught:
        cj.with_settings(graph, given)
    assert str(caught.value) == text.strip()


def test_unknown_names_with_the_nearest():
    refused(
        declared(),
        {"h.negative_slop": 0.2, "w.features": 3},
        """
graph 'net' has 2 problems:
1. setting 'h.negative_slop'
    found:    no such setting
    expected: one of h.cap, h.bias, h.backward, h.negative_slope
    cure:     did you mean 'h.negative_slope'?
2. setting 'w.features'
    found:    no such setting
    expected: one of x.shape, h.cap, h.bias, h.backward, h.negative_slope, \
h.cap.negative_slope, h.backward.norm, h.features, h.from.x.features, h.transposed, \
h.from.x.transposed, h.from.x.backward, and 28 more
    cure:     did you mean 'z.features'?
""",
    )
    with pytest.raises(cj.GraphError, match="cure:     name one of these$"):
        cj.with_settings(declared(), {"z.loss.factor_of_all": 1.0})


def test_short_names_that_several_settings_have():
    refused(
        declared(),
        {"h.features": 3},
        """
graph 'net' has 1 problem:
1. setting 'h.features'
    found:    2 settings of this name
    expected: the name of one setting
    cure:     name one of them: h.from.x.features, h.from.x#2.features
""",
    )


def test_a_name_that_can_not_be_told_apart():
    """A capsule called as a block's own: both are named alike in full."""
    document = json.loads(json.dumps(SOUND_BLOCKS))
    document["capsules"][-1]["name"] = "residual/h"
    document["outputs"], document["losses"] = ["residual/h"], {}
    refused(
        from_document(document),
        {"residual/h.bias": None},
        """
graph 'blocks' has 1 problem:
1. setting 'residual/h.bias'
    found:    2 settings of this name
    expected: the name of one setting
    cure:     rename a capsule
""",
    )


UNSOUND = {
    "type": (
        {"y.features": "wide"},
        """
graph 'net' has 1 problem:
1. capsule 'y', edge from 'h', features (capsules[1].from[0].features)
    found:    'wide'
    expected: an integer
    cure:     correct the value
""",
    ),
    "range": (
        {"y.features": 0},
        """
graph 'net' has 1 problem:
1. capsule 'y', edge from 'h', features (capsules[1].from[0].features)
    found:    0
    expected: a number of at least 1
    cure:     correct the value
""",
    ),
    "shapes": (
        {"h.from.x#2.features": 7},
        """
graph 'net' has 1 problem:
1. capsule 'h', edges from 'x' and 'x' (capsules[0].from[1])
    found:    matmul(features=6) on 'x' contributes (6,), matmul(features=7) on 'x' \
contributes (7,)
    expected: contributions of one shape, because a capsule adds them up
    cure:     change one of the two edges so that both give (6,) or (7,), or use \
`place` on both to put them side by side
""",
    ),
    "kind": (
        {"h.cap": "reluu"},
        f"""
graph 'net' has 1 problem:
1. capsule 'h', cap (capsules[0].cap.kind)
    found:    unknown kind 'reluu'
    expected: one of {", ".join(sorted(CAPS))}
    cure:     did you mean 'relu'?
""",
    ),
    "no kind": (
        {"h.cap": None},
        """
graph 'net' has 1 problem:
1. capsule 'h', cap (capsules[0].cap)
    found:    None
    expected: an object that names its kind, {"kind": ...}
    cure:     write {"kind": "..."}
""",
    ),
    "loss that does not suit": (
        {"y.cap": "tanh"},
        """
graph 'net' has 1 problem:
1. loss cross_entropy(weight=0.5) on capsule 'y' (losses.y)
    found:    a capsule function tanh, whose Y are no probabilities
    expected: cap="softmax" or cap="log_softmax"
    cure:     give the capsule cap="softmax": together with this loss it is computed \
from U, stable for any logits
""",
    ),
}


@pytest.mark.parametrize("case", UNSOUND)
def test_what_makes_the_graph_unsound_is_said_with_its_place(case):
    given, text = UNSOUND[case]
    refused(cj.with_settings(declared(), {"backward": None}), given, text)


def test_what_makes_a_block_unsound_is_said_with_its_place():
    refused(
        of_blocks(),
        {"more.repeat": 3},
        """
graph 'network' has 1 problem:
1. use 'more' (capsules[1].with.features)
    found:    2 values
    expected: 3, one for each copy
    cure:     as many values as `repeat` says
""",
    )
    refused(
        of_blocks(),
        {"residual/h.features": 4},
        """
graph 'network' has 1 problem:
1. block 'residual' (blocks.residual.parameters[0])
    found:    parameter 'features', which nothing in the block uses
    expected: a use of every parameter
    cure:     put it in the place of a setting, or remove it
""",
    )


@pytest.mark.parametrize("given", [[("h.features", 3)], {3: 4}, "h.features"])
def test_settings_are_given_by_name(given):
    with pytest.raises(TypeError) as caught:
        cj.with_settings(declared(), given)
    assert str(caught.value) == (
        f'cj.with_settings takes settings by name, {{"c1.features": 32}}, not {given!r}'
    )


def test_classes_are_no_records():
    with pytest.raises(TypeError) as caught:
        cj.with_settings(declared(), {"h.cap": cj.caps.leaky_relu})
    assert str(caught.value) == (
        "setting 'h.cap' is a record, leaky_relu(...), or its name, 'leaky_relu', not "
        "the class LeakyRelu"
    )


def test_graphs_alone_have_settings():
    with pytest.raises(TypeError) as caught:
        cj.with_settings(cj.compile(declared()), {"h.features": 3})  # type: ignore
    assert str(caught.value) == (
        "cj.with_settings takes a Graph, not Network: only the declaration of capsules "
        "has settings by name"
    )


@pytest.mark.parametrize(
    "table", [WEIGHTINGS, CAPS, LOSSES, BACKWARDS], ids=lambda each: each.noun
)
def test_no_kind_of_the_library_has_a_setting_called_as_a_capsules_own(table):
    """Such a setting would have its long name alone."""
    own = {"cap", "bias", "backward", "loss", "repeat"}
    assert not [k for k in table for f in kind_fields(table[k]) if f.name in own]
