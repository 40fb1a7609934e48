"""One suite over the table of losses, and the pairs with a capsule function."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import capsjax as cj
from capsjax import losses
from capsjax.graph import ShapeError
from capsjax.graph.kinds import LOSSES
from capsjax.losses import PAIRS, encode_target
from tests.helpers_capsjax import (
    both_ways,
    built_in,
    close,
    difference,
    draw,
    draw_like,
    inner,
    network,
)

SHAPES = [(4,), (2, 3)]
EXAMPLES = [
    (kind(), shape)
    for kind in (
        losses.mean_squared_error,
        losses.sum_squared_error,
        losses.huber,
        losses.cross_entropy,
        losses.binary_cross_entropy,
        losses.margin,
    )
    for shape in SHAPES
]
EXAMPLES += [
    (losses.margin(0.8, 0.3, 0.25), (4,)),
    (losses.mean_squared_error(), ()),
    (losses.sum_squared_error(), ()),
    (losses.huber(0.2), (4,)),
    (losses.huber(0.2), ()),
    (losses.binary_cross_entropy(), ()),
]
every = pytest.mark.parametrize("loss, shape", EXAMPLES)


def probabilities(shape: tuple[int, ...], seed: int = 0) -> jax.Array:
    """Y or soft targets within (0.02, 0.98), apart from the margins' kinks."""
    return 0.02 + 0.96 * jax.nn.sigmoid(2 * draw((3, *shape), seed))


def _numpy(loss: Any, y: Any, t: Any) -> Any:
    axes = tuple(range(1, y.ndim))
    if loss.kind == "mean_squared_error":
        return ((y - t) ** 2).mean(axes)
    if loss.kind == "sum_squared_error":
        return ((y - t) ** 2).sum(axes)
    if loss.kind == "huber":
        e, d = np.abs(y - t), loss.threshold
        return np.where(e <= d, e**2 / 2, d * e - d**2 / 2).sum(axes)
    if loss.kind == "binary_cross_entropy":
        return -(t * np.log(y) + (1 - t) * np.log(1 - y)).mean(axes)
    if loss.kind == "cross_entropy":
        terms = -(t * np.log(y)).sum(-1)
    else:
        present = t * np.maximum(0, loss.positive - y) ** 2
        absent = (1 - t) * np.maximum(0, y - loss.negative) ** 2
        terms = (present + loss.down_weight * absent).sum(-1)
    return terms.mean(tuple(range(1, terms.ndim)))


def test_every_kind_has_an_example():
    assert {loss.kind for loss, _ in EXAMPLES} == set(built_in(LOSSES))


@every
def test_the_value_equals_numpy(loss, shape):
    y, t = probabilities(shape), probabilities(shape, 1)
    found = loss.value(y, t)
    close(found, jnp.asarray(_numpy(loss, np.asarray(y), np.asarray(t))), 1e-12)
    assert found.shape == (3,)


@every
def test_the_gradient_equals_autodiff_and_differences(loss, shape):
    y, t = probabilities(shape), probabilities(shape, 1)

    def total(y):
        return jnp.sum(loss.value(y, t))

    found, along = loss.gradient(y, t), draw_like(y, 2)
    close(found, jax.grad(total)(y))
    slope = float(difference(total, y, along, 1e-5))
    assert inner(found, along) == pytest.approx(slope, rel=1e-7)


# ---- targets


@pytest.mark.parametrize("loss", [losses.cross_entropy(), losses.margin()])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [np.int32, np.uint8, np.int64])
def test_integers_are_one_hot(loss, shape, dtype):
    t = np.arange(3 * int(np.prod(shape[:-1]))).reshape(3, *shape[:-1]) % shape[-1]
    found = encode_target(loss, jnp.asarray(t, dtype), (3, *shape), jnp.float64)
    expected = np.eye(shape[-1])[t]
    np.testing.assert_array_equal(found, expected)
    again = encode_target(loss, jnp.asarray(expected, dtype), (3, *shape), jnp.float32)
    np.testing.assert_array_equal(again, expected)
    assert (found.dtype, again.dtype) == (jnp.float64, jnp.float32)


def test_a_class_out_of_range_is_no_class():
    t = jnp.asarray([-1, 4, 2])
    found = encode_target(losses.margin(), t, (3, 4), jnp.float64)
    np.testing.assert_array_equal(found, [[0] * 4, [0] * 4, [0, 0, 1, 0]])


