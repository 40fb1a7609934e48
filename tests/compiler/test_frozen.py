"""Inference programs: equal to the network in inference, and what is left of it."""

import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given

import capsjax as cj
from tests.compiler.random_graphs import graphs
from tests.helpers_capsjax import close, draw, draw_like, examples, quick
from tests.neural.helpers_layers import perceptron

GOLDEN = Path(__file__).parent / "golden" / "frozen.txt"


def conv(source, features, **settings):
    """A convolution of 3 x 3 that keeps the size."""
    return cj.conv(source, features, (3, 3), padding="SAME", **settings)


def normed(name, edge, *more, cap="relu", bias=None):
    """Batch normalization behind an edge, with what is added, and a function."""
    before = cj.capsule(f"{name}-conv", edge, cap="standardize", bias=bias)
    return cj.capsule(name, cj.channel_scale(before), *more, cap=cap)


def head(*sources):
    """Means of images, classified."""
    joined = cj.capsule(
        "joined", *map(cj.place, sources), cap="global_avg_pool", bias=None
    )
    drop = cj.capsule("drop", cj.identity(joined), cap=cj.caps.dropout(), bias=None)
    return cj.graph(cj.capsule("y", cj.matmul(drop, 3)), name="frozen")


def residual():
    """Identities beside, a shortcut with a norm of its own, a biased convolution."""
    x = cj.input("x", (4, 4, 2))
    a = normed("a", conv(x, 3), bias="channel")
    b = normed("b", conv(a, 3), cj.identity(a))
    short = cj.conv(b, 4, (1, 1), stride=(2, 2))
    short = normed("short", short, cap=cj.caps.drop_path(0.1))
    return head(normed("c", conv(b, 4, stride=(2, 2)), cj.identity(short)))


def dense():
    """Norms before convolutions, of concatenations, with a full bias."""
    x = cj.input("x", (4, 4, 2))
    a = cj.capsule("a", conv(x, 3))
    both = cj.capsule("both", cj.place(x), cj.place(a), bias=None)
    b = cj.capsule("b", conv(normed("n", cj.identity(both)), 2), bias="full")
    placed = [cj.place(b), cj.place(both)]
    last = cj.capsule("last", *placed, cap="standardize", bias="full")
    return head(last, cj.capsule("m", cj.channel_scale(b), cap="standardize"))


def separable():
    """Depthwise, grouped and transposed convolutions, noise between them."""
    x = cj.input("x", (4, 4, 2))
    a = normed("a", cj.depthwise_conv(x, (3, 3), multiplier=2, padding="SAME"))
    noisy = cj.capsule("noisy", conv(a, 4, groups=2), cap=cj.caps.noise(0.1))
    b = normed("b", cj.identity(noisy))
    up = cj.conv_transpose(b, 3, (2, 2), stride=(2, 2))
    return head(normed("c", up, cap="tanh"))


def attention():
    """A norm with scale and shift before three products; scalars in a row."""
    tokens = cj.input("tokens", (5,), dtype="integer")
    words = cj.capsule("words", cj.embed(tokens, 7, 4), cap="standardize", bias="full")
    norm = cj.capsule("norm", cj.identity(words), cap="layer_norm", bias=None)
    scaled = cj.capsule("scaled", cj.channel_scale(norm))
    q, k = (cj.capsule(name, cj.matmul(scaled, 4)) for name in "qk")
    half = cj.capsule("half", cj.scale(k), bias=None)
    v = cj.capsule("v", cj.matmul(half, 4, transposed=True), cap="gelu")
    w = cj.capsule("w", cj.scale(q), cj.identity(v), cap="tanh")
    return cj.graph(cj.capsule("y", cj.dot(w), cj.dot(v)), name="frozen")


