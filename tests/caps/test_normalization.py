"""Norms where formulas break: constant rows, large offsets, half precision, windows."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import capsjax as cj
from capsjax import caps
from capsjax.graph import ShapeError
from tests.helpers_capsjax import close, draw, quick

NORMS = [
    caps.layer_norm(),
    caps.group_norm(2),
    caps.rms_norm(),
    caps.local_response_norm(3, 0.5),
]
every = pytest.mark.parametrize("cap", NORMS, ids=str)


def delta(cap, u, dy):
    return cap.backward(u, None, dy, u.shape)


@every
def test_of_zeros_nothing_but_zeros_and_a_gradient_that_is_finite(cap):
    u = np.zeros((2, 3, 4))
    both = quick(lambda u: (cap.forward(u), delta(cap, u, jnp.ones_like(u))))
    y, found = map(np.asarray, both(u))
    np.testing.assert_array_equal(y, 0)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("cap", NORMS[:2], ids=str)
def test_a_constant_is_taken_away_and_gets_no_gradient(cap):
    u, dy = draw((2, 3, 4)), draw((2, 3, 4), 1)
    close(cap.forward(u + 1e3), cap.forward(u), 1e-9)
    found = delta(cap, u, dy)
    if cap.kind == "group_norm":
        found = found.sum(1).reshape(2, 2, 2)
    np.testing.assert_allclose(found.sum(-1), 0, atol=1e-12)


def test_group_norm_between_layer_and_instance_norm():
    u = np.asarray(draw((2, 3, 5, 4)))
    each = np.moveaxis(u, -1, 1).reshape(2, 4, -1)

    @quick
    def everything(u, rows, each):
        groups = [caps.group_norm(count).forward(u) for count in (1, 4)]
        return *groups, *[caps.layer_norm().forward(a) for a in (rows, each)]

    found = everything(u, u.reshape(2, -1), each)
    one, four, row, instances = map(np.asarray, found)
    close(one.reshape(2, -1), row)
    close(four, np.moveaxis(instances.reshape(2, 4, 3, 5), 1, -1))


@every
def test_means_are_taken_in_float32_at_least(cap):
    """1,000 squares of 300 overflow a half, and lose their digits in bfloat16."""
    narrow = jnp.bfloat16, jnp.float16, jnp.float32
    u, dy = 300 + np.asarray(draw((1, 1000))), np.asarray(draw((1, 1000), 1))
    given = [(u.astype(dtype), dy.astype(dtype)) for dtype in narrow]

    @quick
    def narrow_and_wide(given):
        wide = jax.tree.map(lambda a: a.astype(jnp.float64), given)
        pairs = zip(given, wide, strict=True)
        return [[(cap.forward(u), delta(cap, u, dy)) for u, dy in p] for p in pairs]

    for dtype, (found, exact) in zip(narrow, narrow_and_wide(given), strict=True):
        assert {a.dtype for a in found} == {jnp.dtype(dtype)}
        tolerance = 4 * float(jnp.finfo(dtype).eps) if dtype != jnp.float32 else 1e-3
        close(tuple(np.asarray(a, np.float64) for a in found), exact, tolerance)


def test_local_response_norm_as_alexnet_has_it():
    """Krizhevsky 2012: b_i = a_i / (k + alpha sum a_j^2)^beta, alpha not divided."""
    a = np.asarray(draw((1, 8)))
    n, k, alpha, beta = 5, 2.0, 1e-4, 0.75
    b = np.empty_like(a)
    for i in range(8):
        near = a[:, max(0, i - n // 2) : min(7, i + n // 2) + 1]
        b[:, i] = a[:, i] / (k + alpha * (near**2).sum()) ** beta
    cap = caps.local_response_norm(5, n * alpha, beta, k)
    close(cap.forward(jnp.asarray(a)), jnp.asarray(b), 1e-14)


def test_a_norm_with_scale_and_shift():
    """gamma is the edge behind the norm and beta its bias: torch's LayerNorm."""
    x = cj.input("x", (3, 4))
    norm = cj.capsule("norm", cj.identity(x), cap="layer_norm", bias=None)
    net = cj.compile(cj.graph(cj.capsule("h", cj.channel_scale(norm))))
    gamma, beta, u = draw((4,)), draw((4,), 1), draw((2, 3, 4), 2)
    params = net.from_named({"h": {"W": {"norm": gamma}, "B": beta}})
    found = net.apply(params, {}, {"x": u})[0]["h"]
    mean, variance = u.mean(-1, keepdims=True), u.var(-1, keepdims=True)
    close(found, (u - mean) / jnp.sqrt(variance + 1e-5) * gamma + beta)


ERRORS = [
    (
        caps.layer_norm(),
        (),
        "found a scalar U; expected features along the last axis; cure: leave the norm "
        "out",
    ),
    (
        caps.group_norm(4),
        (5, 6),
        "found 6 channels in 4 groups; expected channels that are a multiple of "
        "groups; cure: correct groups, or the channels of the capsule",
    ),
    (
        caps.local_response_norm(5),
        (),
        "found a scalar U; expected channels along the last axis; cure: leave the norm "
        "out",
    ),
    (
        caps.adaptive_avg_pool((2, 2)),
        (4, 3),
        "found U of shape (4, 3) under windows along 2 axes; expected 2 spatial axes, "
        "then channels; cure: give as many numbers of windows as U has axes before its "
        "channels",
    ),
]


@pytest.mark.parametrize("cap, shape, text", ERRORS)
def test_the_message_in_full(cap, shape, text):
    with pytest.raises(ShapeError) as caught:
        cap.output_shape(shape)
    assert str(caught.value) == text


# ---- adaptive pooling


# (positions, windows)
PAIRS = [(1, 3), (2, 5), (3, 3), (4, 12), (5, 2), (7, 4), (9, 6), (11, 10), (12, 4)]


def test_windows_of_every_kind():
    """Means over each window, and the gradient as the transpose of a matrix."""

    @quick
    def everything():
        found = []
        for size, count in PAIRS:
            cap = caps.adaptive_avg_pool((count,))
            y = cap.forward(jnp.eye(size)[..., None])
            dy = jnp.eye(count)[..., None]
            found.append((y, cap.backward(None, None, dy, (count, size, 1))))
        return found

    for (size, count), (y, du) in zip(PAIRS, everything(), strict=True):
        matrix = np.zeros((count, size))
        for i in range(count):
            at = slice(i * size // count, math.ceil((i + 1) * size / count))
            matrix[i, at] = 1 / len(range(size)[at])
        np.testing.assert_allclose(y[..., 0].T, matrix, rtol=1e-15)
        np.testing.assert_allclose(du[..., 0], matrix, rtol=1e-15)


def test_one_window_is_global_pooling_and_a_window_each_is_the_identity():
    u = draw((2, 3, 4, 5))
    pools = [caps.adaptive_avg_pool(windows) for windows in ((1, 1), (3, 4))]
    pools.append(caps.global_avg_pool())
    one, each, everywhere = quick(lambda u: [pool.forward(u) for pool in pools])(u)
    close(np.asarray(one)[:, 0, 0], everywhere, 1e-14)
    np.testing.assert_array_equal(each, u)


def test_nothing_of_the_size_of_the_tensor_is_made_before_it_runs():
    shape = jax.eval_shape(
        caps.adaptive_avg_pool((7, 7)).forward,
        jax.ShapeDtypeStruct((2**20, 10, 10, 2**20), jnp.float32),
    )
    assert shape.shape == (2**20, 7, 7, 2**20)
