"""Capsule functions that carry state or draw: values, derivatives, special points."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from capsjax import caps
from capsjax.caps.base import Context, is_plain
from capsjax.compiler.verify_caps import cap_fault
from capsjax.graph import ShapeError
from capsjax.weightings import Identity
from tests.helpers_capsjax import (
    close,
    draw,
    draw_like,
    inner,
    network,
    quick,
)

EXAMPLES = [
    (caps.standardize(), (3,)),
    (caps.standardize(0.7, 0.3, False), (4, 2, 3)),
    (caps.standardize(unbiased=False), (2, 1)),
    (caps.dropout(0.3), (2, 3)),
    (caps.spatial_dropout(0.4), (5, 3)),
    (caps.drop_path(0.4), (2, 3)),
    (caps.drop_path(), ()),
    (caps.noise(0.3), (2, 3)),
]
every = pytest.mark.parametrize(
    "cap, shape", EXAMPLES, ids=[f"{k} on {s}" for k, s in EXAMPLES]
)
BATCH = 4
KEY = jax.random.key(7)


def carried(cap: Any, shape: tuple[int, ...]) -> Any:
    """A state as training leaves it: variances are positive."""
    drawn = draw_like(cap.initial_state(shape, jnp.float64), 5)
    return {k: abs(a) + 0.1 if k == "variance" else a for k, a in drawn.items()}


def run(cap: Any, u: Any, state: Any, train: bool, key: Any = KEY) -> Any:
    """Y, the new state and the residual; the key goes to those that draw."""
    own = key if train and cap.draws else None
    return cap.run(u, Context({}, state, own, train))


def by_rule(cap: Any, u: Any, dy: Any, state: Any, train: bool) -> Any:
    """What `run` gives, and dL/dU by the record's rule, of what it says it reads."""
    found = y, _, residual = run(cap, u, state, train)
    read = [a if k in cap.reads else None for k, a in (("U", u), ("Y", y))]
    given = Context({}, state, None, train)
    du, own = cap.run_backward(residual, *read, dy, u.shape, given)
    assert own == {}
    return *found, du


@every
def test_what_is_declared_holds(cap, shape):
    """Shapes of Y, of the state and of gradients, in training and in inference."""
    assert cap_fault(cap, shape, cap.output_shape(shape)) is None
    assert cap.output_shape(shape) == shape
    assert not is_plain(cap, shape)
    assert cap.reads == (("Y",) if cap.kind == "standardize" else ())


# ---- values against numpy


def _standardized(cap, u, state, train):
    """Ioffe & Szegedy 2015, algorithms 1 and 2, channel by channel."""
    y, new = np.zeros_like(u), {k: np.array(a) for k, a in state.items()}
    for c in range(u.shape[-1]):
        mean, variance = state["mean"][c], state["variance"][c]
        if train:
            numbers = u[..., c].ravel()
            mean, variance = numbers.mean(), numbers.var()
            kept = numbers.var(ddof=1) if cap.unbiased else variance
            for name, value in (("mean", mean), ("variance", kept)):
                old = state[name][c]
                new[name][c] = cap.momentum * old + (1 - cap.momentum) * value
        y[..., c] = (u[..., c] - mean) / np.sqrt(variance + cap.epsilon)
    return y, new


def _expected(cap, u, state, train, residual, noise):
    """Y and the new state; what is dropped is taken from the residual."""
    if cap.kind == "standardize":
        return _standardized(cap, u, state, train)
    if not train:
        return u, state
    if cap.kind == "noise":
        return u + cap.deviation * noise, state
    return u * residual / (1 - cap.rate), state


STEP, STEPS = 1e-3, np.array([1, -1, 2, -2])


@every
def test_values_and_gradients(cap, shape):
    """In one program: against numpy, autodiff, and differences."""
    u, dy, along = (np.asarray(draw((BATCH, *shape), seed)) for seed in (0, 3, 4))
    state = carried(cap, shape)

    @quick
    def everything(u, state):
        found = []
        steps = STEP * STEPS.reshape(-1, *[1] * u.ndim)
        for train in (True, False):

            def forward(u, train=train):
                return run(cap, u, state, train)[0]

            auto = jax.vjp(forward, u)[1](dy)[0]
            moved = jax.vmap(forward)(u + steps * along)
            found.append((by_rule(cap, u, dy, state, train), auto, moved))
        return found, jax.random.normal(KEY, u.shape, u.dtype)

    both, noise = jax.tree.map(np.asarray, everything(u, state))
    state = jax.tree.map(np.asarray, state)
    for train, (found, auto, moved) in zip((True, False), both, strict=True):
        y, new, residual, du = found
        expected = _expected(cap, u, state, train, residual, noise)
        close((y, new), expected, 1e-13)
        close(du, auto)
        right, left, far_right, far_left = moved
        slope = (8 * (right - left) - (far_right - far_left)) / (12 * STEP)
        product = inner(slope, dy)
        assert inner(du, along) == pytest.approx(product, rel=1e-8, abs=1e-8)


