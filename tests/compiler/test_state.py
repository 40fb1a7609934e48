"""State and keys in networks: training, inference, transformations, refusals."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import capsjax as cj
from capsjax.graph import from_document, to_document
from tests.helpers_capsjax import (
    both_ways,
    close,
    draw,
    draw_like,
    quick,
    squared_gradient,
)

BATCH = 4
KEY = jax.random.key(3)


def graph() -> cj.Graph:
    """All kinds that carry state or draw, beside each other and in a row."""
    x = cj.input("x", (3, 3, 2))
    image = cj.capsule("image", cj.conv(x, 3, (2, 2)), cap="standardize", bias=None)
    drop = cj.caps.spatial_dropout(0.3)
    scaled = cj.capsule("scaled", cj.channel_scale(image), cap=drop)
    noise = cj.caps.noise(0.2)
    flat = cj.capsule("flat", cj.reshape(scaled, (-1,)), cap=noise, bias=None)
    branch = cj.capsule("branch", cj.matmul(flat, 5), cap=cj.caps.drop_path(0.4))
    skip = cj.capsule("skip", cj.matmul(flat, 5), cap="tanh")
    norm = cj.caps.standardize(0.8, unbiased=False)
    both = cj.capsule("both", cj.identity(branch), cj.identity(skip), cap=norm)
    y = cj.capsule("y", cj.matmul(both, 3), cap="softmax")
    z = cj.capsule("z", cj.matmul(both, 2), cap=cj.caps.dropout(0.2))
    losses = {"y": "cross_entropy", "z": "mean_squared_error"}
    return cj.graph(y, z, name="drawing", losses=losses)


def problem(net: cj.Network, seed: int = 0) -> tuple[Any, Any, Any]:
    """Parameters, state and a batch, all drawn; variances are positive."""
    shapes = jax.eval_shape(net.init, jax.random.key(0))
    params, state = draw_like(shapes, seed)
    state = {n: own | {"variance": own["variance"] ** 2} for n, own in state.items()}
    batch = {"x": draw((BATCH, 3, 3, 2), seed + 90), "z": draw((BATCH, 2), seed + 91)}
    batch["y"] = jax.nn.softmax(draw((BATCH, 3), seed + 92))
    return params, state, batch


def gradient(net: cj.Network, train: bool = True) -> Any:
    """`f(params, state, batch, key)`: loss, outputs, new state, all gradients."""

    def found(params, state, batch, key):
        def loss(params, x):
            return net.loss(params, state, batch | {"x": x}, train=train, key=key)

        return jax.value_and_grad(loss, (0, 1), has_aux=True)(params, batch["x"])

    return found


NETS = both_ways(graph())
EXACT, PLAIN = NETS


@pytest.mark.parametrize("train", [True, False])
def test_everything_equals_autodiff(train):
    """Loss, outputs, state, gradients, error signals, activations."""
    params, state, batch = problem(EXACT)

    def everything(net):
        observed = [
            net.deltas(params, state, batch, train=train, key=KEY),
            net.activations(params, state, {"x": batch["x"]}, train=train, key=KEY),
        ]
        return gradient(net, train)(params, state, batch, KEY), observed

    exact, plain = quick(lambda: (everything(EXACT), everything(PLAIN)))()
    close(exact, plain)
    new = exact[0][0][1][1]
    assert sorted(new) == ["both", "image"]
    changed = jax.tree.map(lambda a, b: bool(np.not_equal(a, b).all()), new, state)
    assert jax.tree.leaves(changed) == [train] * 4


def test_twice_differentiated():
    params, state, batch = problem(EXACT)
    at = params, {"x": batch["x"]}

    def loss(at):
        params, inputs = at
        return PLAIN.loss(params, state, batch | inputs, key=KEY)[0]

    def both(at):
        slopes = jax.grad(loss)
        # Of |g|^2 / 2 it is the Hessian times g, which is shorter in forward mode.
        product = jax.jvp(slopes, (at,), (slopes(at),))[1]
        return jax.grad(squared_gradient(EXACT, batch, state, KEY))(at), product

    exact, plain = quick(both)(at)
    close(exact, plain, 1e-9)


def test_members_of_a_vmap_are_as_if_alone():
    """Each with its parameters, state and key; also the gradient of the sum."""
    members = [problem(EXACT, seed)[:2] for seed in (0, 1)]
    batch, keys = problem(EXACT)[2], jax.random.split(KEY)
    params, state = jax.tree.map(lambda *parts: np.stack(parts), *members)

    def total(params):
        def one(params, state, key):
            return EXACT.loss(params, state, batch, key=key)[0]

        return jnp.sum(jax.vmap(one)(params, state, keys))

    @quick
    def mapped_and_looped():
        mapped = jax.vmap(gradient(EXACT), (0, 0, None, 0))
        looped = jax.lax.map(
            lambda member: gradient(PLAIN)(*member[:2], batch, member[2]),
            (params, state, keys),
        )
        return mapped(params, state, batch, keys), looped, jax.grad(total)(params)

    found, expected, of_sum = mapped_and_looped()
    close(found, expected)
    close(of_sum, expected[1][0])


def test_steps_in_a_scan_and_one_by_one():
    """The state is carried from step to step; jax.checkpoint changes nothing."""
    params, state, batch = problem(EXACT)
    keys = jax.random.split(KEY, 3)

    def step(carry, key):
        params, state = carry
        loss = jax.checkpoint(lambda p, s: EXACT.loss(p, s, batch, key=key))
        (value, (_, state)), slopes = jax.value_and_grad(loss, has_aux=True)(
            params, state
        )
        return (jax.tree.map(lambda p, g: p - 0.1 * g, params, slopes), state), value

    scanned, losses = quick(lambda: jax.lax.scan(step, (params, state), keys))()
    plain = quick(lambda p, s, key: cj.algorithm_1(PLAIN, p, s, batch, 0.1, key))
    for i in range(3):
        params, state, loss = plain(params, state, keys[i])
        assert float(loss) == pytest.approx(float(losses[i]), rel=1e-10)
    close(scanned, (params, state), 1e-9)


@pytest.mark.parametrize("net", NETS, ids=["exact", "autodiff"])
def test_state_is_never_differentiated(net):
    """Neither by it nor of it, also inside of another derivative."""
    params, state, batch = problem(EXACT)

    def of_state(params):
        loss = jax.value_and_grad(net.loss, has_aux=True)
        (_, (_, new)), _ = loss(params, state, batch, key=KEY)
        _, (_, other) = net.loss(params, state, batch, key=KEY)
        return sum(jnp.sum(a) for a in jax.tree.leaves([new, other]))

    def by_state(state):
        inference = net.loss(params, state, batch, train=False)[0]
        return net.loss(params, state, batch, key=KEY)[0] + inference

    found = quick(lambda: (jax.grad(of_state)(params), jax.grad(by_state)(state)))()
    for leaf in jax.tree.leaves(found):
        np.testing.assert_array_equal(leaf, 0)


@pytest.mark.parametrize("net", NETS, ids=["exact", "autodiff"])
def test_inference_leaves_the_state_alone(net):
    params, state, batch = problem(EXACT)

    def check(params):
        _, after = net.apply(params, state, {"x": batch["x"]})
        _, (_, again) = net.loss(params, state, batch, train=False, key=KEY)
        assert after is state and again is state

    jax.eval_shape(check, params)


def test_draws_depend_on_the_name_and_the_key_alone():
    """Capsules may come, go and be renamed: what another one draws stays."""

    def masked(*others: str, before: bool, key: jax.Array) -> jax.Array:
        x = cj.input("x", (64,))
        drop = cj.caps.dropout(0.5)

        def one(name):
            return cj.capsule(name, cj.identity(x), cap=drop, bias=None)

        names = [*others, "own"] if before else ["own", *others]
        net = cj.compile(cj.graph(*map(one, names)))
        params, state = net.init(jax.random.key(0))
        ones = {"x": jnp.ones((2, 64))}
        y, _ = net.apply(params, state, ones, train=True, key=key)
        for name in others:
            assert not np.array_equal(y[name], y["own"])
        return y["own"]

    alone = masked(before=True, key=KEY)
    np.testing.assert_array_equal(masked("a", "b", before=True, key=KEY), alone)
    np.testing.assert_array_equal(masked("c", before=False, key=KEY), alone)
    old = masked("a", before=True, key=jax.random.key_data(KEY))
    np.testing.assert_array_equal(old, alone)
    assert not np.array_equal(masked(before=True, key=jax.random.key(4)), alone)


# ---- refusals


def refused(error: Any = ValueError, state: Any = None, **given: Any) -> str:
    """The message of a loss that is refused."""
    params, sound, batch = problem(EXACT)
    with pytest.raises(error) as caught:
        EXACT.loss(params, sound if state is None else state, batch, **given)
    return str(caught.value)


def test_a_missing_key():
    assert refused() == (
        "network 'drawing' draws in training, in 'scaled', 'flat', 'branch', 'z'; "
        "found no key; expected key=jax.random.key(...), a new one for each step; or "
        "train=False"
    )


@pytest.mark.parametrize(
    "key, found",
    [
        (3, "3"),
        ("key", "'key'"),
        (jnp.zeros((), jnp.uint32), "an array of uint32, shape ()"),
        (jnp.zeros(2, jnp.float32), "an array of float32, shape (2,)"),
        (jnp.zeros(3, jnp.uint32), "an array of uint32, shape (3,)"),
        (jax.random.split(KEY), "an array of key<fry>, shape (2,)"),
    ],
)
def test_what_is_no_key(key, found):
    assert refused(key=key) == (
        f"network 'drawing': found {found} as key; expected one random key: "
        "jax.random.key(seed), or what jax.random.split or fold_in make of it; under "
        "jax.vmap, one for each member"
    )


@pytest.mark.parametrize("train", [1, None, "yes", np.True_])
def test_train_that_is_no_python_bool(train):
    text = refused(TypeError, train=train, key=KEY)
    assert text.startswith(
        f"train is {train!r}; expected True or False, a Python value"
    )


def test_train_that_is_traced():
    params, state, batch = problem(EXACT)
    with pytest.raises(
        TypeError, match='under jax.jit make it static .static_argnames="t'
    ):
        jax.jit(lambda t: EXACT.loss(params, state, batch, train=t, key=KEY))(True)


def test_a_state_that_does_not_fit():
    _, state, _ = problem(EXACT)
    head = (
        "state does not fit network 'drawing'; pass on what net.init(key) and training "
        "return:\n    "
    )
    both = "both: {}; expected {{'mean': (5,), 'variance': (5,)}}"
    wrong = {
        "missing": {"image": state["image"]},
        "found {'mean': (5,)}": state | {"both": {"mean": jnp.zeros(5)}},
        "found {'mean': (5,), 'variance': (6,)}": state
        | {"both": {"mean": jnp.zeros(5), "variance": jnp.zeros(6)}},
        "found 7": state | {"both": 7},
    }
    for found, given in wrong.items():
        assert refused(state=given, key=KEY) == head + both.format(found)
    for nothing in ({}, ()):
        text = refused(state=nothing, key=KEY)
        assert text.startswith(head + "image: missing") and "both: missing" in text


def test_a_capsule_that_no_output_needs_carries_nothing():
    """Its error signal is zero all the same."""
    x = cj.input("x", (3,))
    used = cj.capsule("used", cj.matmul(x, 2))
    more = cj.capsule("more", cj.matmul(x, 2), cap="standardize")
    document = cj.graph(used, more, losses={"used": "mean_squared_error"})
    net = cj.compile(from_document(to_document(document) | {"outputs": ["used"]}))
    params, state = net.init(jax.random.key(0))
    assert state == {}
    batch = {"x": draw((2, 3)), "used": draw((2, 2))}
    np.testing.assert_array_equal(net.deltas(params, state, batch)["more"], 0)
