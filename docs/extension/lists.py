"""Tables of what has a name but is no record: optimizers, schedules, the zoo."""

import inspect
from typing import Any


def pages() -> dict[str, str]:
    """The pages by path."""
    return {"reference/optimizers.md": _optimizers(), "reference/zoo.md": _zoo()}


def _optimizers() -> str:
    import optax

    from capsjax.training.optimizers import COMMON, OPTIMIZERS, SCHEDULES, _settings

    text = (
        "# Optimizers and schedules\n\nA declared optimizer is "
        '`{"kind": "adamw", "weight_decay": 1e-4}`: a kind of '
        "[optax](https://optax.readthedocs.io) and numbers among its settings. Each "
        f"has `learning_rate`, too, and {', '.join(f'`{n}`' for n in COMMON)}. "
        "Updates have the shapes of the parameters. They are optax's own, as are their "
        "equations, which its documentation gives under the same names.\n"
    )
    rows = [
        (
            f"`{kind}`",
            _first(getattr(optax, kind)),
            _given(_settings(getattr(optax, kind))),
        )
        for kind in OPTIMIZERS
    ]
    learning = [
        (f"`{kind}`", _first(made), ", ".join(f"`{n}`" for n in _names(made)))
        for kind, made in SCHEDULES.items()
    ]
    return "\n".join(
        [
            text,
            *_table(("kind", "what it is", "settings and defaults"), rows),
            "\n## Schedules of the learning rate\n",
            "Their equations stand in [cj.schedules](../api/schedules-module.rst).\n",
            *_table(("kind", "what it is", "settings"), learning),
        ]
    )


def _names(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)


def _first(function: Any) -> str:
    return (inspect.getdoc(function) or "").split("\n")[0]


def _given(settings: dict[str, Any]) -> str:
    return ", ".join(f"`{name}={value}`" for name, value in settings.items())


def _zoo() -> str:
    import capsjax as cj

    rows = [
        (
            f"`{each.name}`",
            ", ".join("x".join(map(str, shape)) for shape in each.inputs),
            f"{each.capsules:,}",
            f"{each.parameters:,}",
            f"{each.flops:,}",
            each.source,
        )
        for each in cj.zoo.overview()
    ]
    heads = ("network", "inputs", "capsules", "parameters", "FLOPs", "source")
    text = (
        "# Networks of the zoo\n\n`cj.zoo.graph(name)` declares one; options are those "
        "of its function in `cj.zoo`. FLOPs are of one forward pass of one example.\n"
    )
    return "\n".join([text, *_table(heads, rows)])


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    lines = [heads, ("---",) * len(heads), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]