@every
def test_through_a_network_mapped_and_twice(cap, shape):
    """Gradients over members, and those of their squares, against JAX's own."""
    target, x = draw((BATCH, *shape), 2), draw((BATCH, *shape), 1)
    biases = {"h": {"B": draw((2, *shape))}}
    state = {"h": carried(cap, shape)} if cap.state_shapes(shape) else {}

    def found(backward, biases, x, keys):
        net = network([Identity()], shape, cap=cap, bias="full", backward=backward)

        def loss(params, x, key):
            return net.loss(params, state, {"x": x, "h": target}, key=key)

        def squares(params, x, key):
            gradient = jax.value_and_grad(loss, (0, 1), has_aux=True)
            found = gradient(params, x, key)
            slopes = jax.tree.leaves(found[1])
            return sum(jnp.vdot(a, a) for a in slopes) / 2, found

        twice = jax.grad(squares, (0, 1), has_aux=True)
        return jax.vmap(twice, (0, None, 0))(biases, x, keys)

    @quick
    def both(*given):
        return found("exact", *given), found("autodiff", *given)

    exact, plain = both(biases, x, jax.random.split(KEY))
    close(exact, plain)


# ---- standardize


@pytest.mark.parametrize("unbiased", [True, False])
def test_running_statistics_over_three_steps(unbiased):
    """PyTorch keeps the unbiased variance, Keras and Flax the other one."""
    cap, momentum = caps.standardize(0.9, unbiased=unbiased), 0.9
    state, mean, variance = cap.initial_state((2,), jnp.float64), 0.0, 1.0
    assert jax.tree.map(np.ndarray.tolist, jax.tree.map(np.asarray, state)) == {
        "mean": [0, 0],
        "variance": [1, 1],
    }
    trained = quick(lambda u, state: run(cap, u, state, True)[1])
    for step in range(3):
        numbers = 3 + 2 * np.asarray(draw((5, 2), step))
        state = trained(numbers, state)
        mean = momentum * mean + (1 - momentum) * numbers.mean(0)
        each = ((numbers - numbers.mean(0)) ** 2).sum(0) / (4 if unbiased else 5)
        variance = momentum * variance + (1 - momentum) * each
    close(state, {"mean": mean, "variance": variance}, 1e-14)


def test_a_batch_is_standardized_whatever_its_mean_and_spread():
    u = 1e3 + 5 * np.asarray(draw((8, 6, 2)))
    cap = caps.standardize(epsilon=1e-9)
    state = carried(cap, (2,))
    y = np.asarray(quick(lambda u: run(cap, u, state, True)[0])(u))
    np.testing.assert_allclose(y.mean((0, 1)), 0, atol=1e-12)
    np.testing.assert_allclose(y.std((0, 1)), 1, rtol=1e-9)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize("shape", [(1, 3), (4, 3)])
def test_constant_channels_and_a_batch_of_one(shape, dtype):
    """Nothing is divided by zero: Y is 0, no gradient passes, the variance is 0."""
    cap, u = caps.standardize(0.5), np.full(shape, 2.0, dtype)
    state = cap.initial_state((3,), dtype)
    everything = quick(lambda u: by_rule(cap, u, jnp.ones_like(u), state, True))
    y, new, _, found = everything(u)
    np.testing.assert_array_equal(y, 0)
    np.testing.assert_array_equal(new["mean"], 1)
    np.testing.assert_array_equal(new["variance"], 0.5)
    np.testing.assert_allclose(found, 0, atol=1e-12)


