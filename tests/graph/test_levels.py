"""Levels, cycles and components of arrays of edges, against networkx."""

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsjax.graph.levels import (
    adjacency,
    components,
    cycle,
    group,
    has_duplicates,
    levels,
)


@st.composite
def edges(draw, acyclic: bool = False, most: int = 12):
    """Sources, targets and how many nodes there are, in any order, some repeated."""
    count = draw(st.integers(1, most))
    node = st.integers(0, count - 1)
    pairs = draw(st.lists(st.tuples(node, node), max_size=3 * count))
    if acyclic:
        pairs = [(min(pair), max(pair)) for pair in pairs if pair[0] != pair[1]]
        number = draw(st.permutations(range(count)))
        pairs = [(number[z], number[h]) for z, h in pairs]
    ends = np.array(pairs, np.int32).reshape(-1, 2)
    return ends[:, 0], ends[:, 1], count


def reference(sources, targets, count) -> nx.DiGraph:
    graph = nx.DiGraph()
    graph.add_nodes_from(range(count))
    graph.add_edges_from(zip(sources.tolist(), targets.tolist(), strict=True))
    return graph


@given(edges())
def test_group_is_a_stable_sort(given):
    sources, _, count = given
    order, first = group(sources, count)
    assert order.tolist() == np.argsort(sources, kind="stable").tolist()
    assert first.tolist() == [int((sources < n).sum()) for n in range(count + 1)]


@given(edges(acyclic=True))
def test_a_level_is_the_longest_path_to_a_node(given):
    graph = reference(*given)
    expected = {}
    for level, nodes in enumerate(nx.topological_generations(graph)):
        expected |= dict.fromkeys(nodes, level)
    assert dict(enumerate(levels(*given).tolist())) == expected


@given(edges())
def test_nodes_on_or_behind_a_cycle_have_no_level(given):
    graph = reference(*given)
    on_cycles = {node for found in nx.simple_cycles(graph) for node in found}
    behind = {each for node in on_cycles for each in nx.descendants(graph, node)}
    assert set(np.flatnonzero(levels(*given) < 0).tolist()) == on_cycles | behind


@given(edges())
def test_a_cycle_is_one(given):
    sources, targets, count = given
    found = levels(sources, targets, count)
    if found.min() < 0:
        path = cycle(sources, targets, found).tolist()
        assert path[0] == path[-1] and len(set(path)) == len(path) - 1
        assert set(zip(path, path[1:], strict=False)) <= set(
            zip(sources.tolist(), targets.tolist(), strict=True)
        )


@given(edges())
def test_repeated_edges_are_seen(given):
    sources, targets, _ = given
    pairs = list(zip(sources.tolist(), targets.tolist(), strict=True))
    assert has_duplicates(adjacency(*given)) == (len(set(pairs)) < len(pairs))


@given(edges())
def test_components_are_those_of_networkx(given):
    part = components(adjacency(*given))
    found = {frozenset(np.flatnonzero(part == n).tolist()) for n in set(part)}
    expected = nx.weakly_connected_components(reference(*given))
    assert found == set(map(frozenset, expected))
    assert set(part.tolist()) == set(range(len(found)))


@pytest.mark.parametrize("width", [31, 32, 100])
def test_wide_and_narrow_levels_take_turns(width):
    """A chain of fans: 1 -> width -> 1 -> width -> ..., numbered at random."""
    sources, targets, node, expected = [], [], 0, [0]
    for fan in range(5):
        leaves = list(range(node + 1, node + 1 + width))
        end = node + 1 + width
        sources += [node] * width + leaves
        targets += leaves + [end] * width
        expected += [2 * fan + 1] * width + [2 * fan + 2]
        node = end
    number = np.random.default_rng(0).permutation(node + 1)
    found = levels(number[sources], number[targets], node + 1)
    assert found[number].tolist() == expected


def test_a_long_path_and_a_long_ring():
    count = 100_000
    nodes = np.arange(count)
    path = nodes[:-1][::-1], nodes[1:][::-1]
    assert levels(*path, count).tolist() == nodes.tolist()
    assert not components(adjacency(*path, count)).any()
    ring = nodes, np.roll(nodes, -1)
    found = levels(*ring, count)
    assert (found == -1).all()
    assert len(cycle(*ring, found)) == count + 1