def stubborn():
    """What can't be folded: shared weights, several readers, outputs, padding."""
    x = cj.input("x", (4, 4, 2))
    one = normed("one", cj.share(conv(x, 2), "twin"))
    two = normed("two", cj.share(conv(one, 2), "twin"))
    read = cj.capsule("read", conv(two, 2), cap="standardize")
    left = cj.capsule("left", cj.channel_scale(read), cj.identity(read))
    turned = cj.transpose(left, (1, 0, 2))
    turned = cj.capsule("turned", turned, cap="standardize")
    shifted = cj.capsule("shifted", cj.channel_scale(turned))
    padded = cj.capsule("padded", conv(shifted, 2), cap="relu")
    rows = cj.capsule("rows", cj.reshape(padded, (16, 2)), bias=None)
    vote = cj.capsule("vote", cj.vote(rows, 2, 3), cap="standardize")
    flat = cj.capsule("flat", cj.reshape(vote, (-1,)), bias=None)
    return cj.graph(cj.capsule("y", cj.matmul(flat, 2)), read, name="frozen")


GRAPHS = {
    residual: "a b c joined y",
    dense: "a both n b last.sum last m joined y",
    separable: "a b c joined y",
    attention: "norm half v w y",
    stubborn: "one-conv.sum one two-conv.sum two read left turned.sum shifted padded "
    "rows vote flat y",
}


def problem(
    graph: cj.Graph, dtype: Any = float, passes: Any = cj.passes.PIPELINE
) -> tuple[cj.Network, Any, Any, Any]:
    """The network, parameters and statistics as training could leave them, inputs."""
    net = cj.compile(graph, passes=passes)
    shapes, state = jax.eval_shape(net.init, jax.random.key(0))
    params = draw_like(shapes)
    drawn = draw_like(state, 50)
    for each in drawn.values():
        each["variance"] = 0.5 + np.square(each["variance"])
    inputs = {
        name: np.arange(10).reshape(2, 5) % 7
        if name in net.typed.integers
        else draw((2, *shape), 99)
        for name, shape in net.typed.inputs
    }
    params, drawn, inputs = jax.tree.map(
        lambda a: jnp.asarray(a, dtype if a.dtype == np.float64 else a.dtype),
        (params, drawn, inputs),
    )
    return net, params, drawn, inputs


def frozen_of(net: cj.Network, params: Any, state: Any, **settings: Any):
    return cj.compile(
        net.graph, mode="inference", params=params, state=state, **settings
    )


def both(net: cj.Network, *problem: Any) -> tuple[Any, Any]:
    """What the inference program gives, and the network."""

    @quick
    def run(params, state, inputs):
        found = frozen_of(net, params, state)(inputs)
        return found, net.apply(params, state, inputs)[0]

    return run(*problem)


@pytest.mark.parametrize("make", GRAPHS)
def test_frozen_is_the_network_in_inference(make):
    close(*both(*problem(make())), 1e-12)


def test_in_single_precision():
    found, expected = both(*problem(dense(), "float32"))
    close(found, expected, 1e-5)
    assert found["y"].dtype == jnp.float32


@pytest.mark.parametrize("make", GRAPHS)
def test_what_is_left(make):
    net, params, state, _ = problem(make())
    made = []

    def freeze(params, state):
        made.append(frozen_of(net, params, state))
        return made[-1].params

    jax.eval_shape(freeze, params, state)
    (frozen,) = made
    names = {capsule.name for capsule in frozen.compiled.program.typed.capsules}
    assert names == set(GRAPHS[make].split())
    assert frozen.state == {}
    assert "standardize" not in str(frozen.compiled.program.typed.capsules)


@examples(2)
@given(graphs())
def test_random_graphs(graph):
    close(*both(*problem(graph)), 1e-12)


def test_the_printed_stages():
    """On purpose changed: run `python -m tests.compiler.test_frozen` and read."""
    assert printed() == GOLDEN.read_text()


def printed() -> str:
    net, params, state, _ = problem(attention())
    return f"{cj.explain(frozen_of(net, params, state))}\n"