@pytest.mark.parametrize(
    "loss, target, text",
    [
        (
            losses.mean_squared_error(),
            jnp.zeros((3,), jnp.int32),
            r"found int32 of shape \(3,\); expected shape \(3, 4\)$",
        ),
        (
            losses.cross_entropy(),
            jnp.zeros((3,), jnp.float32),
            r"found float32 of shape \(3,\); expected shape \(3, 4\), or integers of "
            r"shape \(3,\)$",
        ),
        (
            losses.margin(),
            jnp.zeros((3, 5), jnp.int32),
            r"found int32 of shape \(3, 5\); expected shape \(3, 4\), or integers of "
            r"shape \(3,\)$",
        ),
    ],
)
def test_targets_of_another_shape(loss, target, text):
    with pytest.raises(ValueError, match=text):
        encode_target(loss, target, (3, 4), jnp.float64)


@pytest.mark.parametrize(
    "loss, cap, shape, text",
    [
        (
            losses.cross_entropy(),
            cj.caps.relu(),
            (4,),
            "found a capsule function relu, whose Y are no probabilities; expected "
            'cap="softmax" or cap="log_softmax"; cure: give the capsule '
            'cap="softmax": together with this loss it is computed from U, stable '
            "for any logits",
        ),
        (
            losses.binary_cross_entropy(),
            cj.caps.tanh(),
            (4,),
            "found a capsule function tanh, whose Y may lie outside of [0, 1]; "
            'expected cap="sigmoid"; cure: give the capsule cap="sigmoid"',
        ),
        (
            losses.margin(),
            cj.caps.sigmoid(),
            (),
            "found a scalar output; expected one number a class; cure: another loss",
        ),
    ],
)
def test_losses_that_do_not_suit_their_capsule(loss, cap, shape, text):
    with pytest.raises(ShapeError) as caught:
        loss.check(cap, shape)
    assert str(caught.value) == text


def test_cross_entropy_takes_log_probabilities_of_log_softmax_alone():
    """Without a pair, the logarithm would be taken twice."""

    class Other(cj.Cap):
        output = "log_probabilities"

    losses.cross_entropy().check(cj.caps.log_softmax(), (4,))
    with pytest.raises(ShapeError, match="whose Y are no probabilities"):
        losses.cross_entropy().check(Other(), (4,))


# ---- pairs

PAIRED = [(cap(), loss()) for cap, loss in PAIRS]
paired = pytest.mark.parametrize("cap, loss", PAIRED, ids=lambda kind: kind.kind)


def alone(cap, loss, u, t):
    """The loss without its pair, from Y."""
    y = cap.forward(u)
    return loss.value(jnp.exp(y) if cap.kind == "log_softmax" else y, t)


@paired
@pytest.mark.parametrize("shape", SHAPES)
def test_a_pair_equals_its_parts_at_moderate_logits(cap, loss, shape):
    u, t = draw((3, *shape)), probabilities(shape, 1)
    pair = PAIRS[type(cap), type(loss)]

    def total(u):
        return jnp.sum(alone(cap, loss, u, t))

    soft = t / jnp.sum(t, -1, keepdims=True)
    for target in (t, soft) if "sigmoid" in cap.kind else (soft,):
        close(pair.value(u, target), alone(cap, loss, u, target), 1e-12)
    close(pair.gradient(u, t), jax.grad(lambda u: jnp.sum(pair.value(u, t)))(u))
    along = draw_like(u, 2)
    slope = float(difference(lambda u: jnp.sum(pair.value(u, t)), u, along))
    assert inner(pair.gradient(u, t), along) == pytest.approx(slope, rel=1e-9)
    if "sigmoid" in cap.kind:
        close(pair.gradient(u, t), jax.grad(total)(u))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize("cap", ["softmax", "log_softmax"])
