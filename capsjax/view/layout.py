"""Where capsules, labels and lines go: layers, without any drawing.

Each edge gets a vertex of its own in the layout, which bears its label. So labels
never overlap, and several edges between two capsules lie side by side. Where no edge
has a label, edges go straight from layer to layer. Layers and the order in them are
found by the method of Sugiyama, Tagawa & Toda (1981), as implemented by fast-sugiyama;
the distances are ours, because they depend on the sizes of texts.

Coordinates here: `along` the flow of data, and `across` it.
"""

import dataclasses
import itertools
import math
from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any, Literal

Point = tuple[float, float]
Size = tuple[float, float]

_NARROW, _WIDE, _SLOPE = 18.7, 72.0, 0.22
_ACROSS_GAP = 18.7
_UNIT = 1000.0
_MANY = 1500  # links, from where one quick variant of the method has to do


@dataclasses.dataclass(frozen=True)
class Layout:
    """Positions in points, the first layer at 0, as (along, across).

    Attributes:
        vertices: Centers of the capsules, in the order given.
        labels: Centers of the edges' labels, in the order given; where no edge has
            one, a point of each edge.
        paths: For each edge the points it passes, from border to border. It is
            straight from each even point to the next odd one, and bends from each
            odd point to the next even one.
        size: Extent of everything.
    """

    vertices: tuple[Point, ...]
    labels: tuple[Point, ...]
    paths: tuple[tuple[Point, ...], ...]
    size: Size


