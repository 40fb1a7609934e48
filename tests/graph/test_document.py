"""Round trips, identity, files: the declaration and its document are one thing."""

import json
import os
import random
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

import capsjax as cj
from bench.mutations import random_document
from capsjax.graph import canonical, document, from_document, parse, to_document
from tests.graph.spoil import SOUND, changed
from tests.helpers_capsjax import examples

SEEDS = st.integers(0, 10**9)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | FINITE | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def random_graph(seed: int) -> cj.Graph:
    return from_document(random_document(random.Random(seed)))


@examples(30)
@given(SEEDS)
def test_every_way_round_is_lossless(seed):
    graph = random_graph(seed)
    plain = to_document(graph)
    assert from_document(plain) == graph
    assert to_document(from_document(plain)) == plain
    assert parse(json.dumps(plain)) == graph
    assert parse(canonical(graph)) == graph
    assert canonical(parse(canonical(graph))) == canonical(graph)


@pytest.mark.parametrize("name", cj.zoo.names())
def test_the_zoo_round_trips(name, tmp_path):
    graph = cj.zoo.graph(name)
    cj.save(graph, tmp_path / "graph.json")
    read = cj.load(tmp_path / "graph.json")
    assert read == graph and hash(read) == hash(graph)
    assert read.metadata == graph.metadata


@examples(30)
@given(SEEDS, st.randoms(use_true_random=False))
def test_identity_does_not_hang_on_the_order_of_keys_or_notes(seed, rng):
    graph = random_graph(seed)

    def shuffled(value):
        if isinstance(value, dict):
            items = [(key, shuffled(inner)) for key, inner in value.items()]
            rng.shuffle(items)
            return dict(items)
        return [shuffled(x) for x in value] if isinstance(value, list) else value

    other = from_document(shuffled({**to_document(graph), "metadata": {"note": 1}}))
    assert other.metadata == {"note": 1} != graph.metadata
    assert other == graph
    assert hash(other) == hash(graph)
    assert cj.content_hash(other) == cj.content_hash(graph)


def test_defaults_said_and_unsaid_are_one():
    said = changed(
        ("capsules.0.from.0.groups", 1),
        ("capsules.0.from.0.padding", "VALID"),
        ("capsules.0.from.0.stride", None),
        ("capsules.0.bias", "channel"),
        ("capsules.1.cap", {"kind": "identity"}),
        ("losses.digit.weight", 1),
        ("outputs", None),
    )
    assert from_document(said) == from_document(SOUND)
    assert cj.content_hash(from_document(said)) == cj.content_hash(from_document(SOUND))


@pytest.mark.parametrize(
    "change",
    [
        ("name", "other"),
        ("inputs.0.shape", [8, 8, 2]),
        ("capsules.0.bias", "full"),
        ("capsules.0.cap.kind", "tanh"),
        ("capsules.0.from.0.window", [3, 2]),
        ("losses.digit.weight", 2.0),
    ],
    ids=lambda change: change[0],
)
def test_what_has_meaning_changes_the_identity(change):
    graph, other = from_document(SOUND), from_document(changed(change))
    assert graph != other
    assert cj.content_hash(graph) != cj.content_hash(other)


