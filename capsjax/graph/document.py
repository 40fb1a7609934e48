"""The document as plain data: checking, building, canonical form.

Every declaration passes through here, whether it is written in Python or in JSON:
`document -> upgrade -> types -> structure -> shapes -> Graph`. Nothing in a document
is ever executed: kinds are looked up in the registries.
"""

import copy
import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from capsjax.graph import plain
from capsjax.graph.block import blocks_document, entries
from capsjax.graph.checks import check
from capsjax.graph.declaration import (
    Capsule,
    Edge,
    Graph,
    Input,
    Node,
    backward_document,
    edge_document,
    input_document,
    kind_document,
    losses_document,
    reachable,
    require_rule,
    sinks,
)
from capsjax.graph.errors import GraphError, Problem, brief
from capsjax.graph.expansion import Expansion, expand
from capsjax.graph.faults import validate
from capsjax.graph.kinds import (
    BACKWARDS,
    CAPS,
    LOSSES,
    WEIGHTINGS,
    BackwardKind,
    LossKind,
    Registry,
    kind_fields,
)
from capsjax.graph.salvage import sound_part
from capsjax.graph.schema import FORMAT_VERSION, part_adapter

UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""For each older version of the format, the function to the next one."""


def graph(
    *outputs: Node,
    name: str = "network",
    losses: Mapping[str, LossKind | str] | None = None,
    backward: BackwardKind | str | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Graph:
    """Declares a graph: everything that the given capsules reach backwards.

    Args:
        *outputs: The capsules whose Y is asked for.
        name: What the network is called.
        losses: For outputs by name, a loss: `"cross_entropy"`, or
            `cj.losses.cross_entropy(weight=0.5)`.
        backward: How error signals travel, exactly if left out: a backward rule by
            name, or `cj.backward.NAME(settings)`, for every place that it fits.
        metadata: Free notes, kept in the document, without effect on meaning.

    Returns:
        The graph, checked, with shapes that fit.

    Raises:
        GraphError: Everything that is wrong with the declaration, at once.
        TypeError: An output is no capsule, a loss is no loss.

    Example:
        >>> import capsjax as cj
        >>> image = cj.input("image", (64,))
        >>> digit = cj.capsule("digit", cj.matmul(image, 10), cap="softmax")
        >>> cj.graph(digit, name="tiny", losses={"digit": "cross_entropy"})
        Graph('tiny', 1 inputs, 1 capsules, outputs ['digit'])

    Source: Li & Shan, arXiv 1805.03551, section 3.
    """
    _require_outputs(outputs, name)
    if backward is not None:
        require_rule(backward, "cj.graph")
    nodes = reachable(outputs)
    blocks = blocks_document(nodes)
    return from_document(
        {
            "format_version": FORMAT_VERSION,
            "name": name,
            "inputs": [input_document(n) for n in nodes if n.shape is not None],
            **({"blocks": blocks} if blocks else {}),
            "capsules": entries(nodes),
            "outputs": [node.name for node in outputs],
            "losses": losses_document(losses or {}),
            **backward_document(backward),
            "metadata": dict(metadata or {}),
        }
    )


def _require_outputs(outputs: tuple[Any, ...], name: str) -> None:
    if not outputs:
        problem = Problem(
            ("outputs",),
            "cj.graph",
            "no outputs",
            "the capsules whose Y is asked for; all that they reach is collected",
            "name the outputs first: cj.graph(digit, name=...)",
        )
        raise GraphError(name, [problem])
    for given in outputs:
        if not isinstance(given, Node):
            raise TypeError(
                "cj.graph takes as outputs what cj.capsule returned, one by one: "
                f"cj.graph(digit) or cj.graph(*heads), not {brief(given)}"
            )


def from_document(document: Any) -> Graph:
    """A graph from a document as plain data (what `json.loads` gives).

    Args:
        document: The document.

    Returns:
        The graph.

    Raises:
        GraphError: Everything that is wrong with the document, at once.
    """
    return judge(document)


def judge(
    document: Any,
    text: str | None = None,
    problems: Iterable[Problem] = (),
    source: str = "",
) -> Graph:
    """A graph from a document, or all that is wrong with it.

    Args:
        document: The document as plain data.
        text: The same as JSON text, if it is at hand.
        problems: What is known to be wrong already.
        source: The file it was read from, for messages.

    Returns:
        The graph.

    Raises:
        GraphError: Everything that is wrong with the document, at once.
    """
    present, faults = _upgrade(document)
    expansion = expand(present)
    flat = expansion.document
    if flat is None and expansion.problems:
        name = present.get("name")
        problems = [*problems, *faults, *expansion.problems]
        raise GraphError(name if isinstance(name, str) else "network", problems, source)
    form, more = validate(flat, text if flat is document else None)
    declared = sound_part(flat) if form is None else build(form, expansion)
    _, rest = check(declared)
    found = expansion.place([*more, *rest])
    faults = list(dict.fromkeys([*problems, *faults, *found]))
    if faults:
        raise GraphError(declared.name, _in_order(faults, present), source)
    if not expansion.uses:
        return declared
    text = _declared(expansion.given, expansion)
    return dataclasses.replace(declared, declared=text)


def to_document(graph: Graph) -> dict[str, Any]:
    """The document of a graph as plain data; settings at their defaults left out.

    Args:
        graph: The graph.

    Returns:
        Plain data that `from_document` turns into an equal graph.
    """
    document: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "name": graph.name,
        "inputs": [input_document(each) for each in graph.inputs],
        **_declaration(graph),
        "outputs": list(graph.outputs),
        "losses": losses_document(dict(graph.losses)),
        **backward_document(graph.backward),
    }
    return document | ({"metadata": graph.metadata} if graph.metadata else {})


def _declaration(graph: Graph) -> dict[str, Any]:
    if graph.declared:
        return json.loads(graph.declared)
    return {"capsules": [_capsule_document(capsule) for capsule in graph.capsules]}


def canonical(graph: Graph) -> str:
    """The canonical text of what a graph means: no notes, sorted keys, no blanks."""
    document = to_document(graph)
    document.pop("metadata", None)
    return json.dumps(document, sort_keys=True, separators=(",", ":"))


def _upgrade(document: Any) -> tuple[Any, list[Problem]]:
    """Brings an older document to the present format, version by version."""
    while isinstance(document, dict):
        version = document.get("format_version")
        if type(version) is not int or version not in UPGRADES:
            break
        try:
            newer = UPGRADES[version](copy.deepcopy(document))
            document = {**newer, "format_version": version + 1}
        except Exception as error:  # a malformed document may break it anywhere
            found = f"{type(error).__name__}: {error}"
            problem = Problem(
                ("format_version",),
                f"upgrade from version {version}",
                found,
                f"a well-formed document of version {version}",
                "correct the document, or write it anew in the present version",
            )
            return document, [problem]
    return document, []


def build(form: Any, expansion: Expansion) -> Graph:
    """The graph of a validated document; edges and capsules that are alike share."""
    weightings, caps = _Records(WEIGHTINGS), _Records(CAPS)
    rules = _Records(BACKWARDS)
    plain_cap = {"kind": "identity"}
    capsules = tuple(
        [
            Capsule(
                each["name"],
                tuple([_edge(e, weightings, rules) for e in each["from"]]),
                caps.get(each.get("cap", plain_cap)),
                each.get("bias", "channel"),
                rules.optional(each.get("backward")),
            )
            for each in form["capsules"]
        ]
    )
    if expansion.keys:
        capsules = tuple(map(_with_keys, capsules, expansion.keys))
    losses = _Records(LOSSES)
    return Graph(
        form.get("name", "network"),
        tuple([Input(**each) for each in form["inputs"]]),
        capsules,
        tuple(form.get("outputs") or sinks(capsules)),
        tuple((name, losses.get(x)) for name, x in form.get("losses", {}).items()),
        rules.optional(form.get("backward")),
        json.dumps(form.get("metadata", {}), sort_keys=True),
        uses=tuple(expansion.uses),
    )


def _edge(form: dict[str, Any], weightings: "_Records", rules: "_Records") -> Edge:
    source, weight = form.pop("source"), form.pop("weight", None)
    rule = rules.optional(form.pop("backward", None))
    return Edge(source, weightings.get(form), None, weight, rule)


def _with_keys(capsule: Capsule, keys: list[str]) -> Capsule:
    """The capsule, its edges named as they are written inside a block."""
    edges = tuple(
        [
            edge if edge.source == key else dataclasses.replace(edge, key=key)
            for edge, key in zip(capsule.edges, keys, strict=True)
        ]
    )
    return dataclasses.replace(capsule, edges=edges)


def _declared(document: Any, expansion: Expansion) -> str:
    """Blocks and uses of a sound document as text, in one form for all that is equal.

    Settings at defaults are left out, keys and blocks put in order.
    """
    form: Any = part_adapter("published").validate_json(plain.write(document))
    order = dict.fromkeys(use.block for use in expansion.uses)
    known = form["blocks"]
    blocks = {name: _block_form(known[name], known) for name in order}
    capsules = [_short(entry, known) for entry in form["capsules"]]
    return plain.write({"blocks": blocks, "capsules": capsules})


def _block_form(block: Any, blocks: Any) -> dict[str, Any]:
    entries = block["capsules"]
    found = {"inputs": block["inputs"]}
    if block.get("parameters"):
        found["parameters"] = block["parameters"]
    if block.get("defaults"):
        found["defaults"] = _in_turn(block["defaults"], block["parameters"])
    found["capsules"] = [_short(entry, blocks) for entry in entries]
    if block.get("output", entries[-1]["name"]) != entries[-1]["name"]:
        found["output"] = block["output"]
    return found


def _short(entry: Any, blocks: Any) -> Any:
    """A capsule's or a use's entry without what is the default."""
    if "block" in entry:
        found = {key: entry[key] for key in ("name", "block", "from")}
        if entry.get("with"):
            parameters = blocks[entry["block"]]["parameters"]
            found["with"] = _in_turn(entry["with"], parameters)
        if "repeat" in entry:
            found["repeat"] = entry["repeat"]
        return found | ({"first": entry["first"]} if entry.get("first", 1) != 1 else {})
    found = {"name": entry["name"]}
    found["from"] = [_short_kind(each, WEIGHTINGS) for each in entry["from"]]
    cap, bias = _short_kind(entry.get("cap", _PLAIN), CAPS), entry.get("bias", _BIAS)
    found |= {"cap": cap} if cap != _PLAIN else {}
    found |= {"bias": bias} if bias != _BIAS else {}
    return found | _short_rule(entry)


_PLAIN, _BIAS = {"kind": "identity"}, "channel"


def _short_kind(form: Any, registry: Registry[Any]) -> Any:
    if "kind" not in form:
        return form  # a parameter stands in its place
    fields = kind_fields(registry[form["kind"]])
    head = {key: form[key] for key in ("source", "weight", "kind") if key in form}
    own = {
        field.name: form[field.name]
        for field in fields
        if field.name in form and form[field.name] != field.default
    }
    return head | own | _short_rule(form)


def _short_rule(form: Any) -> Any:
    """The backward rule of an edge or a capsule, if there is one."""
    rule = form.get("backward")
    return {} if rule is None else {"backward": _short_kind(rule, BACKWARDS)}


def _in_turn(values: Mapping[str, Any], order: Iterable[str]) -> dict[str, Any]:
    """Values of parameters, keys in order; of kinds inside, the kind first."""
    return {key: _sorted(values[key]) for key in order if key in values}


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: (key != "kind", key))
        return {key: _sorted(value[key]) for key in keys}
    return [_sorted(each) for each in value] if isinstance(value, list) else value


class _Records:
    """Makes kinds of their document forms, each distinct one once."""

    def __init__(self, registry: Registry[Any]):
        self._registry = registry
        self._made: dict[Any, Any] = {}

    def get(self, form: dict[str, Any]) -> Any:
        """The kind with its settings."""
        key = tuple(form.items())
        try:
            found = self._made.get(key)
        except TypeError:  # a setting of a user's kind that can't be hashed
            return self._make(form)
        if found is None:
            found = self._made[key] = self._make(form)
        return found

    def optional(self, form: dict[str, Any] | None) -> Any:
        """The same, or None of nothing."""
        return None if form is None else self.get(form)

    def _make(self, form: dict[str, Any]) -> Any:
        settings = {key: value for key, value in form.items() if key != "kind"}
        return self._registry[form["kind"]](**settings)


def _capsule_document(capsule: Capsule) -> dict[str, Any]:
    return {
        "name": capsule.name,
        "from": [edge_document(edge.source, edge) for edge in capsule.edges],
        "cap": kind_document(capsule.cap),
        "bias": capsule.bias,
        **backward_document(capsule.backward),
    }


def _in_order(problems: list[Problem], document: Any) -> list[Problem]:
    """Problems in the order of the document; of the whole document, last."""
    ranks: dict[int, dict[Any, int]] = {}

    def position(problem: Problem) -> list[int]:
        steps, value = [], document
        for step in problem.path:
            rank = step if isinstance(step, int) else _LAST
            if isinstance(value, dict):
                if id(value) not in ranks:
                    ranks[id(value)] = {key: i for i, key in enumerate(value)}
                rank = ranks[id(value)].get(step, _LAST)
                value = value.get(step)
            elif isinstance(value, list | tuple) and isinstance(step, int):
                value = value[step] if step < len(value) else None
            steps.append(rank)
        return steps or [_LAST + 1]

    return sorted(problems, key=position)


_LAST = 10**9
