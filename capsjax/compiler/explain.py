"""explain: what the compiler made of a graph, stage by stage, in words and figures."""

import dataclasses
import math
from collections.abc import Hashable, Iterable, Iterator

from capsjax.caps import Cap, equinox
from capsjax.compiler.choices import algorithm_lines
from capsjax.compiler.compile import Typable
from capsjax.compiler.compile import compile as compile_graph
from capsjax.compiler.groups.explain import group_lines, schedule_lines
from capsjax.compiler.inference import Frozen
from capsjax.compiler.network import Network
from capsjax.compiler.outline import Copies, Item, count_words, held, relative
from capsjax.compiler.plan import RunPlan, copy_bytes, flops, residual_bytes
from capsjax.compiler.text import table
from capsjax.displayed import Displayed
from capsjax.graph.declaration import Graph
from capsjax.graph.typed import (
    Concatenation,
    Term,
    TypedCapsule,
    TypedGraph,
    TypedGroup,
    TypedRun,
)
from capsjax.weightings import Weighting


@dataclasses.dataclass(frozen=True)
class Explanation(Displayed):
    """The text of `explain`; prints itself."""

    text: str

    def __repr__(self) -> str:
        return self.text


def explain(
    graph: Graph | Typable | Network | Frozen, *, batch_size: int | None = None
) -> Explanation:
    """Shows each stage of the compiler: what it was given, did, decided, and why.

    Args:
        graph: A declaration, a compiled network, or an inference program.
        batch_size: The batch for which algorithms are shown, 32 if left out. Given, it
            adds `net.memory(batch_size)`: what the backward pass holds of the forward
            pass for so many examples, and what less memory would cost.

    Returns:
        The text: capsules with their shapes, parameters, residual bytes and FLOPs (of
        the forward pass, per example), the notes of each pass, the algorithms chosen
        for operations that have several, and the capsules and edges whose backward
        rule is JAX's, since their kind declares none.

    Raises:
        GraphError: As for `cj.compile`.
        ValueError: As for `net.memory`, with a batch size.

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
        pass simplify: nothing to do
        pass drop_identities: nothing to do
        pass concatenate: nothing to do
        pass batch: nothing to do
        pass pair_losses:
          h: softmax with cross_entropy computed from U
        pass merge: nothing to do
        pass fold: nothing to do
        <BLANKLINE>
        plan: 40 bytes kept per example for the backward pass
          capsule  U     Y     parameters  kept  FLOPs
          x              (4,)           0    16      0
          h        (3,)  (3,)          15    24     30
          total                        15    40     30
    """
    if isinstance(graph, Frozen):
        made, noun = graph.compiled, "inference program"
        more = _program_lines(made.typed, made.program.typed)
    else:
        made = graph if isinstance(graph, Network) else compile_graph(graph)
        chosen = algorithm_lines(made.program.typed, batch_size or 32)
        if made.backward == "autodiff":
            chosen = []
        noun, more = "network", [*chosen, *_by_jax_lines(made), "", *_plan_lines(made)]
        if batch_size is not None and made.backward != "autodiff":
            more += ["", str(made.memory(batch_size))]
    lines = [
        f"{noun} {made.graph.name!r}: {count_words(made.program.typed)}",
        "",
        f"infer: {len(made.typed.inputs)} inputs, {len(made.typed.capsules)} capsules",
        *_stage_lines(made.typed),
        *(_traced_lines(made) if isinstance(made, Network) else ()),
    ]
    for stage in made.stages[1:]:
        if stage.notes:
            lines.append(f"pass {stage.name}:")
            lines += [f"  {note}" for note in stage.notes]
        else:
            lines.append(f"pass {stage.name}: nothing to do")
    return Explanation("\n".join(lines + more))


def _traced_lines(made: Network) -> list[str]:
    """The settings that are no part of the program."""
    traced = [f"{k} (declared as {v})" for k, v in made.settings.items()]
    return [f"traced settings: {', '.join(traced)}"] if traced else []


def _program_lines(declared: TypedGraph, made: TypedGraph) -> list[str]:
    """What an inference program computes, and how much less that is."""
    work = [sum(map(flops, typed.capsules)) for typed in (declared, made)]
    counts = [len(typed.capsules) for typed in (declared, made)]
    return [
        "",
        f"program: {counts[1]:,} of {counts[0]:,} capsules, {work[1]:,} of "
        f"{work[0]:,} FLOPs for one example",
        *_stage_lines(made),
    ]


def _stage_lines(typed: TypedGraph) -> list[str]:
    lines = []
    for name, shape in typed.inputs:
        integers = ", integers" if name in typed.integers else ""
        lines.append(f"  {name}: Y {shape}{integers}")
    capsules = {capsule.name: capsule for capsule in typed.unfolded}

    def figures(name: str) -> Hashable:
        capsule = capsules[name]
        kinds = [str(edge.weighting) for edge in getattr(capsule, "edges", ())]
        return capsule.parameter_count, capsule.shapes, str(kinds)

    def write(items: Iterable[Item], within: str, indent: str) -> None:
        for item in items:
            if isinstance(item, Copies):
                lines.append(f"{indent}{item.title(within)}: {item.block}")
                write(item.inner, item.name, indent + "  ")
                continue
            capsule = capsules[item]
            if isinstance(capsule, TypedGroup):
                lines.extend(group_lines(capsule))
            else:
                lines.append(f"{indent}{_capsule_line(capsule, within)}")

    write(held(typed, figures), "", "  ")
    for name, (_, edge) in typed.shared.items():
        count = sum(
            each.weight == name
            for capsule in capsules.values()
            if isinstance(capsule, TypedCapsule)
            for each in capsule.edges
        )
        lines.append(f"  weight {name} {edge.weight_shape}, shared by {count} edges")
    for each in typed.losses:
        lines.append(f"  loss on {each.output}: {each.loss}")
    return lines