def layered(
    vertices: Sequence[Size],
    edges: Sequence[tuple[int, int]],
    labels: Sequence[Size],
    wide: Collection[int] = (),
) -> Layout:
    """Lays out a directed acyclic graph in layers.

    Args:
        vertices: Size of each capsule, (along, across), in points.
        edges: Source and target of each edge, as indices of vertices.
        labels: Size of each edge's label; (0, 0) for none.
        wide: Vertices, as indices, that may be far larger than others across: frames.

    Returns:
        The layout.

    Example:
        >>> layout = layered([(70, 70), (70, 70)], [(0, 1)], [(36, 14)])
        >>> [round(along) for along, _ in layout.vertices]
        [35, 178]
    """
    if not edges:
        return _stacked(vertices)
    if any(map(any, labels)) or len(set(edges)) < len(edges):
        sizes = [*vertices, *labels]
        stops = [(a, len(vertices) + k, b) for k, (a, b) in enumerate(edges)]
    else:
        sizes, stops = [*vertices], edges
    layer, across, chains = _sugiyama(stops, sizes, wide)
    extents = defaultdict(float)
    for i, size in enumerate(sizes):
        extents[layer[i]] = max(extents[layer[i]], size[0])
    centers = _layer_centers(extents, layer, across, chains)

    def passage(i: int) -> tuple[Point, Point]:
        """Where a line enters and leaves the layer of vertex i."""
        half = (sizes[i][0] if i < len(vertices) else extents[layer[i]]) / 2
        center = centers[layer[i]]
        return (center - half, across[i]), (center + half, across[i])

    paths = []
    for chain in chains:
        middle = [point for i in chain[1:-1] for point in passage(i)]
        paths.append((passage(chain[0])[1], *middle, passage(chain[-1])[0]))
    places = [(centers[layer[i]], across[i]) for i in range(len(sizes))]
    ends = [across[i] + size[1] / 2 for i, size in enumerate(sizes)]
    ends += across.values()
    return Layout(
        tuple(places[: len(vertices)]),
        tuple(places[len(vertices) :] or [path[len(path) // 2] for path in paths]),
        tuple(paths),
        (centers[-1] + extents[len(centers) - 1] / 2, max(ends)),
    )


def _stacked(vertices: Sequence[Size]) -> Layout:
    """Capsules without edges, one beside the other."""
    along = max(size[0] for size in vertices)
    places, end = [], 0.0
    for size in vertices:
        places.append((along / 2, end + size[1] / 2))
        end += size[1] + _ACROSS_GAP
    return Layout(tuple(places), (), (), (along, end - _ACROSS_GAP))


def _sugiyama(
    stops: Sequence[tuple[int, ...]], sizes: Sequence[Size], wide: Collection[int]
) -> tuple[dict[int, int], dict[int, float], list[list[int]]]:
    """Layer and position across of each vertex; for each edge the vertices it passes.

    Vertices are the capsules, then the labels, then what the library adds where a
    line crosses a layer. The stops of an edge are capsules and its label.
    """
    parts = [part for own in stops for part in itertools.pairwise(own)]
    usual = [size[1] for i, size in enumerate(sizes) if i not in wide]
    spacing = max(usual, default=0.0) + _ACROSS_GAP
    positions, links = _clearest(parts)
    heights = sorted({place[1] for _, place in positions}, reverse=True)
    rank = {height: i for i, height in enumerate(heights)}
    layer = {int(i): rank[place[1]] for i, place in positions}
    across = {int(i): place[0] / _UNIT * spacing for i, place in positions}
    across = _stretched(across, {i: sizes[i][1] + _ACROSS_GAP - spacing for i in wide})
    start = min(across[i] - size[1] / 2 for i, size in enumerate(sizes))
    start = min(start, *across.values())
    across = {i: place - start for i, place in across.items()}

    chains = _chains([(int(a), int(b)) for a, b in links], len(sizes))
    whole = []
    for own in stops:
        rest = [i for part in itertools.pairwise(own) for i in chains[part][1:]]
        whole.append([own[0], *rest])
    return layer, across, whole


def _stretched(across: dict[int, float], excess: dict[int, float]) -> dict[int, float]:
    """Makes room for what is wider than the distance of vertices.

    All that lies on one side of it is moved by half of the excess. So straight lines
    stay straight, and the order stays.
    """
    room: dict[float, float] = {}
    for i, more in excess.items():
        room[across[i]] = max(more, room.get(across[i], 0.0))
    if not room:
        return across
    moved = {}
    for i, place in across.items():
        moved[i] = place + sum(
            math.copysign(more / 2, place - at) if place != at else 0.0
            for at, more in room.items()
        )
    return moved


def _clearest(edges: Sequence[tuple[int, int]]) -> tuple[Any, Any]:
    """Positions and links of the variant of the method with the fewest crossings."""
    import fast_sugiyama

    methods: tuple[Literal["barycenter", "median"], ...] = ("barycenter", "median")
    if len(edges) > _MANY:
        ((positions, _, _, links),) = fast_sugiyama.from_edges(
            edges,
            minimum_length=1,
            vertex_spacing=_UNIT,
            dummy_vertices=True,
            ranking_type="up",
            transpose=False,
        )
        return positions, tuple(links or ())
    orders = edges, edges[::-1]
    best: tuple[Any, Any] = ((), ())
    fewest = math.inf
    for transpose, method, order in itertools.product((True, False), methods, orders):
        ((positions, _, _, links),) = fast_sugiyama.from_edges(
            order,
            minimum_length=1,
            vertex_spacing=_UNIT,
            dummy_vertices=True,
            transpose=transpose,
            crossing_minimization=method,
        )
        links = tuple(links or ())
        count = _crossings(dict(positions), links)
        if count < fewest:
            best, fewest = (positions, links), count
        if count == 0:
            break
    return best


def _crossings(places: dict[Any, Point], links: Sequence[tuple[Any, Any]]) -> int:
    """How many pairs of links between the same two layers cross."""
    gaps = defaultdict(list)
    for a, b in links:
        (start, level), (end, _) = places[a], places[b]
        gaps[level].append((start, end))
    return sum(
        (a - c) * (b - d) < 0
        for pairs in gaps.values()
        for (a, b), (c, d) in itertools.combinations(pairs, 2)
    )


def _chains(
    links: Sequence[tuple[int, int]], real: int
) -> dict[tuple[int, int], list[int]]:
    """From real vertex to real vertex, all that lies between: numbers from `real` on.

    Such a vertex has one link in and one link out.
    """
    after = {a: b for a, b in links if a >= real}
    found = {}
    for first, then in links:
        if first < real:
            chain = [first, then]
            while chain[-1] >= real:
                chain.append(after[chain[-1]])
            found[first, chain[-1]] = chain
    return found


def _layer_centers(
    extents: dict[int, float],
    layer: dict[int, int],
    across: dict[int, float],
    chains: list[list[int]],
) -> list[float]:
    """Position of each layer along the flow; wider gaps where lines bend far."""
    bend = defaultdict(float)
    for chain in chains:
        for a, b in zip(chain, chain[1:], strict=False):
            bend[layer[b]] = max(bend[layer[b]], abs(across[a] - across[b]))
    centers, end = [], 0.0
    for i in range(len(extents)):
        if i:
            end += min(_WIDE, _NARROW + _SLOPE * bend[i])
        centers.append(end + extents[i] / 2)
        end += extents[i]
    return centers