def test_statistics_of_nothing_are_the_identity_but_for_epsilon():
    """Initial statistics, mean 0 and variance 1, leave U as it is."""
    cap, u = caps.standardize(epsilon=1e-5), np.asarray(draw((3, 4)))
    state = cap.initial_state((4,), jnp.float64)
    y = quick(lambda u: run(cap, u, state, False)[0])(u)
    close(y, u / np.sqrt(1 + 1e-5), 1e-14)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_statistics_stay_wide_where_u_is_narrow(dtype):
    """300^2 overflows a half; running statistics keep their own type."""
    cap, u = caps.standardize(), (300 + np.asarray(draw((64, 2)))).astype(dtype)
    state = cap.initial_state((2,), jnp.float32)

    @quick
    def both(u):
        return [run(cap, a, state, True)[:2] for a in (u, u.astype(jnp.float64))]

    (y, new), (exact, exact_state) = both(u)
    assert y.dtype == dtype and {str(a.dtype) for a in new.values()} == {"float32"}
    close(np.asarray(y, np.float64), exact, 4 * float(jnp.finfo(dtype).eps))
    close(new, exact_state, 1e-5)


# ---- what draws


DROPS = [caps.dropout(0.3), caps.spatial_dropout(0.3), caps.drop_path(0.3)]


@pytest.mark.parametrize("cap", DROPS, ids=str)
def test_what_is_dropped_together(cap):
    shape = (100, 3, 2, 4)
    found = quick(lambda: run(cap, jnp.ones(shape), {}, True))()
    y, _, mask = jax.tree.map(np.asarray, found)
    assert set(np.unique(y)) == {0.0, 1 / 0.7}
    shapes = {
        "dropout": shape,
        "spatial_dropout": (100, 1, 1, 4),
        "drop_path": (100, 1, 1, 1),
    }
    assert mask.shape == shapes[cap.kind] and mask.dtype == bool
    np.testing.assert_array_equal(y != 0, np.broadcast_to(mask, shape))
    # As many are kept as are asked for, five standard deviations allowed.
    far = 5 * np.sqrt(0.3 * 0.7 / mask.size)
    assert float(mask.mean()) == pytest.approx(0.7, abs=far)


@pytest.mark.parametrize("cap", [caps.dropout(0.3), caps.noise(0.5)], ids=str)
def test_a_mask_belongs_to_its_key(cap):
    """Keys of the old style are those of the new one."""
    drawn = quick(lambda key: run(cap, draw((16, 5)), {}, True, key)[0])
    first, again, other = map(drawn, (KEY, KEY, jax.random.key(8)))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    np.testing.assert_array_equal(drawn(jax.random.PRNGKey(7)), first)


@pytest.mark.parametrize("cap", [*DROPS, caps.noise(0.5)], ids=str)
def test_the_mean_is_kept_and_the_error_takes_the_same_way(cap):
    """The mean of Y over many keys is U; delta is of dY what Y is of U."""
    u, dy = (np.asarray(draw((2, 3, 2), seed)) for seed in (0, 1))

    @quick
    def many(key):
        keys = jax.random.split(key, 4000)
        y = jax.vmap(lambda key: run(cap, u, {}, True, key)[0])(keys)
        ones = run(cap, jnp.ones_like(u), {}, True)[0]
        return y, ones, by_rule(cap, u, dy, {}, True)[-1]

    y, ones, found = map(np.asarray, many(KEY))
    far = 5 * y.std(0) / np.sqrt(len(y))
    assert (abs(y.mean(0) - u) <= far).all()
    expected = dy if cap.kind == "noise" else dy * ones
    close(found, expected, 1e-14)


@pytest.mark.parametrize("kind", ["dropout", "spatial_dropout", "drop_path", "noise"])
def test_nothing_drawn_at_rate_zero_nor_in_inference(kind):
    u = draw((3, 4))
    np.testing.assert_array_equal(run(getattr(caps, kind)(0.0), u, {}, True)[0], u)
    assert run(getattr(caps, kind)(), u, {}, False)[0] is u


def test_what_is_not_finite_is_dropped_like_any_number():
    """A zero of the mask is a zero, whatever stood there."""
    u, dy = np.full((100,), np.inf), np.full((100,), np.nan)

    @quick
    def both():
        return by_rule(caps.dropout(), u, dy, {}, True)

    y, _, mask, found = jax.tree.map(np.asarray, both())
    assert (y[~mask] == 0).all() and np.isinf(y[mask]).all()
    np.testing.assert_array_equal(np.isnan(found), mask)


@pytest.mark.parametrize("kind", ["standardize", "spatial_dropout"])
def test_a_scalar_has_no_channels(kind):
    text = "^found a scalar U; expected channels along the last axis; cure: "
    with pytest.raises(ShapeError, match=text):
        getattr(caps, kind)().output_shape(())
