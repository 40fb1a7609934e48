"""Puts the source of the site together: written pages, notebooks, and made ones."""

import shutil
from pathlib import Path

from extension import api, formats, lists, records

EXECUTED = "build/notebooks"
"""Where `make notebooks` leaves executed copies."""

ONLY_IN_README = ("The mathematics", "How the compiler works", "Limits", "Measured")
"""Sections of the README that are a page of the site, too."""


def stage(root: Path, folder: Path) -> None:
    """Writes the source into a folder, of which nothing else is kept.

    Files that are as they were are left alone, so that Sphinx reads only what is new.

    Args:
        root: The repository.
        folder: Where the source goes.
    """
    wanted: dict[str, bytes] = {}
    for path in sorted((root / "docs").glob("*.md")):
        folder_of = "formats/" if path.name == "files.md" else ""
        wanted[folder_of + path.name] = _moved(path.read_text("utf-8")).encode()
    for path in sorted((root / "docs/pictures").iterdir()):
        wanted[f"pictures/{path.name}"] = path.read_bytes()
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        executed = root / EXECUTED / path.name
        wanted[f"notebooks/{path.name}"] = (
            executed if executed.exists() else path
        ).read_bytes()
    readme = (root / "README.md").read_text("utf-8")
    wanted["about/how-it-works.md"] = _how_it_works(readme).encode()
    wanted["about/changelog.md"] = (root / "CHANGELOG.md").read_bytes()
    for path in sorted((root / "notebooks/pictures").glob("*.svg")):
        wanted[f"notebooks/pictures/{path.name}"] = path.read_bytes()
    made = api.pages() | records.pages() | formats.pages() | lists.pages()
    for name, text in made.items():
        wanted[name] = text.encode()
    _write(folder, wanted)


def _how_it_works(readme: str) -> str:
    """The sections of the README that no other page tells."""
    sections = readme.split("\n## ")
    found = [each for each in sections if each.split("\n")[0] in ONLY_IN_README]
    if len(found) < len(ONLY_IN_README):
        raise ValueError(f"README.md: expected the sections {ONLY_IN_README}")
    return "\n## ".join(["# How it works\n", *found])


def _moved(text: str) -> str:
    """A page of docs/, whose links to its siblings' folders are now below it."""
    return text.replace("](../notebooks/", "](notebooks/")


def _write(folder: Path, wanted: dict[str, bytes]) -> None:
    for name, content in wanted.items():
        path = folder / name
        if not path.exists() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.relative_to(folder).as_posix() not in wanted:
            path.unlink()
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            shutil.rmtree(path)
