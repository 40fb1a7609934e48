"""html: a result as a part of a notebook; all that is written is escaped."""

import functools
from pathlib import Path
from typing import Any

from capsjax.view.displays import parts


def html(found: Any) -> str:
    """The display of a result; it loads nothing, and runs no script.

    Args:
        found: What one of `parts.KINDS` makes a content of.

    Returns:
        HTML, which has its style with it.
    """
    own = next(each for each in type(found).__mro__ if each.__name__ in parts.KINDS)
    content = parts.KINDS[own.__name__](found)
    return _template().render(style=_style(), **content._asdict())


@functools.cache
def _style() -> str:
    return Path(__file__).with_name("style.css").read_text("utf-8")


@functools.cache
def _template() -> Any:
    import jinja2  # here: `import capsjax` shall not wait for it

    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = Path(__file__).with_name("display.html.jinja").read_text("utf-8")
    return environment.from_string(text)
