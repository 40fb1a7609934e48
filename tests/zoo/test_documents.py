"""The shipped documents: what the Python functions declare, as JSON."""

import importlib.resources

import pytest

import capsjax as cj
from capsjax.zoo.__main__ import main

SHIPPED = importlib.resources.files("capsjax.zoo") / "documents"


@pytest.mark.parametrize("name", cj.zoo.names())
def test_the_shipped_document_is_up_to_date(name, tmp_path):
    """If it is not: `python -m capsjax.zoo capsjax/zoo/documents`."""
    graph = cj.zoo.graph(name)
    assert graph.name == name
    cj.save(graph, tmp_path / "graph.json")
    with importlib.resources.as_file(SHIPPED / f"{name}.json") as path:
        assert path.read_bytes() == (tmp_path / "graph.json").read_bytes()
        assert cj.load(path) == graph


def test_every_network_has_a_document_and_no_other_is_there():
    found = {each.name for each in SHIPPED.iterdir()}
    assert found == {f"{name}.json" for name in cj.zoo.names()}


def test_main_writes_them(tmp_path):
    assert main([str(tmp_path / "new")]) == 0
    written = sorted(path.stem for path in (tmp_path / "new").iterdir())
    assert written == sorted(cj.zoo.names())


def test_main_without_a_folder_says_how_it_is_called(capsys):
    assert main([]) == 2
    assert capsys.readouterr().err == "usage: python -m capsjax.zoo FOLDER\n"


def test_the_deepest_network_is_a_short_document():
    """313 capsules, 50 blocks, in lines that a person reads."""
    text = (SHIPPED / "resnet-152.json").read_text("utf-8")
    assert len(text.splitlines()) <= 150
    assert max(map(len, text.splitlines())) <= 120
