"""The laws that docstrings of records state, evaluated: one function for each record.

What all records of a table have in common (bilinear, backward against finite
differences) stands in the suites of the tables; here is what one record says of itself.
"""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import capsjax as cj
from capsjax import caps, losses
from capsjax import weightings as w
from capsjax.backward.base import Crossing
from capsjax.caps.base import Context
from capsjax.graph.kinds import BACKWARDS, CAPS, LOSSES, WEIGHTINGS
from tests.helpers_capsjax import built_in, close, draw, quick

Laws = Iterator[Any]
LAWS: dict[tuple[str, str], Callable[[], Laws]] = {}
"""By table and kind: traced, it yields pairs that must be close, or what must hold."""

with jax.enable_x64(True):
    U = 2 * draw((5, 4), 1)
ELSEWHERE = {("capsule function", "equinox")}
"""Its laws are those of the layer."""


def law(table: Any, *kinds: str):
    def enter(function: Callable[..., Laws]) -> Callable[..., Laws]:
        for kind in kinds:
            given = (kind,) if len(kinds) > 1 else ()
            LAWS[table.noun, kind] = lambda given=given: function(*given)
        return function

    return enter


def slope(cap: Any, u: jax.Array) -> jax.Array:
    """dY/dU of an elementwise function by its own rule."""
    y = cap.forward(u)
    read = [a if k in cap.reads else None for k, a in (("U", u), ("Y", y))]
    return cap.backward(*read, jnp.ones_like(u), u.shape)


def increasing(cap: Any) -> jax.Array:
    y = cap.forward(jnp.linspace(-4.0, 4.0, 41)[None])
    return (jnp.diff(y) > 0).all()


def linear(cap: Any, u: jax.Array) -> Laws:
    f, other = cap.forward, draw(u.shape, 9)
    yield f(2.5 * u - other), 2.5 * f(u) - f(other)


def constant(cap: Any, shape: tuple[int, ...]) -> Laws:
    yield from linear(cap, draw(shape))
    y = cap.forward(jnp.full(shape, 1.7))
    yield y, jnp.full(y.shape, 1.7)


@law(CAPS, "identity")
def _identity() -> Laws:
    yield caps.identity().forward(U), U
    yield slope(caps.identity(), U), jnp.ones_like(U)


@law(CAPS, "relu")
def _relu() -> Laws:
    f = caps.relu().forward
    yield (f(U) >= 0).all()
    yield f(f(U)), f(U)
    yield f(3.5 * U), 3.5 * f(U)


@law(CAPS, "leaky_relu")
def _leaky_relu() -> Laws:
    f = caps.leaky_relu().forward
    yield f(3.5 * U), 3.5 * f(U)
    yield increasing(caps.leaky_relu())


@law(CAPS, "elu")
def _elu() -> Laws:
    yield (caps.elu(0.7).forward(5 * U) > -0.7).all()
    yield increasing(caps.elu(0.7))


@law(CAPS, "selu")
def _selu() -> Laws:
    yield increasing(caps.selu())
    yield caps.selu().forward(jnp.zeros((1, 2))), jnp.zeros((1, 2))


@law(CAPS, "gelu", "silu")
def _symmetric_around_half(kind: str) -> Laws:
    settings = [{}, {"approximate": True}] if kind == "gelu" else [{}]
    for each in settings:
        f = getattr(caps, kind)(**each).forward
        yield f(U) - f(-U), U


@law(CAPS, "softplus")
def _softplus() -> Laws:
    f = caps.softplus().forward
    yield (f(10 * U) > 0).all()
    yield f(U) - f(-U), U
    yield slope(caps.softplus(), U), caps.sigmoid().forward(U)


@law(CAPS, "sigmoid")
def _sigmoid() -> Laws:
    y = caps.sigmoid().forward(U)
    yield ((y > 0) & (y < 1)).all()
    yield caps.sigmoid().forward(-U), 1 - y
    yield slope(caps.sigmoid(), U), y * (1 - y)


