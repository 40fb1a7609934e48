"""Capsule functions where formulas break: zeros, ties, very large numbers, errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from capsjax import caps
from capsjax.graph import ShapeError
from tests.helpers_capsjax import close, draw, quick


def delta(cap, u, dy):
    """dL/dU by the record's rule, given only what it says it reads."""
    y = cap.forward(u)
    u_read = u if "U" in cap.reads else None
    return cap.backward(u_read, y if "Y" in cap.reads else None, dy, u.shape)


def everywhere(cap, u, dy):
    """Y, dL/dU by the record's rule, and by autodiff of the forward."""

    @quick
    def all_three(u, dy):
        y, pull = jax.vjp(cap.forward, u)
        return y, delta(cap, u, dy), pull(dy)[0]

    return all_three(u, dy)


@pytest.mark.parametrize(
    "cap, slope",
    [(caps.relu(), 0), (caps.leaky_relu(0.2), 1), (caps.elu(0.5), 0.5)],
)
def test_the_slope_at_zero(cap, slope):
    y, found, auto = everywhere(cap, jnp.zeros((1, 1)), jnp.full((1, 1), 3.0))
    assert float(y[0, 0]) == 0
    assert float(found[0, 0]) == pytest.approx(3 * slope)
    assert float(auto[0, 0]) == pytest.approx(3 * slope)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize("cap", [caps.squash(), caps.length(), caps.route(3)])
def test_zero_vectors_have_no_gradient_and_no_nan(cap, dtype):
    shape = (2, 3, 2, 4) if cap.kind == "route" else (2, 3, 4)
    u = jnp.zeros(shape, dtype)
    dy = jnp.ones(jax.eval_shape(cap.forward, u).shape, dtype)
    for array in everywhere(cap, u, dy):
        assert array.dtype == dtype
        np.testing.assert_array_equal(array, 0)


@pytest.mark.parametrize("cap", [caps.squash(), caps.length()])
def test_a_zero_vector_among_others_does_not_spoil_them(cap):
    u = jnp.asarray(draw((1, 3, 4))).at[0, 1].set(0.0)
    dy = draw(cap.forward(u).shape, 1)
    _, found, auto = everywhere(cap, u, dy)
    close(found, auto)
    np.testing.assert_array_equal(found[0, 1], 0)
    rest = u[:, ::2]
    close(found[:, ::2], delta(cap, rest, dy[:, ::2]))


@pytest.mark.parametrize("size", [1e-12, 1e-3, 1e3, 1e12])
def test_squash_of_short_and_long_vectors(size):
    """|Y| = q / (1 + q); the two parts of the gradient, along U and across it."""
    u = jnp.asarray([[3.0, 4.0]]) * size / 5
    y = caps.squash().forward(u)
    q = size**2
    assert float(jnp.linalg.norm(y)) == pytest.approx(q / (1 + q), rel=1e-12)
    along, across = jnp.asarray([[0.6, 0.8]]), jnp.asarray([[-0.8, 0.6]])
    found = delta(caps.squash(), u, along)
    close(found, 2 * size / (1 + q) ** 2 * along, 1e-9)
    close(delta(caps.squash(), u, across), size / (1 + q) * across, 1e-9)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_softmax_of_very_large_logits(dtype):
    u = jnp.asarray([[1e4, -1e4, 0.0], [-1e4, -1e4, -1e4]], dtype)
    dy = jnp.asarray([[1.0, 2.0, 3.0]] * 2, dtype)
    y, found, _ = everywhere(caps.softmax(), u, dy)
    np.testing.assert_allclose(y, [[1, 0, 0], [1 / 3] * 3], rtol=1e-6)
    np.testing.assert_allclose(found, [[0, 0, 0], [-1 / 3, 0, 1 / 3]], atol=1e-6)
    y, found, _ = everywhere(caps.log_softmax(), u, dy)
    np.testing.assert_allclose(y[0], [0, -2e4, -1e4], rtol=1e-6)
    np.testing.assert_allclose(found, [[-5, 2, 3], [-1, 0, 1]], atol=1e-5)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize(
    "cap, values, slopes",
    [
        (caps.softplus(), [0, 1e3], [0, 1]),
        (caps.sigmoid(), [0, 1], [0, 0]),
        (caps.tanh(), [-1, 1], [0, 0]),
        (caps.silu(), [0, 1e3], [0, 1]),
        (caps.gelu(), [0, 1e3], [0, 1]),
        (caps.elu(0.5), [-0.5, 1e3], [0, 1]),
        (caps.selu(), [-1.7580993408473766, 1050.7009873554805], [0, 1.05070098735548]),
    ],
)
def test_at_plus_and_minus_a_thousand(cap, values, slopes, dtype):
    u = jnp.asarray([[-1e3, 1e3]], dtype)
    y, found, auto = everywhere(cap, u, jnp.ones((1, 2), dtype))
    np.testing.assert_allclose(y[0], values, rtol=1e-6, atol=1e-30)
    np.testing.assert_allclose(found[0], slopes, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(auto[0], slopes, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32, jnp.float64])
