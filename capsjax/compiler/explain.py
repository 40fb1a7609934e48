"""explain: what the compiler made of a graph, stage by stage, in words and figures."""

import dataclasses
from collections.abc import Iterator

from capsjax.caps import Cap, equinox
from capsjax.compiler.compile import Typable
from capsjax.compiler.compile import compile as compile_graph
from capsjax.compiler.groups.explain import group_lines, schedule_lines
from capsjax.compiler.network import Network
from capsjax.compiler.parameters import tensor_shapes
from capsjax.compiler.plan import flops, residual_bytes
from capsjax.compiler.text import table
from capsjax.graph.declaration import Graph
from capsjax.graph.typed import (
    Concatenation,
    Term,
    TypedCapsule,
    TypedGraph,
    TypedGroup,
)
from capsjax.weightings import Weighting


@dataclasses.dataclass(frozen=True)
class Explanation:
    """The text of `explain`; prints itself."""

    text: str

    def __repr__(self) -> str:
        return self.text


def explain(graph: Graph | Typable | Network) -> Explanation:
    """Shows each stage of the compiler: what it was given, did, decided, and why.

    Args:
        graph: A declaration, or a compiled network.

    Returns:
        The text: capsules with their shapes, parameters, residual bytes and FLOPs (of
        the forward pass, per example), the notes of each pass, and the capsules and
        edges whose backward rule is JAX's, since their kind declares none.

    Raises:
        GraphError: As for `cj.compile`.

    Example:
        >>> import capsjax as cj
        >>> x = cj.input("x", (4,))
        >>> h = cj.capsule("h", cj.matmul(x, 3), cap="softmax")
        >>> cj.explain(cj.graph(h, name="tiny", losses={"h": "cross_entropy"}))
        network 'tiny': 15 parameters, 60 bytes in float32
        <BLANKLINE>
        infer: 1 inputs, 1 capsules
          x: Y (4,)
          h: U (3,) = matmul(features=3) on x + B (3,); Y (3,) = softmax(U)
          loss on h: cross_entropy
        pass drop_unneeded: nothing to do
        pass drop_identities: nothing to do
        pass concatenate: nothing to do
        pass batch: nothing to do
        pass pair_losses:
          h: softmax with cross_entropy computed from U
        <BLANKLINE>
        plan: 40 bytes kept per example for the backward pass
          capsule  U     Y     parameters  kept  FLOPs
          x              (4,)           0    16      0
          h        (3,)  (3,)          15    24     30
          total                        15    40     30
    """
    net = graph if isinstance(graph, Network) else compile_graph(graph)
    count = net.parameter_count
    lines = [
        f"network {net.graph.name!r}: {count:,} parameters, "
        f"{4 * count:,} bytes in float32",
        "",
        f"infer: {len(net.typed.inputs)} inputs, {len(net.typed.capsules)} capsules",
        *_stage_lines(net.typed),
    ]
    for stage in net.stages[1:]:
        if stage.notes:
            lines.append(f"pass {stage.name}:")
            lines += [f"  {note}" for note in stage.notes]
        else:
            lines.append(f"pass {stage.name}: nothing to do")
    lines += [*_by_jax_lines(net), "", *_plan_lines(net)]
    return Explanation("\n".join(lines))


def _stage_lines(typed: TypedGraph) -> list[str]:
    lines = [f"  {name}: Y {shape}" for name, shape in typed.inputs]
    for capsule in typed.capsules:
        if isinstance(capsule, TypedGroup):
            lines += group_lines(capsule)
        else:
            lines.append(f"  {_capsule_line(capsule)}")
    for each in typed.losses:
        lines.append(f"  loss on {each.output}: {each.loss}")
    return lines


def _capsule_line(capsule: TypedCapsule) -> str:
    terms = " + ".join(_term(term) for term in capsule.terms)
    bias = "" if capsule.bias_shape is None else f" + B {capsule.bias_shape}"
    return (
        f"{capsule.name}: U {capsule.total_input} = {terms}{bias}; "
        f"Y {capsule.output} = {capsule.cap}(U)"
    )


def _term(term: Term) -> str:
    if isinstance(term, Concatenation):
        names = ", ".join(edge.source for edge in term.edges)
        return f"concatenation of {names} on axis {term.axis}"
    return f"{term.weighting} on {term.source}"


def _by_jax_lines(net: Network) -> list[str]:
    if net.backward == "autodiff":
        return ['backward by JAX throughout: backward="autodiff"']
    found = list(_by_jax(net.program.typed))
    if not found:
        return []
    return ["backward by JAX, of kinds without a rule of their own:", *found]


def _by_jax(typed: TypedGraph) -> Iterator[str]:
    """The capsules and edges whose backward rule is the default."""
    for item in typed.capsules:
        if isinstance(item, TypedGroup):
            has_weight = item.weight_shape is not None
            if _edge_by_jax(item.weighting, has_weight):
                yield f"  {item.name}: edges of {item.weighting}"
            caps = item.caps
        else:
            for edge in item.edges:
                if _edge_by_jax(edge.weighting, edge.weight_shape is not None):
                    yield f"  {item.name}: {edge.weighting} on {edge.source}"
            caps = (item.cap,)
        for cap in caps:
            rules = type(cap).backward, type(cap).run_backward
            if isinstance(cap, equinox) or rules == (Cap.backward, Cap.run_backward):
                yield f"  {item.name}: {cap}"


def _edge_by_jax(weighting: Weighting, has_weight: bool) -> bool:
    kind = type(weighting)
    by_input = kind.input_gradient is Weighting.input_gradient
    by_weight = kind.weight_gradient is Weighting.weight_gradient
    return by_input or (has_weight and by_weight)


def _plan_lines(net: Network) -> list[str]:
    typed = net.program.typed
    kept = residual_bytes(typed, net.program.plan)
    rows = [("capsule", "U", "Y", "parameters", "kept", "FLOPs")]
    for name, shape in typed.inputs:
        rows.append((name, "", str(shape), "0", f"{kept.get(name, 0):,}", "0"))
    for capsule in typed.capsules:
        u, y = tensor_shapes(capsule)
        rows.append(
            (
                capsule.name,
                str(u),
                str(y),
                f"{capsule.parameter_count:,}",
                f"{kept.get(capsule.name, 0):,}",
                f"{flops(capsule):,}",
            )
        )
    total = sum(kept.values())
    work = sum(map(flops, typed.capsules))
    parameters = f"{typed.parameter_count:,}"
    rows.append(("total", "", "", parameters, f"{total:,}", f"{work:,}"))
    head = f"plan: {total:,} bytes kept per example for the backward pass"
    lines = [head, *table(rows)]
    for group in net.program.groups.values():
        lines += ["", *schedule_lines(group)]
    return lines
