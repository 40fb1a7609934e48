"""One suite over the table of capsule functions: shapes, values, derivatives."""

import math
from functools import partial
from math import erf, inf, pi
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from capsjax import caps
from capsjax.caps.base import is_plain
from capsjax.graph.kinds import CAPS
from capsjax.weightings import Identity
from tests.caps.test_state_and_keys import EXAMPLES as GENERAL
from tests.helpers_capsjax import (
    built_in,
    close,
    draw,
    inner,
    network,
    quick,
)

EXAMPLES = [
    (caps.identity(), (2, 3)),
    (caps.relu(), (2, 3)),
    (caps.relu(), ()),
    (caps.leaky_relu(), (2, 3)),
    (caps.leaky_relu(0.3), (4,)),
    (caps.elu(), (2, 3)),
    (caps.elu(0.7), (4,)),
    (caps.selu(), (4,)),
    (caps.gelu(), (4,)),
    (caps.gelu(True), (4,)),
    (caps.silu(), (4,)),
    (caps.softplus(), (4,)),
    (caps.sigmoid(), (4,)),
    (caps.sigmoid(), ()),
    (caps.tanh(), (4,)),
    (caps.scaled_tanh(), (4,)),
    (caps.scaled_tanh(0.5, 2.0), (2, 3)),
    (caps.step(), (2, 3)),
    (caps.sign(), (4,)),
    (caps.quantize(levels=4), (2, 4)),
    (caps.quantize(2), (4,)),
    (caps.radial_basis(("#..", ".##", "###", "#.#")), (3,)),
    (caps.softmax(), (4,)),
    (caps.softmax(), (2, 3)),
    (caps.softmax(0.5), (2, 3)),
    (caps.log_softmax(), (4,)),
    (caps.log_softmax(), (2, 3)),
    (caps.log_softmax(3.0), (4,)),
    (caps.max_pool((2,)), (5, 3)),
    (caps.max_pool((2, 2)), (4, 4, 2)),
    (caps.max_pool((3, 2), (2, 1), ((1, 1), (0, 1))), (5, 4, 2)),
    (caps.max_pool((2, 1, 2), (1, 1, 2)), (3, 2, 4, 1)),
    (caps.avg_pool((2,)), (5, 3)),
    (caps.avg_pool((2, 2)), (4, 4, 2)),
    (caps.avg_pool((3, 2), (2, 2), "SAME"), (5, 4, 2)),
    (caps.global_avg_pool(), (3, 4, 2)),
    (caps.global_avg_pool(), (3, 2)),
    (caps.squash(), (3, 4)),
    (caps.squash(), (1,)),
    (caps.length(), (3, 4)),
    (caps.length(), (4,)),
    (caps.route(), (4, 3, 2)),
    (caps.route(1), (4, 3, 2)),
    (caps.route(2), (2, 1, 3)),
    (caps.adaptive_avg_pool((3,)), (7, 2)),
    (caps.adaptive_avg_pool((2, 5)), (4, 3, 2)),
    (caps.adaptive_avg_pool((1, 3, 2)), (2, 3, 5, 1)),
    (caps.layer_norm(), (4,)),
    (caps.layer_norm(epsilon=0.5), (2, 3)),
    (caps.group_norm(2), (2, 3, 4)),
    (caps.group_norm(3, epsilon=0.1), (6,)),
    (caps.rms_norm(), (2, 3)),
    (caps.rms_norm(epsilon=0.5), (4,)),
    (caps.local_response_norm(5, 0.5), (2, 7)),
    (caps.local_response_norm(2, 0.8, 1.3, 2.0), (4,)),
    (caps.local_response_norm(9, 1.0), (3,)),
    (caps.multiply(), (2, 3)),
    (caps.multiply(), (4, 2)),
    (caps.multiply(), (1,)),
    (caps.mask(), (3, 4)),
    (caps.mask(), (2,)),
    (caps.attention(), (3, 4, 2)),
    (caps.attention(2), (3, 2, 4)),
    (caps.attention(2, True), (3, 4, 6)),
]
every = pytest.mark.parametrize(
    "cap, shape", EXAMPLES, ids=[f"{k} on {s}" for k, s in EXAMPLES]
)
BATCH = 2
WAYS = ("exact", "autodiff")