def test_the_content_hash_is_the_same_in_every_process():
    code = (
        "import json, sys, capsjax as cj; from capsjax.graph import from_document;"
        "print(cj.content_hash(from_document(json.load(sys.stdin))))"
    )
    seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"  # not this one's
    found = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps(SOUND),
        env={**os.environ, "PYTHONHASHSEED": seed, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == cj.content_hash(from_document(SOUND))


@examples(30)
@given(st.dictionaries(st.text(), JSON))
def test_notes_are_kept(notes):
    try:
        graph = from_document({**SOUND, "metadata": notes})
    except cj.GraphError as error:
        assert "Unicode" in str(error)
        return
    assert graph.metadata == notes
    graph.metadata["more"] = 1
    assert graph.metadata == notes
    assert parse(json.dumps(to_document(graph))).metadata == notes


def test_a_failing_write_leaves_the_old_file_whole(tmp_path, monkeypatch):
    path = tmp_path / "graph.json"
    graph = from_document(SOUND)
    cj.save(graph, path)
    before = path.read_bytes()

    def full(*_):
        raise OSError("no space left")

    for step in ("fsync", "replace", "chmod"):
        with monkeypatch.context() as context:
            context.setattr(os, step, full)
            with pytest.raises(OSError, match="no space left"):
                cj.save(from_document(changed(("name", "other"))), path)
        assert path.read_bytes() == before
        assert os.listdir(tmp_path) == ["graph.json"]


def test_a_file_is_saved_with_the_usual_rights(tmp_path):
    cj.save(from_document(SOUND), tmp_path / "graph.json")
    (tmp_path / "plain").touch()
    modes = {each.stat().st_mode for each in tmp_path.iterdir()}
    assert len(modes) == 1


def test_names_beyond_ascii_are_kept(tmp_path):
    graph = from_document(changed(("name", "größe-五"), ("outputs", DIGIT)))
    cj.save(graph, tmp_path / "é.json")
    assert "größe-五" in (tmp_path / "é.json").read_text(encoding="utf-8")
    assert cj.load(tmp_path / "é.json") == graph


DIGIT = ["digit"]


def test_a_byte_order_mark_is_passed_over():
    assert parse(json.dumps(SOUND).encode("utf-8-sig")) == from_document(SOUND)


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        cj.load(tmp_path / "none.json")


def test_a_kind_of_a_users_own_is_valid_in_documents_and_schema(own_kinds):
    @cj.register_cap("steps")
    class Steps(cj.Cap):
        levels: int
        edges: tuple[float, ...] = (0.5, 1.0)

        def forward(self, u):
            return u

    graph = from_document(changed(("capsules.0.cap", {"kind": "steps", "levels": 3})))
    assert graph.capsules[0].cap == Steps(3)
    assert parse(canonical(graph)) == graph
    assert "capsule_steps" in cj.json_schema()["$defs"]
    with pytest.raises(cj.GraphError, match="no key 'levels'"):
        from_document(changed(("capsules.0.cap", {"kind": "steps"})))


def test_loading_runs_no_code(tmp_path, monkeypatch):
    """Whatever a document says, nothing is imported, evaluated or unpickled."""
    events = []
    ready = [True]

    def watch(event, arguments):
        if ready and event in ("import", "exec", "compile", "pickle.find_class"):
            events.append((event, arguments))

    from_document(SOUND)  # what is imported and built once
    sys.addaudithook(watch)
    parse(json.dumps(changed(("metadata", {"__reduce__": "os.system", "$ref": "x"}))))
    for kind in ("os.system", "__import__", "capsjax.caps.relu", "relu()", "!!python"):
        with pytest.raises(cj.GraphError, match="unknown kind"):
            from_document(changed(("capsules.0.cap.kind", kind)))
    ready.clear()
    assert not events


def test_an_older_format_is_upgraded(monkeypatch):
    def from_0(old):
        old["capsules"] = old.pop("layers")
        return old

    monkeypatch.setitem(document.UPGRADES, 0, from_0)
    old = changed(("format_version", 0))
    old["layers"] = old.pop("capsules")
    given = json.dumps(old)
    assert from_document(old) == from_document(SOUND) == parse(given)
    assert json.dumps(old) == given


def test_an_older_format_that_cannot_be_upgraded(monkeypatch):
    monkeypatch.setitem(document.UPGRADES, 0, lambda old: old["layers"])
    with pytest.raises(cj.GraphError) as caught:
        from_document(changed(("format_version", 0)))
    assert str(caught.value).split("\n")[1:5] == [
        "1. upgrade from version 0 (format_version)",
        "    found:    KeyError: 'layers'",
        "    expected: a well-formed document of version 0",
        "    cure:     correct the document, or write it anew in the present version",
    ]
