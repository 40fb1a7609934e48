"""What the site's reference needs of every record stands in its docstring."""

import inspect
import re

import pytest

import capsjax as cj
from capsjax.graph.kinds import BACKWARDS, CAPS, LOSSES, WEIGHTINGS

TABLES = (WEIGHTINGS, CAPS, LOSSES, BACKWARDS)
RECORDS = [
    pytest.param(table[kind], id=f"{table.noun}: {kind}")
    for table in TABLES
    for kind in table
    if table[kind].__module__.startswith("capsjax.")
]


def _section(text: str, name: str) -> str:
    found = re.search(rf"^{name}:\n((?: {{4}}.*\n?|\n)+)", text, re.M)
    return found[1].strip() if found else ""


@pytest.mark.parametrize("record", RECORDS)
def test_every_record_has_equation_shapes_laws_and_an_example(record):
    text = inspect.getdoc(record) or ""
    assert "=" in text.partition("Shapes:")[0]
    assert _section(text, "Shapes")
    assert _section(text, "Laws")
    if issubclass(record, cj.Weighting):
        text = inspect.getdoc(getattr(cj, record.kind)) or ""
    assert ">>> " in _section(text, "Example")
