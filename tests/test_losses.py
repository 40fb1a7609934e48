"""One suite over the table of losses, and the pairs with a capsule function."""

import itertools
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import capsjax as cj
from capsjax import losses
from capsjax.compiler.passes import PIPELINE
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
    quick,
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
    (losses.cross_entropy(0.1), (4,)),
    (losses.cross_entropy(0.7), (2, 3)),
    (losses.mean_squared_error(), ()),
    (losses.sum_squared_error(), ()),
    (losses.huber(0.2), (4,)),
    (losses.huber(0.2), ()),
    (losses.binary_cross_entropy(), ()),
]
every = pytest.mark.parametrize("loss, shape", EXAMPLES)


def probabilities(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Y or soft targets within (0.02, 0.98), apart from the margins' kinks."""
    return 0.02 + 0.96 / (1 + np.exp(-2 * np.asarray(draw((3, *shape), seed))))


def softmax(u: Any) -> np.ndarray:
    exponentials = np.exp(np.asarray(u))
    return exponentials / exponentials.sum(-1, keepdims=True)


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
        s, count = loss.smoothing, t.shape[-1]
        terms = -(((1 - s) * t + s / count) * np.log(y)).sum(-1)
    else:
        present = t * np.maximum(0, loss.positive - y) ** 2
        absent = (1 - t) * np.maximum(0, y - loss.negative) ** 2
        terms = (present + loss.down_weight * absent).sum(-1)
    return terms.mean(tuple(range(1, terms.ndim)))


def test_every_kind_has_an_example():
    assert {loss.kind for loss, _ in EXAMPLES} == set(built_in(LOSSES))


@every
def test_the_value_equals_numpy_and_the_gradient_its_derivatives(loss, shape):
    y, t = probabilities(shape), probabilities(shape, 1)

    @quick
    def everything(y):
        def total(y):
            return jnp.sum(loss.value(y, t))

        return loss.value(y, t), loss.gradient(y, t), jax.grad(total)(y)

    value, found, autodiff = everything(y)
    close(value, _numpy(loss, y, t), 1e-12)
    assert value.shape == (3,)
    close(found, autodiff)
    along = np.asarray(draw_like(y, 2))
    slope = difference(lambda y: np.sum(everything(y)[0]), y, along, 1e-5)
    assert inner(found, along) == pytest.approx(float(slope), rel=1e-7)


# ---- targets


@pytest.mark.parametrize("loss", [losses.cross_entropy(), losses.margin()])
@pytest.mark.parametrize("shape", SHAPES)
def test_integers_are_one_hot(loss, shape):
    t = np.arange(3 * int(np.prod(shape[:-1]))).reshape(3, *shape[:-1]) % shape[-1]
    expected = np.eye(shape[-1])[t]
    dtypes = [np.int32, np.uint8, np.int64]

    @quick
    def encoded(classes, hot):
        each = partial(encode_target, loss, shape=(3, *shape))
        return (
            [each(target=given, dtype=jnp.float64) for given in classes],
            [each(target=given, dtype=jnp.float32) for given in hot],
        )

    both = encoded(*([a.astype(dtype) for dtype in dtypes] for a in (t, expected)))
    for dtype, found, again in zip(dtypes, *both, strict=True):
        np.testing.assert_array_equal(found, expected, err_msg=str(dtype))
        np.testing.assert_array_equal(again, expected, err_msg=str(dtype))
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

PAIRED: list[Any] = [(cap(), loss()) for cap, loss in PAIRS]
PAIRED += [
    (cj.caps.softmax(0.5), losses.cross_entropy(0.1)),
    (cj.caps.log_softmax(3.0), losses.cross_entropy(0.7)),
]
paired = pytest.mark.parametrize("cap, loss", PAIRED, ids=str)


def alone(cap, loss, u, t):
    """The loss without its pair, from Y."""
    y = cap.forward(u)
    return loss.value(jnp.exp(y) if cap.kind == "log_softmax" else y, t)


@paired
@pytest.mark.parametrize("shape", SHAPES)
def test_a_pair_equals_its_parts_at_moderate_logits(cap, loss, shape):
    u, t = np.asarray(draw((3, *shape))), probabilities(shape, 1)
    pair = PAIRS[type(cap), type(loss)]

    @quick
    def everything(u, t):
        def total(u):
            return jnp.sum(alone(cap, loss, u, t))

        def value(u):
            return jnp.sum(pair.value(cap, loss, u, t))

        values = pair.value(cap, loss, u, t), alone(cap, loss, u, t)
        gradients = jax.grad(value)(u), jax.grad(total)(u)
        return *values, pair.gradient(cap, loss, u, t), *gradients

    soft = t / np.sum(t, -1, keepdims=True)
    for target in (t, soft) if "sigmoid" in cap.kind else (soft,):
        found, expected, *_ = everything(u, target)
        close(found, expected, 1e-12)
    _, _, gradient, autodiff, unpaired = everything(u, t)
    close(gradient, autodiff)
    along = np.asarray(draw_like(u, 2))
    slope = difference(lambda u: np.sum(everything(u, t)[0]), u, along)
    assert inner(gradient, along) == pytest.approx(float(slope), rel=1e-9)
    if "sigmoid" in cap.kind:
        close(gradient, unpaired)


def at_the_defaults(u, t, dy):
    """Softmax, log_softmax and cross-entropy as they are without settings."""
    p, log_p = jax.nn.softmax(u), jax.nn.log_softmax(u)
    back = p * (dy - jnp.sum(p * dy, axis=-1, keepdims=True))
    log_back = dy - jnp.exp(log_p) * jnp.sum(dy, axis=-1, keepdims=True)
    value = jnp.mean(-jnp.sum(t * log_p, axis=-1), axis=1)
    logs = jnp.log(jnp.where((t == 0) & (p < jnp.finfo(p.dtype).tiny), 1, p))
    apart = jnp.mean(-jnp.sum(t * logs, axis=-1), axis=1)
    gradient = (jnp.sum(t, axis=-1, keepdims=True) * p - t) / u.shape[1]
    return p, log_p, back, log_back, value, apart, gradient


def by_the_records(u, t, dy):
    cap, log_cap = cj.caps.softmax(), cj.caps.log_softmax()
    loss = losses.cross_entropy()
    p, log_p = cap.forward(u), log_cap.forward(u)
    back = cap.backward(None, p, dy, u.shape)
    log_back = log_cap.backward(None, log_p, dy, u.shape)
    pair = PAIRS[type(cap), type(loss)]
    value, gradient = (f(cap, loss, u, t) for f in (pair.value, pair.gradient))
    return p, log_p, back, log_back, value, loss.value(p, t), gradient


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_defaults_change_no_bit_and_cost_nothing(dtype):
    drawn = (draw((3, 2, 5), seed) for seed in range(3))
    u, t, dy = (np.asarray(a, dtype) for a in drawn)
    arguments = u, softmax(t), dy
    found, plain = (
        jax.jit(f).lower(*arguments).compile()
        for f in (by_the_records, at_the_defaults)
    )
    for a, b in zip(found(*arguments), plain(*arguments), strict=True):
        np.testing.assert_array_equal(a, b, strict=True)
    costs: Any = [each.cost_analysis() for each in (found, plain)]
    assert costs[0]["flops"] == costs[1]["flops"]


def _equations(u, t, temperature, smoothing):
    """Szegedy 2016 and Hinton 2015: each example's loss, dL/dU of the batch's mean."""
    value, delta = np.zeros(len(u)), np.zeros(u.shape)
    places = list(np.ndindex(*u.shape[1:-1]))
    for example, place in itertools.product(range(len(u)), places):
        at = (example, *place)
        p = np.exp(u[at] / temperature)
        p /= p.sum()
        target = (1 - smoothing) * t[at] + smoothing / u.shape[-1]
        value[example] += np.sum(target * -np.log(p)) / len(places)
        delta[at] = (p - target) / (temperature * len(places) * len(u))
    return value, delta


@pytest.mark.parametrize("shape", [(4,), (3, 4)])
@pytest.mark.parametrize(
    "cap, left_out",
    [("softmax", ""), ("log_softmax", ""), ("softmax", "pair_losses")],
    ids=["softmax", "log_softmax", "unpaired"],
)
def test_smoothing_and_temperature_by_their_equations(cap, left_out, shape):
    kind = getattr(cj.caps, cap)(temperature=2.5)
    h = cj.capsule("h", cj.identity(cj.input("x", shape)), cap=kind, bias=None)
    graph = cj.graph(h, losses={"h": losses.cross_entropy(smoothing=0.2)})
    net = cj.compile(graph, passes=[p for p in PIPELINE if p.name != left_out])
    assert net.stages[-1].typed.losses[0].from_total_input != bool(left_out)
    u = 3 * np.asarray(draw((2, *shape)))
    classes = np.arange(u.size // 4).reshape(u.shape[:-1]) % 4
    soft = softmax(draw(u.shape, 1))

    @quick
    def found(u, targets):
        batches = [{"x": u, "h": given} for given in targets]
        return [examples_and_deltas(net, {}, batch) for batch in batches]

    targets = np.eye(4)[classes], soft
    for each, target in zip(found(u, (classes, soft)), targets, strict=True):
        close(each, _equations(u, target, 2.5, 0.2), 1e-12)


def examples_and_deltas(net, params, batch):
    """The loss of each example, and dL/dU."""
    each, _ = net.examples(params, {}, batch)
    return each["h"], net.deltas(params, {}, batch)["h"]


def test_a_class_out_of_range_is_smoothed_like_any_target():
    """T = 0 of no class; what is left of T' is the uniform distribution's share."""
    y, t = probabilities((4,)), jnp.zeros((3, 4))
    found = quick(losses.cross_entropy(0.2).value)(y, t)
    close(found, -np.sum(np.log(y), axis=-1) * 0.05)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize("cap", ["softmax", "log_softmax"])
def test_cross_entropy_of_very_large_logits(cap, dtype):
    u = jnp.asarray([[1e4, -1e4], [-1e4, 1e4], [1e4, 1e4 - 1], [-1e4, -1e4]], dtype)
    t = jnp.asarray([0, 0, 0, 1])
    net = network([cj.weightings.Identity()], (2,), cap=cap, loss="cross_entropy")

    @quick
    def both(u, t):
        params, _ = net.init(jax.random.key(0))
        params = jax.tree.map(lambda x: x.astype(dtype), params)
        return examples_and_deltas(net, params, {"x": u, "h": t})

    each, found = both(u, t)
    expected = [0, 2e4, np.log1p(np.exp(-1)), np.log(2)]
    np.testing.assert_allclose(each, expected, rtol=1e-6)
    p = 1 / (1 + np.exp(-1))
    delta = np.array([[0, 0], [-1, 1], [p - 1, 1 - p], [0.5, -0.5]]) / 4
    assert (found.dtype, each.dtype) == (dtype, dtype)
    np.testing.assert_allclose(found, delta, rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_binary_cross_entropy_of_very_large_logits(dtype):
    u = jnp.asarray([[1e4], [-1e4], [1e4], [-1e4], [20.0], [0.0]], dtype)
    t = jnp.asarray([[0.0], [1.0], [1.0], [0.0], [1.0], [0.25]])
    net = network([cj.weightings.Identity()], (1,), cap="sigmoid", bias=None,
                  loss="binary_cross_entropy")  # fmt: skip
    both = quick(lambda u, t: examples_and_deltas(net, {}, {"x": u, "h": t}))
    each, found = both(u, t)
    expected = [1e4, 1e4, 0, 0, np.log1p(np.exp(-20)), np.log(2)]
    np.testing.assert_allclose(each, expected, rtol=1e-6)
    delta = np.array([1, -1, 0, 0, -1 / (1 + np.exp(20)), 0.25]) / 6
    np.testing.assert_allclose(np.asarray(found)[:, 0], delta, rtol=1e-6, atol=3e-8)


def test_certain_probabilities_do_not_spoil_unpaired_losses():
    """0 log 0 is 0, and so are its derivatives."""
    y = jnp.asarray([[0.0, 1.0], [0.5, 0.5]])
    t = jnp.asarray([[0.0, 1.0], [0.0, 1.0]])
    kinds = losses.cross_entropy(), losses.binary_cross_entropy()
    both = quick(lambda y, t: [(k.value(y, t), k.gradient(y, t)) for k in kinds])
    found = jax.tree.map(np.asarray, both(y, t))
    for value, gradient in found:
        assert value[0] == 0
        assert np.all(np.isfinite(gradient))
    close(found[0][1], np.array([[0.0, -1], [0, -2]]))


def test_the_gradient_by_a_target_that_is_zero():
    """dL/dT = -log Y, also where T is 0."""
    y, t = probabilities((4,)), jnp.zeros((3, 4))
    total = quick(jax.grad(lambda t: jnp.sum(losses.cross_entropy().value(y, t))))
    close(total(t), -np.log(y))


# ---- in a network


def two_outputs(
    weights=(1.0, 1.0),
    second: Any = losses.mean_squared_error,
    smoothing=0.0,
    temperature=1.0,
):
    x = cj.input("x", (3,))
    a = cj.capsule("a", cj.matmul(x, 4), cap=cj.caps.softmax(temperature))
    b = cj.capsule("b", cj.matmul(x, 2), cap="sigmoid")
    first = losses.cross_entropy(smoothing, weight=weights[0])
    return cj.graph(a, b, losses={"a": first, "b": second(weight=weights[1])})


def test_outputs_add_up_with_their_weights():
    each = np.repeat(probabilities((2,))[:1], 5, 0)
    batch = {"x": draw((5, 3)), "a": np.arange(5) % 4, "b": each}
    weights = [(1.0, 0.0), (0.0, 1.0), (0.25, 3.0)]
    nets = [cj.compile(two_outputs(each)) for each in weights]

    @quick
    def everything():
        params, _ = nets[0].init(jax.random.key(0))
        found = [
            jax.value_and_grad(lambda p, net=net: net.loss(p, {}, batch)[0])(params)
            for net in nets
        ]
        return found, nets[-1].examples(params, {}, batch)[0]

    (first, second, found), each = everything()
    tree = jax.tree.map(lambda a, b: 0.25 * np.asarray(a) + 3 * b, first, second)
    close(found, tree)
    close(0.25 * np.mean(each["a"]) + 3 * np.mean(each["b"]), tree[0])


@pytest.mark.parametrize(
    "second, settings",
    [
        (losses.mean_squared_error, ()),
        (losses.binary_cross_entropy, ()),
        (losses.binary_cross_entropy, (0.3, 2.0)),
    ],
)
def test_the_gradient_by_targets_equals_the_interpreters(second, settings):
    exact, plain = both_ways(two_outputs((0.5, 2.0), second, *settings))
    targets = {"a": probabilities((4,), 1), "b": probabilities((2,), 2)}
    x = draw((3, 3))

    def gradients():
        params, _ = exact.init(jax.random.key(0))
        for net in (exact, plain):

            def loss(targets, params, x, net=net):
                return net.loss(params, {}, {"x": x, **targets})[0]

            yield jax.grad(loss, (0, 1, 2))(targets, params, x)

    found, expected = quick(lambda: tuple(gradients()))()
    close(found, expected)
    assert all(np.any(g != 0) for g in jax.tree.leaves(found[0]))


def test_targets_of_any_type():
    net = network([cj.weightings.Matmul(3)], (2,), cap="softmax", loss="cross_entropy")
    hot = np.eye(3)[[0, 2]]
    given = [hot, hot.astype(bool), hot.astype(int), np.array([0, 2]), [0, 2]]
    x = draw((2, 2))

    @quick
    def values():
        params, _ = net.init(jax.random.key(0))
        return [net.loss(params, {}, {"x": x, "h": t})[0] for t in given]

    for a, b in itertools.pairwise(values()):
        assert float(a) == float(b)
