"""Groups: which members one program can serve, and what it is given. Nothing is run."""

import jax
import numpy as np
import optax
import pytest

import capsjax as cj
from capsjax.sweep.groups import Groups
from capsjax.sweep.roles import Roles, Setup
from capsjax.sweep.space import space_of, sweep_members
from tests.sweep.helpers_sweep import plain, tiny


def placed(over, graph=None, optimizer=None, groups=None, **more):
    """Groups of a sweep over axes, and the members in each."""
    setup = Setup(graph or tiny(), optimizer, 8, None, 1.0)
    roles = Roles(setup, space_of(over).names)
    members = sweep_members(over, **more)
    chosen = [roles.chosen(i, values, 0) for i, values in enumerate(members)]
    groups = Groups() if groups is None else groups
    found = groups.place(chosen)
    return groups, [
        [member for group, member in found if group == number]
        for number in range(len(groups.all))
    ]


def test_numbers_are_given_and_never_built_in():
    over = {
        "learning_rate": [0.1, 0.2],
        "drop.rate": [0.1, 0.2],
        "y.loss.weight": [1.0, 2.0],
        "y.temperature": [1.0, 3.0],
        "b1": [0.8, 0.9],
        "initial_scale": [1.0, 2.0],
        "seed": [0, 1],
    }
    groups, (members,) = placed(over)
    (group,) = groups.all
    assert set(group.places) == {"drop.rate", "y.loss.weight", "y.temperature"}
    assert set(group.traced) == {"learning_rate", "b1"}
    assert len(members) == 2**7
    last = members[-1].given
    assert last["net"] == {"drop.rate": 0.2, "y.loss.weight": 2.0, "y.temperature": 3.0}
    assert last["optimizer"] == {"learning_rate": 0.2, "b1": 0.9}
    for leaf in jax.tree.leaves(last):
        assert isinstance(leaf, np.ndarray) and leaf.shape == ()


def test_given_numbers_are_float32():
    with jax.enable_x64(False):
        _, (members,) = placed({"learning_rate": [1, 2], "drop.rate": [0.1, 0.2]})
    for member in members:
        assert {leaf.dtype.name for leaf in jax.tree.leaves(member.given)} == {
            "float32"
        }


def test_structure_makes_groups():
    over = {
        "h.features": [4, 8],
        "h.cap": ["relu", "tanh"],
        "learning_rate": [0.1, 0.2],
    }
    groups, members = placed(over)
    assert [len(each) for each in members] == [2, 2, 2, 2]
    caps = [str(g.learner.net.typed.caps["h"]) for g in groups.all]
    assert caps == ["relu", "tanh", "relu", "tanh"]


@pytest.mark.parametrize(
    "over, count",
    [
        ({"batch_size": [8, 16]}, 2),
        ({"dtype": ["float32", "bfloat16", "float32"]}, 2),
        ({"optimizer": ["adam", "sgd", {"kind": "sgd", "nesterov": True}]}, 3),
        ({"optimizer": ["adam", "adam"], "learning_rate": [0.1, 0.2]}, 1),
        ({"nesterov": [False, True]}, 2),
        ({"seed": [0, 1, 2]}, 1),
        ({"h.bias": ["full", "channel", None]}, 2),  # of a row, the first two are one
    ],
)
def test_what_makes_another_program(over, count):
    groups, _ = placed(over, plain())
    assert len(groups.all) == count


def test_a_factory_s_numbers_are_given_as_well():
    """Whatever made the graphs: what differs in real numbers alone is one group."""

    def make(units, rate):
        return tiny(units, rate)

    groups, members = placed({"units": [4, 8], "rate": [0.1, 0.3, 0.5]}, make)
    assert [len(each) for each in members] == [3, 3]
    assert [set(g.places) for g in groups.all] == [{"drop.rate"}] * 2
    assert [float(m.given["net"]["drop.rate"]) for m in members[0]] == [0.1, 0.3, 0.5]