def away_from_kinks(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Numbers around zero, none near it, all well apart from each other."""
    u = np.asarray(draw((BATCH, *shape), seed))
    order = np.argsort(np.argsort(u.ravel())).reshape(u.shape)
    return (order - u.size / 2 + 0.5) * max(0.05, 4 / u.size)


ELSEWHERE = {"equinox"}
"""What has a file of tests of its own."""


def test_every_kind_has_an_example():
    """Maps of U alone in this file, all others in that of state and keys."""
    found = {cap.kind for cap, _ in [*EXAMPLES, *GENERAL]} | ELSEWHERE
    assert found >= set(built_in(CAPS))
    assert set(built_in(CAPS)) <= set(caps.__all__)
    assert all(is_plain(cap, shape) for cap, shape in EXAMPLES)


@every
def test_the_shape_rule_is_what_forward_gives(cap, shape):
    for batch in (1, 3):
        u = jax.ShapeDtypeStruct((batch, *shape), float)
        assert jax.eval_shape(cap.forward, u).shape == (batch, *cap.output_shape(shape))


# ---- numpy's forward


def _softmax(u):
    e = np.exp(u - u.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def _pool(cap, u, reduce, empty):
    window, stride, pads = cap.geometry(u.shape[1:])
    padded = np.pad(u, [(0, 0), *pads, (0, 0)], constant_values=empty)
    sizes = cap.output_shape(u.shape[1:])[:-1]
    y = np.zeros((len(u), *sizes, u.shape[-1]))
    for place in np.ndindex(*sizes):
        at = [
            slice(p * s, p * s + k)
            for p, s, k in zip(place, stride, window, strict=True)
        ]
        seen = padded[(slice(None), *at)]
        y[(slice(None), *place)] = reduce(seen, axis=tuple(range(1, u.ndim - 1)))
    return y


def _squash(s):
    """Sabour 2017, equation 1."""
    norm = np.linalg.norm(s, axis=-1, keepdims=True)
    return norm**2 / (1 + norm**2) * s / norm


def _route(cap, votes):
    """Sabour 2017, procedure 1, line by line, one example at a time."""
    found = []
    for u_hat in votes:  # [lower i, upper j, dimension]
        b = np.zeros(u_hat.shape[:2])
        v = np.zeros(u_hat.shape[1:])
        for _ in range(cap.iterations):
            c = np.stack([_softmax(b[i]) for i in range(len(b))])
            for j in range(u_hat.shape[1]):
                s = sum(c[i, j] * u_hat[i, j] for i in range(len(b)))
                v[j] = _squash(s)
            for i, j in np.ndindex(*b.shape):
                b[i, j] += u_hat[i, j] @ v[j]
        found.append(v.copy())
    return np.stack(found)


def _windows(size, count):
    """Half-open ranges, in the arithmetic of floating-point numbers."""
    for i in range(count):
        yield slice(math.floor(i * size / count), math.ceil((i + 1) * size / count))


def _adaptive(cap, u):
    y = np.zeros((len(u), *cap.windows, u.shape[-1]))
    sizes = zip(u.shape[1:-1], cap.windows, strict=True)
    axes = [list(_windows(*each)) for each in sizes]
    for place in np.ndindex(*cap.windows):
        at = [windows[i] for windows, i in zip(axes, place, strict=True)]
        seen = u[(slice(None), *at)]
        y[(slice(None), *place)] = seen.mean(tuple(range(1, u.ndim - 1)))
    return y


def _group_norm(cap, u):
    """Wu & He 2018, group by group."""
    y, width = np.zeros_like(u), u.shape[-1] // cap.groups
    for example in range(len(u)):
        for g in range(cap.groups):
            at = (example, ..., slice(g * width, (g + 1) * width))
            y[at] = (u[at] - u[at].mean()) / np.sqrt(u[at].var() + cap.epsilon)
    return y


def _layer_norm(cap, u):
    mean, variance = u.mean(-1, keepdims=True), u.var(-1, keepdims=True)
    return (u - mean) / np.sqrt(variance + cap.epsilon)


def _rms_norm(cap, u):
    return u / np.sqrt((u**2).mean(-1, keepdims=True) + cap.epsilon)


def _local_response(cap, u):
    """As `torch.nn.LocalResponseNorm` defines it, channel by channel."""
    y, channels = np.zeros_like(u), u.shape[-1]
    for c in range(channels):
        low, high = c - cap.size // 2, c + (cap.size - 1) // 2
        near = range(max(low, 0), min(high, channels - 1) + 1)
        total = sum(u[..., i] ** 2 for i in near)
        y[..., c] = u[..., c] / (cap.k + cap.alpha * total / cap.size) ** cap.beta
    return y


def _attention(cap, u):
    """Vaswani 2017, one query of one head at a time."""
    batch, _, length, features = u.shape
    y, d = np.zeros((batch, length, features)), features // cap.heads
    for example, head, i in np.ndindex(batch, cap.heads, length):
        q, k, v = u[example, :, :, head * d : (head + 1) * d]
        seen = i + 1 if cap.causal else length
        p = _softmax(np.array([q[i] @ k[j] for j in range(seen)]) / np.sqrt(d))
        y[example, i, head * d : (head + 1) * d] = p @ v[:seen]
    return y


def _gelu(cap, u):
    if cap.approximate:
        return u / 2 * (1 + np.tanh(np.sqrt(2 / pi) * (u + 0.044715 * u**3)))
    return u / 2 * (1 + np.vectorize(erf)(u / np.sqrt(2)))


def _quantize(cap, u):
    """The nearest of the levels, one number at a time."""
    levels = np.linspace(0, 1, cap.levels)
    return levels[np.argmin(np.abs(u[..., None] - levels), axis=-1)]


def _radial_basis(cap, u):
    y = np.zeros((len(u), len(cap.centers)))
    for i, center in enumerate(cap.centers):
        for j, mark in enumerate(center):
            y[:, i] -= (u[:, j] - {"#": 1, ".": -1}[mark]) ** 2
    return y


def _elu(u, alpha):
    return np.where(u > 0, u, alpha * (np.exp(u) - 1))


NUMPY: dict[str, Any] = {
    "identity": lambda cap, u: u,
    "relu": lambda cap, u: np.maximum(u, 0),
    "leaky_relu": lambda cap, u: np.maximum(u, cap.negative_slope * u),
    "elu": lambda cap, u: _elu(u, cap.alpha),
    "selu": lambda cap, u: 1.0507009873554805 * _elu(u, 1.6732632423543772),
    "gelu": _gelu,
    "silu": lambda cap, u: u / (1 + np.exp(-u)),
    "softplus": lambda cap, u: np.log(1 + np.exp(u)),
    "sigmoid": lambda cap, u: 1 / (1 + np.exp(-u)),
    "tanh": lambda cap, u: np.tanh(u),
    "scaled_tanh": lambda cap, u: cap.scale * np.tanh(cap.steepness * u),
    "step": lambda cap, u: (u > 0) * 1.0,
    "sign": lambda cap, u: np.sign(u),
    "quantize": _quantize,
    "radial_basis": _radial_basis,
    "softmax": lambda cap, u: _softmax(u / cap.temperature),
    "log_softmax": lambda cap, u: np.log(_softmax(u / cap.temperature)),
    "max_pool": lambda cap, u: _pool(cap, u, np.max, -inf),
    "avg_pool": lambda cap, u: _pool(cap, u, np.nanmean, np.nan),
    "global_avg_pool": lambda cap, u: u.mean(tuple(range(1, u.ndim - 1))),
    "squash": lambda cap, u: _squash(u),
    "length": lambda cap, u: np.linalg.norm(u, axis=-1),
    "route": _route,
    "adaptive_avg_pool": _adaptive,
    "layer_norm": _layer_norm,
    "group_norm": _group_norm,
    "rms_norm": lambda cap, u: (
        u / np.sqrt((u**2).mean(-1, keepdims=True) + cap.epsilon)
    ),
    "local_response_norm": _local_response,
    "multiply": lambda cap, u: u.prod(1),
    "mask": lambda cap, u: u[..., :-1] * u[..., -1:],
    "attention": _attention,
}


# ---- values and derivatives


def by_rule(cap, u, dy):
    """Y, and dL/dU by the record's rule, given only what it says it reads."""
    y = cap.forward(u)
    read = [a if name in cap.reads else None for name, a in (("U", u), ("Y", y))]
    return y, cap.backward(*read, dy, u.shape)


def by_autodiff(cap, u, dy):
    y, pull = jax.vjp(cap.forward, u)
    return y, pull(dy)[0]


STEP, STEPS = 1e-3, (1, -1, 2, -2)


def members(shape, along):
    """Two batches; the first moved along a direction; with one other number each."""
    u, other = (away_from_kinks(shape, seed) for seed in (0, 1))
    moved = [u + k * STEP * along for k in STEPS]
    ones = np.eye(math.prod(shape)).reshape(-1, *shape)
    changed = [np.stack([u[0] + 0.7 * one, *u[1:]]) for one in ones]
    return np.stack([u, other, *moved, *changed])


@every
def test_values_and_gradients(cap, shape):
    """In one program, also mapped: against numpy, autodiff, and differences."""
    along = np.asarray(draw((BATCH, *shape), 4))
    us = members(shape, along)
    dys = np.asarray(draw((len(us), BATCH, *cap.output_shape(shape)), 3))

    @quick
    def everything(us, dys):
        mapped = [
            jax.vmap(partial(way, cap))(us, dys) for way in (by_rule, by_autodiff)
        ]
        return by_rule(cap, us[0], dys[0]), *mapped

    one, found, auto = jax.tree.map(np.asarray, everything(us, dys))
    y, du = found
    expected = np.stack([NUMPY[cap.kind](cap, u) for u in us[:2]])
    close(y[:2], expected, 1e-12)
    close(du[:2], auto[1][:2])
    close(one, (y[0], du[0]), 1e-12)
    right, left, far_right, far_left = y[2 : 2 + len(STEPS)]
    by_differences = (8 * (right - left) - (far_right - far_left)) / (12 * STEP)
    slope = inner(by_differences, dys[0])
    assert inner(du[0], along) == pytest.approx(slope, rel=1e-7, abs=1e-7)
    # Of one number alone it can't be seen: squash of (1,) is elementwise, too.
    if math.prod(shape) > 1:
        assert cap.elementwise == is_elementwise(y[0], y[2 + len(STEPS) :], shape)


def is_elementwise(y, changed, shape):
    """Whether Y changes nowhere but where U was changed."""
    if y[0].shape != shape:
        return False
    elsewhere = ~np.eye(math.prod(shape), dtype=bool)
    moved = abs(changed[:, 0] - y[0]).reshape(elsewhere.shape)
    return not (moved[elsewhere] > 1e-12).any()


OUTPUT_ONLY = {
    *("relu", "leaky_relu", "elu", "selu", "softplus", "sigmoid", "tanh"),
    *("scaled_tanh", "softmax", "log_softmax"),
}
NOTHING = {
    *("identity", "avg_pool", "global_avg_pool", "adaptive_avg_pool"),
    *("step", "sign", "quantize"),
}


@every
def test_what_is_read(cap, shape):
    """Less may never be read by accident: kept arrays are memory."""
    expected = {"U", "Y"} if cap.kind in ("max_pool", "length") else {"U"}
    expected = {"Y"} if cap.kind in OUTPUT_ONLY else expected
    assert set(cap.reads) == (set() if cap.kind in NOTHING else expected)


@every
def test_through_a_network_mapped_and_twice(cap, shape):
    """Gradients, and gradients of their squares, over two biases: as by autodiff."""
    biases = {"h": {"B": draw((2, *shape))}}
    x, target = away_from_kinks(shape, 1), draw((BATCH, *cap.output_shape(shape)), 2)

    def found(backward, biases, x):
        net = network([Identity()], shape, cap=cap, bias="full", backward=backward)

        def loss(params, x):
            return net.loss(params, {}, {"x": x, "h": target})[0]

        def squares(params, x):
            slopes = jax.grad(loss, (0, 1))(params, x)
            return sum(jnp.vdot(a, a) for a in jax.tree.leaves(slopes)) / 2, slopes

        twice = jax.grad(squares, (0, 1), has_aux=True)
        return jax.vmap(twice, (0, None))(biases, x)

    exact, plain = quick(lambda *given: [found(way, *given) for way in WAYS])(biases, x)
    close(exact, plain)
