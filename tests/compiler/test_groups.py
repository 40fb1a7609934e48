"""Groups attacked: NaN, mixed types, wrong states, sizes of programs, many devices."""

import functools
import re
import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import capsjax as cj
from capsjax.neural import NeuralNetwork, network
from tests.compiler import random_networks
from tests.compiler.random_networks import (
    PRODUCTS,
    TREES,
    batch_of,
    of_shape,
)
from tests.helpers_capsjax import close, draw_like, quick

NET = of_shape("any", 4, 12, ["tanh", "silu"])
LAYERS = of_shape("layers", 4, 20, ["tanh", "silu"])


def compiled(net: NeuralNetwork, limit: Any) -> tuple[cj.Network, Any, Any]:
    """The same network for the same limits: its programs are compiled once."""
    return _compiled(net, tuple(limit.items()))


@functools.cache
def _compiled(net: NeuralNetwork, limit: Any) -> tuple[cj.Network, Any, Any]:
    return random_networks.compiled(net, dict(limit))


@functools.cache
def gradient_of(net: NeuralNetwork, limit: Any = ()) -> Any:
    """`f(params, batch)`: loss, outputs and state; gradients by parameters and x."""
    compiled_net, _, state = _compiled(net, limit)

    def loss(params, x, y):
        return compiled_net.loss(params, state, {"x": x, "y": y})

    gradient = quick(jax.value_and_grad(loss, (0, 1), has_aux=True))
    return lambda params, batch: gradient(params, batch["x"], batch["y"])


# ---- numbers that are none


def reaches(net: NeuralNetwork) -> np.ndarray:
    """Which nodes each node depends on, itself among them."""
    found = np.eye(len(net.names), dtype=bool)
    for node in np.argsort(net.levels, kind="stable"):
        for source in net.sources[net.targets == node]:
            found[node] |= found[source]
    return found


@pytest.mark.parametrize(
    "shape, limit, bad",
    [
        ("any", {}, np.nan),
        ("any", TREES, np.inf),
        ("funnel", TREES, np.nan),
        ("layers", PRODUCTS, np.nan),
    ],
)
def test_what_is_not_finite_reaches_only_what_depends_on_it(shape, limit, bad):
    """Of one example, one input: no padding carries it, no other example has it."""
    net = of_shape(shape, 4, 20, ["tanh", "identity", "gelu"], seed=1)
    compiled_net, params, state = compiled(net, limit)
    batch = batch_of(net)
    x = np.array(batch["x"])
    x[1, 2] = bad

    def total(x, output):
        y = compiled_net.apply(params, state, {"x": x})[0]["y"][:, output]
        return jnp.sum(jnp.where(jnp.isfinite(y), y * bad, 0.0))

    @quick
    def run(x):
        found = compiled_net.activations(params, state, {"x": x})
        return found["neurons"]["Y"], jax.grad(lambda x: total(x, 0))(x)

    (clean, gradient), (found, _) = jax.tree.map(np.asarray, (run(batch["x"]), run(x)))
    depends = reaches(net)[4:, 2]
    np.testing.assert_array_equal(found[[0, 2]], clean[[0, 2]])
    np.testing.assert_array_equal(found[1, ~depends], clean[1, ~depends])
    if np.isnan(bad):
        assert np.isnan(found[1, depends]).all()
    # Error signals that are none reach only what the output depends on.
    read = reaches(net)[net.output_neurons[0], :4]
    assert np.isfinite(gradient[:, ~read]).all()
    assert not np.isfinite(gradient[:, read]).any()


