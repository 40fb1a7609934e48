"""The site's extension of Sphinx, and what writes the pages that it reads.

`python -m extension FOLDER` stages the source; `setup` is what Sphinx calls.
"""

from typing import Any

from extension import mathml
from extension.docstrings import to_rst
from extension.public import public_names

BEFORE_NAPOLEON = 400


def setup(app: Any) -> dict[str, Any]:
    """Connects what the site adds to Sphinx."""
    mathml.setup(app)
    app.connect("autodoc-process-docstring", _docstring, priority=BEFORE_NAPOLEON)
    app.connect("autodoc-skip-member", _skipped)
    app.connect("env-check-consistency", _complete)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _docstring(
    app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Markdown to reStructuredText, before napoleon takes the sections."""
    lines[:] = to_rst("\n".join(lines))


def _skipped(
    app: Any, what: str, name: str, obj: Any, skip: bool, options: Any
) -> bool | None:
    """Fields of named tuples have docstrings that say their number alone."""
    return True if type(obj).__name__ == "_tuplegetter" else None


def _complete(app: Any, env: Any) -> None:
    """Warns, which ends a strict build, where a public name is not on the site."""
    from sphinx.util import logging

    found = set(env.domains["py"].objects)
    for name in sorted(public_names() - found):
        logging.getLogger(__name__).warning("%s is public, but on no page", name)
