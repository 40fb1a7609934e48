"""Text that is no JSON, and many faults at once in the order of the document."""

import json

import pytest

import capsjax as cj
from capsjax.graph import from_document, parse
from capsjax.graph.errors import Suggestions, brief, format_path
from tests.graph.spoil import DELETE, SOUND, assert_reachable, changed, refused


@pytest.mark.parametrize(
    "content, found",
    {
        "empty": (b"", "nothing: the document is empty"),
        "blank": (b" \n", "nothing: the document is empty"),
        "cut": (b'{"name": "a"', "Expecting ',' delimiter: line 1 column 13 (char 12)"),
        "a word": (b"{name: 1}", "Expecting property name enclosed in double quotes: "),
        "two documents": (b"{}\n{}", "Extra data: line 2 column 1 (char 3)"),
        "not UTF-8": (b'{"\xff": 1}', "byte 0xff at position 2, which is not UTF-8"),
        "UTF-16": ("{}".encode("utf-16"), "byte 0xff at position 0, which is not UTF"),
        "deep": (b"[" * 100_000, "lists or objects nested too deeply"),
        "long number": (b"9" * 5000, "Exceeds the limit (4300 digits) for integer "),
        "null byte": (b'{"a\x00": 1}', "Invalid control character at: line 1 column 4"),
    }.values(),
)
def test_no_json(content, found):
    with pytest.raises(cj.GraphError) as caught:
        parse(content, "a.json")
    (problem,) = caught.value.problems
    assert problem.path == () and problem.found.startswith(found)
    assert str(caught.value) == (
        "graph 'a.json' has 1 problem:\n"
        "1. the document\n"
        f"    found:    {problem.found}\n"
        "    expected: JSON\n"
        "    cure:     correct the document at this place"
    )


@pytest.mark.parametrize("content", ["[1]", "null", "3", '"text"', "true"])
def test_json_that_is_no_object(content):
    with pytest.raises(cj.GraphError, match="expected: an object"):
        parse(content)


def test_keys_that_stand_twice():
    text = json.dumps(SOUND).replace('"cap":', '"bias": null, "bias": "full", "cap":')
    with pytest.raises(cj.GraphError) as caught:
        parse(text, "twice.json")
    assert str(caught.value).startswith(
        "graph 'small' in 'twice.json' has 2 problems:\n"
        "1. key 'bias' (capsules[0].bias)\n"
        "    found:    it stands 2 times in one object\n"
        "    expected: each key once\n"
        "    cure:     remove all but one: the others would be lost silently\n"
    )


def test_notes_nested_too_deeply():
    notes: dict = {}
    for _ in range(200):
        notes = {"in": notes}
    error = refused(changed(("metadata", notes)))
    (problem,) = error.problems
    assert problem.expected == "lists and objects nested at most 150 deep"


def test_a_circle():
    notes: dict = {}
    notes["self"] = notes
    with pytest.raises(cj.GraphError, match="nested at most 150 deep"):
        from_document(changed() | {"metadata": notes})


def test_many_faults_at_once_in_the_order_of_the_document():
    document = changed(
        ("format_version", 7),
        ("inputs.1", {"name": "mask", "shape": [0]}),
        ("capsules.0.from.0.features", "4"),
        ("capsules.0.activation", "relu"),
        ("capsules.1.from.0.source", "c11"),
        ("capsules.2.cap.kind", "sofmax"),
        ("capsules.3", {"name": "digit", "from": [{"source": "c1"}]}),
        ("outputs.1", "digit"),
        ("losses.flat", {"kind": "cross_entropie"}),
        ("metadata", {"x": float("nan")}),
    )
    error = refused(document)
    assert [format_path(problem.path) for problem in error.problems] == [
        "format_version",
        "inputs[1]",
        "inputs[1].shape[0]",
        "capsules[0].from[0].features",
        "capsules[0].activation",
        "capsules[1].from[0].source",
        "capsules[2].cap.kind",
        "capsules[3].name",
        "capsules[3].from[0].kind",
        "outputs[1]",
        "losses.flat",
        "losses.flat.kind",
        "metadata.x",
    ]


