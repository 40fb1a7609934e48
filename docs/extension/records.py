"""The reference of records: a page for each table, made from what is registered."""

import dataclasses
import inspect
from typing import Any

import capsjax as cj
from extension.docstrings import to_rst

TABLES = {
    "weightings": (
        "Weighting operations",
        "An edge contributes `W (x) Y`. Every one of them is bilinear, "
        "`forward(a W + W', Y) = a forward(W, Y) + forward(W', Y)` and the same in Y, "
        "and its gradients are its transposes, `<W (x) Y, d> = <W, "
        "weight_gradient(Y, d)> = <Y, input_gradient(W, d)>`. The tests hold every "
        "registered record to both. Shapes are per example.",
    ),
    "caps": (
        "Capsule functions",
        "`Y = cap(U)`. The backward rule of every one of them is the product with its "
        "Jacobian, `delta = dL/dU = dL/dY . dcap/dU`. The tests hold every registered "
        "record to that, against `jax.vjp` and against finite differences. Shapes are "
        "per example.",
    ),
    "losses": (
        "Losses",
        "`L = Loss(Y, T)` of each example; the total is the sum over outputs of "
        "`weight` times the mean over the batch. `gradient` is `dL/dY` of the sum.",
    ),
    "backward": (
        "Backward rules",
        "How error signals travel: `dL/dY_H = sum over P in OUT(H) of delta_P . "
        "dU_P/dY_H` over edges, and `delta_H = dL/dY_H . dcap_H/dU_H` through the "
        "function, if no rule says otherwise.",
    ),
}


def pages() -> dict[str, str]:
    """The pages by path."""
    from capsjax.graph.kinds import BACKWARDS, CAPS, LOSSES, WEIGHTINGS

    tables: dict[str, Any] = {
        "weightings": WEIGHTINGS,
        "caps": CAPS,
        "losses": LOSSES,
        "backward": BACKWARDS,
    }
    made = {f"reference/{n}.rst": _table(n, t) for n, t in tables.items()}
    return made | {"reference/passes.rst": _passes()}


def _table(name: str, table: Any) -> str:
    title, text = TABLES[name]
    parts = [title, "=" * len(title), "", *to_rst(text), ""]
    for kind in sorted(table):
        if table[kind].__module__.startswith("capsjax."):
            parts += _record(name, kind, table[kind])
    if name == "backward":
        parts += [".. autoclass:: capsjax.backward.Crossing", "   :members:", ""]
    return "\n".join(parts)


def _record(name: str, kind: str, record: Any) -> list[str]:
    parts = [kind, "-" * len(kind), ""]
    if name == "weightings":
        parts += [f".. autofunction:: capsjax.{kind}", ""]
        place = f"capsjax.weightings.{record.__name__}"
    else:
        place = f"capsjax.{name}.{kind}"
    body = [*_rst(inspect.getdoc(record) or ""), "", *_facts(record)]
    return [
        *parts,
        f".. py:class:: {place}{_signature(record)}",
        "",
        *(f"   {line}" if line else "" for line in body),
        "",
    ]


def _settings(record: Any) -> tuple[Any, ...]:
    from capsjax.graph.kinds import kind_fields

    return kind_fields(record)


def _signature(record: Any) -> str:
    """The settings with their defaults; types would make it long."""
    parts = []
    for each in _settings(record):
        needed = each.default is dataclasses.MISSING
        parts.append(each.name if needed else f"{each.name}={each.default!r}")
    return f"({', '.join(parts)})"


def _facts(record: Any) -> list[str]:
    """What the record says of itself besides its docstring."""
    found = {}
    if reads := getattr(record, "reads", None):
        found["The backward rule reads"] = " and ".join(reads)
    if getattr(record, "reads", None) == ():
        found["The backward rule reads"] = "neither U nor Y"
    if getattr(record, "acts", None):
        found["Acts on"] = record.acts
    if getattr(record, "draws", False) is True:
        found["Draws"] = "in training"
    return [f":{key}: {value}" for key, value in found.items()] + [""]


def _rst(text: str) -> list[str]:
    """A docstring with its sections, as autodoc would have it."""
    from sphinx.ext.napoleon import Config, GoogleDocstring

    config = Config(
        napoleon_use_rtype=False,
        napoleon_use_ivar=True,
        napoleon_custom_sections=["Shapes", "Laws"],
    )
    return list(GoogleDocstring(to_rst(text), config).lines())


def _passes() -> str:
    title = "Passes"
    text = (
        "A pass is a pure function of a typed graph. Outputs, losses and gradients by "
        "name are the same before and after, for all parameters; the tests hold each "
        "to the interpreter. The order of `cj.passes.PIPELINE` is "
        + ", ".join(f"`{each.name}`" for each in cj.passes.PIPELINE)
        + "."
    )
    names = [n for n in cj.passes.__all__ if n not in ("Pass", "Stage", "PIPELINE")]
    parts = [title, "=" * len(title), "", *to_rst(text), ""]
    for name in sorted(names):
        parts += [f".. autofunction:: capsjax.passes.{name}", ""]
    for name in ("Pass", "Stage"):
        parts += [f".. autoclass:: capsjax.passes.{name}", "   :members:", ""]
    return "\n".join(parts)
