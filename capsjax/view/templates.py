"""Pages and displays as HTML, by templates in which whatever is written is escaped."""

import functools
from pathlib import Path
from typing import Any


@functools.cache
def template(path: Path) -> Any:
    """The template in a file of this package; strict: what it names must be given."""
    import jinja2  # here: `import capsjax` shall not wait for it

    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.from_string(path.read_text("utf-8"))