def test_cross_entropy_of_very_large_logits(cap, dtype):
    u = jnp.asarray([[1e4, -1e4], [-1e4, 1e4], [1e4, 1e4 - 1], [-1e4, -1e4]], dtype)
    t = jnp.asarray([0, 0, 0, 1])
    net = network([cj.weightings.Identity()], (2,), cap=cap, loss="cross_entropy")
    params = jax.tree.map(lambda x: x.astype(dtype), net.init(jax.random.key(0))[0])
    batch = {"x": u, "h": t}
    each, _ = net.examples(params, {}, batch)
    expected = [0, 2e4, np.log1p(np.exp(-1)), np.log(2)]
    np.testing.assert_allclose(each["h"], expected, rtol=1e-6)
    p = 1 / (1 + np.exp(-1))
    delta = np.array([[0, 0], [-1, 1], [p - 1, 1 - p], [0.5, -0.5]]) / 4
    found = net.deltas(params, {}, batch)["h"]
    assert (found.dtype, each["h"].dtype) == (dtype, dtype)
    np.testing.assert_allclose(found, delta, rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_binary_cross_entropy_of_very_large_logits(dtype):
    u = jnp.asarray([[1e4], [-1e4], [1e4], [-1e4], [20.0], [0.0]], dtype)
    t = jnp.asarray([[0.0], [1.0], [1.0], [0.0], [1.0], [0.25]])
    net = network([cj.weightings.Identity()], (1,), cap="sigmoid", bias=None,
                  loss="binary_cross_entropy")  # fmt: skip
    each, _ = net.examples({}, {}, {"x": u, "h": t})
    expected = [1e4, 1e4, 0, 0, np.log1p(np.exp(-20)), np.log(2)]
    np.testing.assert_allclose(each["h"], expected, rtol=1e-6)
    delta = np.array([1, -1, 0, 0, -1 / (1 + np.exp(20)), 0.25]) / 6
    found = net.deltas({}, {}, {"x": u, "h": t})["h"]
    np.testing.assert_allclose(found[:, 0], delta, rtol=1e-6, atol=3e-8)


def test_certain_probabilities_do_not_spoil_unpaired_losses():
    """0 log 0 is 0, and so are its derivatives."""
    y = jnp.asarray([[0.0, 1.0], [0.5, 0.5]])
    t = jnp.asarray([[0.0, 1.0], [0.0, 1.0]])
    for loss in (losses.cross_entropy(), losses.binary_cross_entropy()):
        value, gradient = loss.value(y, t), loss.gradient(y, t)
        assert float(value[0]) == 0
        assert bool(jnp.all(jnp.isfinite(gradient)))
    close(losses.cross_entropy().gradient(y, t), jnp.asarray([[0.0, -1], [0, -2]]))


def test_the_gradient_by_a_target_that_is_zero():
    """dL/dT = -log Y, also where T is 0."""
    y, t = probabilities((4,)), jnp.zeros((3, 4))
    found = jax.grad(lambda t: jnp.sum(losses.cross_entropy().value(y, t)))(t)
    close(found, -jnp.log(y))


# ---- in a network


def two_outputs(weights=(1.0, 1.0), second: Any = losses.mean_squared_error):
    x = cj.input("x", (3,))
    a = cj.capsule("a", cj.matmul(x, 4), cap="softmax")
    b = cj.capsule("b", cj.matmul(x, 2), cap="sigmoid")
    first = losses.cross_entropy(weight=weights[0])
    return cj.graph(a, b, losses={"a": first, "b": second(weight=weights[1])})


def test_outputs_add_up_with_their_weights():
    batch = {"x": draw((5, 3)), "a": jnp.arange(5) % 4, "b": probabilities((2,))[:1]}
    batch["b"] = jnp.repeat(batch["b"], 5, 0)
    params = cj.compile(two_outputs()).init(jax.random.key(0))[0]

    def value_and_grad(*weights):
        net = cj.compile(two_outputs(weights))
        return jax.value_and_grad(lambda p: net.loss(p, {}, batch)[0])(params)

    parts = value_and_grad(1.0, 0.0), value_and_grad(0.0, 1.0)
    expected = jax.tree.map(lambda a, b: 0.25 * a + 3.0 * b, *parts)
    close(value_and_grad(0.25, 3.0), expected)
    each, _ = cj.compile(two_outputs((0.25, 3.0))).examples(params, {}, batch)
    total = 0.25 * jnp.mean(each["a"]) + 3 * jnp.mean(each["b"])
    close(total, expected[0])


@pytest.mark.parametrize("second", [losses.mean_squared_error,
                                    losses.binary_cross_entropy])  # fmt: skip
def test_the_gradient_by_targets_equals_the_interpreters(second):
    exact, plain = both_ways(two_outputs((0.5, 2.0), second))
    params = exact.init(jax.random.key(0))[0]
    targets = {"a": probabilities((4,), 1), "b": probabilities((2,), 2)}
    x = draw((3, 3))

    def gradient(net):
        def loss(targets, params, x):
            return net.loss(params, {}, {"x": x, **targets})[0]

        return jax.grad(loss, (0, 1, 2))(targets, params, x)

    close(gradient(exact), gradient(plain))
    assert all(jnp.any(g != 0) for g in jax.tree.leaves(gradient(exact)[0]))


def test_targets_of_any_type():
    net = network([cj.weightings.Matmul(3)], (2,), cap="softmax", loss="cross_entropy")
    params = net.init(jax.random.key(0))[0]
    hot = np.eye(3)[[0, 2]]
    given = [hot, hot.astype(bool), hot.astype(int), np.array([0, 2]), [0, 2]]
    values = [net.loss(params, {}, {"x": draw((2, 2)), "h": t})[0] for t in given]
    for a, b in itertools.pairwise(values):
        assert float(a) == float(b)
