"""What is wrong with blocks and their uses: whole texts of errors, and limits."""

import copy
import importlib
import random
import time
from typing import Any

import pytest

import capsjax as cj
from bench.mutations import ODD_VALUES
from capsjax.graph import from_document, plain, to_document
from capsjax.graph.kinds import WEIGHTINGS
from tests.graph.block_documents import SOUND_BLOCKS, changed_blocks, random_blocks
from tests.graph.spoil import assert_reachable, refused
from tests.helpers_capsjax import examples

BLOCK: Any = cj.block
expansion: Any = importlib.import_module("capsjax.graph.expansion")

CASES = {
    "unknown block": (
        ("capsules.0.block", "stagee"),
        """
1. use 'stage' (capsules[0].block)
    found:    no block 'stagee'
    expected: stage, residual
    cure:     did you mean 'stage'?
""",
    ),
    "unknown parameter of a use": (
        ("capsules.0.with.feature", 3),
        """
1. use 'stage' (capsules[0].with.feature)
    found:    no parameter 'feature' of block 'stage'
    expected: one of features, repeats
    cure:     did you mean 'features'?
""",
    ),
    "no value for a parameter": (
        ("capsules.0.with", {"features": 3}),
        """
1. use 'stage' (capsules[0].with)
    found:    no value for repeats
    expected: values for all parameters of block 'stage'
    cure:     give them under `with`, or declare defaults
""",
    ),
    "values for too few copies": (
        ("capsules.0.with.features", {"each": [3]}),
        """
1. use 'stage' (capsules[0].with.features)
    found:    1 values
    expected: 2, one for each copy
    cure:     as many values as `repeat` says
""",
    ),
    "too many sources": (
        ("capsules.0.from", ["x", "x"]),
        """
1. use 'stage' (capsules[0].from)
    found:    2 sources
    expected: 1, for the inputs x of 'stage'
    cure:     one source for each input, in their order
""",
    ),
    "no copies": (
        ("capsules.0.repeat", 0),
        """
1. use 'stage', repeat (capsules[0].repeat)
    found:    0
    expected: a number of at least 1
    cure:     correct the value
""",
    ),
    "first of nothing": (
        ("capsules.1.first", 2),
        """
1. use 'last' (capsules[1].first)
    found:    `first`, the number of the first copy, without `repeat`
    expected: both or none
    cure:     remove it, or say how many copies by `repeat`
""",
    ),
    "unknown key of a use": (
        ("capsules.0.repeats", 2),
        """
1. use 'stage', repeats (capsules[0].repeats)
    found:    unknown key 'repeats'
    expected: one of name, block, from, with, repeat, first
    cure:     did you mean 'repeat'?
""",
    ),
    "unknown source in a block": (
        ("blocks.residual.capsules.1.from.0.source", "hh"),
        """
1. block 'residual', 'out' (blocks.residual.capsules[1].from[0].source)
    found:    a source named 'hh'
    expected: an input of the block (x) or a capsule or use in it
    cure:     did you mean 'h'?
""",
    ),
    "a source outside of the block": (
        ("blocks.stage.capsules.0.from.0", "stage1/layer1"),
        """
1. block 'stage' (blocks.stage.inputs[0])
    found:    input 'x', which nothing in the block reads
    expected: a use of every input
    cure:     give a capsule an edge from it, or remove the input
2. block 'stage', 'layer' (blocks.stage.capsules[0].from[0])
    found:    a source named 'stage1/layer1'
    expected: an input of the block (x) or a capsule or use in it
    cure:     make it an input of the block
""",
    ),
    "unknown parameter in a block": (
        ("blocks.residual.capsules.0.cap.parameter", "capp"),
        """
1. block 'residual' (blocks.residual.parameters[1])
    found:    parameter 'cap', which nothing in the block uses
    expected: a use of every parameter
    cure:     put it in the place of a setting, or remove it
2. block 'residual' (blocks.residual.capsules[0].cap)
    found:    parameter 'capp'
    expected: one of features, cap
    cure:     did you mean 'cap'?
""",
    ),
    "unknown parameter given on": (
        ("blocks.stage.capsules.0.with.features.parameter", "zzz"),
        """
1. block 'stage' (blocks.stage.parameters[0])
    found:    parameter 'features', which nothing in the block uses
    expected: a use of every parameter
    cure:     put it in the place of a setting, or remove it
2. block 'stage' (blocks.stage.capsules[0].with.features)
    found:    parameter 'zzz'
    expected: one of features, repeats
    cure:     declare it among the block's parameters
""",
    ),
    "a parameter in the place of a kind": (
        ("blocks.residual.capsules.1.from.1.kind", {"parameter": "cap"}),
        """
1. block 'residual' (blocks.residual.capsules[1].from[1].kind)
    found:    parameter 'cap' in the place of a kind
    expected: a parameter in the place of a setting, a capsule function, a bias, a \
backward rule, a shared weight's name, `repeat`, or a value for another block
    cure:     write what is meant itself
""",
    ),
    "a default for nothing": (
        ("blocks.residual.defaults.width", 3),
        """
1. block 'residual' (blocks.residual.defaults.width)
    found:    a default for 'width'
    expected: one of the parameters: features, cap
    cure:     declare it under parameters
""",
    ),
    "an output that is none": (
        ("blocks.residual.output", "outt"),
        """
1. block 'residual' (blocks.residual.output)
    found:    an output named 'outt'
    expected: the name of a capsule or use in the block
    cure:     did you mean 'out'?
""",
    ),
    "a capsule called like an input of its block": (
        ("blocks.residual.capsules.0.name", "x"),
        """
1. block 'residual', name 'x' (blocks.residual.capsules[0].name)
    found:    2 inputs, capsules or uses with this name
    expected: a name of its own for each
    cure:     rename all but one
2. block 'residual', 'out' (blocks.residual.capsules[1].from[0].source)
    found:    a source named 'h'
    expected: an input of the block (x) or a capsule or use in it
    cure:     make it an input of the block
3. capsule 'y', edge 2 (capsules[2].from[1].source)
    found:    a source named 'stage1/layer2/h'
    expected: the name of an input or of a capsule of this graph
    cure:     did you mean 'stage1/layer2/x'?
""",
    ),
    "a capsule called like a use": (
        ("capsules.2.name", "last"),
        """
1. name 'last' (capsules[2].name)
    found:    2 inputs, capsules or uses with this name
    expected: a name of its own for each
    cure:     rename all but one
2. output 'y' (outputs[0])
    found:    no capsule of this name
    expected: the name of a capsule, once
    cure:     remove it from the outputs
""",
    ),
    "a use called like a copy": (
        ("capsules.1.name", "stage2"),
        """
1. name 'stage2' (capsules[1].name)
    found:    also the name of a copy of use 'stage'
    expected: a name of its own for each
    cure:     rename all but one
2. capsule 'y', edge 1 (capsules[2].from[0].source)
    found:    a source named 'last'
    expected: the name of an input or of a capsule of this graph
    cure:     declare it, or remove the edge
""",
    ),
    "a block within itself": (
        ("blocks.stage.capsules.0.block", "stage"),
        """
1. use 'stage1/layer', and once more where the block is used \
(blocks.stage.capsules[0].block)
    found:    blocks that use themselves: stage -> stage
    expected: blocks within blocks, and an end to it
    cure:     remove one of these uses
""",
    ),
    "a block that nothing uses": (
        ("blocks.more", SOUND_BLOCKS["blocks"]["residual"]),
        """
1. block 'more' (blocks.more)
    found:    nothing uses it
    expected: a use among the capsules
    cure:     use it, or remove it
""",
    ),
    "blocks that are none": (
        ("blocks", []),
        """
1. blocks (blocks)
    found:    []
    expected: an object
    cure:     correct it
2. use 'stage' (capsules[0].block)
    found:    no block 'stage'
    expected: none
    cure:     declare it under blocks
3. use 'last' (capsules[1].block)
    found:    no block 'residual'
    expected: none
    cure:     declare it under blocks
""",
    ),
    "a block without capsules": (
        ("blocks.residual.capsules", []),
        """
1. block 'residual', capsules (blocks.residual.capsules)
    found:    []
    expected: a list of at least 1
    cure:     add what is missing
""",
    ),
    "a value that does not fit": (
        ("capsules.1.with.features", "6"),
        """
1. capsule 'last/h', edge from 'stage2/layer2/out', features \
(blocks.residual.capsules[0].from[0].features)
    found:    '6', given by parameter 'features'
    expected: an integer
    cure:     write 6, without quotes
""",
    ),
    "a kind that is unknown, in a block": (
        ("blocks.residual.capsules.1.from.1.kind", "identty"),
        """
1. capsule 'stage1/layer1/out', edge from 'x', and 4 times more where the block is \
used (blocks.residual.capsules[1].from[1].kind)
    found:    unknown kind 'identty'
    expected: one of WEIGHTINGS
    cure:     did you mean 'identity'?
""",
    ),
    "shapes that do not fit, in a block": (
        ("blocks.residual.capsules.1.from.0.features", 5),
        """
1. capsule 'stage1/layer1/out', edges from 'stage1/layer1/h' and 'x' \
(blocks.residual.capsules[1].from[1])
    found:    matmul(features=5) on 'stage1/layer1/h' contributes (5,), identity on \
'x' contributes (4,)
    expected: contributions of one shape, because a capsule adds them up
    cure:     change one of the two edges so that both give (5,) or (4,), or use \
`place` on both to put them side by side
""",
    ),
}


