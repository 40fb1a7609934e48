"""What holds for every notebook as it is stored; `make notebooks` executes them."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
PATHS = sorted(NOTEBOOKS.glob("*.ipynb"))
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


@pytest.fixture(params=PATHS, ids=lambda path: path.name)
def path(request):
    return request.param


def test_there_are_notebooks_numbered_from_one_without_a_gap():
    numbers = [re.match(r"(\d\d)_[a-z_]+\.ipynb", path.name) for path in PATHS]
    found = [int(match[1]) for match in numbers if match]
    assert found == list(range(1, len(PATHS) + 1)) and found, PATHS


def test_is_valid_with_the_metadata_that_all_share(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata == {
        "kernelspec": KERNEL,
        "language_info": {"name": "python"},
    }
    assert all(cell.metadata == {} for cell in notebook.cells)
    # As nbformat writes it: an editor that saves it unchanged changes nothing.
    assert path.read_text(encoding="utf-8") == nbformat.writes(notebook) + "\n"


def test_stores_no_outputs(path):
    cells = nbformat.read(path, as_version=4).cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert code
    assert all(cell.outputs == [] for cell in code)
    assert all(cell.execution_count is None for cell in code)


def test_opens_with_what_one_learns_and_its_sources(path):
    first = nbformat.read(path, as_version=4).cells[0]
    assert first.cell_type == "markdown"
    assert first.source.startswith("# ")
    assert "\n**You will learn** " in first.source
    assert re.search(
        r"\n\*\*Sources\.?\*\* .*(arxiv\.org|https://)", first.source, re.S
    )


def test_uses_the_public_names_alone(path):
    code = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
    inner = r"(from|import) capsjax[. ](?!as cj$)|\b(net|cj|run|graph)\._"
    found = [cell.source for cell in code if re.search(inner, cell.source, re.M)]
    assert found == []


def test_is_clean_to_ruff_which_sees_it_without_being_told():
    ruff = [sys.executable, "-m", "ruff"]
    listed = subprocess.run(
        [*ruff, "check", "--show-files", "."],
        cwd=NOTEBOOKS.parent,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\n")
    assert {str(path) for path in PATHS} <= set(listed)
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run([*ruff, *command, NOTEBOOKS], capture_output=True)
        assert done.returncode == 0, done.stdout.decode()