@law(CAPS, "tanh")
def _tanh() -> Laws:
    y = caps.tanh().forward(U)
    yield (abs(y) < 1).all()
    yield caps.tanh().forward(-U), -y
    yield slope(caps.tanh(), U), 1 - y**2


@law(CAPS, "scaled_tanh")
def _scaled_tanh() -> Laws:
    cap = caps.scaled_tanh()
    yield (abs(cap.forward(5 * U)) < cap.scale).all()
    yield cap.forward(-U), -cap.forward(U)


@law(CAPS, "step", "sign", "quantize")
def _jumps(kind: str) -> Laws:
    u = jnp.concatenate([U, jnp.zeros((1, 4)), draw((2, 4), 3) / 4 + 0.5])
    cap = getattr(caps, kind)()
    y = cap.forward(u)
    yield cap.forward(y), y
    yield slope(cap, u), jnp.zeros_like(u)
    if kind == "quantize":
        yield ((y >= 0) & (y <= 1)).all()


@law(CAPS, "radial_basis")
def _radial_basis() -> Laws:
    cap = caps.radial_basis(("#..", ".##", "###"))
    yield (cap.forward(draw((6, 3))) < 0).all()
    centers = jnp.array([[1.0, -1, -1], [-1, 1, 1], [1, 1, 1]])
    yield (cap.forward(centers) == 0), jnp.eye(3, dtype=bool)


@law(CAPS, "softmax", "log_softmax")
def _softmax(kind: str) -> Laws:
    for cap in (getattr(caps, kind)(), getattr(caps, kind)(0.5)):
        y = cap.forward(U)
        p = jnp.exp(y) if kind == "log_softmax" else y
        yield (p > 0).all()
        yield p.sum(-1), jnp.ones(5)
        yield cap.forward(U + 3.25), y


@law(CAPS, "max_pool")
def _max_pool() -> Laws:
    u = draw((2, 5, 4, 3))
    for cap in (caps.max_pool((2, 2)), caps.max_pool((3, 2), (2, 1), "SAME")):
        y = cap.forward(u)
        yield cap.forward(2.5 * u - 0.5), 2.5 * y - 0.5
    equal = jnp.ones((1, 2, 2, 1))
    cap = caps.max_pool((2, 2))
    du = cap.backward(equal, cap.forward(equal), equal[:, :1, :1], equal.shape)
    yield du.ravel(), jnp.array([1.0, 0, 0, 0])


@law(CAPS, "avg_pool")
def _avg_pool() -> Laws:
    yield from constant(caps.avg_pool((3, 2), (2, 2), "SAME"), (2, 5, 4, 3))


@law(CAPS, "global_avg_pool")
def _global_avg_pool() -> Laws:
    yield from constant(caps.global_avg_pool(), (2, 5, 4, 3))


@law(CAPS, "adaptive_avg_pool")
def _adaptive_avg_pool() -> Laws:
    yield from constant(caps.adaptive_avg_pool((2, 5)), (2, 4, 3, 2))


@law(CAPS, "squash")
def _squash() -> Laws:
    f, y = caps.squash().forward, caps.squash().forward(5 * U)
    lengths, directions = jnp.linalg.norm(y, axis=-1), jnp.linalg.norm(5 * U, axis=-1)
    yield (lengths < 1).all()
    yield y / lengths[:, None], 5 * U / directions[:, None]
    turn = np.linalg.qr(np.random.default_rng(2).normal(size=(4, 4)))[0]
    yield f(U @ turn), f(U) @ turn


@law(CAPS, "length")
def _length() -> Laws:
    f = caps.length().forward
    yield (f(U) >= 0).all()
    yield f(-2.5 * U), 2.5 * f(U)


@law(CAPS, "route")
def _route() -> Laws:
    votes = draw((2, 4, 3, 2))
    y = caps.route(3).forward(votes)
    yield (jnp.linalg.norm(y, axis=-1) < 1).all()
    yield caps.route(3).forward(votes[:, jnp.array([2, 0, 3, 1])]), y