@pytest.mark.parametrize("change, text", CASES.values(), ids=list(CASES))
def test_the_whole_text_of_an_error(change, text):
    found = str(refused(changed_blocks(*change)))
    text = text.replace("WEIGHTINGS", ", ".join(sorted(WEIGHTINGS)))
    assert found.partition(":\n")[2] == text.strip()


def test_a_use_without_any_blocks():
    document = copy.deepcopy(SOUND_BLOCKS)
    del document["blocks"]
    assert "no block 'stage'" in str(refused(document))


def test_a_typing_error_in_the_word_blocks():
    document = copy.deepcopy(SOUND_BLOCKS)
    document["blcks"] = document.pop("blocks")
    assert "cure:     did you mean 'blocks'?" in str(refused(document))


# ---- limits


def nested(levels, repeat) -> Any:
    """Blocks within blocks, each `repeat` times."""
    leaf = {"name": "a", "from": [{"source": "x", "kind": "identity"}]}
    blocks = {"b0": {"inputs": ["x"], "capsules": [leaf]}}
    for level in range(1, levels):
        use = {"name": "u", "block": f"b{level - 1}", "from": ["x"], "repeat": repeat}
        blocks[f"b{level}"] = {"inputs": ["x"], "capsules": [use]}
    top = {"name": "u", "block": f"b{levels - 1}", "from": ["x"], "repeat": repeat}
    inputs = [{"name": "x", "shape": [2]}]
    return {"format_version": 1, "inputs": inputs, "blocks": blocks, "capsules": [top]}