def _capsule_line(capsule: TypedCapsule, within: str) -> str:
    name = relative(capsule.name, within)
    if not capsule.terms:
        return f"{name}: Y {capsule.output} = B, learned"
    terms = " + ".join(_term(term, within) for term in capsule.terms)
    bias = "" if capsule.bias_shape is None else f" + B {capsule.bias_shape}"
    carried = [f"{key} {shape}" for key, shape in capsule.state_shapes.items()]
    state = f"; carries {', '.join(carried)}" if carried else ""
    return (
        f"{name}: U {capsule.total_input} = {terms}{bias}; "
        f"Y {capsule.output} = {capsule.cap}(U){state}{_rules(capsule, within)}"
    )


def _rules(capsule: TypedCapsule, within: str) -> str:
    """The backward rules that act on a capsule and on the edges into it."""
    found = []
    if capsule.received is not None:
        found.append(f"dL/dY by {capsule.received.rule}")
    if capsule.backward is not None:
        found.append(f"delta by {capsule.backward}")
    found += [
        f"back to {relative(edge.source, within)} by {edge.backward}"
        for edge in capsule.edges
        if edge.backward is not None
    ]
    return f"; {', '.join(found)}" if found else ""


def _term(term: Term, within: str) -> str:
    if isinstance(term, Concatenation):
        names = ", ".join(relative(edge.source, within) for edge in term.edges)
        return f"concatenation of {names} on axis {term.axis}"
    weight = f" by {term.weight}" if term.weight is not None else ""
    return f"{term.weighting} on {relative(term.source, within)}{weight}"


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
        elif isinstance(item, TypedRun):
            yield from _by_jax(item.body)
            continue
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
    rows: list[tuple[str, ...]]
    rows = [("capsule", "U", "Y", "parameters", "kept", "FLOPs")]
    for name, shape in typed.inputs:
        rows.append((name, "", str(shape), "0", f"{kept.get(name, 0):,}", "0"))
    figures = {
        capsule.name: (
            capsule.parameter_count,
            kept.get(capsule.name, 0),
            flops(capsule),
        )
        for capsule in typed.capsules
    }
    runs = {run.name: run for run in typed.runs}
    shapes = {capsule.name: capsule.shapes for capsule in typed.unfolded}

    def write(items: Iterable[Item], within: str, indent: str) -> None:
        for item in items:
            names = item.members if isinstance(item, Copies) else (item,)
            own = [sum(column) for column in zip(*map(figures.get, names), strict=True)]
            if isinstance(item, Copies):
                head = f"{indent}{item.title(within)}", "", ""
            elif item in runs:
                title = f"{relative(item, within)} ({runs[item].size} copies)"
                head = f"{indent}{title}", "", ""
            else:
                u, y = shapes[item]
                head = f"{indent}{relative(item, within)}", str(u), str(y)
            rows.append((*head, *[f"{n:,}" for n in own]))
            if isinstance(item, Copies):
                write(item.inner, item.name, indent + "  ")
            elif item in runs:
                made = net.program.plan.runs[item]
                rows.extend(_copy_rows(runs[item], made, indent + "  "))

    write(held(typed, lambda name: (figures[name], shapes.get(name))), "", "")
    for name, (_, edge) in typed.shared.items():
        count = math.prod(edge.weight_shape or ())
        rows.append((f"weight {name}", "", "", f"{count:,}", "0", "0"))
    total = sum(kept.values())
    work = sum(map(flops, typed.capsules))
    parameters = f"{typed.parameter_count:,}"
    rows.append(("total", "", "", parameters, f"{total:,}", f"{work:,}"))
    head = f"plan: {total:,} bytes kept per example for the backward pass"
    if any(" copies)" in row[0] for row in rows):
        head += "; below a line of copies stands the first one"
    lines = [head, *table(rows)]
    for group in net.program.groups.values():
        lines += ["", *schedule_lines(group)]
    return lines


def _copy_rows(run: TypedRun, made: RunPlan, indent: str) -> Iterator[tuple[str, ...]]:
    """The first copy of a run, and what it is given by the one before."""
    kept = copy_bytes(run, made)
    first = {own: names[0] for own, names in run.members.items()}
    for each in run.carried:
        shape = str(dict(run.body.inputs)[each.slot])
        name = f"{indent}{first[each.output]} before"
        yield name, "", shape, "0", f"{kept.get(each.slot, 0):,}", "0"
    for capsule in run.body.alone:
        own = capsule.parameter_count, kept.get(capsule.name, 0), flops(capsule)
        shapes = map(str, capsule.shapes)
        yield f"{indent}{first[capsule.name]}", *shapes, *[f"{n:,}" for n in own]