@law(CAPS, "layer_norm")
def _layer_norm() -> Laws:
    f = caps.layer_norm(epsilon=1e-12).forward
    yield f(U).mean(-1), jnp.zeros(5)
    yield f(2.5 * U - 3), f(U)


@law(CAPS, "group_norm")
def _group_norm() -> Laws:
    u = draw((2, 3, 5, 4))
    f = caps.group_norm(2, epsilon=1e-12).forward
    yield f(u).reshape(2, 15, 2, 2).mean((1, 3)), jnp.zeros((2, 2))
    yield f(2.5 * u - 3), f(u)


@law(CAPS, "rms_norm")
def _rms_norm() -> Laws:
    f = caps.rms_norm(epsilon=1e-12).forward
    yield f(2.5 * U), f(U)


@law(CAPS, "local_response_norm")
def _local_response_norm() -> Laws:
    f = caps.local_response_norm(3, 0.8).forward
    yield f(-U), -f(U)


@law(CAPS, "multiply")
def _multiply() -> Laws:
    u, f = draw((2, 3, 4)), caps.multiply().forward
    yield f(u[:, ::-1]), f(u)
    first, other = u.at[:, 0].multiply(2.5), u.at[:, 0].set(1.0)
    yield f(first.at[:, 0].add(-1.0)), 2.5 * f(u) - f(other)


@law(CAPS, "mask")
def _mask() -> Laws:
    u, f = draw((2, 3, 4)), caps.mask().forward
    yield f(u.at[..., -1].multiply(2.5)), 2.5 * f(u)
    yield f(u.at[..., :-1].multiply(2.5)), 2.5 * f(u)


@law(CAPS, "attention")
def _attention() -> Laws:
    u, f = draw((2, 3, 5, 4)), caps.attention(2).forward
    order = jnp.array([3, 0, 4, 1, 2])
    yield f(u[:, :, order]), f(u)[:, order]
    yield f(u.at[:, 2].multiply(2.5)), 2.5 * f(u)
    yield f(u.at[:, 2].set(1.0)), jnp.ones((2, 5, 4))
    causal = caps.attention(2, True).forward
    yield causal(u)[:, :2], causal(u[:, :, :2])


@law(CAPS, "standardize")
def _standardize() -> Laws:
    cap = caps.standardize(epsilon=1e-12)
    context = Context({}, cap.initial_state((4,), U.dtype), None, True)
    y = cap.run(U, context)[0]
    yield y.mean(0), jnp.zeros(4)
    yield cap.run(2.5 * U - 3, context)[0], y


@law(CAPS, "dropout", "spatial_dropout", "drop_path", "noise")
def _drawing(kind: str) -> Laws:
    cap, u = getattr(caps, kind)(0.25), U[:, None]
    yield cap.run(u, Context({}, {}, None, False))[0], u
    keys = jax.random.split(jax.random.key(0), 4000)
    drawn = jax.vmap(lambda key: cap.run(u, Context({}, {}, key, True))[0])(keys)
    # Of 4,000 draws the mean lies within five of its standard deviations.
    yield (abs(drawn.mean(0) - u) <= 5 * drawn.std(0) / 4000**0.5 + 1e-9).all()


def weighted(kind: Any, shape: tuple[int, ...]) -> tuple[Any, jax.Array]:
    """W and Y."""
    held = kind.weight_shape(shape)
    return None if held is None else draw(held, 4), draw((2, *shape), 5)


def keeps_inner_products(kind: Any, shape: tuple[int, ...]) -> Laws:
    a, b = draw((2, *shape), 1), draw((2, *shape), 2)
    yield jnp.vdot(kind.forward(None, a), kind.forward(None, b)), jnp.vdot(a, b)
    back = kind.input_gradient(None, kind.forward(None, a), a.shape)
    yield back, a


