"""The structural checks: names, references, cycles, connectedness, losses.

They work on names alone, so that they say all they can also of a document some of
whose parts are not understood.
"""

from collections import Counter

from capsjax.graph.assignment import apply_rules
from capsjax.graph.backward import declared_rules
from capsjax.graph.declaration import Graph
from capsjax.graph.errors import (
    NAMELESS,
    Path,
    Problem,
    Suggestions,
    listing,
    quoted,
)
from capsjax.graph.infer import infer
from capsjax.graph.topology import components, find_cycle, topological_order
from capsjax.graph.typed import TypedGraph

_MOST_CYCLES = 10

Sources = dict[str, tuple[str, ...]]


def check(graph: Graph) -> tuple[TypedGraph, list[Problem]]:
    """Checks a declaration and infers its shapes.

    Args:
        graph: The declaration; in a faulty document, what could be understood of it.

    Returns:
        The typed graph, and all problems found. It is whole if there are none.
    """
    sources: Sources = {each.name: () for each in graph.inputs}
    for capsule in graph.capsules:
        read = tuple([edge.source for edge in capsule.edges])
        sources[capsule.name] = sources.get(capsule.name, ()) + read
    problems = _check_names(graph)
    problems += _check_references(graph, sources)
    problems += _check_weights(graph, sources)
    order, rest = topological_order(sources)
    problems += _check_cycles(graph, sources, rest)
    if not _has_nameless(sources):
        unread = _check_read(graph, sources)
        problems += unread
        problems += _check_connected(sources, len(unread))
    problems += _check_outputs(graph, sources) + _check_losses(graph, sources)
    typed, more = infer(graph, order)
    typed, unfit = apply_rules(typed, [declared_rules(graph, typed)])
    return typed, problems + more + unfit


def _check_names(graph: Graph) -> list[Problem]:
    """A problem for each name but its first bearer."""
    places: list[tuple[str, Path]] = []
    places += [(x.name, ("inputs", i)) for i, x in enumerate(graph.inputs)]
    places += [(x.name, ("capsules", i)) for i, x in enumerate(graph.capsules)]
    counts = Counter(name for name, _ in places)
    if len(counts) == len(places):
        return []
    seen: set[str] = set()
    problems = []
    for name, path in places:
        if name in seen:
            problems.append(
                Problem(
                    (*path, "name"),
                    f"name {quoted(name)}",
                    f"{counts[name]} inputs or capsules with this name",
                    "a name of its own for each",
                    "rename all but one; if one capsule is meant, declare it once and "
                    "let every reader name it as its source",
                )
            )
        seen.add(name)
    return problems


def _check_weights(graph: Graph, sources: Sources) -> list[Problem]:
    """Shared weights that are called like a capsule; integers that are learned."""
    problems = [
        Problem(
            ("inputs", i, "dtype"),
            f"input {quoted(each.name)}",
            "integers that are learned",
            "real numbers, where the input is learned",
            "remove dtype, or learned",
        )
        for i, each in enumerate(graph.inputs)
        if each.learned and each.dtype != "float"
    ]
    if graph.inputs and all(each.learned for each in graph.inputs):
        problems.append(
            Problem(
                ("inputs",),
                "inputs",
                "learned inputs alone",
                "an input that is given, which says how many examples there are",
                "declare an input that is not learned",
            )
        )
    for i, capsule in enumerate(graph.capsules):
        for j, edge in enumerate(capsule.edges):
            if edge.weight in sources:
                problems.append(
                    Problem(
                        ("capsules", i, "from", j, "weight"),
                        f"capsule {quoted(capsule.name)}, edge from "
                        f"{quoted(edge.source)}",
                        f"a weight called {quoted(edge.weight)}, as a capsule is",
                        "a name of its own: parameters are named by both",
                        "rename the weight",
                    )
                )
    return problems


def _check_references(graph: Graph, sources: Sources) -> list[Problem]:
    """Edges whose source is nowhere.

    Where a name is near, the checks after this one take that name to be meant.
    """
    problems = []
    suggest: Suggestions | None = None
    meant: dict[str, str] = {}
    for i, capsule in enumerate(graph.capsules):
        for j, edge in enumerate(capsule.edges):
            if edge.source in sources or edge.source == NAMELESS:
                continue
            suggest = suggest or Suggestions(n for n in sources if n[:1] != NAMELESS)
            near = meant.get(edge.source) or suggest.near(edge.source)
            cure = "declare it, or remove the edge"
            if near is not None:
                meant[edge.source] = near
                cure = f"did you mean {near!r}?"
            problems.append(
                Problem(
                    ("capsules", i, "from", j, "source"),
                    f"capsule {quoted(capsule.name)}, edge {j + 1}",
                    f"a source named {quoted(edge.source)}",
                    "the name of an input or of a capsule of this graph",
                    cure,
                )
            )
    if meant:
        for name, read in sources.items():
            sources[name] = tuple([meant.get(source, source) for source in read])
    return problems