def repeated(rate=0.2):
    x = cj.input("x", (4,))

    @cj.block
    def layer(x, *, rate):
        h = cj.capsule("h", cj.matmul(x, 4), cap="tanh")
        drop = cj.caps.dropout(rate)
        return cj.capsule("out", cj.identity(h), cap=drop, bias=None)

    last = layer("layer", x, rate=rate, repeat=20)
    y = cj.capsule("y", cj.matmul(last, 3), cap="softmax")
    return cj.graph(y, losses={"y": "cross_entropy"})


def test_a_block_s_number_is_one_number_of_all_its_copies():
    groups, _ = placed({"layer.rate": [0.1, 0.3]}, repeated())
    (group,) = groups.all
    ((name, places),) = group.places.items()
    assert name == "layer1/out.rate" and len(places) == 20


def test_numbers_that_always_agree_are_one():
    """Two settings swept together, always equal: one number for both."""
    zipped = {("drop.rate", "y.loss.smoothing"): [(0.1, 0.1), (0.3, 0.3)]}
    groups, _ = placed(zipped)
    assert groups.all[0].places == {"drop.rate": ["drop.rate", "y.loss.smoothing"]}
    grid = {"drop.rate": [0.1, 0.3], "y.loss.smoothing": [0.1, 0.3]}
    groups, _ = placed(grid)
    assert len(groups.all[0].places) == 2


def test_code_that_decides_on_a_number_gets_a_program_for_each_value():
    def momentum_or_none(rate, momentum):
        return optax.sgd(rate, momentum if momentum > 0 else None)

    over = {"rate": [0.1, 0.2], "momentum": [0.0, 0.5, 0.9]}
    groups, members = placed(over, plain(), momentum_or_none)
    assert [len(each) for each in members] == [2, 2, 2]
    assert [g.traced for g in groups.all] == [("rate",)] * 3
    assert [g.built_in["momentum"] for g in groups.all] == [0.0, 0.5, 0.9]


def test_a_kind_that_decides_on_its_setting_gets_a_program_for_each_value(own_kinds):
    @cj.register_cap("branching")
    class Branching(cj.Cap):
        power: float = 1.0

        def forward(self, u):
            return u if self.power == 1 else u**self.power

    x = cj.input("x", (4,))
    h = cj.capsule("h", cj.matmul(x, 4), cap=Branching())
    d = cj.capsule("d", cj.identity(h), cap=cj.caps.dropout(0.1), bias=None)
    y = cj.capsule("y", cj.matmul(d, 3), cap="softmax")
    graph = cj.graph(y, losses={"y": "cross_entropy"})
    over = {"h.power": [1.0, 2.0], "d.rate": [0.1, 0.2]}
    groups, members = placed(over, graph)
    assert [len(each) for each in members] == [2, 2]
    assert [set(g.places) for g in groups.all] == [{"d.rate"}] * 2
    assert [g.built_in["h.power"] for g in groups.all] == [1.0, 2.0]


def test_later_members_join_the_groups_there_are():
    """As Bayesian search proposes them; a number seen for the first time is a group."""
    over = {"learning_rate": [0.1, 0.2], "drop.rate": [0.1, 0.2]}
    groups, _ = placed(over)
    placed({"learning_rate": [0.5], "drop.rate": [0.7]}, groups=groups)
    assert len(groups.all) == 1
    placed({"learning_rate": [0.5], "y.loss.weight": [3.0]}, groups=groups)
    assert len(groups.all) == 2
    assert set(groups.all[1].places) == {"drop.rate", "y.loss.weight"}


def test_a_fault_that_is_no_setting_s_names_the_member():
    def broken(rate):
        raise TypeError("out of order")

    with pytest.raises(TypeError, match="out of order") as error:
        placed({"rate": [0.1]}, plain(), broken)
    assert error.value.__notes__[-1] == "in member 0 (rate=0.1)"