@pytest.mark.parametrize("levels, repeat", [(10, 1000), (1, 2**31 - 1), (49, 2)])
def test_repetitions_without_end(monkeypatch, levels, repeat):
    monkeypatch.setattr(expansion, "MOST_VALUES", 50_000)
    message = str(refused(nested(levels, repeat)))
    assert "more than 50,000 names and settings" in message
    assert "fewer repetitions of blocks within blocks" in message


def test_values_that_double_at_each_level(monkeypatch):
    monkeypatch.setattr(expansion, "MOST_VALUES", 50_000)
    document = nested(40, 1)
    for level in range(1, 40):
        block = document["blocks"][f"b{level}"]
        block["parameters"] = ["v"]
        if level > 1:
            block["capsules"][0]["with"] = {"v": [{"parameter": "v"}] * 2}
        else:
            block["capsules"][0]["repeat"] = {"parameter": "v"}
    document["capsules"][0]["with"] = {"v": 1}
    assert "more than 50,000 names and settings" in str(refused(document))


def test_levels_without_end():
    assert "more than 50 deep" in str(refused(nested(60, 1)))
    assert len(from_document(nested(50, 1)).capsules) == 1


def test_values_nested_too_deeply():
    document = changed_blocks("capsules.1.with.cap", deep := [])
    for _ in range(3000):
        deep.append(deep := [])
    with pytest.raises(cj.GraphError, match="nested at most 150 deep"):
        from_document(document)


