"""bundle: what a notebook shows of a graph, a network, or a result."""

import functools
from pathlib import Path
from typing import Any

from capsjax.compiler import Network
from capsjax.graph import Graph
from capsjax.view import widget
from capsjax.view.displays import parts
from capsjax.view.templates import template

_HERE = Path(__file__).parent


def bundle(found: Any) -> dict[str, Any]:
    """Contents by media type: a drawing of a graph or a network, HTML of a result."""
    if isinstance(found, Graph | Network):
        return widget.bundle(found)
    return {"text/plain": repr(found), "text/html": html(found)}


def html(found: Any) -> str:
    """The display of a result; it loads nothing, runs no script, and escapes all.

    Args:
        found: What one of `parts.KINDS` makes a content of.

    Returns:
        HTML, which has its style with it.
    """
    own = next(each for each in type(found).__mro__ if each.__name__ in parts.KINDS)
    content = parts.KINDS[own.__name__](found)
    page = template(_HERE / "display.html.jinja")
    return page.render(style=_style(), **content._asdict())


@functools.cache
def _style() -> str:
    return (_HERE / "style.css").read_text("utf-8")
