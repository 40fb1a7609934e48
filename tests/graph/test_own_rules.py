"""Kinds of a user's own: registration, and shape rules that go wrong."""

import numpy as np
import pytest

import capsjax as cj
from capsjax.graph.kinds import CapKind, WeightingKind

pytestmark = pytest.mark.usefixtures("own_kinds")


def problems(weighting) -> list[str]:
    """What is said of a graph with one edge of this kind."""
    x = cj.input("x", (4, 3))
    with pytest.raises(cj.GraphError) as caught:
        cj.graph(cj.capsule("h", cj.edge(x, weighting)))
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize("rule", ["contribution_shape", "weight_shape"])
@pytest.mark.parametrize(
    "result, found, expected",
    [
        ((0, 3), "shape (0, 3)", "every size at least 1"),
        ((1,) * 33, "a shape of 33 axes", "at most 32 axes"),
        (("a",), "TypeError: 'str' object cannot", "a shape rule that returns a shape"),
        ((1.5,), "TypeError: 'float' object cannot", "a shape rule that returns"),
        (3, "TypeError: 'int' object is not iterable", "a shape rule that returns"),
    ],
)
def test_a_rule_that_returns_no_shape(rule, result, found, expected):
    @cj.register_weighting("odd")
    class Odd(cj.Weighting):
        def contribution_shape(self, shape):
            return result if rule == "contribution_shape" else shape

        def weight_shape(self, shape):
            return result if rule == "weight_shape" else None

    (problem,) = problems(Odd())
    assert problem.startswith("capsule 'h', edge from 'x' (odd) (capsules[0].from[0])")
    assert f"found:    {found}" in problem and f"expected: {expected}" in problem


def test_a_rule_that_raises():
    @cj.register_weighting("odd")
    class Odd(cj.Weighting):
        def contribution_shape(self, shape):  # pyright: ignore
            return shape[7]

    assert problems(Odd()) == [
        "capsule 'h', edge from 'x' (odd) (capsules[0].from[0])\n"
        "    found:    IndexError: tuple index out of range\n"
        "    expected: a shape rule that returns a shape\n"
        "    cure:     correct the shape rule of the kind"
    ]


def test_rules_that_are_missing():
    @cj.register_weighting("odd")
    class Odd(cj.Weighting):
        pass

    (problem,) = problems(Odd())
    assert "TypeError: Odd declares no contribution_shape" in problem
    with pytest.raises(TypeError, match="WeightingKind declares no contribution_shape"):
        WeightingKind().contribution_shape(())


def test_a_rule_that_returns_nothing():
    @cj.register_weighting("odd")
    class Odd(cj.Weighting):
        def contribution_shape(self, shape):  # pyright: ignore
            pass

    (problem,) = problems(Odd())
    assert "TypeError: contribution_shape returned None" in problem


def test_siblings_resolved_wrongly():
    @cj.register_weighting("odd")
    class Odd(cj.Weighting):
        def contribution_shape(self, shape):
            return shape

        @classmethod
        def resolve(cls, shapes, siblings):
            return siblings[1:]

    (problem,) = problems(Odd())
    assert "ValueError: zip() argument 2 is shorter" in problem


def test_sizes_of_numpy_are_taken():
    @cj.register_weighting("total")
    class Total(cj.Weighting):
        def contribution_shape(self, shape):  # pyright: ignore
            return (np.prod(shape),)

        def forward(self, w, y):
            return y.reshape(y.shape[0], -1)

    x = cj.input("x", (4, 3))
    graph = cj.graph(cj.capsule("h", cj.edge(x, Total())))
    assert cj.compile(graph).shapes["h"].output == (12,)


def test_a_capsule_functions_rule_that_raises():
    @cj.register_cap("odd")
    class Odd(cj.Cap):
        def output_shape(self, shape):
            raise RuntimeError("no")

    x = cj.input("x", (3,))
    with pytest.raises(cj.GraphError) as caught:
        cj.graph(cj.capsule("h", cj.identity(x), cap=Odd()))
    (problem,) = caught.value.problems
    assert problem.path == ("capsules", 0, "cap")
    assert problem.found == "RuntimeError: no"


def test_a_loss_whose_check_raises():
    @cj.register_loss("odd")
    class Odd(cj.Loss):
        def check(self, cap, shape):
            raise RuntimeError("no")

    x = cj.input("x", (3,))
    with pytest.raises(cj.GraphError, match="loss odd on capsule 'h'.*"):
        cj.graph(cj.capsule("h", cj.identity(x)), losses={"h": Odd()})


@pytest.mark.parametrize("name", ["two words", "1st", "class", ""])
def test_a_name_that_is_no_identifier(name):
    with pytest.raises(ValueError) as caught:
        cj.register_cap(name)(type("Odd", (CapKind,), {}))
    assert str(caught.value) == (
        f"capsule function {name!r}: a kind's name must be an identifier, "
        "such as 'outer_product'"
    )


def test_a_name_that_is_taken():
    with pytest.raises(ValueError) as caught:
        cj.register_cap("relu")(type("Odd", (CapKind,), {}))
    assert str(caught.value) == (
        "capsule function 'relu' is registered already, by "
        "capsjax.caps.activations.Relu; choose another name"
    )


def test_a_cell_of_a_notebook_may_be_run_twice():
    def cell(factor):
        @cj.register_cap("twice")
        class Twice(cj.Cap):
            def forward(self, u):
                return factor * u

        return Twice

    old, new = cell(1), cell(2)
    x = cj.input("x", (3,))
    graph = cj.graph(cj.capsule("h", cj.identity(x), cap=old()))
    assert type(graph.capsules[0].cap) is new