@pytest.mark.parametrize("limit", [TREES, PRODUCTS])
def test_a_weight_that_is_nan_reaches_only_what_depends_on_it(limit):
    net = of_shape("layers", 4, 20, ["tanh"], seed=1)
    compiled_net, params, state = compiled(net, limit)
    edge = int(np.argmax(net.levels[net.targets] == 2))
    edges = np.array(params["neurons"]["W"]["edges"])
    edges[edge] = np.nan
    bad = {"neurons": params["neurons"] | {"W": {"edges": edges}}}
    inputs = {"x": batch_of(net)["x"]}
    run = quick(lambda p: compiled_net.activations(p, state, inputs))
    found = np.asarray(run(bad)["neurons"]["Y"])
    depends = reaches(net)[4:, net.targets[edge]]
    assert np.isnan(found).any(0).tolist() == depends.tolist()


# ---- types


@pytest.mark.parametrize(
    "limit, parameters, inputs",
    [
        ({}, "float64", "float32"),
        (TREES, "float64", "float32"),
        (PRODUCTS, "float64", "float32"),
        (TREES, "float32", "float64"),
    ],
)
def test_types_promote_as_in_other_capsules(limit, parameters, inputs):
    """Outputs have the wider type; gradients have the type of what they are of."""
    _, params, _ = compiled(LAYERS, limit)
    params = jax.tree.map(lambda a: np.asarray(a, parameters), params)
    batch: dict[str, Any] = {**batch_of(LAYERS)}
    batch["x"] = np.asarray(batch["x"], inputs)
    gradient = gradient_of(LAYERS, tuple(limit.items()))
    (_, (outputs, _)), found = gradient(params, batch)
    assert outputs["y"].dtype == "float64"
    assert {a.dtype.name for a in jax.tree.leaves(found[0])} == {parameters}
    assert found[1].dtype == inputs
    wide = jax.tree.map(lambda a: np.asarray(a, "float64"), (params, batch))
    close(found, gradient_of(LAYERS)(*wide)[1], 1e-5)


def test_parameters_that_the_network_declares():
    """float64, as they are; with inputs in float32."""
    params = compiled(NET, {})[0].from_named(NET.named())
    batch = batch_of(NET)
    narrow = {"x": np.asarray(batch["x"], "float32"), "y": batch["y"]}
    found, expected = (gradient_of(NET)(params, b)[1][0] for b in (narrow, batch))
    close(found, expected, 1e-5)


def test_half_precision_keeps_its_type():
    compiled_net, params, state = compiled(NET, TREES)
    batch = batch_of(NET)
    gradient = jax.grad(lambda p, b: compiled_net.loss(p, state, b)[0])
    half, x = jax.tree.map(lambda a: np.asarray(a, jnp.bfloat16), (params, batch["x"]))
    found = quick(gradient)(half, batch | {"x": x})
    assert {a.dtype for a in jax.tree.leaves(found)} == {jnp.dtype(jnp.bfloat16)}
    expected = gradient_of(NET)(params, batch)[1][0]
    for a, b in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        scale = float(np.sqrt(np.mean(np.square(b))))
        np.testing.assert_allclose(np.asarray(a, float), b, atol=0.2 * scale + 1e-2)


# ---- what does not belong to the network


def other_state() -> Any:
    return compiled(network(2, 2, [0, 1, 0, 1], [2, 2, 3, 3]), {})[2]


WRONG_STATES = {
    "empty": (lambda: {}, "no 'neurons'"),
    "none": (lambda: None, "no 'neurons'"),
    "of another": (other_state, "'neurons' of another network"),
    "not a wiring": (lambda: {"neurons": None}, "'neurons' of another network"),
}


@pytest.mark.parametrize("make, found", WRONG_STATES.values(), ids=WRONG_STATES)
def test_a_state_that_is_not_the_networks(make, found):
    compiled_net, params, _ = compiled(NET, {})
    text = (
        f"state of network 'neurons': found {found}; expected the wiring that "
        "net.init(key) returns beside the parameters; cure: pass that state on"
    )
    inputs, batch = {"x": batch_of(NET)["x"]}, batch_of(NET)
    for call in (
        lambda: compiled_net.apply(params, make(), inputs),
        lambda: compiled_net.loss(params, make(), batch),
        lambda: compiled_net.deltas(params, make(), batch),
        lambda: compiled_net.activations(params, make(), inputs),
        lambda: compiled_net.examples(params, make(), batch),
    ):
        with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
            call()