def test_gradients_by_inputs_members_and_batches():
    hidden = normed("h", cj.matmul(cj.input("x", (4,)), 3), cap="tanh")
    graph = cj.graph(cj.capsule("y", cj.matmul(hidden, 2)))
    net, params, state, inputs = problem(graph)
    members = jax.tree.map(
        lambda a: jnp.asarray(np.stack([a, 1.5 * np.asarray(a)])), (params, state)
    )

    def by_input(apply):
        return jax.grad(lambda x: jnp.sum(apply({"x": x})["y"] ** 2))

    def evaluate(frozen, x):  # the parameters are an argument, no constants
        return frozen({"x": x})["y"]

    frozen = frozen_of(net, params, state)
    pair = jnp.asarray(np.stack([inputs["x"], -np.asarray(inputs["x"])]))
    found = quick(
        lambda frozen: (
            by_input(frozen)(inputs["x"]),
            jax.vmap(evaluate, (None, 0))(frozen, pair),
            jax.vmap(lambda p, s: frozen_of(net, p, s)(inputs)["y"])(*members),
        )
    )(frozen)

    def apply(params, state, x):
        return net.apply(params, state, x)[0]

    expected = quick(
        lambda: (
            by_input(lambda x: apply(params, state, x))(inputs["x"]),
            jax.vmap(lambda x: apply(params, state, {"x": x})["y"])(pair),
            jax.vmap(lambda p, s: apply(p, s, inputs)["y"])(*members),
        )
    )()
    close(found, expected, 1e-12)


def test_runs_of_layers_in_either_layout():
    """The network's arrays are stacked, the inference program's again."""
    layer = cj.input("x", (3,))
    for i in range(9):
        layer = normed(f"h{i}", cj.matmul(layer, 3))
    others = (each for each in cj.passes.PIPELINE if each.name != "fold")
    passes = (*others, cj.passes.Pass(cj.passes.fold_all, observable=True))
    net, params, state, inputs = problem(cj.graph(layer), passes=passes)
    assert net.program.typed.runs
    expected = quick(net.apply)(params, state, inputs)[0]
    for p, s in ((params, state), (net.named(params), net.named_state(state))):
        frozen = frozen_of(net, p, s, passes=passes)
        (run,) = frozen.compiled.program.typed.runs
        assert [capsule.name for capsule in run.body.capsules] == ["h0+8"]
        close(quick(frozen)(inputs), expected, 1e-12)


def test_precision():
    net, params, state, inputs = problem(dense(), "float32")
    policy = cj.Precision("bfloat16")
    frozen = frozen_of(net, params, state, precision=policy)
    assert {str(a.dtype) for a in jax.tree.leaves(frozen.params)} == {"bfloat16"}
    found = quick(frozen)(inputs)
    assert found["y"].dtype == jnp.float32
    close(found, quick(net.apply)(params, state, inputs)[0], 0.03)


def test_neurons_keep_their_wiring():
    net = cj.compile(perceptron([3, 4, 2]))
    params, state = quick(net.init)(jax.random.key(0))
    inputs = {name: draw((2, *shape)) for name, shape in net.typed.inputs}
    frozen = cj.compile(
        perceptron([3, 4, 2]), mode="inference", params=params, state=state
    )
    assert frozen.state.keys() == state.keys() != set()
    expected = quick(net.apply)(params, state, inputs)[0]
    close(quick(frozen)(inputs), expected, 1e-12)


def test_what_is_said_of_it():
    net, params, state, _ = problem(residual())
    frozen = frozen_of(net, params, state)
    assert repr(frozen) == "Frozen('frozen', 5 capsules, 280 parameters)"


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"mode": "inference"}, "needs trained parameters"),
    ({"mode": "fast"}, "mode 'fast' is unknown; expected 'inference', or none"),
    ({"params": {}}, "found params or state without a mode"),
    (
        {"mode": "inference", "params": {}, "backward": "autodiff"},
        "backward 'autodiff' with mode=\"inference\"; expected no backward",
    ),
    (
        {"mode": "inference", "params": {}},
        "parameters do not fit network 'mlp'",
    ),
]


@pytest.mark.parametrize("number", range(len(WRONG)))
def test_what_is_refused(number):
    settings, text = WRONG[number]
    with pytest.raises(ValueError, match=re.escape(text)):
        cj.compile(cj.zoo.graph("mlp"), **settings)


def test_statistics_that_are_missing():
    net, params, _, _ = problem(residual())
    with pytest.raises(ValueError, match="state does not fit network 'frozen'"):
        frozen_of(net, params, None)


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    GOLDEN.write_text(printed())
