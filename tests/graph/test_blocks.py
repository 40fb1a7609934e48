"""Blocks mean what the same capsules written out mean, in Python and in documents."""

import copy
import dataclasses
import json
import random
from typing import Any

import jax
import jsonschema_rs
import pytest

import capsjax as cj
from capsjax.graph import from_document, to_document
from capsjax.graph.checks import check
from tests.graph.block_documents import (
    SOUND_BLOCKS,
    changed_blocks,
    flattened,
    random_blocks,
)
from tests.helpers_capsjax import examples


def typed(document):
    """The typed graph, the names of edges aside."""
    found: Any
    found, problems = check(from_document(document))
    assert not problems
    capsules = [
        dataclasses.replace(
            capsule,
            terms=tuple(dataclasses.replace(t, key="") for t in capsule.edges),
        )
        for capsule in found.capsules
    ]
    return found.inputs, capsules, found.outputs, found.losses


@dataclasses.dataclass
class Drawn:
    """A random document of a number."""

    document: dict

    @classmethod
    def of(cls, number):
        return cls(random_blocks(random.Random(number)))


def test_random_blocks_mean_what_is_written_out():
    schema = jsonschema_rs.Draft202012Validator(cj.json_schema())
    for number in range(examples(100).max_examples):
        document = Drawn.of(number).document
        given = copy.deepcopy(document)
        graph = from_document(document)
        assert document == given, "the document was changed"
        assert typed(document) == typed(flattened(document)), number
        again = to_document(graph)
        assert from_document(json.loads(json.dumps(again))) == graph
        assert to_document(from_document(again)) == again
        assert again.get("blocks", {}).keys() == document["blocks"].keys()
        schema.validate(document)
        schema.validate(again)


def test_names_of_parameters_and_of_copies():
    graph = from_document(SOUND_BLOCKS)
    names = [capsule.name for capsule in graph.capsules]
    assert names[:4] == [f"stage1/layer{i}/{n}" for i in (1, 2) for n in ("h", "out")]
    assert names[-3:] == ["last/h", "last/out", "y"]
    shapes = cj.compile(graph).shapes
    assert shapes["stage1/layer2/h"].output == (3,)
    assert shapes["stage2/layer1/h"].output == (5,)
    params, _ = jax.eval_shape(cj.compile(graph).init, jax.random.key(0))
    assert params["stage2/layer1/h"]["W"].keys() == {"x"}
    assert params["stage2/layer1/out"]["W"].keys() == {"h"}
    assert params["y"]["W"].keys() == {"last", "stage1/layer2/h"}
    assert [str(c.cap) for c in graph.capsules][-3:] == ["tanh", "identity", "softmax"]


def test_uses_outer_ones_first():
    uses = from_document(SOUND_BLOCKS).uses
    assert [use.name for use in uses] == [
        *("stage1", "stage1/layer1", "stage1/layer2"),
        *("stage2", "stage2/layer1", "stage2/layer2"),
        "last",
    ]
    assert uses[1].block == "residual"
    assert dict(uses[1].values) == {"features": "3", "cap": "relu"}


@cj.block
def residual(x, *, features, cap="relu"):
    h = cj.capsule("h", cj.matmul(x, features), cap=cap)
    return cj.capsule("out", cj.matmul(h, 4), cj.identity(x))


@cj.block
def stage(x, *, features, repeats):
    return residual("layer", x, features=features, repeat=repeats)


def in_python():
    x = cj.input("x", (4,))
    both = stage("stage", x, features=cj.each([3, 5]), repeats=2, repeat=2)
    last = residual("last", both, features=6, cap="tanh")
    early = both["1/layer2/h"]
    y = cj.capsule("y", cj.matmul(last, 2), cj.matmul(early, 2), cap="softmax")
    return cj.graph(y, name="blocks", losses={"y": "cross_entropy"})


def test_python_and_document_are_one():
    graph = in_python()
    loaded = from_document(SOUND_BLOCKS)
    assert graph.capsules == loaded.capsules and graph.uses == loaded.uses
    # A default in Python is a name, in the document above an object: both are kept.
    document = copy.deepcopy(SOUND_BLOCKS)
    document["blocks"]["residual"]["defaults"] = {"cap": "relu"}
    assert from_document(document) == graph
    assert cj.content_hash(from_document(document)) == cj.content_hash(graph)