@pytest.mark.parametrize(
    "cap, values",
    [
        (caps.step(), [0, 0, 0, 1, 1, 1]),
        (caps.sign(), [-1, 1, 1, 1, 1, 1]),
        (caps.quantize(3), [0, 0, 0, 0, 1, 1]),
        (caps.quantize(4), [0, 0, 0, 1 / 3, 2 / 3, 1]),
        (caps.quantize(), [0, 0, 0, 64 / 255, 191 / 255, 1]),
    ],
    ids=str,
)
def test_at_jumps_and_between_them(cap, values, dtype):
    """Halves are rounded to even; beyond 0 and 1, quantize is constant."""
    u = jnp.asarray([[-1e3, -0.0, 0.0, 0.25, 0.75, 1e3]], dtype)
    y, found, auto = everywhere(cap, u, jnp.ones((1, 6), dtype))
    assert y.dtype == found.dtype == dtype
    np.testing.assert_array_equal(y[0], jnp.asarray(values, dtype))
    np.testing.assert_array_equal(found, 0)
    np.testing.assert_array_equal(auto, 0)


def test_softplus_keeps_small_slopes():
    """From Y alone, without cancellation: sigmoid(-30) = 9.36e-14."""
    u = jnp.asarray([[-30.0]])
    _, found, _ = everywhere(caps.softplus(), u, jnp.ones((1, 1)))
    assert float(found[0, 0]) == pytest.approx(9.357622968839299e-14, rel=1e-12)


def test_max_pool_gives_the_first_of_equal_maxima_all():
    u = jnp.asarray([1.0, 5, 5, 5, 0, 0, 0, 0]).reshape(1, 8, 1)
    _, found, _ = everywhere(caps.max_pool((4,)), u, jnp.asarray([[[2.0], [3.0]]]))
    np.testing.assert_array_equal(found.ravel(), [0, 2, 0, 0, 3, 0, 0, 0])


def test_padding_never_wins_nor_counts():
    u = -jnp.ones((1, 3, 1))
    padded = ((1, 1),)
    y = caps.max_pool((2,), (1,), padded).forward(u)
    np.testing.assert_array_equal(y, -np.ones((1, 4, 1)))
    y = caps.avg_pool((2,), (1,), padded).forward(u)
    np.testing.assert_array_equal(y, -np.ones((1, 4, 1)))


def test_routing_finds_agreement():
    """Two of three lower capsules agree about upper capsule 0: it wins."""
    votes = jnp.zeros((1, 3, 2, 2)).at[0, :2, 0].set(jnp.asarray([2.0, 0.0]))
    votes = votes.at[0, 2, 0].set(jnp.asarray([-2.0, 0.5]))
    votes = votes.at[0, :, 1].set(jnp.asarray([[1.0, 0], [-1, 0], [0, 1]]))
    norms = [jnp.linalg.norm(caps.route(r).forward(votes)[0, 0]) for r in (1, 2, 5)]
    assert float(norms[0]) < float(norms[1]) < float(norms[2])


ERRORS = [
    (caps.softmax(), (), "found a scalar U; expected at least one axis; cure: use "),
    (caps.log_softmax(), (), "found a scalar U; expected at least one axis; cure: use"),
    (
        caps.max_pool((2, 2)),
        (4, 3),
        "found U of shape (4, 3) under a window of 2 axes; expected 2 spatial axes, "
        "then channels; cure: give the window as many axes as U has before its "
        "channels",
    ),
    (
        caps.avg_pool((2,), (1, 1)),
        (4, 3),
        "found stride of 2 axes, window (2,); expected as many as the window has: 1; "
        "cure: correct stride or the window",
    ),
    (
        caps.max_pool((2,), padding=((2, 0),)),
        (4, 3),
        "found padding (2, 0) with a window of 2; expected padding smaller than the "
        "window: no window of zeros alone; cure: less padding",
    ),
    (
        caps.max_pool((5,)),
        (4, 3),
        "found a window of 5 on axis 0 of size 4 with padding (0, 0); expected a "
        'window of at most 4; cure: a smaller window, or padding="SAME"',
    ),
    (
        caps.global_avg_pool(),
        (3,),
        "found U of shape (3,); expected at least one spatial axis, then channels; "
        "cure: leave the pooling out",
    ),
    (
        caps.squash(),
        (),
        "found a scalar U; expected vectors along the last axis; cure: reshape the "
        "source",
    ),
    (
        caps.length(),
        (),
        "found a scalar U; expected vectors along the last axis; cure: reshape the "
        "source",
    ),
    (
        caps.route(),
        (3, 2),
        "found U of shape (3, 2); expected votes: [lower capsules, upper capsules, "
        "dimension]; cure: weight the lower capsules by `vote`",
    ),
]


@pytest.mark.parametrize("cap, shape, text", ERRORS)
def test_the_message(cap, shape, text):
    with pytest.raises(ShapeError) as caught:
        cap.output_shape(shape)
    assert str(caught.value).startswith(text)


def test_a_record_without_rules_says_so():
    class Bare(caps.Cap):
        pass

    with pytest.raises(TypeError, match="^Bare declares no forward$"):
        Bare().forward(draw((1,)))
