"""Order, cycles and components of a graph given by names: all in linear time."""

import heapq
from collections.abc import Iterable, Mapping

Sources = Mapping[str, Iterable[str]]


def topological_order(sources: Sources) -> tuple[list[str], list[str]]:
    """Orders names so that sources stand before their readers (Kahn's algorithm).

    Among names that are ready, the first declared comes first: a declaration that is
    in topological order already keeps its order.

    Args:
        sources: For each name, the names that it reads.

    Returns:
        The order, and the names left over because they lie on or behind a cycle.
    """
    readers: dict[str, list[str]] = {name: [] for name in sources}
    waiting: dict[str, int] = {}
    for name, read in sources.items():
        unique = set(read) & readers.keys()
        waiting[name] = len(unique)
        for source in unique:
            readers[source].append(name)
    rank = {name: i for i, name in enumerate(sources)}
    names = list(sources)
    ready = [rank[name] for name, count in waiting.items() if count == 0]
    order = []
    while ready:
        name = names[heapq.heappop(ready)]
        order.append(name)
        for reader in readers[name]:
            waiting[reader] -= 1
            if waiting[reader] == 0:
                heapq.heappush(ready, rank[reader])
    return order, [name for name, count in waiting.items() if count > 0]


def find_cycle(sources: Sources, among: list[str]) -> list[str]:
    """A cycle among names that topological ordering left over.

    Walks backwards along sources that are left over too: every such name has one, so
    the walk must return to a name it has seen.

    Returns:
        The cycle in the direction of the data, the first name repeated at the end.
    """
    left = set(among)
    seen: dict[str, int] = {}
    walk: list[str] = []
    name = among[0]
    while name not in seen:
        seen[name] = len(walk)
        walk.append(name)
        name = next(source for source in sources[name] if source in left)
    cycle = [*walk[seen[name] :], name]
    return cycle[::-1]


def components(sources: Sources) -> list[list[str]]:
    """The connected parts, edges taken without direction (union-find)."""
    parent = {name: name for name in sources}

    def root(name: str) -> str:
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for name, read in sources.items():
        for source in read:
            if source in parent:
                parent[root(name)] = root(source)
    parts: dict[str, list[str]] = {}
    for name in sources:
        parts.setdefault(root(name), []).append(name)
    return list(parts.values())
