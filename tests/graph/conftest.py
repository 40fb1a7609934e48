"""Tests of the declaration see the library's own kinds alone: messages list them."""

import pytest


@pytest.fixture(autouse=True)
def only_library_kinds(library_kinds):
    """For every test of this folder."""
