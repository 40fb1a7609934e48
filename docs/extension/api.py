"""The pages of public names, from their docstrings: nothing here names one by hand."""

import inspect
from typing import Any

from extension.public import members, modules

PARTS = {
    "graph": "Declaring graphs",
    "compiler": "Compiling",
    "training": "Training",
    "sweep": "Sweeps and ensembles",
    "observe": "Seeing inside",
    "pretrained": "Pretrained weights",
    "weightings": "Weighting operations of your own",
    "caps": "Capsule functions of your own",
    "losses": "Losses of your own",
    "backward": "Backward rules of your own",
}
"""Titles of the parts of the package, from which the top-level names come."""

RECORDS = {"weightings", "caps", "losses", "backward", "passes"}
"""Namespaces that the reference of records shows."""


def pages() -> dict[str, str]:
    """Pages by path, without the one that lists them."""
    made = {}
    for part, title in PARTS.items():
        if names := _top(part):
            made[f"api/{part}.rst"] = _page(title, "capsjax", names)
    for name, module in modules().items():
        short = name.removeprefix("capsjax.")
        if name == "capsjax" or short in RECORDS:
            continue
        doc = (inspect.getdoc(module) or "").split("\n")[0]
        names = members(name, module)
        made[f"api/{short}-module.rst"] = _page(f"cj.{short}", name, names, doc)
    return made


def _top(part: str) -> dict[str, Any]:
    """Top-level names that come from a part of the package, less those of records."""
    top = members("capsjax", modules()["capsjax"])
    found = {n: x for n, x in top.items() if x.__module__.split(".")[1] == part}
    return {n: x for n, x in found.items() if not is_constructor(n, x)}


def is_constructor(name: str, value: Any) -> bool:
    """Whether a top-level function makes a weighting: its record's page has it."""
    from capsjax.graph.kinds import WEIGHTINGS

    return name in WEIGHTINGS and value.__module__.startswith("capsjax.weightings")


def _page(title: str, module: str, names: dict[str, Any], doc: str = "") -> str:
    parts = [title, "=" * len(title), ""]
    if doc:
        from extension.docstrings import to_rst

        parts += [*to_rst(doc), ""]
    for name, value in names.items():
        if inspect.isclass(value):
            parts += [f".. autoclass:: {module}.{name}", "   :members:", ""]
        else:
            parts += [f".. autofunction:: {module}.{name}", ""]
    return "\n".join(parts)
