"""The sound part of a faulty document, so that every problem is said at once.

A document that fails its types is not abandoned: what is understood is taken out, with
a nameless kind in place of what is not, and the structural checks and shape inference
still say what they can. Capsules keep their positions, and so do edges, because
problems are placed by them.
"""

import json
from typing import Any

from capsjax.graph.declaration import Capsule, Edge, Graph, Input, sinks
from capsjax.graph.errors import NAMELESS
from capsjax.graph.kinds import (
    BACKWARDS,
    CAPS,
    LARGEST,
    LARGEST_RANK,
    LOSSES,
    WEIGHTINGS,
    BackwardKind,
    CapKind,
    LossKind,
    WeightingKind,
)
from capsjax.graph.schema import part_adapter


def sound_part(document: Any) -> Graph:
    """The part of a faulty document that is understood, as a graph.

    Args:
        document: A document that `validate` refused.

    Returns:
        A graph; where a kind is not understood, the base class of kinds stands, and
        where a name is missing, one that begins with `NAMELESS`.
    """
    document = document if isinstance(document, dict) else {}
    memo: dict[tuple[str, str], Any] = {}
    inputs = tuple(
        Input(
            _name(each, f"number {i + 1} of the inputs"),
            _shape(each.get("shape")),
            "integer" if each.get("dtype") == "integer" else "float",
            each.get("learned") is True,
        )
        for i, each in enumerate(_objects(document.get("inputs")))
    )
    capsules = tuple(
        Capsule(
            _name(each, f"number {i + 1} of the capsules"),
            _edges(each, memo),
            _part("cap", each.get("cap", {"kind": "identity"}), memo),
            None,
            _rule(each, memo),
        )
        for i, each in enumerate(_objects(document.get("capsules")))
    )
    outputs = document.get("outputs")
    if not isinstance(outputs, list):
        outputs = sinks(capsules)
    losses = document.get("losses")
    return Graph(
        document["name"] if isinstance(document.get("name"), str) else "network",
        inputs,
        capsules,
        tuple(name if isinstance(name, str) else NAMELESS for name in outputs),
        tuple(
            (name, _part("loss", loss, memo))
            for name, loss in (losses if isinstance(losses, dict) else {}).items()
        ),
        _rule(document, memo),
    )


def _objects(value: Any) -> list[dict[str, Any]]:
    """The list's entries; what is no object becomes an empty one."""
    entries = value if isinstance(value, list) else []
    return [entry if isinstance(entry, dict) else {} for entry in entries]


def _name(entry: dict[str, Any], otherwise: str) -> str:
    name = entry.get("name")
    return name if isinstance(name, str) else f"{NAMELESS}{otherwise}"


def _shape(value: Any) -> Any:
    """A shape, or None: inference passes over what it does not know."""
    sound = isinstance(value, list | tuple) and all(
        type(n) is int and 1 <= n <= LARGEST for n in value
    )
    return tuple(value) if sound and len(value) <= LARGEST_RANK else None


def _edges(capsule: dict[str, Any], memo: Any) -> tuple[Edge, ...]:
    entries = capsule.get("from")
    if not isinstance(entries, list) or not entries:
        return (Edge(NAMELESS, WeightingKind()),)
    return tuple(
        Edge(
            each["source"] if isinstance(each.get("source"), str) else NAMELESS,
            _part("edge", _plain_edge(each), memo),
            weight=each["weight"] if isinstance(each.get("weight"), str) else None,
            backward=_rule(each, memo),
        )
        for each in _objects(entries)
    )


def _plain_edge(edge: dict[str, Any]) -> dict[str, Any]:
    """The edge's operation alone: its rule is judged by itself."""
    own = {key: value for key, value in edge.items() if key != "backward"}
    return {**own, "source": "any"}


def _rule(entry: dict[str, Any], memo: Any) -> Any:
    """The backward rule of an edge, a capsule or the document, if there is one."""
    rule = entry.get("backward")
    return None if rule is None else _part("backward", rule, memo)


def _part(part: Any, value: Any, memo: dict[tuple[str, str], Any]) -> Any:
    """The kind that a part of a document names, or the nameless base of its table."""
    base, table = _TABLES[part]
    try:
        text = json.dumps(value)
        if (part, text) not in memo:
            form = part_adapter(part).validate_json(text)
            own = "kind", "source", "weight"
            settings = {k: form[k] for k in form if k not in own}
            memo[part, text] = table[form["kind"]](**settings)
        return memo[part, text]
    except (TypeError, ValueError, RecursionError):
        return base()


_TABLES: dict[str, Any] = {
    "edge": (WeightingKind, WEIGHTINGS),
    "cap": (CapKind, CAPS),
    "loss": (LossKind, LOSSES),
    "backward": (BackwardKind, BACKWARDS),
}