def test_the_order_is_that_of_the_document_at_hand():
    document = dict(
        reversed(changed(("name", " "), ("outputs", []), ("zzz", 1)).items())
    )
    paths = [problem.path for problem in refused(document).problems]
    assert paths == [("zzz",), ("outputs",), ("name",)]


def test_shapes_are_judged_beside_faults_of_other_kinds():
    error = refused(
        changed(("capsules.0.from.0.window", [9, 9]), ("capsules.2.cap.kind", "zzz"))
    )
    assert [problem.path[-1] for problem in error.problems] == [0, "kind"]


def test_two_cycles():
    def reads(*names):
        return [{"source": name, "kind": "identity"} for name in names]

    capsules = [
        {"name": "a", "from": reads("image", "b")},
        {"name": "b", "from": reads("a", "e")},
        {"name": "c", "from": reads("b", "d")},
        {"name": "d", "from": reads("c")},
        {"name": "e", "from": reads("image")},
    ]
    error = refused(
        changed(("capsules", capsules), ("outputs", ["d"]), ("losses", DELETE))
    )
    found = [problem.found for problem in error.problems if problem.place == "a cycle"]
    assert sorted(found) == ["'a' -> 'b' -> 'a'", "'c' -> 'd' -> 'c'"]


def test_a_message_is_bounded():
    capsules = [
        {"name": f"c{i}", "from": [{"source": f"d{i}", "kind": "no" * 100}] * 3}
        for i in range(2000)
    ]
    error = refused(changed(("capsules", capsules), ("name", "x" * 10**6)))
    assert len(error.problems) > 12_000
    assert len(str(error)) < 50_000
    assert f"... and {len(error.problems) - 50} more" in str(error)


def test_a_long_cycle_is_shortened():
    count = 500
    capsules = [
        {"name": f"c{i}", "from": [{"source": f"c{(i + 1) % count}", "kind": "dot"}]}
        for i in range(count)
    ]
    capsules[0]["from"].append({"source": "image", "kind": "dot"})
    error = refused(changed(("capsules", capsules), ("outputs", ["c0"])))
    cycle = next(each for each in error.problems if each.place == "a cycle")
    assert "... 466 more ..." in cycle.found and len(cycle.found) < 500


def test_suggestions_among_many_words():
    suggest = Suggestions(f"layer{i}/conv" for i in range(20_000))
    assert suggest.cure("layer123/cnov", "no") == "did you mean 'layer123/conv'?"
    assert suggest.cure("x" * 10**6, "no") == "no"


@pytest.mark.parametrize(
    "value, text",
    [
        ("a" * 10**6, "'" + "a" * 36),
        (10**5000, "an integer of about 4983 digits"),
        (list(range(10**6)), "[0, 1, 2"),
        ({"a": {"b": {"c": {"d": 1}}}}, "{'a': {'b': {'c': {...}}}}"),
    ],
    ids=["text", "integer", "list", "nested"],
)
def test_values_are_shown_in_brief(value, text):
    assert brief(value).startswith(text) and len(brief(value)) <= 80


def test_paths_are_written_as_in_code():
    assert format_path(("capsules", 2, "from", 0, "window")) == (
        "capsules[2].from[0].window"
    )
    assert format_path(("losses", "a b")) == "losses['a b']"


def test_every_path_points_into_the_document():
    """Each value of the sound document replaced by each of some odd ones."""

    def paths(value, path=""):
        steps = value.items() if isinstance(value, dict) else enumerate(value)
        for step, inner in steps:
            yield f"{path}{step}"
            if isinstance(inner, dict | list):
                yield from paths(inner, f"{path}{step}.")

    for path in paths(SOUND):
        for odd in (None, True, -1, 1.5, "zzz", [], [[]], {}, {"kind": 1}, DELETE):
            document = changed((path, odd))
            try:
                from_document(document)
            except cj.GraphError as error:
                for problem in error.problems:
                    assert_reachable(document, problem)