@law(WEIGHTINGS, "identity")
def _identity_edge() -> Laws:
    yield w.Identity().input_gradient(None, U, U.shape), U


@law(WEIGHTINGS, "scale", "channel_scale")
def _scales(kind: str) -> Laws:
    record: Any = WEIGHTINGS[kind]()
    yield record.forward(jnp.ones(record.weight_shape((4,))), U), U


@law(WEIGHTINGS, "dot")
def _dot() -> Laws:
    held, y = weighted(w.Dot(), (3, 5))
    yield w.Dot().forward(held, y), w.Matmul(1).forward(held[:, None], y)[..., 0]


@law(WEIGHTINGS, "matmul")
def _matmul() -> Laws:
    held, y = weighted(w.Matmul(4), (3, 5))
    yield w.Matmul(4).forward(held, y)[:, 1], w.Matmul(4).forward(held, y[:, 1])


@law(WEIGHTINGS, "vote")
def _vote() -> Laws:
    held, y = weighted(w.Vote(3, 2), (4, 5))
    votes = w.Vote(3, 2).forward(held, y)
    changed = w.Vote(3, 2).forward(held, y.at[:, 1].add(1.0))
    yield (votes != changed).any((0, 2, 3)), jnp.array([False, True, False, False])


@law(WEIGHTINGS, "reshape")
def _reshape() -> Laws:
    yield from keeps_inner_products(w.Reshape((3, -1, 2)), (4, 3))


@law(WEIGHTINGS, "transpose")
def _transpose() -> Laws:
    yield from keeps_inner_products(w.Transpose((2, 0, 1)), (2, 3, 4))


@law(WEIGHTINGS, "place", "cut")
def _place(kind: str) -> Laws:
    place, cut = w.Place(-1, 1, 5), w.Cut(1, 2, -1)
    y, u = draw((2, 3, 2), 1), draw((2, 3, 5), 2)
    placed = place.forward(None, y)
    if kind == "place":
        yield from keeps_inner_products(place, (3, 2))
        yield cut.forward(None, placed), y
    else:
        yield jnp.vdot(cut.forward(None, u), y), jnp.vdot(u, placed)


@law(WEIGHTINGS, "upsample")
def _upsample() -> Laws:
    delta = draw((2, 6, 4, 3))
    summed = delta.reshape(2, 3, 2, 2, 2, 3).sum((2, 4))
    yield w.Upsample((2, 2)).input_gradient(None, delta, (2, 3, 2, 3)), summed


@law(WEIGHTINGS, "flip")
def _flip() -> Laws:
    flip, y = w.Flip((0,)), draw((2, 3, 4))
    yield from keeps_inner_products(flip, (3, 4))
    yield flip.forward(None, flip.forward(None, y)), y


@law(WEIGHTINGS, "conv_transpose")
def _conv_transpose() -> Laws:
    there, back = w.ConvTranspose(2, (3,), (2,)), w.Conv(3, (3,), (2,))
    held, y = weighted(there, (4, 3))
    u = there.forward(held, y)
    yield u, back.input_gradient(held, y, u.shape)


@law(WEIGHTINGS, "depthwise_conv")
def _depthwise_conv() -> Laws:
    depthwise, conv = w.DepthwiseConv((3,)), w.Conv(2, (3,), groups=2)
    held, y = weighted(depthwise, (6, 2))
    yield depthwise.forward(held, y), conv.forward(held.reshape(3, 1, 2), y)


@law(WEIGHTINGS, "conv")
def _conv() -> Laws:
    conv = w.Conv(2, (3,), (2,), "SAME")
    held, y = weighted(conv, (16, 3))
    moved = conv.forward(held, jnp.roll(y, 4, axis=1))
    yield moved[:, 3:-1], conv.forward(held, y)[:, 1:-3]


