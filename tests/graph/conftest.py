"""The tests of the declaration see the library's own kinds alone."""

import pytest

from capsjax.graph.kinds import CAPS, LOSSES, WEIGHTINGS

TABLES = (WEIGHTINGS, CAPS, LOSSES)


@pytest.fixture(autouse=True)
def library_kinds(monkeypatch):
    """Doctests and other tests leave kinds behind, and messages list all kinds."""
    for table in TABLES:
        kinds = {kind: table[kind] for kind in table if kind in OWN[table.noun]}
        monkeypatch.setattr(table, "_table", kinds)
        table.version += 1
    yield
    for table in TABLES:
        table.version += 1


OWN = {table.noun: frozenset(table) for table in TABLES}