def reordered(value):
    """The same with the keys of every object the other way round."""
    if isinstance(value, dict):
        return {key: reordered(value[key]) for key in reversed(value)}
    return [reordered(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    "path, value",
    [
        ("capsules.1.first", 1),
        ("blocks.stage.defaults", {}),
        ("blocks.stage.output", "layer"),
        ("blocks.residual.output", "out"),
        ("blocks.residual.capsules.1.cap", {"kind": "identity"}),
        ("blocks.residual.capsules.1.bias", "channel"),
        ("capsules.2.bias", "channel"),
        ("inputs.0.dtype", "float"),
    ],
)
def test_defaults_written_out_make_no_difference(path, value):
    document = changed_blocks("capsules.1.repeat", 1)
    short = from_document(copy.deepcopy(document))
    inside: Any = document
    last: Any
    *way, last = [int(s) if s.isdigit() else s for s in path.split(".")]
    for step in way:
        inside = inside[step]
    inside[last] = value
    long = from_document(document)
    assert long == short and cj.content_hash(long) == cj.content_hash(short)


def test_order_of_keys_and_numbers_makes_no_difference():
    document = changed_blocks(
        "blocks.residual.capsules.1.cap", {"kind": "leaky_relu", "negative_slope": 1}
    )
    graph = from_document(document)
    again = from_document(reordered(document))
    assert graph == again and cj.content_hash(graph) == cj.content_hash(again)
    assert '"negative_slope": 1.0' in graph.declared


def test_no_blocks_are_no_blocks():
    flat = flattened(SOUND_BLOCKS)
    assert from_document(flat | {"blocks": {}}) == from_document(flat)
    assert "blocks" not in to_document(from_document(flat | {"blocks": {}}))


def test_an_output_that_is_not_the_last():
    document = changed_blocks("blocks.residual.output", "h")
    document["capsules"] = document["capsules"][1:2]
    document["capsules"][0]["from"] = ["x"]
    document["blocks"].pop("stage")
    document |= {"outputs": ["last"], "losses": {}}
    assert from_document(document).outputs == ("last/h",)
    assert to_document(from_document(document))["blocks"]["residual"]["output"] == "h"


def test_losses_and_outputs_name_uses():
    x = cj.input("x", (4,))
    graph = cj.graph(
        residual("r", x, features=3, repeat=2), losses={"r": "mean_squared_error"}
    )
    assert graph.outputs == ("r2/out",)
    assert graph.losses[0][0] == "r2/out"


def test_inner_capsules_are_outputs():
    x = cj.input("x", (4,))
    use = residual("r", x, features=3)
    graph = cj.graph(use, use["h"])
    assert graph.outputs == ("r/out", "r/h")
    assert cj.graph(residual("s", x, features=3, repeat=1)["1/h"]).outputs == ("s1/h",)


def test_several_inputs_and_a_chain_over_the_first():
    @cj.block
    def gated(x, gate, *, width):
        h = cj.capsule("h", cj.matmul(x, width), cj.matmul(gate, width), cap="tanh")
        return cj.capsule("out", cj.identity(h), cj.scale(gate))

    x, z = cj.input("x", (4,)), cj.input("z", (4,))
    graph = cj.graph(gated("g", x, z, width=4, repeat=3, first=0))
    read = {c.name: [edge.source for edge in c.edges] for c in graph.capsules}
    assert read["g0/h"] == ["x", "z"] and read["g2/h"] == ["g1/out", "z"]
    assert [edge.key for edge in graph.capsules[4].edges] == ["x", "gate"]


def test_every_place_of_a_parameter():
    @cj.block
    def any_place(x, *, features, side, stride, bias, cap, weight):
        kernel = cj.conv(x, features, (side, side), stride=stride, padding="SAME")
        conv = cj.capsule("conv", cj.share(kernel, weight), cap=cap, bias=bias)
        return cj.capsule("pool", cj.identity(conv), cap=cj.caps.max_pool((side, 1)))

    image = cj.input("image", (48, 12, 3))
    first = any_place(
        "a",
        image,
        features=3,
        side=3,
        stride=(2, 2),
        bias=None,
        cap=cj.caps.leaky_relu(0.1),
        weight="kernel",
        repeat=2,
    )
    graph = cj.graph(first)
    net = cj.compile(graph)
    assert net.parameter_count == 3 * 3 * 3 * 3 + 2 * 3
    assert net.shapes["a2/pool"].output == (1, 3, 3)
    assert str(graph.capsules[0].cap) == "leaky_relu(negative_slope=0.1)"
    schema = jsonschema_rs.Draft202012Validator(cj.json_schema())
    schema.validate(to_document(graph))
    assert from_document(to_document(graph)) == graph