@law(WEIGHTINGS, "embed")
def _embed() -> Laws:
    embed = w.Embed(5, 3)
    held, y = draw((5, 3)), jnp.array([[0, 4], [2, 2]])
    yield embed.forward(held, y), jax.nn.one_hot(y, 5) @ held
    with pytest.raises(TypeError, match="integers have no gradient"):
        embed.input_gradient(held, draw((2, 2, 3)), y.shape)


with jax.enable_x64(True):
    Y, T = jax.nn.sigmoid(draw((6, 4), 1)), jax.nn.sigmoid(draw((6, 4), 2))


@law(LOSSES, "mean_squared_error", "sum_squared_error", "huber")
def _distances(kind: str) -> Laws:
    loss = getattr(losses, kind)()
    yield (loss.value(Y, T) > 0).all()
    yield loss.value(Y, Y), jnp.zeros(6)
    if kind == "huber":
        yield (abs(losses.huber(0.2).gradient(9 * Y, T)) <= 0.2).all()


@law(LOSSES, "cross_entropy")
def _cross_entropy() -> Laws:
    y, t = Y / Y.sum(-1, keepdims=True), T / T.sum(-1, keepdims=True)
    loss = losses.cross_entropy(0.1)
    mixed = loss.smoothed(t)
    yield loss.value(mixed, t), -(mixed * jnp.log(mixed)).sum(-1)
    yield (loss.value(y, t) > loss.value(mixed, t)).all()


@law(LOSSES, "binary_cross_entropy")
def _binary_cross_entropy() -> Laws:
    loss = losses.binary_cross_entropy()
    yield (loss.value(Y, T) > loss.value(T, T)).all()
    yield loss.value(1 - Y, 1 - T), loss.value(Y, T)


@law(LOSSES, "margin")
def _margin() -> Laws:
    loss, t = losses.margin(), jnp.eye(4)
    yield (loss.value(Y[:4], t) > 0).all()
    yield loss.value(jnp.where(t > 0, 0.9, 0.1), t), jnp.zeros(4)
    yield loss.value(jnp.where(t > 0, 0.95, 0.02), t), jnp.zeros(4)


EDGE = w.Matmul(3)
with jax.enable_x64(True):
    HELD, OTHER = draw((4, 3), 6), draw((4, 3), 7)
    EXACT = EDGE.input_gradient(HELD, draw((5, 3), 8), U.shape)


def sent(
    rule: Any, held: Any = HELD, feedback: Any = None, key: Any = None, times: float = 1
) -> jax.Array:
    """What a rule sends back over a product, of `times` the error signal."""
    crossing = Crossing(EDGE, U.shape, feedback)
    return rule.signal(times * draw((5, 3), 8), held, U, key, crossing)


@law(BACKWARDS, "exact")
def _exact() -> Laws:
    delta = draw((5, 3), 8)
    yield jnp.vdot(delta, EDGE.forward(HELD, U)), jnp.vdot(EXACT, U)


@law(BACKWARDS, "stop")
def _stop() -> Laws:
    yield cj.backward.stop().silent
    x = cj.input("x", (4,))
    h = cj.capsule("h", cj.matmul(x, 3))
    y = cj.capsule("y", cj.with_backward(cj.matmul(h, 2), "stop"))
    net = cj.compile(cj.graph(y, losses={"y": "mean_squared_error"}))
    params, state = net.init(jax.random.key(0))
    batch = {"x": U, "y": jnp.ones((5, 2))}
    yield net.deltas(params, state, batch)["h"], jnp.zeros((5, 3))


@law(BACKWARDS, "scale")
def _scale_rule() -> Laws:
    yield sent(cj.backward.scale(1.0)), EXACT
    yield sent(cj.backward.scale(-0.5), times=2.5), -1.25 * EXACT


@law(BACKWARDS, "clip")
def _clip() -> Laws:
    found = sent(cj.backward.clip(0.7))
    yield (jnp.linalg.norm(found, axis=-1) <= 0.7 + 1e-12).all()
    yield sent(cj.backward.clip(100.0)), EXACT


