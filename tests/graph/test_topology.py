"""Order, cycles and components against networkx."""

import networkx as nx
from hypothesis import given
from hypothesis import strategies as st

from capsjax.graph.topology import components, find_cycle, topological_order
from tests.helpers_capsjax import examples


@st.composite
def graphs(draw):
    """Names and their sources: any direction, repeated and unknown sources too."""
    count = draw(st.integers(1, 12))
    names = draw(st.permutations([f"n{i}" for i in range(count)]))
    choose = st.lists(st.sampled_from([*names, "unknown"]), max_size=3)
    return {name: tuple(draw(choose)) for name in names}


@st.composite
def acyclic(draw):
    """The same, each name reading only some that stand before it in a hidden order."""
    count = draw(st.integers(1, 12))
    hidden = [f"n{i}" for i in range(count)]
    read = {
        name: tuple(draw(st.lists(st.sampled_from(hidden[:i] or ["unknown"]))))
        for i, name in enumerate(hidden)
    }
    return {name: read[name] for name in draw(st.permutations(hidden))}


def reference(sources) -> nx.DiGraph:
    graph = nx.DiGraph()
    graph.add_nodes_from(sources)
    for name, read in sources.items():
        graph.add_edges_from((each, name) for each in read if each in sources)
    return graph


@examples(30)
@given(acyclic())
def test_the_order_is_that_of_networkx_with_the_first_declared_first(sources):
    order, rest = topological_order(sources)
    rank = {name: i for i, name in enumerate(sources)}
    graph = reference(sources)
    assert order == list(nx.lexicographical_topological_sort(graph, rank.__getitem__))
    assert rest == []


@examples(30)
@given(acyclic())
def test_an_order_once_found_is_kept(sources):
    order, _ = topological_order(sources)
    again, _ = topological_order({name: sources[name] for name in order})
    assert again == order


@examples(30)
@given(graphs())
def test_what_is_left_over_lies_on_or_behind_a_cycle(sources):
    order, rest = topological_order(sources)
    graph = reference(sources)
    on_cycles = {name for cycle in nx.simple_cycles(graph) for name in cycle}
    behind = {each for name in on_cycles for each in nx.descendants(graph, name)}
    assert set(rest) == on_cycles | behind
    assert sorted(order + rest) == sorted(sources)


@examples(30)
@given(graphs())
def test_a_cycle_is_one(sources):
    _, rest = topological_order(sources)
    if rest:
        cycle = find_cycle(sources, rest)
        assert cycle[0] == cycle[-1]
        assert len(set(cycle[:-1])) == len(cycle) - 1
        for source, reader in zip(cycle, cycle[1:], strict=False):
            assert source in sources[reader]


@examples(30)
@given(graphs())
def test_components_are_those_of_networkx(sources):
    found = components(sources)
    expected = nx.weakly_connected_components(reference(sources))
    assert {frozenset(part) for part in found} == set(map(frozenset, expected))
    assert [name for part in found for name in part if name == part[0]] == [
        part[0] for part in found
    ]


def test_a_long_chain_needs_no_recursion():
    count = 50_000
    chain = {f"n{i}": (f"n{i + 1}",) for i in range(count)} | {f"n{count}": ()}
    order, rest = topological_order(chain)
    assert order == [f"n{i}" for i in range(count, -1, -1)] and not rest
    assert len(components(chain)) == 1
    ring = {**chain, f"n{count}": ("n0",)}
    assert len(find_cycle(ring, topological_order(ring)[1])) == count + 2
