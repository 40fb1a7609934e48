"""One suite over the table of capsule functions: shapes, values, derivatives."""

import math
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
    difference,
    draw,
    draw_like,
    inner,
    network,
    quick,
    squared_gradient,
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
    (caps.route(4), (2, 1, 3)),
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


def away_from_kinks(shape: tuple[int, ...], seed: int = 0) -> jax.Array:
    """Numbers around zero, none near it, all well apart from each other."""
    u = draw((BATCH, *shape), seed)
    order = jnp.argsort(jnp.argsort(u.ravel())).reshape(u.shape)
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
@pytest.mark.parametrize("batch", [1, 3])
def test_the_shape_rule_is_what_forward_gives(cap, shape, batch):
    y = jax.eval_shape(cap.forward, draw((batch, *shape)))
    assert y.shape == (batch, *cap.output_shape(shape))


# ---- forward against numpy


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


@every
def test_forward_equals_numpy(cap, shape):
    u = away_from_kinks(shape)
    close(
        quick(cap.forward)(u), jnp.asarray(NUMPY[cap.kind](cap, np.asarray(u))), 1e-12
    )


# ---- derivatives


def delta(cap, u, dy):
    """dL/dU by the record's rule, given only what it says it reads."""
    y = cap.forward(u)
    u_read = u if "U" in cap.reads else None
    return cap.backward(u_read, y if "Y" in cap.reads else None, dy, u.shape)


@every
def test_backward_equals_autodiff_and_differences(cap, shape):
    u = away_from_kinks(shape)
    dy = draw((BATCH, *cap.output_shape(shape)), 3)
    found, expected = quick(
        lambda u: (delta(cap, u, dy), jax.vjp(cap.forward, u)[1](dy)[0])
    )(u)
    close(found, expected)
    along = draw_like(u, 4)
    product = quick(lambda u: jnp.vdot(cap.forward(u), dy))
    slope = difference(product, u, along)
    assert inner(found, along) == pytest.approx(float(slope), rel=1e-7, abs=1e-7)


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
def test_under_jit_and_vmap(cap, shape):
    def everything(u, dy):
        return cap.forward(u), delta(cap, u, dy)

    us = [away_from_kinks(shape, seed) for seed in (0, 1)]
    members = [(u, draw((BATCH, *cap.output_shape(shape)), 7)) for u in us]
    looped = [quick(everything)(*member) for member in members]
    expected = jax.tree.map(lambda *parts: jnp.stack(parts), *looped)
    stacked = jax.tree.map(lambda *parts: jnp.stack(parts), *members)
    close(quick(jax.vmap(everything))(*stacked), expected, 1e-12)


@every
def test_vmap_of_grad_through_a_network(cap, shape):
    exact, plain = (
        network([Identity()], shape, cap=cap, bias="full", backward=b) for b in WAYS
    )
    biases = {"h": {"B": draw((2, *shape))}}
    u, target = away_from_kinks(shape, 1), draw((BATCH, *cap.output_shape(shape)), 2)

    def gradient(net):
        def loss(params, x):
            return net.loss(params, {}, {"x": x, "h": target})[0]

        return quick(jax.vmap(jax.grad(loss, (0, 1)), (0, None)))(biases, u)

    close(gradient(exact), gradient(plain))


@every
def test_twice_differentiated(cap, shape):
    nets = [
        network([Identity()], shape, cap=cap, bias="full", backward=b) for b in WAYS
    ]
    params = {"h": {"B": 0.1 * draw(shape)}}
    target = draw((BATCH, *cap.output_shape(shape)), 2)
    x = away_from_kinks(shape, 1)
    exact, plain = (
        quick(jax.grad(squared_gradient(net, {"x": x, "h": target})))(
            (params, {"x": x})
        )
        for net in nets
    )
    close(exact, plain)


@every
def test_elementwise_says_whether_the_jacobian_is_diagonal(cap, shape):
    u = away_from_kinks(shape)[0]
    diagonal = False
    if cap.output_shape(shape) == shape:
        jacobian = quick(jax.jacobian(lambda u: cap.forward(u[None])[0]))(u)
        square = np.asarray(jacobian).reshape(u.size, u.size)
        diagonal = not (square - np.diag(np.diag(square))).any()
    # Of one number alone it can't be seen: squash of (1,) is diagonal, too.
    assert cap.elementwise == diagonal or u.size == 1
