"""Enumeration: the paper's counts, the rules, and classes against brute force."""

import itertools
import math

import pytest

from capsjax.neural.enumeration import enumerate_growth


def edges(net) -> frozenset[tuple[str, str]]:
    """Connections by name."""
    names = [*map(str, net.inputs), *map(str, net.neurons)]
    pairs = zip(net.sources.tolist(), net.targets.tolist(), strict=True)
    return frozenset((names[source], names[target]) for source, target in pairs)


def by_the_rules(inputs: int, neurons: int) -> list[frozenset[tuple[str, str]]]:
    """Growth spelled out: one step after another, subset after subset."""
    start = [f"x{i + 1}" for i in range(inputs)]
    found = [frozenset((x, "h1") for x in start)]
    for k in range(2, neurons + 1):
        nodes = start + [f"h{j}" for j in range(1, k)]
        subsets = [
            subset
            for size in range(1, len(nodes) + 1)
            for subset in itertools.combinations(nodes, size)
        ]
        found = [net | {(z, f"h{k}") for z in n} for net in found for n in subsets]
    return found


def canonical(net, inputs: int, neurons: int) -> tuple[list[tuple[str, str]], int]:
    """The least of all renamings of a set of edges, and how many renamings differ."""
    xs = [f"x{i + 1}" for i in range(inputs)]
    hs = [f"h{i + 1}" for i in range(neurons)]
    forms = set()
    for x in itertools.permutations(xs):
        for h in itertools.permutations(hs):
            new = dict(zip([*xs, *hs], [*x, *h], strict=True))
            forms.add(tuple(sorted((new[a], new[b]) for a, b in net)))
    return min(forms), len(forms)


@pytest.mark.parametrize(
    ("inputs", "neurons", "count"),
    [(1, 1, 1), (1, 2, 3), (1, 3, 21), (1, 4, 315), (2, 1, 1), (2, 2, 7), (2, 3, 105)],
)
def test_the_counts_of_the_paper_and_the_next_ones(inputs, neurons, count):
    found = enumerate_growth(inputs, neurons)
    assert len(found) == len(list(found)) == count
    assert repr(found) == f"<{count} networks>"


@pytest.mark.parametrize("size", [(1, 1), (1, 3), (2, 2), (3, 2), (1, 4)])
def test_they_are_the_networks_of_the_rules_each_once(size):
    found = [edges(net) for net in enumerate_growth(*size)]
    assert len(set(found)) == len(found)
    assert set(found) == set(by_the_rules(*size))


def test_names_weights_and_order():
    nets = enumerate_growth(2, 2)
    assert [edges(net) - edges(nets[0]) for net in nets][1] == {("x2", "h2")}
    for net in nets:
        assert net.inputs.tolist() == ["x1", "x2"]
        assert net.neurons.tolist() == ["h1", "h2"]
        assert net.weights is None and net.biases is None
    assert edges(nets[-1]) == {
        *(("x1", "h1"), ("x2", "h1")),
        *(("x1", "h2"), ("x2", "h2"), ("h1", "h2")),
    }


def test_a_sequence_builds_only_what_is_asked_for():
    huge = enumerate_growth(4, 40)
    count = math.prod(2 ** (4 + k) - 1 for k in range(1, 40))
    assert repr(huge) == f"<{count:,} networks>"
    with pytest.raises(OverflowError, match=f"^{count:,} networks are more than len"):
        len(huge)
    assert len(edges(huge[-1])) == sum(4 + k for k in range(40))
    assert edges(huge[10**100]) == edges(huge[10**100 - 1 :][1])
    small = enumerate_growth(1, 3)
    assert [edges(net) for net in small[::-2]] == [edges(net) for net in small][::-2]
    assert len(small[5:5]) == 0 and repr(small[3:9]) == "<6 networks>"
    with pytest.raises(IndexError):
        small[21]


@pytest.mark.parametrize("size", [(1, 2), (1, 3), (1, 4), (2, 2), (2, 3), (3, 2)])
def test_classes_are_those_of_brute_force(size):
    first = {}
    for net in map(edges, enumerate_growth(*size)):
        first.setdefault(canonical(net, *size)[0], net)
    found = enumerate_growth(*size, up_to_isomorphism=True)
    assert [edges(net) for net in found] == list(first.values())
    assert len(found) == len(first)


@pytest.mark.parametrize(
    ("neurons", "classes", "labeled"),
    [(1, 1, 2), (2, 3, 15), (3, 16, 316), (4, 164, 16_885)],
)
def test_one_input_gives_the_acyclic_graphs_with_one_source(neurons, classes, labeled):
    """OEIS A350415, unlabeled, and A003025, labeled: any node may be the source."""
    found = enumerate_growth(1, neurons, up_to_isomorphism=True)
    assert len(found) == classes
    renamings = (canonical(edges(net), 1, neurons)[1] for net in found)
    assert (neurons + 1) * sum(renamings) == labeled


def test_inputs_may_change_places():
    found = enumerate_growth(2, 2, up_to_isomorphism=True)
    read = [sorted(a for a, b in edges(net) if b == "h2") for net in found]
    assert read == [["x1"], ["x1", "x2"], ["h1"], ["h1", "x1"], ["h1", "x1", "x2"]]


@pytest.mark.parametrize("wrong", [0, -1, 2.0, "3", True, None])
def test_what_is_no_number_of_nodes_is_refused(wrong):
    expected = r"; expected an integer, 1 or more$"
    with pytest.raises(
        ValueError, match=rf"enumerate_growth: inputs={wrong!r}{expected}"
    ):
        enumerate_growth(wrong, 2)
    with pytest.raises(ValueError, match=rf"neurons={wrong!r}{expected}"):
        enumerate_growth(2, wrong, up_to_isomorphism=True)
