"""The generation theorem: derivations of any connected DAG, and their replay."""

import dataclasses

import networkx as nx
import numpy as np
import pytest
from helpers_neural import networks
from hypothesis import given
from hypothesis import strategies as st

from capsjax.graph import GraphError
from capsjax.neural import (
    convergence,
    derive,
    growth,
    induced_network,
    network,
    neuron,
    replay,
    to_networkx,
    variable,
)
from tests.helpers_capsjax import examples


def by_the_rules(derivation, net):
    """Applies the rules themselves, step by step, to networks of their own."""
    cap_of = {
        name: net.activations[code]
        for name, code in zip(net.neurons.tolist(), net.activation_of, strict=True)
    }
    bias_of = {}
    if net.biases is not None:
        bias_of = dict(zip(net.neurons.tolist(), net.biases.tolist(), strict=True))
    weight_of = {(source, target): weight for source, target, weight in net.W}
    made = {}
    for step in derivation:
        operands = [made.pop(number) for number in step.networks]
        subsets = [list(subset) for subset in step.sources]
        if step.rule == "variable":
            assert not operands
            made[step.number] = variable(step.name)
            continue
        cap, bias = cap_of[step.name], bias_of.get(step.name)
        weights = None
        if net.weights is not None:
            weights = [[weight_of[z, step.name] for z in own] for own in subsets]
        if step.rule == "growth":
            assert len(operands) == 1
            own = None if weights is None else weights[0]
            new = growth(operands[0], step.name, subsets[0], cap, own, bias)
        else:
            assert step.rule == "convergence" and len(operands) > 1
            new = convergence(operands, step.name, subsets, cap, weights, bias)
        made[step.number] = new
    assert list(made) == [len(derivation) - 1]
    return made[len(derivation) - 1]


@examples(30)
@given(networks())
def test_every_connected_dag_is_generated_by_the_rules(net):
    assert by_the_rules(derive(net), net) == net


@examples(60)
@given(networks(most=25))
def test_a_replay_makes_the_network_again(net):
    derivation = derive(net)
    assert len(derivation) == len(list(derivation)) == len(net.Y)
    assert replay(derivation) == net


@examples(30)
@given(networks())
def test_deriving_what_the_rules_made_gives_the_same_derivation(net):
    derivation = derive(net)
    again = derive(by_the_rules(derivation, net))
    assert replay(again) == net
    assert sorted(s.rule for s in again) == sorted(s.rule for s in derivation)


@examples(30)
@given(networks())
def test_a_graph_has_the_derivation_of_the_network_it_induces(net):
    graph = to_networkx(net)
    assert list(derive(graph)) == list(derive(induced_network(graph)))


def test_steps_are_read():
    net = network(["x", "y", "z"], ["a", "b"], [0, 3, 1, 2], [3, 4, 4, 4])
    assert [tuple(step) for step in derive(net)] == [
        (0, "variable", "x", (), ()),
        (1, "variable", "y", (), ()),
        (2, "variable", "z", (), ()),
        (3, "growth", "a", (0,), (("x",),)),
        (4, "convergence", "b", (1, 2, 3), (("y",), ("z",), ("a",))),
    ]
    assert derive(net)[-1].name == "b"
    assert repr(derive(net)) == (
        "Derivation(5 steps: 3 variable, 1 growth, 1 convergence)"
    )
    with pytest.raises(IndexError):
        derive(net)[5]


def test_a_network_is_named_by_the_last_step_that_made_it():
    """x and y meet in a; z joins them in b, which reads no more than x of them."""
    net = network(["x", "y", "z"], ["a", "b"], [0, 1, 0, 2], [3, 3, 4, 4])
    assert derive(net)[4].networks == (2, 3)
    assert derive(net)[4].sources == (("z",), ("x",))


def test_the_tree():
    net = network(
        ["x", "y"], ["a", "b", "c", "d"], [0, 1, 2, 3, 4, 0], [2, 3, 4, 4, 5, 5]
    )
    derivation = derive(net)
    tree = """\
step 5: growth 'd' reads {'c', 'x'} of step 4
step 4: convergence 'c' reads {'a'} of step 2, {'b'} of step 3
├── step 2: growth 'a' reads {'x'} of step 0
│   step 0: variable 'x'
└── step 3: growth 'b' reads {'y'} of step 1
    step 1: variable 'y'"""
    assert str(derivation) == derivation.tree() == tree
    cut = [*tree.splitlines()[:3], "... and 3 more steps; tree() shows all"]
    assert derivation.tree(3).splitlines() == cut


def test_a_long_tree_is_cut_and_can_be_had_whole():
    count = 3_000
    derivation = derive(network(1, count, np.arange(count), np.arange(1, count + 1)))
    assert len(str(derivation).splitlines()) == 41
    assert len(derivation.tree().splitlines()) == count + 1


