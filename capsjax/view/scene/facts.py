"""What is known of a capsule: shapes, parameters, FLOPs, residual bytes, equation."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from capsjax.compiler import Network
from capsjax.compiler.outline import Copies
from capsjax.compiler.plan import flops
from capsjax.graph.kinds import Shape
from capsjax.graph.typed import TypedCapsule, TypedGroup
from capsjax.view import labels
from capsjax.view.kept import kept_bytes

Facts = tuple[tuple[str, str], ...]


@dataclasses.dataclass(frozen=True)
class Known:
    """What the compiler knows of each capsule, by name.

    Attributes:
        parameters: Number of parameters.
        flops: FLOPs of the forward pass of one example.
        residuals: Bytes that the backward pass reads of what the forward pass made,
            an example in float32; none where JAX chooses them.
        loops: What became one loop: the number of copies.
    """

    parameters: dict[str, int]
    flops: dict[str, int]
    residuals: dict[str, int] | None
    loops: dict[str, int]

    @classmethod
    def of(cls, net: Network) -> "Known":
        """What is known of a network's capsules."""
        loops = {}
        for run in net.program.typed.runs:
            loops |= dict.fromkeys(run.stands_for, run.size)
        every = net.typed.unfolded
        return cls(
            {each.name: each.parameter_count for each in every},
            {each.name: flops(each) for each in every},
            None if net.backward == "autodiff" else kept_bytes(net)[0],
            loops,
        )

    def sums(self, names: Sequence[str]) -> Facts:
        """Parameters, FLOPs and residual bytes of some capsules together."""
        found = [
            ("parameters", f"{sum(self.parameters.get(n, 0) for n in names):,}"),
            ("FLOPs", f"{sum(self.flops.get(n, 0) for n in names):,} an example"),
        ]
        if self.residuals is not None:
            size = sum(self.residuals.get(name, 0) for name in names)
            found.append(("residual", f"{size:,} bytes an example"))
        copies = {self.loops.get(name, 1) for name in names} - {1}
        if copies:
            words = " and ".join(map(str, sorted(copies)))
            found.append(("runs as", f"a loop of {words} copies"))
        return tuple(found)


def of_input(name: str, shape: Shape, integers: bool) -> tuple[Facts, str]:
    """Facts and equation of an input."""
    kind = "integers" if integers else "numbers"
    return (("Y", labels.shape_words(shape)), ("holds", kind)), f"Y = {name}, given"


def of_capsule(capsule: TypedCapsule | TypedGroup, known: Known) -> tuple[Facts, str]:
    """Facts and equation of a capsule, or of a group of capsules that are alike."""
    total, output = map(labels.shape_words, capsule.shapes)
    kinds = [each.kind for each in getattr(capsule, "caps", ())]
    facts = [("U", total), ("Y", output)]
    if isinstance(capsule, TypedGroup):
        facts.append(("function", labels.caps_words(capsule)))
        facts.append(("edges", f"{len(capsule.edge_sources):,}"))
        weighting = capsule.weighting
        operand = ", ".join(capsule.sources)
        term = _term(
            weighting, operand, "W" if capsule.weight_shape is not None else ""
        )
        kind = kinds[0] if len(kinds) == 1 else "cap"
        right = term + (" + B" if capsule.bias_shape is not None else "")
        equation = f"Y = {right if kind == 'identity' else f'{kind}({right})'}"
    else:
        facts.append(("function", labels.words(capsule.cap)))
        facts += [
            (f"W[{edge.weight or edge.key}]", labels.shape_words(edge.weight_shape))
            for edge in capsule.edges
            if edge.weight_shape is not None
        ]
        if capsule.bias_shape is not None:
            facts.append(("B", labels.shape_words(capsule.bias_shape)))
        equation = equation_of(capsule)
    rule = labels.rule_words(capsule) if isinstance(capsule, TypedCapsule) else ""
    if rule:
        facts.append(("backward", rule.removeprefix("back: ")))
    return (*facts, *known.sums([capsule.name])), equation


def of_copies(copies: Copies, output: Shape, known: Known) -> Facts:
    """Facts of a block, or of equal copies of it."""
    head = [("block", copies.block)]
    if len(copies.uses) > 1:
        head.append(("copies", f"{len(copies.uses)}, up to {copies.uses[-1].name}"))
    head.append(("capsules", f"{len(copies.members):,}"))
    head.append(("Y", labels.shape_words(output)))
    return (*head, *known.sums(copies.members))


def equation_of(capsule: TypedCapsule) -> str:
    """How Y of a capsule is computed, with the names of what it reads.

    Example:
        >>> import capsjax as cj
        >>> net = cj.compile(cj.zoo.graph("lenet-5"))
        >>> first = net.typed.alone[0]
        >>> equation_of(first)
        'Y = relu(W * image + B)'
    """
    many = sum(edge.weight_shape is not None for edge in capsule.edges) > 1
    terms = []
    for edge in capsule.edges:
        weight = "W" if edge.weight_shape is not None else ""
        if weight and (many or edge.weight):
            weight = f"W[{edge.weight or edge.key}]"
        terms.append(_term(edge.weighting, edge.source, weight))
    if capsule.bias_shape is not None:
        terms.append("B")
    total = " + ".join(terms)
    kind = capsule.cap.kind
    return f"Y = {total}" if kind == "identity" else f"Y = {kind}({total})"


def _term(weighting: Any, source: str, weight: str) -> str:
    symbol = weighting.symbol
    if not symbol:
        return source
    if weight:
        if symbol == "⊗":  # no symbol of its own
            return f"{weighting.kind}({weight}, {source})"
        return f"{weight} {symbol} {source}"
    return f"{weighting.kind}({source})"