def test_the_state_of_an_equal_network_serves():
    """Schedules hold no chance."""
    compiled_net, params, state = compiled(NET, {})
    same = of_shape("any", 4, 12, ["tanh", "silu"])
    again = random_networks.compiled(same, {})[2]
    assert again is not state
    close(again, state, 0)
    inputs = {"x": batch_of(NET)["x"]}
    apply = quick(lambda state: compiled_net.apply(params, state, inputs)[0])
    first, second = map(apply, (state, again))
    close(first, second, 0)


def test_parameters_of_another_network():
    compiled_net, _, state = compiled(NET, {})
    other = compiled(network(2, 2, [0, 1, 0, 1], [2, 2, 3, 3]), {})[1]
    edges = len(NET.sources)
    text = (
        "parameters do not fit network 'neurons':\n"
        "    neurons:B: found shape (2,); expected (12,)\n"
        f"    neurons:W:edges: found shape (4,); expected ({edges},)"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        compiled_net.apply(other, state, {"x": batch_of(NET)["x"]})


# ---- what JAX does with functions


def test_hessian():
    net = of_shape("any", 2, 4, ["tanh"])
    compiled_net, params, state = compiled(net, TREES)
    batch = batch_of(net)
    plain = random_networks.compiled(net, TREES, "autodiff")[0]
    found, expected = (
        quick(jax.hessian(lambda p, n=each: n.loss(p, state, batch)[0]))(params)
        for each in (compiled_net, plain)
    )
    close(found, expected, 1e-9)


def test_donated_parameters():
    compiled_net, params, state = compiled(NET, {})
    batch = batch_of(NET)

    def step(params, state):
        gradient = jax.grad(lambda p: compiled_net.loss(p, state, batch)[0])(params)
        return jax.tree.map(lambda a, g: a - g, params, gradient)

    expected = jax.jit(step)(params, state)
    own = jax.tree.map(lambda a: jnp.array(np.asarray(a)), params)  # it is deleted
    close(jax.jit(step, donate_argnums=0)(own, state), expected, 0)


def test_forward_mode_says_how():
    compiled_net, params, state = compiled(NET, {})
    batch = batch_of(NET)
    text = re.escape('cj.compile(graph, backward="autodiff")')
    with pytest.raises(TypeError, match=f"custom_vjp(?s:.*){text}"):
        jax.jvp(lambda p: compiled_net.loss(p, state, batch)[0], (params,), (params,))


def test_the_wiring_passes_through():
    """Loss and apply return the state they are given, for the next step."""
    compiled_net, params, state = compiled(NET, {})
    batch = batch_of(NET)

    @quick
    def run(params, state, batch):
        applied = compiled_net.apply(params, state, {"x": batch["x"]})
        return applied[1], compiled_net.loss(params, state, batch)[1][1]

    for found in run(params, state, batch):
        close(found, state, 0)


SHARDED = """
import os
devices = " --xla_force_host_platform_device_count=8"
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + devices
import jax, numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
import capsjax as cj
from tests.compiler.random_networks import of_shape
net = of_shape("any", 4, 12, ["tanh", "silu"])
compiled = cj.compile(cj.neural.model(net, loss="mean_squared_error"))
params, state = jax.jit(compiled.init)(jax.random.key(0))
rng = np.random.default_rng(0)
outputs = len(net.output_neurons)
batch = {"x": rng.normal(size=(16, 4)), "y": rng.normal(size=(16, outputs))}
batch = jax.tree.map(lambda a: a.astype("float32"), batch)
step = jax.jit(jax.value_and_grad(lambda p, b: compiled.loss(p, state, b)[0]))
expected = step(params, batch)
mesh = Mesh(jax.devices(), "b")
split = NamedSharding(mesh, PartitionSpec("b"))
found = step(params, jax.device_put(batch, split))
same = jax.tree.map(lambda a, b: np.allclose(a, b, atol=1e-5), found, expected)
assert len(jax.devices()) == 8 and all(jax.tree.leaves(same)), same
"""


def test_a_batch_on_many_devices():
    subprocess.run([sys.executable, "-c", SHARDED], check=True, timeout=300)


# ---- size of programs


def window(neurons: int, window: int = 60) -> NeuralNetwork:
    """Each neuron reads four of the nodes before it; the last reads the ends."""
    rng = np.random.default_rng(0)
    nodes = np.arange(8, 8 + neurons - 1)
    low = np.maximum(nodes - window, 0)
    back = np.sort(rng.random((len(nodes), 4)), axis=1)
    gaps = (back * (nodes - low - 4)[:, None]).astype(int) + np.arange(4)
    sources = (low[:, None] + gaps).ravel()
    targets = np.repeat(nodes, 4)
    ends = np.flatnonzero(np.bincount(sources, minlength=8 + neurons)[:-1] == 0)
    return network(
        8,
        neurons,
        np.concatenate([sources, ends]),
        np.concatenate([targets, np.full(len(ends), 7 + neurons)]),
    )


def lowered(net: NeuralNetwork) -> str:
    compiled_net, params, state = compiled(net, {})
    batch = {"x": jnp.ones((4, 8)), "y": jnp.ones((4, 1))}

    def loss(params, x, state):
        return compiled_net.loss(params, state, batch | {"x": x})[0]

    step = jax.jit(jax.value_and_grad(loss, (0, 1)))
    return step.lower(params, batch["x"], state).as_text()


def test_the_program_does_not_grow_with_the_network():
    """Neither in what it does, nor in constants: the wiring is in the state."""
    few, many = (lowered(window(count)) for count in (1_000, 10_000))
    for word in ("stablehlo.while", "stablehlo.case", "stablehlo.dot_general"):
        assert 0 < few.count(word) and many.count(word) <= few.count(word), word
    assert len(many) < 1.2 * len(few)  # wider numbers in shapes
    longest = max(map(len, re.findall(r"dense<\[?([^>]*)>", many)))
    assert longest < 200


def test_no_constant_is_made_of_wide_ends():
    """Thousands of inputs and outputs, and none of their numbers in the program."""
    count = 3_000
    sources = np.concatenate([np.arange(count), np.zeros(count, int)])
    targets = count + np.tile(np.arange(count), 2)
    kept = (sources != 0) | (np.arange(2 * count) >= count)
    compiled_net, params, state = compiled(
        network(count, count, sources[kept], targets[kept]), {}
    )
    batch = {"x": jnp.ones((1, count)), "y": jnp.ones((1, count))}

    def loss(params, x, state):
        return compiled_net.loss(params, state, batch | {"x": x})[0]

    step = jax.jit(jax.grad(loss, (0, 1)))
    assert len(step.lower(params, batch["x"], state).as_text()) < 300_000


def test_one_trace_per_shape():
    compiled_net, params, state = compiled(NET, {})
    traces = []

    @jax.jit
    def step(params, state, batch):
        traces.append(batch["x"].shape)
        gradient = jax.grad(lambda p: compiled_net.loss(p, state, batch)[0])(params)
        return jax.tree.map(lambda a, g: a - g, params, gradient)

    for _ in range(3):
        params = step(params, state, batch_of(NET))
    assert len(traces) == 1
    step(draw_like(params), state, batch_of(NET, 2))
    assert len(traces) == 2


def test_schedules_are_made_once():
    """Error signals and activations need no program of their own for neurons."""
    compiled_net, _, _ = compiled(NET, {})
    assert compiled_net._observed is compiled_net.program
