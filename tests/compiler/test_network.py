"""Network: parameters by name, what it refuses, error signals, activations."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import capsjax as cj
from capsjax.graph import from_document, to_document
from tests.helpers_capsjax import both_ways, close, draw, quick


def small(**settings):
    """Two inputs, a capsule that is dropped, a skip, a paired and a plain loss."""
    x, z = cj.input("x", (4,)), cj.input("z", (3,))
    same = cj.capsule("same", cj.identity(x), bias=None)
    a = cj.capsule("a", cj.matmul(same, 3), cap="relu")
    b = cj.capsule("b", cj.matmul(a, 3), cj.identity(z), cap="tanh", bias="full")
    digit = cj.capsule("digit", cj.matmul(b, 5), cj.matmul(b, 5), cap="softmax")
    side = cj.capsule("side", cj.dot(a), cap="sigmoid", bias=None)
    losses = {"digit": "cross_entropy", "side": "mean_squared_error"}
    return cj.graph(digit, side, **{"name": "small", "losses": losses, **settings})


def batch_of(size=2):
    """A batch for `small`."""
    return {
        "x": draw((size, 4)),
        "z": draw((size, 3), 1),
        "digit": jnp.arange(size) % 5,
        "side": draw((size,), 2),
    }


NET = cj.compile(small())


@pytest.fixture(scope="module")
def params():
    return NET.init(jax.random.key(0))[0]


# ---- parameters


def test_a_weight_depends_on_its_key_and_name_alone(params):
    x, z = cj.input("x", (4,)), cj.input("z", (3,))
    other = cj.capsule("other", cj.matmul(z, 3))
    renamed = cj.capsule("same", cj.identity(x), bias=None)
    a = cj.capsule("a", cj.identity(other), cj.matmul(renamed, 3), cap="relu")
    found = cj.compile(cj.graph(a)).init(jax.random.key(0))[0]
    np.testing.assert_array_equal(found["a"]["W"]["same"], params["a"]["W"]["same"])
    again = NET.init(jax.random.key(1))[0]
    assert not np.array_equal(again["a"]["W"]["same"], params["a"]["W"]["same"])


def test_no_two_weights_are_alike(params):
    first, second = params["digit"]["W"]["b"], params["digit"]["W"]["b#2"]
    assert not np.allclose(first, second)


def test_initial_parameters(params):
    assert params["a"]["B"].dtype == jnp.float64
    for name in ("a", "b", "digit"):
        np.testing.assert_array_equal(params[name]["B"], 0)
    with jax.enable_x64(False):
        assert NET.init(jax.random.key(0))[0]["a"]["W"]["same"].dtype == jnp.float32


def test_names_round_trip(params):
    named = NET.named(params)
    assert named.keys() == {"a", "b", "digit", "side"}
    assert named["digit"].keys() == {"B", "W"}
    assert named["digit"]["W"].keys() == {"b", "b#2"}
    close(NET.from_named(named), params, 0)
    backwards = {name: named[name] for name in reversed(named)}
    close(NET.from_named(jax.tree.map(np.asarray, backwards)), params, 0)


def test_counts_and_shapes(params):
    assert NET.parameter_count == sum(x.size for x in jax.tree.leaves(params)) == 65
    assert NET.shapes["side"] == ((), ())
    assert NET.shapes["same"].output == (4,)
    assert repr(NET) == "Network('small', 4 capsules, 65 parameters)"


HEAD = "parameters do not fit network 'small':\n    "


@pytest.mark.parametrize(
    "change, text",
    [
        (lambda p: p["a"].pop("B"), "a:B: missing; expected shape (3,)"),
        (
            lambda p: p["digit"]["W"].update(bb=1.0),
            "digit:W:bb: unknown; did you mean 'digit:W:b'?",
        ),
        (
            lambda p: p.update(zzzzzzzzzz={"B": jnp.ones(3)}),
            "zzzzzzzzzz:B: unknown; remove it",
        ),
        (
            lambda p: p["a"].update(B=jnp.ones(4)),
            "a:B: found shape (4,); expected (3,)",
        ),
        (
            lambda p: p["a"].update(B=[0.0, 0.0, 0.0]),
            "a:B: found a list, no array; expected (3,)",
        ),
        (
            lambda p: p["a"].update(B=None),
            "a:B: found a NoneType, no array; expected (3,)",
        ),
        (lambda p: p.update(same={}), "same: unknown; did you mean 'a:W:same'?"),
        (lambda p: p["b"].update(W={}), "b:W:a: missing; expected shape (3, 3)"),
        (lambda p: p.update(same=jnp.ones(2)), "same: unknown; did you mean"),
    ],
)
def test_parameters_that_do_not_fit(params, change, text):
    given = jax.tree.map(lambda x: x, params)
    change(given)
    batch = batch_of()
    inputs = {name: batch[name] for name in "xz"}
    for call in (
        lambda: NET.apply(given, {}, inputs),
        lambda: NET.loss(given, {}, batch),
        lambda: NET.deltas(given, {}, batch),
        lambda: NET.activations(given, {}, inputs),
        lambda: NET.examples(given, {}, batch),
        lambda: NET.named(given),
        lambda: NET.from_named(given),
    ):
        with pytest.raises(ValueError, match="^" + re.escape(HEAD + text)):
            call()


def test_parameters_that_are_no_mapping():
    text = (
        "parameters must be {capsule: {'B': array, 'W': {source: array}}}, as "
        "net.init returns them, not tuple"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        NET.apply((1, 2), {}, {})  # pyright: ignore[reportArgumentType]


# ---- batches


def without(name):
    return {key: array for key, array in batch_of().items() if key != name}


@pytest.mark.parametrize(
    "batch, lines",
    [
        (without("x"), ["input 'x': missing; expected [batch, *(4,)]"]),
        (without("side"), ["target of output 'side': missing"]),
        (
            batch_of() | {"x": draw((4,))},
            ["input 'x': found shape (4,); expected a batch axis, then (4,)"],
        ),
        (
            batch_of() | {"x": np.zeros((2, 4), np.uint8)},
            [
                "input 'x': found uint8; expected floating point, such as "
                "images.astype('float32') / 255"
            ],
        ),
        (batch_of() | {"x": draw((3, 4))}, ["batch sizes differ: {'x': 3, 'z': 2}"]),
        (
            batch_of() | {"sides": 1},
            ["'sides': unknown name; did you mean 'side'?"],
        ),
        (
            batch_of() | {"qqq": 1},
            ["'qqq': unknown name; expected digit, side, x, z"],
        ),
        (
            batch_of() | {"digit": np.zeros(2, np.float32)},
            [
                "target of output 'digit': found float32 of shape (2,); expected "
                "shape (2, 5), or integers of shape (2,)"
            ],
        ),
        (
            batch_of(0),
            ["batch size 0: the loss is a mean over at least one example"],
        ),
        (
            {"x": draw((2, 5)), "side": draw((2,)), "zed": 1},
            [
                "'zed': unknown name; expected digit, side, x, z",
                "input 'x': found shape (2, 5); expected a batch axis, then (4,)",
                "input 'z': missing; expected [batch, *(3,)]",
                "target of output 'digit': missing",
            ],
        ),
    ],
)
def test_batches_that_do_not_fit(params, batch, lines):
    text = "\n    ".join(["the batch does not fit network 'small':", *lines])
    for call in (NET.loss, NET.deltas, NET.examples):
        with pytest.raises(ValueError) as caught:
            call(params, {}, batch)
        assert str(caught.value) == text


def test_inputs_that_do_not_fit(params):
    with pytest.raises(ValueError) as caught:
        NET.apply(params, {}, {"x": draw((2, 4)), "side": draw((2,))})
    assert str(caught.value) == (
        "the batch does not fit network 'small':\n"
        "    'side': unknown name; expected x, z\n"
        "    input 'z': missing; expected [batch, *(3,)]"
    )
    text = (
        "arrays are given by name, such as {'x', 'z': array}, not as "
        f"{type(jnp.ones(1)).__name__}"
    )
    for call in (NET.apply, NET.loss):
        with pytest.raises(TypeError, match=f"^{re.escape(text)}$"):
            call(params, {}, draw((2, 4)))  # pyright: ignore[reportArgumentType]


def test_a_network_without_a_loss(params):
    net = cj.compile(small(losses=None))
    text = (
        "network 'small' declares no loss; declare one: "
        'cj.graph(..., losses={"output": "cross_entropy"})'
    )
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        net.loss(params, {}, batch_of())


def test_an_empty_batch_can_be_evaluated(params):
    inputs = {"x": draw((0, 4)), "z": draw((0, 3))}
    outputs, _ = quick(lambda params: NET.apply(params, {}, inputs))(params)
    assert outputs["digit"].shape == (0, 5)


def test_compile_says_what_it_takes():
    with pytest.raises(TypeError, match=r"^cj.compile takes a Graph, not str; make "):
        cj.compile("lenet-5")  # pyright: ignore[reportArgumentType]
    text = (
        r"found:    unknown rule 'fast'\n    expected: one of clip, .*, or 'autodiff'"
    )
    with pytest.raises(ValueError, match=text):
        cj.compile(small(), backward="fast")  # pyright: ignore[reportArgumentType]


# ---- error signals and activations


def test_deltas_name_every_capsule(params):
    nets = both_ways(small())
    names: list[str] = []

    @quick
    def deltas(params):
        found = [net.deltas(params, {}, batch_of(6)) for net in nets]
        names.extend(found[0])  # JAX sorts what it gives out
        return found

    found, expected = deltas(params)
    assert names == ["same", "a", "b", "digit", "side"]
    assert found["same"].shape == (6, 4)
    assert all(np.any(delta != 0) for delta in found.values())
    close(found, expected)


def test_deltas_of_capsules_that_no_output_needs(params):
    document = to_document(small())
    losses = {"side": {"kind": "mean_squared_error"}}
    document |= {"outputs": ["side"], "losses": losses}
    net = cj.compile(from_document(document))
    own = {name: params[name] for name in ("a", "side")}
    assert net.init(jax.random.key(0))[0].keys() == own.keys()
    batch = {"x": draw((2, 4)), "side": draw((2,), 2)}
    found = quick(lambda own: net.deltas(own, {}, batch))(own)
    assert found.keys() == {"same", "a", "b", "digit", "side"}
    np.testing.assert_array_equal(found["digit"], np.zeros((2, 5)))


def test_activations(params):
    exact, plain = both_ways(small())
    inputs = {"x": draw((2, 4)), "z": draw((2, 3), 1)}

    @quick
    def everything(params):
        found = [net.activations(params, {}, inputs) for net in (exact, plain)]
        names.extend(found[0])
        return *found, exact.apply(params, {}, inputs)[0]

    names: list[str] = []
    found, expected, outputs = everything(params)
    assert names == ["same", "a", "b", "digit", "side"]
    close(found, expected)
    u = np.asarray(inputs["x"]) @ np.asarray(params["a"]["W"]["same"])
    close(found["a"], {"U": u, "Y": np.maximum(u, 0)})
    close({name: found[name]["Y"] for name in outputs}, outputs)
