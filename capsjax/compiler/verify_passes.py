"""What a pass must keep, so that a network means what was declared.

1. Outputs: names, order, shapes. Inputs may be dropped, and keep their shapes.
2. Losses stand on the same outputs.
3. Parameters by name: they may be dropped, none is added or changes its shape.
4. If the pass is observable: every capsule that an output needs is still there.

And of the last pass of all: every loss can be computed.
"""

from capsjax.compiler.parameters import named_shapes
from capsjax.compiler.verify import CompilerError
from capsjax.graph.errors import listing
from capsjax.graph.kinds import Shape
from capsjax.graph.typed import TypedGraph
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
    needed = set(before.outputs)
    for item in reversed(before.capsules):
        if needed.isdisjoint(item.made):
            continue
        needed.update(item.sources)
        for name in item.stands_for:
            if name not in there:
                return (
                    f"capsule {name!r}, which an output needs, is gone; expected it "
                    "to stay; cure: cj.passes.Pass(..., observable=False)"
                )
    return ""
