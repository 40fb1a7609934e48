"""What shows itself in notebooks: `capsjax.view` is asked for how only when it does."""

import importlib
from typing import Any


class Displayed:
    """Something with a display in notebooks; `capsjax.view.displays` makes it."""

    __slots__ = ()

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return importlib.import_module("capsjax.view.displays").bundle(self)