def test_names_that_grow_too_long():
    document = changed_blocks("capsules.0.name", "s" * 195)
    document["capsules"][1]["from"] = ["s" * 195]
    message = str(refused(document))
    assert "found:    a name of 205 characters, 'ss" in message
    assert "cure:     shorter names of uses, or fewer levels of blocks" in message


# ---- Python


def test_parameters_are_not_computed_with():
    @cj.block
    def wide(x, *, features):
        return cj.capsule("h", cj.matmul(x, 2 * features))

    with pytest.raises(TypeError, match="parameter 'features' of block 'wide' has no "):
        cj.graph(wide("w", cj.input("x", (3,)), features=3))


def test_what_a_block_reads_from_outside():
    outside = cj.input("outside", (3,))

    @cj.block
    def leaky(x):
        return cj.capsule("h", cj.identity(x), cj.identity(outside))

    with pytest.raises(TypeError) as raised:
        cj.graph(leaky("l", cj.input("x", (3,))))
    assert str(raised.value) == (
        "block 'leaky' reads the input 'outside' from outside, or declares it; make it "
        "one of the block's sources"
    )


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: BLOCK(lambda: None), "found no sources; expected a function of"),
        (lambda: BLOCK(lambda x, *more: None), "found 'more'; expected a function"),
        (lambda: BLOCK(lambda x, *, first: None), "found 'first'; expected a func"),
        (lambda: BLOCK(lambda x, y: cj.capsule("h", cj.identity(x))), "nothing re"),
        (lambda: BLOCK(lambda x: x), "expected a capsule or a use"),
    ],
)
def test_functions_that_are_no_blocks(make, message: str):
    x = cj.input("x", (3,))
    with pytest.raises(TypeError, match=message):
        block = make()
        cj.graph(block("b", *[x] * len(block.inputs)))


def test_two_blocks_of_one_name():
    def made(features):
        @cj.block
        def twin(x):
            return cj.capsule("h", cj.matmul(x, features))

        return twin

    x = cj.input("x", (3,))
    with pytest.raises(TypeError, match="two different blocks are called 'twin'"):
        cj.graph(made(3)("b", made(2)("a", x)))
    assert cj.graph(made(3)("b", made(3)("a", x))).outputs == ("b/h",)


# ---- anything at all


def spoiled(chance, document):
    """The document with a few values replaced, removed or moved."""
    document = copy.deepcopy(document)
    for _ in range(chance.randint(1, 3)):
        places = list(all_places(document))
        inside, step = chance.choice(places)
        what = chance.random()
        if what < 0.4:
            inside[step] = copy.deepcopy(chance.choice(ODD_VALUES))
        elif what < 0.6:
            del inside[step]
        else:
            other, at = chance.choice(places)
            inside[step] = copy.deepcopy(other[at])
    return document


def all_places(value):
    steps = value.items() if isinstance(value, dict) else enumerate(value)
    for step, inner in list(steps):
        yield value, step
        if isinstance(inner, dict | list):
            yield from all_places(inner)


def test_spoiled_documents_with_blocks():
    refusals, count = 0, examples(250).max_examples
    for number in range(count):
        chance = random.Random(f"blocks/{number}")
        sound = random_blocks(chance) if number % 2 else SOUND_BLOCKS
        document = spoiled(chance, sound)
        started = time.perf_counter()
        try:
            graph = from_document(document)
            assert from_document(to_document(graph)) == graph, number
        except cj.GraphError as error:
            refusals += 1
            clean, flawed = plain.clean(document)
            assert len(str(error)) < 100_000
            for problem in error.problems:
                if problem not in flawed:
                    assert_reachable(clean, problem)
        assert time.perf_counter() - started < 10, number
    assert refusals > count / 2
