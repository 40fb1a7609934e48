"""Attention, and products of slots: what the common suite does not reach."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import capsjax as cj
from capsjax import algorithms, caps
from capsjax.caps import dot_product_attention as module
from capsjax.graph import ShapeError
from tests.helpers_capsjax import both_ways, close, draw, quick

attention = caps.attention


def gradient(cap, u, dy):
    return cap.backward(u, None, dy, u.shape)


def everything(cap, u, dy):
    """Y, delta, and a second derivative."""

    def energy(u, dy):
        return jnp.sum(gradient(cap, u, dy) ** 2) + jnp.sum(cap.forward(u) ** 3)

    return cap.forward(u), gradient(cap, u, dy), jax.grad(energy, (0, 1))(u, dy)


@pytest.mark.parametrize("causal", [False, True])
def test_heads_in_turn_and_at_once(causal, monkeypatch):
    """Large sequences take another way on CPU; both give the same, also mapped."""
    cap = attention(2, causal)
    u, dy = draw((2, 3, 5, 6)), draw((2, 5, 6), 1)
    stacked = jnp.stack([u, -u]), jnp.stack([dy, 2 * dy])
    found = []
    for limit in (1, 2**40):
        monkeypatch.setattr(module, "_LARGE", limit)
        program = str(jax.make_jaxpr(cap.forward)(u))
        assert ("scan" in program) == (limit == 1)
        both = quick(
            lambda: (
                everything(cap, u, dy),
                jax.vmap(lambda u, dy: everything(cap, u, dy))(*stacked),
            )
        )
        found.append(both())
    close(found[0], found[1], 1e-12)
    monkeypatch.setattr(algorithms, "_platform", lambda: "gpu")
    monkeypatch.setattr(module, "_LARGE", 1)
    assert "scan" not in str(jax.make_jaxpr(cap.forward)(u))


def test_a_causal_position_sees_nothing_behind_it():
    cap, u = attention(2, True), np.asarray(draw((1, 3, 6, 4)))
    changed, dy = u.copy(), np.zeros((1, 6, 4))
    changed[:, :, 4:], dy[:, 2] = 9.0, 1.0
    both = quick(lambda u, dy: (cap.forward(u), gradient(cap, u, dy)))
    (y, du), (other, _) = both(u, dy), both(changed, dy)
    np.testing.assert_array_equal(other[:, :4], y[:, :4])
    assert not np.allclose(other[:, 4:], y[:, 4:])
    np.testing.assert_array_equal(du[:, :, 3:], 0)
    np.testing.assert_array_equal(y[:, 0], u[:, 2, 0])


def test_scores_of_a_thousand():
    """One key wins: its value comes out, and nothing overflows."""
    u = np.zeros((1, 3, 3, 2), np.float32)
    u[:, 0] = u[:, 1, 1] = 1e3
    u[:, 2] = [[1, 2], [3, 4], [5, 6]]
    dy = np.ones((1, 3, 2), np.float32)
    both = quick(lambda u, dy: (attention().forward(u), gradient(attention(), u, dy)))
    y, found = both(u, dy)
    np.testing.assert_array_equal(y[0], [[3, 4]] * 3)
    np.testing.assert_array_equal(found[0, 2], [[0, 0], [3, 3], [0, 0]])
    np.testing.assert_array_equal(found[0, :2], 0)


def test_the_softmax_is_taken_in_float32_at_least():
    cap, given = attention(2), (draw((1, 3, 300, 4)), draw((1, 300, 4), 1))
    given = [np.asarray(a).astype(jnp.bfloat16) for a in given]

    @quick
    def narrow_and_wide(u, dy):
        wide = u.astype(jnp.float64), dy.astype(jnp.float64)
        pairs = (u, dy), wide
        return [(cap.forward(u), gradient(cap, u, dy)) for u, dy in pairs]

    found, expected = narrow_and_wide(*given)
    assert {a.dtype for a in found} == {jnp.dtype(jnp.bfloat16)}
    close(tuple(np.asarray(a, np.float64) for a in found), expected, 0.03)


def test_a_transformer_block():
    """Queries, keys and values of one matrix; its gradients are those of autodiff."""
    x = cj.input("x", (5, 8))
    norm = cj.capsule("norm", cj.identity(x), cap="layer_norm", bias=None)
    qkv = cj.capsule("qkv", cj.matmul(norm, 24))
    rows = cj.capsule("rows", cj.reshape(qkv, (5, 3, 8)), bias=None)
    heads = caps.attention(2, causal=True)
    seen = cj.capsule("seen", cj.transpose(rows, (1, 0, 2)), cap=heads, bias=None)
    h = cj.capsule("h", cj.matmul(seen, 8), cj.identity(x))
    exact, plain = both_ways(cj.graph(h, losses={"h": "mean_squared_error"}))
    params, state = exact.init(jax.random.key(0))
    batch = {"x": draw((2, 5, 8)), "h": draw((2, 5, 8), 1)}

    @quick
    def gradients(params):
        nets = exact, plain
        return [
            jax.grad(lambda p, n=n: n.loss(p, state, batch)[0])(params) for n in nets
        ]

    close(*gradients(params))
    assert exact.parameter_count == 8 * 24 + 24 + 8 * 8 + 8


# ---- products of slots


@pytest.mark.parametrize("slots", [1, 2, 3, 5])
def test_zeros_among_the_factors(slots):
    """The gradient does not divide by a factor."""
    dy = np.asarray(draw((1, 4), 1))
    by_rule = quick(lambda u, dy: gradient(caps.multiply(), u, dy))
    for zeros in range(slots + 1):
        u = np.array(draw((1, slots, 4)))
        u[0, :zeros, 1:3] = 0.0
        found = np.asarray(by_rule(u, dy))
        for k in range(slots):
            others = np.delete(u, k, axis=1).prod(1)
            close(found[:, k], dy * others, 1e-14)


def test_a_mask_leaves_one_capsule_and_its_gradient():
    vectors, label = np.asarray(draw((2, 3, 4))), np.eye(3)[[2, 0]]
    u = np.concatenate([vectors, label[..., None]], -1)
    cap, ones = caps.mask(), np.ones_like(vectors)
    both = quick(lambda u, dy: (cap.forward(u), gradient(cap, u, dy)))
    y, found = jax.tree.map(np.asarray, both(u, ones))
    np.testing.assert_array_equal(y[0], [[0] * 4, [0] * 4, vectors[0, 2]])
    np.testing.assert_array_equal(y[1], [vectors[1, 0], [0] * 4, [0] * 4])
    np.testing.assert_array_equal(found[..., :-1], label[..., None] * np.ones(4))
    close(found[..., -1], vectors.sum(-1), 1e-14)


ERRORS = [
    (
        caps.attention(),
        (2, 5, 4),
        "found U of shape (2, 5, 4); expected [3, sequence, features]: query, key, "
        "value; cure: reshape each of the three to [1, sequence, features] and `place` "
        "it along axis 0",
    ),
    (
        caps.attention(3),
        (3, 5, 4),
        "found 4 features in 3 heads; expected features that are a multiple of heads; "
        "cure: correct heads, or the features of the capsule",
    ),
    (
        caps.multiply(),
        (),
        "found a scalar U; expected slots along the first axis; cure: reshape each "
        "source to [1, ...] and `place` it along axis 0",
    ),
    (
        caps.mask(),
        (3, 1),
        "found U of shape (3, 1); expected [..., dimension + 1]: vectors, each with "
        "its number behind it; cure: `place` the vectors and a label of shape [..., 1] "
        "along the last axis",
    ),
]


@pytest.mark.parametrize("cap, shape, text", ERRORS)
def test_the_message_in_full(cap, shape, text):
    with pytest.raises(ShapeError) as caught:
        cap.output_shape(shape)
    assert str(caught.value) == text
