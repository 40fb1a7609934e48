"""What a pass must keep, so that a network means what was declared.

1. Outputs: names, order, shapes. Inputs may be dropped, and keep their shapes.
2. Losses stand on the same outputs.
3. Parameters by name: they may be dropped, none is added or changes its shape.
4. Backward rules of the capsules that an output needs.
5. If the pass is observable: every capsule that an output needs is still there.

And of the last pass of all: every loss can be computed.
"""

from collections.abc import Iterator

from capsjax.compiler.parameters import named_shapes
from capsjax.compiler.verify import CompilerError
from capsjax.graph.errors import listing
from capsjax.graph.kinds import Shape
from capsjax.graph.typed import TypedCapsule, TypedGraph, TypedGroup, TypedRun
from capsjax.losses import PAIRS


def verify_kept(
    before: TypedGraph, after: TypedGraph, name: str, observable: bool
) -> None:
    """Compares a graph with what a pass made of it.

    Args:
        before: What the pass was given.
        after: What it returned, valid in itself.
        name: Its name, for the message.
        observable: Whether it claims to keep every capsule that an output needs.

    Raises:
        CompilerError: It did not keep what it must keep.
    """
    if before is after:
        return
    for fault in (
        _changed("outputs", _outputs(before), _outputs(after)),
        _changed("losses", _losses(before), _losses(after)),
        _added("input", dict(before.inputs), dict(after.inputs)),
        _added("parameter", _parameters(before), _parameters(after)),
        _unruled(before, after),
        _lost(before, after) if observable else "",
    ):
        if fault:
            raise CompilerError(f"after {name}: {fault}")


def require_losses(typed: TypedGraph) -> None:
    """Raises ValueError if a loss has no form but the pair that was left out."""
    caps = typed.caps
    for each in typed.losses:
        cap, loss = caps[each.output], each.loss
        paired = (type(cap), type(loss)) in PAIRS
        if paired and not each.from_total_input and cap.output == "log_probabilities":
            raise ValueError(
                f"network {typed.graph.name!r}: {loss.kind} on {each.output!r} is "
                f"computed from U, since {cap.kind} gives no probabilities; expected "
                "the pass pair_losses among the passes; cure: "
                "cj.passes.Pass(cj.passes.pair_losses, observable=True), or "
                'cap="softmax"'
            )


def _outputs(typed: TypedGraph) -> list[str]:
    shapes: dict[str, Shape] = {}
    for item in typed.capsules:
        shapes |= item.made
    return [f"{name} {shapes[name]}" for name in typed.outputs]


def _losses(typed: TypedGraph) -> list[str]:
    return [f"{each.loss} on {each.output}" for each in typed.losses]


def _parameters(typed: TypedGraph) -> dict[str, Shape]:
    return {".".join(name): shape for name, shape in named_shapes(typed).items()}


def _changed(what: str, before: list[str], after: list[str]) -> str:
    if before == after:
        return ""
    found = listing(after) or "none"
    return f"{what}: found {found}; expected {listing(before)}, as before"


def _added(what: str, before: dict[str, Shape], after: dict[str, Shape]) -> str:
    for name, shape in after.items():
        if before.get(name) != shape:
            was = f"shape {before[name]}, as before" if name in before else "none"
            return f"found {what} {name!r} of shape {shape}; expected {was}"
    return ""


def _lost(before: TypedGraph, after: TypedGraph) -> str:
    there = {name for item in after.capsules for name in item.stands_for}
    for name in _needed(before):
        if name not in there:
            return (
                f"capsule {name!r}, which an output needs, is gone; expected it "
                "to stay; cure: cj.passes.Pass(..., observable=False)"
            )
    return ""


def _needed(typed: TypedGraph) -> Iterator[str]:
    """The declaration's capsules that an output needs, from the last to the first."""
    needed = set(typed.outputs)
    for item in reversed(typed.capsules):
        if not needed.isdisjoint(item.made):
            needed.update(item.sources)
            yield from item.stands_for


def _unruled(before: TypedGraph, after: TypedGraph) -> str:
    rules = _rules(before)
    found = _rules(after) if rules else {}
    for name in _needed(before) if rules else ():
        if rules.get(name) != found.get(name):
            expected = listing(rules.get(name, [])) or "none"
            return (
                f"capsule {name!r}: backward rules "
                f"{listing(found.get(name, [])) or 'none'}; expected {expected}, as "
                "before"
            )
    return ""


def _rules(typed: TypedGraph) -> dict[str, list[str]]:
    """The backward rules at each capsule that has some, as text."""
    found: dict[str, list[str]] = {}
    for item in typed.capsules:
        if isinstance(item, TypedRun):
            for own, rules in _rules(item.body).items():
                found |= dict.fromkeys(item.members[own], rules)
        elif isinstance(item, TypedGroup) and item.backward is not None:
            found[item.name] = [str(item.backward)]
        elif isinstance(item, TypedCapsule) and item.ruled:
            received = item.received and item.received.rule
            rules = received, item.backward, *(edge.backward for edge in item.edges)
            found[item.name] = sorted(str(rule) for rule in rules if rule is not None)
    return found
