"""Where hundreds of neurons stand: levels as columns of dots, connections as hairs."""

import numpy as np

from capsjax.neural import NeuralNetwork
from capsjax.view.layout import Point

_WIDE, _HIGH = 860.0, 520.0  # points: a page, as far as dots do not touch on it
_LEAST_GAP, _LARGEST_GAP = 3.0, 30.0
_FILLED, _LARGEST_DOT = 0.62, 11.0
_SWEEPS = 12


def places(net: NeuralNetwork) -> tuple[np.ndarray, float, Point]:
    """Places of the nodes, a column for each level.

    A column is as high as it has nodes, so that the outline is that of the network.

    Returns:
        Centers, [|V|, 2]; the diameter of a dot; width and height of all.
    """
    levels = net.levels
    counts = np.bincount(levels)
    column = _gap(_WIDE, len(counts))
    row = _gap(_HIGH, counts.max())
    heights = _ordered(net, levels, counts)
    dot = min(_FILLED * min(column, row), _LARGEST_DOT)
    size = column * (len(counts) - 1) + dot, row * (counts.max() - 1) + dot
    x = dot / 2 + column * levels
    return np.stack([x, size[1] / 2 + row * heights], axis=1), dot, size


def _gap(page: float, count: int) -> float:
    """The distance of so many dots in a row."""
    return min(max(page / count, _LEAST_GAP), _LARGEST_GAP)


def _ordered(net: NeuralNetwork, levels: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Heights of the nodes: ranks within levels, so that lines are short.

    Nodes are ordered by the mean height of those they are connected with, again and
    again (the barycenter method): layers are ordered best by one side in turns, wirings
    with long lines by both sides at once. The shortest lines of all tries are taken.

    Source: Sugiyama, Tagawa & Toda, Methods for visual understanding of hierarchical
    system structures, 1981.
    """
    size = len(levels)
    first = _spread(levels, counts, np.arange(size, dtype=float))
    ahead, back = (net.sources, net.targets), (net.targets, net.sources)
    tries = [first]
    for turns in (((ahead,), (back,)), ((ahead, back),)):
        heights = first
        for sweep in range(_SWEEPS):
            ways = turns[sweep % len(turns)]
            sums = sum(np.bincount(far, heights[near], size) for near, far in ways)
            number = sum(np.bincount(far, minlength=size) for _, far in ways)
            means = np.where(number, sums / np.maximum(number, 1), heights)
            heights = _spread(levels, counts, means)
            tries.append(heights)
    return min(tries, key=lambda h: np.abs(h[net.sources] - h[net.targets]).sum())


def _spread(levels: np.ndarray, counts: np.ndarray, by: np.ndarray) -> np.ndarray:
    """Ranks within each level in the order of `by`, with the middle at zero."""
    order = np.lexsort((by, levels))
    first = np.cumsum(counts) - counts
    ranks = np.empty(len(levels))
    ranks[order] = np.arange(len(levels)) - first[levels[order]]
    return ranks - (counts[levels] - 1) / 2
