"""The shipped JSON Schema, and what it says of documents, by another library."""

import json
import random
from importlib.resources import files

import jsonschema_rs
import pytest

import capsjax as cj
from bench.mutations import mutated, random_document
from capsjax.graph import __main__, from_document, parse, schema, to_document
from tests.graph.spoil import SOUND, changed
from tests.helpers_capsjax import examples

SHIPPED = files("capsjax.graph").joinpath("schema.json")


@pytest.fixture(scope="module")
def validator():
    return jsonschema_rs.Draft202012Validator(json.loads(SHIPPED.read_text("utf-8")))


def test_the_shipped_schema_is_up_to_date():
    assert SHIPPED.read_text("utf-8") == schema.schema_text(), "run `make schema`"


def test_the_schema_is_one():
    jsonschema_rs.meta.validate(json.loads(SHIPPED.read_text("utf-8")))


def test_the_command_writes_it(tmp_path, capsys):
    assert __main__.main([str(tmp_path / "schema.json")]) == 0
    assert (tmp_path / "schema.json").read_text("utf-8") == schema.schema_text()
    assert __main__.main([]) == 2
    assert "usage: python -m capsjax.graph FILE" in capsys.readouterr().err


def test_sound_documents_are_valid(validator):
    for name in cj.zoo.names():
        validator.validate(to_document(cj.zoo.graph(name)))
    for seed in range(examples(30).max_examples):
        validator.validate(random_document(random.Random(seed)))


@pytest.mark.parametrize(
    "change",
    [
        ("format_version", 2),
        ("zzz", 1),
        ("capsules.0.cap.kind", "zzz"),
        ("capsules.0.from.0.window", [3, 0]),
        ("capsules.0.from.0.features", True),
        ("capsules.0.bias", "none"),
        ("capsules", []),
        ("name", "two words"),
        ("losses.digit.weight", "1"),
    ],
    ids=str,
)
def test_faulty_documents_are_not_valid(validator, change):
    assert validator.is_valid(SOUND)
    assert not validator.is_valid(changed(change))


@pytest.mark.parametrize("name", ["a", "größe", "五", "_", "0", "a.b-c/d", "a" * 200])
def test_names_of_any_script(validator, name):
    validator.validate(changed(("name", name)))
    assert from_document(changed(("name", name))).name == name


@pytest.mark.parametrize(
    "name",
    ["", " ", "a b", "a/", "/a", "a//b", ".a", "-a", "a#2", "a:b", "a\n", "\x00", "a\\"]
    + [
        "a[0]",
        "a{}",
        "a|b",
        "a`b",
        "a\u200bb",
        "\u202ea",
        "\ufeffa",
        "a\u3000b",
        "../a",
    ],
)
def test_names_that_are_none(validator, name):
    assert not validator.is_valid(changed(("name", name)))
    with pytest.raises(cj.GraphError, match="a name of letters, digits"):
        from_document(changed(("name", name)))


def test_what_the_reader_takes_is_valid(validator):
    """The schema is no stricter than the reader."""
    for number in range(examples(120).max_examples):
        content = mutated(random.Random(f"schema/{number}"))
        try:
            parse(content)
        except cj.GraphError:
            continue
        validator.validate(json.loads(content.decode("utf-8-sig")))
