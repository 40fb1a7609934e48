"""Compiled ahead of time, a function is the function."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import capsjax as cj
from tests.helpers_capsjax import close, draw, quick


@functools.cache
def network(**settings) -> cj.Network:
    """Integers in, a state, a random draw, classes out."""
    words = cj.input("words", (4,), dtype="integer")
    seen = cj.capsule("seen", cj.embed(words, 5, 3), bias=None)
    drop = cj.capsule("drop", cj.identity(seen), cap=cj.caps.dropout(0.5), bias=None)
    flat = cj.capsule("flat", cj.reshape(drop, (-1,)), cap="standardize", bias=None)
    guess = cj.capsule("guess", cj.matmul(flat, 3), cap="softmax")
    graph = cj.graph(guess, name="words", losses={"guess": "cross_entropy"})
    return cj.compile(graph, **settings)


@functools.cache
def start(net: cj.Network) -> Any:
    """Its parameters and state, drawn in one program."""
    return quick(net.init)(jax.random.key(0))


def batch(size: int = 6) -> dict[str, jax.Array]:
    """Words and their classes."""
    words = np.arange(size * 4).reshape(size, 4) % 5
    return {"words": jnp.asarray(words), "guess": jnp.asarray(np.arange(size) % 3)}


KEY = jax.random.key(3)


def test_apply_in_training():
    net = network()
    params, state = start(net)
    inputs = {"words": batch()["words"]}
    compiled = net.lower(6, train=True).compile()
    found = compiled(params, state, inputs, key=KEY)
    own = quick(functools.partial(net.apply, train=True))
    close(found, own(params, state, inputs, key=KEY))


@pytest.mark.parametrize("train", [None, False])
def test_gradient_and_loss(train):
    net = network()
    params, state = start(net)
    keywords = {"key": KEY} if train is None else {}
    loss = functools.partial(net.loss, train=train is None)
    own = quick(jax.value_and_grad(loss, has_aux=True))
    expected = own(params, state, batch(), **keywords)
    compiled = net.lower(6, "gradient", train).compile()
    close(compiled(params, state, batch(), **keywords), expected)
    compiled = net.lower(6, "loss", train).compile()
    close(compiled(params, state, batch(), **keywords), expected[0])


def test_types_come_from_arrays_and_from_the_precision():
    net = network(precision=cj.Precision("bfloat16"))
    params, state = start(net)
    given = batch() | {"guess": draw((6, 3)).astype("float32")}
    types = {name: jax.ShapeDtypeStruct(x.shape, x.dtype) for name, x in given.items()}
    own = quick(functools.partial(net.loss, train=False))
    expected = own(params, state, given)
    for each in (given, types):
        compiled = net.lower(each, "loss", False).compile()
        close(compiled(params, state, given), expected, 1e-2)


def test_nothing_is_traced_again():
    net = network()
    params, state = start(net)
    compiled = net.lower(6).compile()
    with pytest.raises(TypeError, match=r"batch\['words'\].*int64\[7,4\]"):
        compiled(params, state, {"words": batch(7)["words"]})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0,), "batch is 0; expected a batch size of at least 1, or arrays"),
        ((True,), "batch is True; expected a batch size of at least 1, or arrays"),
        ((2, "deltas"), "function 'deltas' is unknown; expected one of ('apply'"),
        (({"word": np.ones((2, 4))},), "'word': unknown name; did you mean 'words'?"),
    ],
    ids=["size", "bool", "function", "name"],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError) as caught:
        network().lower(*arguments)
    assert message in str(caught.value)
