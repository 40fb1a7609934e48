"""What is public: every name that `import capsjax as cj` gives, and those below it."""

import types
from typing import Any

import capsjax as cj

NAMESPACES = (
    *("neural", "axes", "executors", "schedules", "augment", "writers", "view", "zoo"),
    *("weightings", "caps", "losses", "backward", "passes"),
)
"""The modules of which users write `cj.NAME.something`."""


def modules() -> dict[str, types.ModuleType]:
    """Each public module by the name that it is reached by, `capsjax` first."""
    return {"capsjax": cj} | {f"capsjax.{n}": getattr(cj, n) for n in NAMESPACES}


def members(name: str, module: types.ModuleType) -> dict[str, Any]:
    """What is public in a module: `__all__`, or else what it has of the package.

    Args:
        name: What the module is reached by.
        module: The module.

    Returns:
        Objects by name. What stands at the top, too, is left to the top.

    Example:
        >>> sorted(members("capsjax.executors", cj.executors))
        ['Executor', 'Local', 'Processes', 'Ray']
    """
    names = getattr(module, "__all__", None) or list(vars(module))
    found = {each: getattr(module, each) for each in names if not each.startswith("_")}
    top = list(vars(cj).values()) if module is not cj else []
    return {
        each: value
        for each, value in found.items()
        if (isinstance(value, type) or callable(value))
        and (getattr(value, "__module__", None) or "").startswith("capsjax.")
        and not any(value is other for other in top)
    }


def public_names() -> set[str]:
    """Dotted names of all that is public."""
    return {
        f"{name}.{each}"
        for name, module in modules().items()
        for each in members(name, module)
    }
