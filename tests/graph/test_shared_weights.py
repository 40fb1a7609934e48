"""Shared weights, learned inputs, integer inputs: gradients, names, errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import capsjax as cj
from capsjax.graph import from_document, to_document
from tests.helpers_capsjax import close, difference, draw_like, inner, quick


@cj.block
def layer(x, *, weight):
    return cj.capsule("h", cj.share(cj.matmul(x, 6), weight), cap="tanh")


def tied():
    """Tokens behind a learned one, layers of one weight, a head tied to the table."""
    tokens = cj.input("tokens", (4,), dtype="integer")
    first = cj.learned("first", (1, 6))
    words = cj.capsule("words", cj.share(cj.embed(tokens, 5, 6), "table"), bias=None)
    both = cj.place(first, axis=0), cj.place(words, axis=0)
    rows = cj.capsule("rows", *both, bias="full")
    deep = layer("layer", rows, weight="square", repeat=3)
    side = cj.capsule("side", cj.share(cj.matmul(rows, 6), "square"), bias=None)
    head = cj.matmul(deep, 5, transposed=True), cj.matmul(side, 5, transposed=True)
    shared = [cj.share(each, "table") for each in head]
    next_one = cj.capsule("next", *shared, cap="softmax", bias=None)
    return cj.graph(next_one, name="tied", losses={"next": "cross_entropy"})


BATCH = {
    "tokens": jax.random.randint(jax.random.key(3), (3, 4), 0, 5),
    "next": jax.random.randint(jax.random.key(4), (3, 5), 0, 5),
}
WAYS = ("exact", "autodiff")


def loss_of(backward):
    net = cj.compile(tied(), backward=backward)

    def loss(params):
        return net.loss(params, {}, BATCH)[0]

    return net, loss


def test_gradients_add_up():
    (net, exact), (_, plain) = map(loss_of, WAYS)
    params = draw_like(net.init(jax.random.key(0))[0])
    assert params.keys() >= {"table", "square", "first"}
    found = quick(jax.grad(exact))(params)
    close(found, quick(jax.grad(plain))(params))
    along = draw_like(params, seed=5)
    slope = difference(quick(exact), params, along)
    assert inner(found, along) == pytest.approx(float(slope), rel=1e-7)


def test_members_and_second_derivatives():
    (net, exact), (_, plain) = map(loss_of, WAYS)
    members = [draw_like(net.init(jax.random.key(0))[0], seed=i) for i in (1, 2)]
    stacked = jax.tree.map(lambda *parts: jnp.stack(parts), *members)

    def squared(loss):
        def value(params):
            return sum(jnp.sum(x**2) for x in jax.tree.leaves(jax.grad(loss)(params)))

        return quick(jax.vmap(jax.grad(value)))

    close(squared(exact)(stacked), squared(plain)(stacked))


def test_initial_values_depend_on_the_name_alone():
    net = cj.compile(tied())
    params, _ = net.init(jax.random.key(0))
    x = cj.input("x", (6,))
    other = cj.capsule("other", cj.share(cj.matmul(x, 6), "square"), cap="tanh")
    alone, _ = cj.compile(cj.graph(other)).init(jax.random.key(0))
    np.testing.assert_array_equal(alone["square"]["W"], params["square"]["W"])
    assert net.parameter_count == sum(p.size for p in jax.tree.leaves(params))
    again = net.from_named(net.named(params))
    assert jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), again, params))


def test_documents_keep_them():
    graph = tied()
    assert from_document(to_document(graph)) == graph
    inputs = {each["name"]: each for each in to_document(graph)["inputs"]}
    assert inputs == {
        "first": {"name": "first", "shape": [1, 6], "learned": True},
        "tokens": {"name": "tokens", "shape": [4], "dtype": "integer"},
    }


def test_shapes_that_disagree_name_both_edges():
    x = cj.input("x", (3,))
    a = cj.capsule("a", cj.share(cj.matmul(x, 4), "w"))
    b = cj.capsule("b", cj.share(cj.matmul(a, 4), "w"))
    with pytest.raises(cj.GraphError) as raised:
        cj.graph(b)
    text = str(raised.value)
    assert "weight 'w', shared by the edges 'x' -> 'a' and 'a' -> 'b'" in text
    assert "shape (3, 4) for matmul(features=4) on the one, (4, 4)" in text


def test_learned_inputs_alone_are_refused():
    only = cj.learned("only", (3,))
    with pytest.raises(cj.GraphError) as raised:
        cj.graph(cj.capsule("y", cj.matmul(only, 2)))
    assert "found:    learned inputs alone" in str(raised.value)
    assert "cure:     declare an input that is not learned" in str(raised.value)