def _check_cycles(graph: Graph, sources: Sources, rest: list[str]) -> list[Problem]:
    """Cycles that share no capsule, one after the other."""
    problems = []
    position = {}
    if rest:
        position = {each.name: i for i, each in enumerate(graph.capsules)}
        names = [each.name for each in (*graph.inputs, *graph.capsules)]
        if len(set(names)) < len(names):
            return []  # edges by name are ambiguous: a cycle may be none
    while rest and len(problems) < _MOST_CYCLES:
        cycle = find_cycle(sources, rest)
        source, reader = cycle[-2:]
        edge = sources[reader].index(source)
        shown = [quoted(name) for name in cycle]
        if len(shown) > 40:
            shown = [*shown[:30], f"... {len(shown) - 35} more ...", *shown[-5:]]
        problems.append(
            Problem(
                ("capsules", position[reader], "from", edge, "source"),
                "a cycle",
                " -> ".join(shown),
                "a graph without cycles",
                f"remove one of these edges, such as {quoted(source)} -> "
                f"{quoted(reader)}",
            )
        )
        left = set(rest).difference(cycle)
        rest = topological_order(
            {name: [s for s in sources[name] if s in left] for name in left}
        )[1]
        rest.sort(key=position.__getitem__)
    return problems


def _has_nameless(sources: Sources) -> bool:
    """Whether a part of the document is not understood: what it reads is unknown."""
    names = any(name.startswith(NAMELESS) for name in sources)
    return names or any(NAMELESS in read for read in sources.values())


def _check_connected(sources: Sources, unread: int) -> list[Problem]:
    parts = components(sources)
    if len(parts) - unread < 2:  # an input that nobody reads is reported as such
        return []
    shown = [f"{{{listing(map(quoted, part), 8)}}}" for part in parts[:9]]
    shown += ["{}"] * (len(parts) - len(shown))
    return [
        Problem(
            (),
            "the graph is not connected",
            f"{len(parts)} components: {listing(shown, 8, '; ')}",
            "one connected graph",
            "join the components by an edge, or declare each as a graph of its own",
        )
    ]


def _check_read(graph: Graph, sources: Sources) -> list[Problem]:
    read = {source for each in sources.values() for source in each}
    inputs = graph.inputs if graph.capsules else ()
    return [
        Problem(
            ("inputs", i),
            f"input {quoted(each.name)}",
            "no capsule reads it",
            "an edge from every input",
            "give a capsule an edge from it, or remove the input",
        )
        for i, each in enumerate(inputs)
        if each.name not in read
    ]


def _check_outputs(graph: Graph, sources: Sources) -> list[Problem]:
    capsules = {capsule.name for capsule in graph.capsules}
    suggest = Suggestions(capsules)
    problems = []
    seen: set[str] = set()
    for i, name in enumerate(graph.outputs):
        found, cure = "", ""
        if name in seen and name != NAMELESS:
            found, cure = "a name that stands in the list before", "list it once"
        elif name not in capsules and not name.startswith(NAMELESS):
            found = "an input" if name in sources else "no capsule of this name"
            if not capsules and name not in sources:
                continue  # the capsules are faulty altogether
            cure = suggest.cure(name, "remove it from the outputs")
            if name in sources:
                cure = "name a capsule; one that reads the input by `identity` serves"
        if found:
            place, expected = f"output {quoted(name)}", "the name of a capsule, once"
            problems.append(Problem(("outputs", i), place, found, expected, cure))
        seen.add(name)
    return problems


def _check_losses(graph: Graph, sources: Sources) -> list[Problem]:
    outputs = set(graph.outputs)
    if not outputs:
        return []  # they are faulty altogether
    suggest = Suggestions(outputs)
    problems = []
    for name, loss in graph.losses:
        if name in outputs:
            continue
        known = name in sources
        cure = f"add {quoted(name)} to the outputs, or remove the loss"
        problems.append(
            Problem(
                ("losses", name),
                f"loss {loss} on {quoted(name)}".replace("  ", " "),
                "a capsule that is not an output" if known else "no such capsule",
                f"the name of an output: {listing(map(quoted, graph.outputs))}",
                cure if known else suggest.cure(name, "remove the loss"),
            )
        )
    return problems
