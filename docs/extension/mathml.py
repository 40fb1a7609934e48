"""Equations as MathML, by docutils: no script, no fonts, nothing to fetch."""

import re
from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging

_SIZE = re.compile(r"\\([Bb]ig)(?=\s*(?:\\[{}|]|[()\[\]|/]))")
_DOTS = re.compile(r"\\dots(?![A-Za-z])")


def setup(app: Any) -> None:
    """Enters the renderer under the name "mathml"."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))


def _inline(self: Any, node: Any) -> None:
    self.body.append(_made(node, as_block=False))
    raise nodes.SkipNode


def _block(self: Any, node: Any) -> None:
    self.body.append(f'<div class="math">{_made(node, as_block=True)}</div>')
    raise nodes.SkipNode


def _known(equation: str) -> str:
    """An equation with commands that docutils knows: it has \\Bigl, but no \\Big."""
    return _DOTS.sub(r"\\ldots", _SIZE.sub(r"\\\1l", equation))


def _made(node: Any, *, as_block: bool) -> str:
    try:
        return tex2mathml(_known(node.astext()), as_block=as_block)
    except Exception as error:  # docutils raises MathError, SyntaxError, IndexError
        logging.getLogger(__name__).warning(
            "equation %r: %s", node.astext(), error, location=node
        )
        return f"<code>{node.astext()}</code>"
