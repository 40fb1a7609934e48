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


def each_everywhere(functions, *arguments):
    """Of several, in one program, by what `everywhere` gives of one."""

    @quick
    def all_of_all(arguments):
        found = []
        for cap, (u, dy) in zip(functions, arguments, strict=True):
            y, pull = jax.vjp(cap.forward, u)
            found.append((y, delta(cap, u, dy), pull(dy)[0]))
        return found

    if len(arguments) == 1:
        arguments *= len(functions)
    return jax.tree.map(np.asarray, all_of_all(arguments))


def everywhere(cap, u, dy):
    """Y, dL/dU by the record's rule, and by autodiff of the forward."""
    return each_everywhere([cap], (u, dy))[0]


def test_the_slope_at_zero():
    rectifiers = [caps.relu(), caps.leaky_relu(0.2), caps.elu(0.5)]
    all_found = each_everywhere(rectifiers, (np.zeros((1, 1)), np.full((1, 1), 3.0)))
    slopes = (0, 1, 0.5)
    for cap, slope, found in zip(rectifiers, slopes, all_found, strict=True):
        y, by_rule, auto = (float(a[0, 0]) for a in found)
        assert y == 0, cap
        assert by_rule == pytest.approx(3 * slope), cap
        assert auto == pytest.approx(3 * slope), cap


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_zero_vectors_have_no_gradient_and_no_nan(dtype):
    shapes = {
        caps.squash(): ((2, 3, 4), (2, 3, 4)),
        caps.length(): ((2, 3, 4), (2, 3)),
        caps.route(3): ((2, 3, 2, 4), (2, 2, 4)),
    }
    given = [(np.zeros(u, dtype), np.ones(dy, dtype)) for u, dy in shapes.values()]
    for cap, found in zip(shapes, each_everywhere(list(shapes), *given), strict=True):
        for array in found:
            assert array.dtype == dtype, cap
            np.testing.assert_array_equal(array, 0, err_msg=str(cap))


@pytest.mark.parametrize(
    "cap, shape", [(caps.squash(), (1, 3, 4)), (caps.length(), (1, 3))]
)
def test_a_zero_vector_among_others_does_not_spoil_them(cap, shape):
    u, dy = np.array(draw((1, 3, 4))), np.asarray(draw(shape, 1))
    u[0, 1] = 0
    given = (u, dy), (u[:, ::2], dy[:, ::2])
    (_, found, auto), (_, rest, _) = each_everywhere([cap, cap], *given)
    close(found, auto)
    np.testing.assert_array_equal(found[0, 1], 0)
    close(found[:, ::2], rest)


@pytest.mark.parametrize("size", [1e-12, 1e-3, 1e3, 1e12])
def test_squash_of_short_and_long_vectors(size):
    """|Y| = q / (1 + q); the two parts of the gradient, along U and across it."""
    u, q = np.asarray([[3.0, 4.0]]) * size / 5, size**2
    along, across = np.asarray([[0.6, 0.8]]), np.asarray([[-0.8, 0.6]])
    (y, by_along, _), (_, by_across, _) = each_everywhere(
        [caps.squash()] * 2, (u, along), (u, across)
    )
    assert np.linalg.norm(y) == pytest.approx(q / (1 + q), rel=1e-12)
    close(by_along, 2 * size / (1 + q) ** 2 * along, 1e-9)
    close(by_across, size / (1 + q) * across, 1e-9)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_softmax_of_very_large_logits(dtype):
    u = np.asarray([[1e4, -1e4, 0.0], [-1e4, -1e4, -1e4]], dtype)
    dy = np.asarray([[1.0, 2.0, 3.0]] * 2, dtype)
    plain, of_log = each_everywhere([caps.softmax(), caps.log_softmax()], (u, dy))
    y, found, _ = plain
    np.testing.assert_allclose(y, [[1, 0, 0], [1 / 3] * 3], rtol=1e-6)
    np.testing.assert_allclose(found, [[0, 0, 0], [-1 / 3, 0, 1 / 3]], atol=1e-6)
    y, found, _ = of_log
    np.testing.assert_allclose(y[0], [0, -2e4, -1e4], rtol=1e-6)
    np.testing.assert_allclose(found, [[-5, 2, 3], [-1, 0, 1]], atol=1e-5)


FAR = {
    caps.softplus(): ([0, 1e3], [0, 1]),
    caps.sigmoid(): ([0, 1], [0, 0]),
    caps.tanh(): ([-1, 1], [0, 0]),
    caps.silu(): ([0, 1e3], [0, 1]),
    caps.gelu(): ([0, 1e3], [0, 1]),
    caps.elu(0.5): ([-0.5, 1e3], [0, 1]),
    caps.selu(): ([-1.7580993408473766, 1050.7009873554805], [0, 1.05070098735548]),
}


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_at_plus_and_minus_a_thousand(dtype):
    u, ones = np.asarray([[-1e3, 1e3]], dtype), np.ones((1, 2), dtype)
    all_found = each_everywhere(list(FAR), (u, ones))
    for (cap, expected), found in zip(FAR.items(), all_found, strict=True):
        (values, slopes), (y, by_rule, auto) = expected, found
        told = {"rtol": 1e-6, "err_msg": str(cap)}
        np.testing.assert_allclose(y[0], values, atol=1e-30, **told)
        np.testing.assert_allclose(by_rule[0], slopes, atol=1e-6, **told)
        np.testing.assert_allclose(auto[0], slopes, atol=1e-6, **told)


JUMPS = {
    caps.step(): [0, 0, 0, 1, 1, 1],
    caps.sign(): [-1, 1, 1, 1, 1, 1],
    caps.quantize(3): [0, 0, 0, 0, 1, 1],
    caps.quantize(4): [0, 0, 0, 1 / 3, 2 / 3, 1],
    caps.quantize(): [0, 0, 0, 64 / 255, 191 / 255, 1],
}


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32, jnp.float64])
def test_at_jumps_and_between_them(dtype):
    """Halves are rounded to even; beyond 0 and 1, quantize is constant."""
    u = np.asarray([[-1e3, -0.0, 0.0, 0.25, 0.75, 1e3]], dtype)
    all_found = each_everywhere(list(JUMPS), (u, np.ones((1, 6), dtype)))
    for (cap, values), found in zip(JUMPS.items(), all_found, strict=True):
        y, by_rule, auto = found
        assert y.dtype == by_rule.dtype == dtype, cap
        expected = np.asarray(values, dtype)
        np.testing.assert_array_equal(y[0], expected, err_msg=str(cap))
        np.testing.assert_array_equal(by_rule, 0, err_msg=str(cap))
        np.testing.assert_array_equal(auto, 0, err_msg=str(cap))


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
    u, padded = -np.ones((1, 3, 1)), ((1, 1),)
    pools = [pool((2,), (1,), padded) for pool in (caps.max_pool, caps.avg_pool)]
    for y in quick(lambda u: [pool.forward(u) for pool in pools])(u):
        np.testing.assert_array_equal(y, -np.ones((1, 4, 1)))


def test_routing_finds_agreement():
    """Two of three lower capsules agree about upper capsule 0: it wins."""
    votes = np.zeros((1, 3, 2, 2))
    votes[0, :2, 0] = [2.0, 0.0]
    votes[0, 2, 0] = [-2.0, 0.5]
    votes[0, :, 1] = [[1.0, 0], [-1, 0], [0, 1]]
    routed = quick(lambda votes: [caps.route(r).forward(votes) for r in (1, 2, 5)])
    norms = [np.linalg.norm(y[0, 0]) for y in routed(votes)]
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
