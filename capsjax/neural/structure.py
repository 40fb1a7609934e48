"""What is wrong with the graph of a neural network, if it is no connected DAG."""

import numpy as np

from capsjax.graph.errors import Problem, listing
from capsjax.graph.levels import (
    adjacency,
    components,
    cycle,
    has_duplicates,
    levels,
)
from capsjax.neural.names import MOST_SHOWN, Names, Problems

_LONGEST_CYCLE = 12


def check_structure(
    sources: np.ndarray, targets: np.ndarray, names: Names, problems: Problems
) -> np.ndarray | None:
    """A connected DAG, each pair once; the levels of the nodes if they were needed."""
    size = len(names.inputs)
    loops = sources == targets
    if loops.any():
        problems.append(
            Problem(
                ("sources", int(np.argmax(loops))),
                "self loops",
                names.edges(sources[loops], targets[loops]),
                "connections between two nodes",
                "remove them: a neuron that reads itself is a cycle",
            )
        )
    entering = (targets < size) & ~loops
    if entering.any():
        problems.append(
            Problem(
                ("targets", int(np.argmax(entering))),
                "connections that enter an input",
                names.edges(sources[entering], targets[entering]),
                "connections that enter neurons: an input's value is given",
                "declare that node as a neuron, or turn the connection round",
            )
        )
    matrix = adjacency(sources, targets, names.size)
    if has_duplicates(matrix):
        _report_duplicates(sources, targets, names, problems)
    _check_connected(components(matrix), names, problems)
    del matrix
    if loops.any() or entering.any():
        sound = ~(loops | entering)
        sources, targets = sources[sound], targets[sound]
    idle = np.flatnonzero(np.bincount(targets, minlength=names.size)[size:] == 0)
    if idle.size:
        shown = listing(names.show(idle[:MOST_SHOWN] + size))
        rest = idle.size - MOST_SHOWN
        problems.append(
            Problem(
                ("neurons", int(idle[0])),
                "neurons that read nothing",
                shown + (f", and {rest:,} more" if rest > 0 else ""),
                "at least one incoming connection for every neuron",
                "connect them, or declare them as inputs",
            )
        )
    return _check_cycles(sources, targets, names, problems)


def _report_duplicates(
    sources: np.ndarray, targets: np.ndarray, names: Names, problems: Problems
) -> None:
    edges = targets.astype(np.int64) * names.size + sources
    _, first = np.unique(edges, return_index=True)
    again = np.setdiff1d(np.arange(len(edges)), first, assume_unique=True)
    problems.append(
        Problem(
            ("sources", int(again[0])),
            "duplicate connections",
            names.edges(sources[again], targets[again]),
            "at most one connection from a node to a node: W is a set",
            "remove the repetitions, or add their weights up",
        )
    )


def _check_cycles(
    sources: np.ndarray, targets: np.ndarray, names: Names, problems: Problems
) -> np.ndarray | None:
    if np.all(sources < targets):
        return None  # declared in topological order
    found = levels(sources, targets, names.size)
    if found.min() < 0:
        path = cycle(sources, targets, found)
        head, tail = path, path[:0]
        if len(path) > _LONGEST_CYCLE:
            head, tail = path[: _LONGEST_CYCLE - 3], path[-3:]
        left_out = len(path) - len(head) - len(tail)
        middle = [f"... {left_out:,} more ..."] if left_out else []
        shown = [*names.show(head), *middle, *names.show(tail)]
        last = " -> ".join(names.show(path[-2:]))
        problems.append(
            Problem(
                (),
                "a cycle",
                " -> ".join(shown),
                "a graph without cycles",
                f"remove one of these connections, such as {last}",
            )
        )
    return found


def _check_connected(part: np.ndarray, names: Names, problems: Problems) -> None:
    count = int(part.max(initial=0)) + 1
    if count == 1:
        return
    sizes = np.bincount(part)
    shown = []
    for number in range(min(count, MOST_SHOWN)):
        some = np.flatnonzero(part == number)[:MOST_SHOWN]
        rest = int(sizes[number]) - len(some)
        inside = names.show(some) + [f"and {rest:,} more"] * (rest > 0)
        shown.append(f"{{{', '.join(inside)}}}")
    rest = [f"and {count - len(shown):,} more"] * (count > len(shown))
    problems.append(
        Problem(
            (),
            "the graph is not connected",
            f"{count:,} components: {'; '.join(shown + rest)}",
            "one connected graph",
            "join the components by a connection, or make each a network of its own",
        )
    )