@law(BACKWARDS, "noise")
def _noise_rule() -> Laws:
    rule = cj.backward.noise(0.2)
    yield sent(rule), EXACT
    keys = jax.random.split(jax.random.key(0), 4000)
    drawn = jax.vmap(lambda key: sent(rule, key=key))(keys)
    yield (abs(drawn.mean(0) - EXACT) < 5 * 0.2 / 4000**0.5).all()


@law(BACKWARDS, "feedback_alignment", "sign_symmetric", "kolen_pollack")
def _feedback(kind: str) -> Laws:
    rule = getattr(cj.backward, kind)()
    yield sent(rule, feedback=OTHER, times=2.5), 2.5 * sent(rule, feedback=OTHER)
    if kind == "feedback_alignment":
        yield sent(rule, OTHER + 1, OTHER), sent(rule, HELD, OTHER)
    if kind == "sign_symmetric":
        yield sent(rule, 3 * HELD), sent(rule)
    if kind == "kolen_pollack":
        yield sent(rule, feedback=jnp.zeros_like(HELD)), EXACT


@law(BACKWARDS, "straight_through")
def _straight_through() -> Laws:
    yield cj.backward.straight_through().through(U, lambda dy: 0 * dy), U


@law(BACKWARDS, "guided")
def _guided() -> Laws:
    slopes = slope(caps.relu(), U)
    through = cj.backward.guided().through
    yield through(abs(U), lambda dy: dy * slopes), abs(U) * slopes


def ruled(rule: str, losses: dict[str, Any]) -> tuple[Any, Any, Any, Any]:
    x = cj.input("x", (4,))
    h = cj.capsule("h", cj.matmul(x, 3), cap="tanh", backward=rule)
    y = cj.capsule("y", cj.matmul(h, 2))
    outputs = (h, y) if "h" in losses else (y,)
    net = cj.compile(cj.graph(*outputs, losses=losses))
    params, state = net.init(jax.random.key(0))
    return net, params, state, {"x": U, "h": 0 * U[:, :3], "y": jnp.ones((5, 2))}


def doubled(params: Any) -> Any:
    """The same parameters, but for the matrix of y."""
    matrix = {source: 2 * a for source, a in params["y"]["W"].items()}
    return params | {"y": params["y"] | {"W": matrix}}


@law(BACKWARDS, "direct_feedback_alignment")
def _direct_feedback_alignment() -> Laws:
    net, params, state, batch = ruled(
        "direct_feedback_alignment", {"y": "mean_squared_error"}
    )
    batch = {name: batch[name] for name in ("x", "y")}
    # dL/dY of h is delta of y times a matrix that is not W: of rank 2 in U_y.
    found = net.deltas(params, state, batch)
    slopes = 1 - net.activations(params, state, {"x": U})["h"]["Y"] ** 2
    matrix = jax.tree.leaves(state["h"])[0]
    yield found["h"], found["y"] @ matrix.reshape(2, 3) * slopes


@law(BACKWARDS, "local")
def _local() -> Laws:
    loss = {"h": "mean_squared_error", "y": "mean_squared_error"}
    net, params, state, batch = ruled("local", loss)
    found = net.deltas(params, state, batch)["h"]
    yield net.deltas(doubled(params), state, batch)["h"], found
    yield (found != 0).any()


def test_every_record_has_its_laws_here():
    tables = (WEIGHTINGS, CAPS, LOSSES, BACKWARDS)
    kinds = {(t.noun, kind) for t in tables for kind in built_in(t)}
    assert kinds == set(LAWS) | ELSEWHERE


@pytest.mark.parametrize("place", [pytest.param(p, id=": ".join(p)) for p in LAWS])
def test_laws(place):
    laws = quick(lambda: list(LAWS[place]()))()  # one program for all of a record
    assert laws
    for count, found in enumerate(laws, 1):
        if isinstance(found, tuple):
            close(*found)
        else:
            assert found, f"law {count} of {place}"