def test_large_graphs_of_many_components():
    """Thousands of variables that converge one after the other, numbers shuffled."""
    rng = np.random.default_rng(0)
    inputs, neurons = 3_000, 6_000
    nodes = inputs + neurons
    read = {n: rng.integers(0, n, 3).tolist() for n in range(inputs, nodes)}
    read[nodes - 1] = range(nodes - 1)
    graph = nx.DiGraph((z, n) for n, each in read.items() for z in each)
    graph = nx.relabel_nodes(graph, dict(enumerate(rng.permutation(nodes).tolist())))
    net = induced_network(graph)
    derivation = derive(net)
    assert replay(derivation) == net
    rules = [step.rule for step in derivation]
    assert rules.count("variable") == len(net.inputs)
    # Every convergence of K networks leaves K - 1 fewer; one is left.
    joined = sum(len(s.networks) - 1 for s in derivation if s.rule == "convergence")
    assert joined == len(net.inputs) - 1 and rules.count("convergence") > 100


def changed(derivation, field, at, value):
    array = getattr(derivation, field).copy()
    array[at] = value
    return dataclasses.replace(derivation, **{field: array})


SOUND = derive(network(["x", "y"], ["a", "b", "c"], [0, 1, 2, 3, 0], [2, 3, 4, 4, 4]))


@pytest.mark.parametrize(
    ("field", "at", "value", "text"),
    [
        ("names", 2, "x", "step 2, neuron 'x'"),
        ("names", 2, "x", "found:    a name that an earlier step has given"),
        ("sources", 0, 4, "a source or network of a step that does not come before it"),
        ("operands", 0, 2, "a source or network of a step that does not come before"),
        ("sources", 0, -1, "a source or network of a step that does not come before"),
        ("operands", 1, 0, "a network that another step uses too"),
        ("sources", 0, 1, "a source that is no node of the network it is taken from"),
        ("sources", 2, 0, "duplicate connections"),
    ],
)
def test_a_step_that_breaks_its_rule_is_refused(field, at, value, text):
    assert replay(SOUND).output_neurons.size == 1
    with pytest.raises(GraphError) as caught:
        replay(changed(SOUND, field, at, value))
    assert text in str(caught.value)


@examples(60)
@given(networks(most=20), st.data())
def test_a_source_is_accepted_from_its_network_only(net, data):
    """Any source of any step, moved to any earlier node, against plain sets."""
    derivation = derive(net)
    if not len(derivation.sources):
        return
    edge = data.draw(st.integers(0, len(derivation.sources) - 1))
    step = int(np.searchsorted(derivation.offsets, edge, side="right")) - 1
    source = data.draw(st.integers(0, step - 1))
    nodes: list[set[int]] = []
    for each in derivation:
        nodes.append({each.number}.union(*(nodes[made] for made in each.networks)))
    own = slice(derivation.offsets[step], derivation.offsets[step + 1])
    inside = source in nodes[derivation.operands[edge]]
    again = source in np.delete(derivation.sources[own], edge - own.start)
    moved = changed(derivation, "sources", edge, source)
    if inside and not again:
        assert replay(moved).Y == net.Y
    else:
        text = "duplicate connections" if inside else "is no node of the network"
        with pytest.raises(GraphError, match=text):
            replay(moved)


def test_a_network_left_over_is_refused():
    """The last step forgets one of the two networks."""
    last = SOUND.offsets[-2]
    keep = np.ones(len(SOUND.sources), bool)
    keep[last:] = SOUND.operands[last:] == SOUND.operands[last]
    offsets = SOUND.offsets.copy()
    offsets[-1] = keep.sum()
    part = dataclasses.replace(
        SOUND,
        offsets=offsets,
        sources=SOUND.sources[keep],
        operands=SOUND.operands[keep],
    )
    with pytest.raises(GraphError, match="a network that no later step uses"):
        replay(part)


def test_immutable():
    with pytest.raises(dataclasses.FrozenInstanceError):
        SOUND.names = SOUND.names  # type: ignore
    arrays = [v for v in vars(SOUND).values() if isinstance(v, np.ndarray)]
    assert len(arrays) == 5 and not any(each.flags.writeable for each in arrays)


def test_what_is_no_connected_dag_has_no_derivation():
    with pytest.raises(GraphError, match="a cycle"):
        derive((3, [(0, 1), (1, 2), (2, 1)]))
    with pytest.raises(GraphError, match="not connected"):
        derive((2, []))


def test_a_neuron_is_a_convergence_of_variables():
    rules = [step.rule for step in derive(neuron("h", ["x", "y"]))]
    assert rules == ["variable", "variable", "convergence"]
