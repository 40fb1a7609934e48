"""The structural checks: names, references, cycles, connectedness, losses.

They work on names alone, so that they say all they can also of a document some of
whose parts are not understood.
"""

from collections import Counter

from capsjax.graph.declaration import Graph
from capsjax.graph.errors import Path, Problem, nearest
from capsjax.graph.infer import infer
from capsjax.graph.topology import components, find_cycle, topological_order
from capsjax.graph.typed import TypedGraph


def check(graph: Graph) -> tuple[TypedGraph, list[Problem]]:
    """Checks a declaration and infers its shapes.

    Args:
        graph: The declaration; in a faulty document, what could be understood of it.

    Returns:
        The typed graph, and all problems found. It is whole if there are none.
    """
    sources = {each.name: () for each in graph.inputs}
    sources |= {c.name: tuple(e.source for e in c.edges) for c in graph.capsules}
    problems = _check_names(graph) + _check_references(graph, sources)
    order, rest = topological_order(sources)
    if rest:
        problems.append(_cycle_problem(find_cycle(sources, rest)))
    problems += _check_connected(sources)
    problems += _check_read(graph, sources) + _check_outputs(graph, sources)
    typed, more = infer(graph, order)
    return typed, problems + more


def _places(graph: Graph) -> list[tuple[str, Path]]:
    inputs = [(x.name, ("inputs", i)) for i, x in enumerate(graph.inputs)]
    capsules = [(x.name, ("capsules", i)) for i, x in enumerate(graph.capsules)]
    return inputs + capsules


def _check_names(graph: Graph) -> list[Problem]:
    places = _places(graph)
    counts = Counter(name for name, _ in places)
    return [
        Problem(
            path,
            f"name {name!r}",
            f"{counts[name]} inputs or capsules with this name",
            "a name of its own for each",
            "rename all but one of them",
        )
        for name, path in dict(reversed(places)).items()
        if counts[name] > 1
    ]


def _check_references(graph: Graph, sources: dict[str, tuple[str, ...]]):
    return [
        Problem(
            ("capsules", i, "from", j, "source"),
            f"capsule {capsule.name!r}, edge {j + 1}",
            f"a source named {edge.source!r}",
            "the name of an input or of a capsule of this graph",
            nearest(edge.source, sources, "declare it, or remove the edge"),
        )
        for i, capsule in enumerate(graph.capsules)
        for j, edge in enumerate(capsule.edges)
        if edge.source not in sources
    ]


def _cycle_problem(cycle: list[str]) -> Problem:
    return Problem(
        ("capsules",),
        "a cycle",
        " -> ".join(cycle),
        "a graph without cycles",
        f"remove one of these edges, such as {cycle[-2]!r} -> {cycle[-1]!r}",
    )


def _check_connected(sources: dict[str, tuple[str, ...]]) -> list[Problem]:
    parts = components(sources)
    if len(parts) < 2:
        return []
    shown = "; ".join(
        f"{{{', '.join(part[:8])}{', ...' if len(part) > 8 else ''}}}"
        for part in parts[:8]
    )
    return [
        Problem(
            (),
            "the graph is not connected",
            f"{len(parts)} components: {shown}{'; ...' if len(parts) > 8 else ''}",
            "one connected graph",
            "join the components by an edge, or declare each as a graph of its own",
        )
    ]


def _check_read(graph: Graph, sources: dict[str, tuple[str, ...]]) -> list[Problem]:
    read = {source for each in sources.values() for source in each}
    return [
        Problem(
            ("inputs", i),
            f"input {each.name!r}",
            "no capsule reads it",
            "an edge from every input",
            "give a capsule an edge from it, or remove the input",
        )
        for i, each in enumerate(graph.inputs)
        if each.name not in read
    ]


def _check_outputs(graph: Graph, sources: dict[str, tuple[str, ...]]) -> list[Problem]:
    capsules = {capsule.name for capsule in graph.capsules}
    problems = [
        Problem(
            ("outputs", i),
            f"output {name!r}",
            "an input" if name in sources else "no capsule of this name",
            "the name of a capsule, once",
            nearest(name, capsules, "remove it from the outputs"),
        )
        for i, name in enumerate(graph.outputs)
        if name not in capsules
    ]
    problems += [
        Problem(
            ("outputs",),
            f"output {name!r}",
            f"listed {count} times",
            "the name of a capsule, once",
            "list it once",
        )
        for name, count in Counter(graph.outputs).items()
        if count > 1
    ]
    for name, loss in graph.losses:
        if name not in graph.outputs:
            known = name in sources
            found = "a capsule that is not an output" if known else "no such capsule"
            cure = f"add {name!r} to the outputs, or remove the loss"
            problems.append(
                Problem(
                    ("losses", name),
                    f"loss {loss} on {name!r}",
                    found,
                    f"the name of an output: {', '.join(map(repr, graph.outputs))}",
                    cure if known else nearest(name, graph.outputs, "remove the loss"),
                )
            )
    return problems
