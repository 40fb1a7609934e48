"""What a user of the Python side meets who gives something else."""

import numpy as np
import pytest

import capsjax as cj

X = cj.input("x", (8,))
H = cj.capsule("h", cj.matmul(X, 4))


def test_graph_without_outputs():
    with pytest.raises(cj.GraphError) as caught:
        cj.graph()
    assert str(caught.value) == (
        "graph 'network' has 1 problem:\n"
        "1. cj.graph (outputs)\n"
        "    found:    no outputs\n"
        "    expected: the capsules whose Y is asked for; all that they reach is "
        "collected\n"
        "    cure:     name the outputs first: cj.graph(digit, name=...)"
    )


@pytest.mark.parametrize(
    "make, text",
    {
        "no capsule": (
            lambda: cj.graph("h"),  # pyright: ignore
            "cj.graph takes as outputs what cj.capsule returned, one by one: "
            "cj.graph(digit) or cj.graph(*heads), not 'h'",
        ),
        "shape without parentheses": (
            lambda: cj.input("x", 8),  # pyright: ignore
            "input 'x': a shape is a tuple of sizes without the batch, such as "
            "(28, 28, 1) or (64,), not 8",
        ),
        "shape as text": (
            lambda: cj.input("x", "88"),  # pyright: ignore
            "input 'x': a shape is a tuple of sizes without the batch, such as "
            "(28, 28, 1) or (64,), not '88'",
        ),
        "source in place of an edge": (
            lambda: cj.capsule("h", X),  # pyright: ignore
            "capsule 'h' takes edges, such as cj.matmul(source, 10) or "
            "cj.identity(source), not <input 'x'>",
        ),
        "name in place of a source": (
            lambda: cj.matmul("x", 3),  # pyright: ignore
            "an edge's source is what cj.input or cj.capsule returned, not str: 'x'",
        ),
        "capsule function without parentheses": (
            lambda: cj.capsule("h", cj.identity(X), cap=cj.caps.relu),  # pyright: ignore
            "capsule 'h': a capsule function is a record, such as cj.caps.route(3), "
            'or a name, "relu", not the class Relu: write Relu(...)',
        ),
        "weighting as a capsule function": (
            lambda: cj.capsule("h", cj.identity(X), cap=cj.weightings.Dot()),  # pyright: ignore
            "capsule 'h': a capsule function is a record, such as cj.caps.route(3), "
            'or a name, "relu", not Dot(): not registered as a capsule function',
        ),
        "operation that is none": (
            lambda: cj.edge(X, 3),  # pyright: ignore
            "an edge's operation is a record, such as cj.weightings.Matmul(10), not 3",
        ),
        "losses as a name": (
            lambda: cj.graph(H, losses="margin"),  # pyright: ignore
            'losses are given by output: losses={"digit": "cross_entropy"}, '
            "not 'margin'",
        ),
        "loss that is none": (
            lambda: cj.graph(H, losses={"h": 3}),  # pyright: ignore
            "the loss on 'h' is a record, such as cj.losses.margin(), or a name, "
            '"margin", not 3',
        ),
    }.values(),
)
def test_something_else(make, text):
    with pytest.raises(TypeError) as caught:
        make()
    assert str(caught.value) == text


def test_an_unregistered_record():
    class Mine(cj.Cap):
        def forward(self, u):
            return u

    with pytest.raises(TypeError, match="not .*Mine.*: not registered as a capsule"):
        cj.capsule("h", cj.identity(X), cap=Mine())


def test_a_kind_is_not_taken_for_the_one_it_inherits_from():
    class Mine(cj.caps.relu):
        pass

    with pytest.raises(TypeError, match="not registered as a capsule function"):
        cj.capsule("h", cj.identity(X), cap=Mine())


@pytest.mark.parametrize("name", ["sofmax", "softmx"])
def test_a_wrong_name_of_a_capsule_function(name):
    with pytest.raises(cj.GraphError, match="did you mean 'softmax'?"):
        cj.graph(cj.capsule("h", cj.identity(X), cap=name))


def test_two_nodes_of_one_name():
    one = cj.capsule("h", cj.matmul(X, 4))
    two = cj.capsule("h", cj.matmul(X, 4))
    end = cj.capsule("end", cj.identity(one), cj.identity(two))
    with pytest.raises(cj.GraphError) as caught:
        cj.graph(end)
    assert "declare it once and let every reader name it" in str(caught.value)
    assert [each.path for each in caught.value.problems] == [("capsules", 1, "name")]


def test_numpy_and_lists_are_taken():
    image = cj.input("image", np.array([8, 8, 1]))  # pyright: ignore
    window = np.array([3, 3])
    c1 = cj.capsule("c1", cj.conv(image, np.int64(4), window, stride=[1, 1]))  # pyright: ignore
    graph = cj.graph(cj.capsule("flat", cj.reshape(c1, [-1])))  # pyright: ignore
    plain = cj.input("image", (8, 8, 1))
    c1 = cj.capsule("c1", cj.conv(plain, 4, (3, 3), stride=(1, 1)))
    assert graph == cj.graph(cj.capsule("flat", cj.reshape(c1, (-1,))))
    assert type(graph.capsules[0].edges[0].weighting.settings()["features"]) is int


def test_values_that_have_no_place_in_a_document():
    with pytest.raises(cj.GraphError) as caught:
        cj.graph(H, metadata={"author": {"file": object()}})
    (problem,) = caught.value.problems
    assert problem.path == ("metadata", "author", "file")
    assert problem.expected.startswith("JSON data: an object, a list")


def test_an_error_can_be_pickled():
    import pickle

    with pytest.raises(cj.GraphError) as caught:
        cj.graph(H, losses={"g": "margin"})
    copy = pickle.loads(pickle.dumps(caught.value))
    assert str(copy) == str(caught.value) and copy.problems == caught.value.problems
