"""One suite over the table of weighting operations: shapes, laws, derivatives."""

import itertools
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from capsjax import weightings as w
from capsjax.compiler.axes import NAMES
from capsjax.graph.kinds import WEIGHTINGS
from capsjax.weightings import Conv
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
    (w.Identity(), (2, 3)),
    (w.Identity(), ()),
    (w.Scale(), (2, 3)),
    (w.Scale(), ()),
    (w.ChannelScale(), (4,)),
    (w.ChannelScale(), (2, 3, 4)),
    (w.Dot(), (5,)),
    (w.Dot(), (2, 3)),
    (w.Matmul(3), (5,)),
    (w.Matmul(1), (1,)),
    (w.Matmul(4), (2, 3, 5)),
    (w.Vote(3, 2), (4, 5)),
    (w.Vote(1, 1), (1, 1)),
    (w.Reshape((-1,)), (2, 3)),
    (w.Reshape((3, -1, 2)), (4, 3)),
    (w.Reshape(()), (1, 1)),
    (w.Reshape((1, 1)), ()),
    (w.Transpose((1, 0)), (2, 3)),
    (w.Transpose((2, 0, 1)), (2, 3, 4)),
    (w.Transpose(()), ()),
    (w.Place(-1, 2, 6), (2, 3)),
    (w.Place(0, 0, 2), (2, 3)),
    (w.Place(0, 3, 5), (2, 3)),
    (w.Conv(2, (3,)), (7, 3)),
    (w.Conv(2, (3,), (2,), ((2, 1),), (2,)), (8, 2)),
    (w.Conv(3, (3, 2)), (5, 4, 2)),
    (w.Conv(3, (3, 3), padding="SAME"), (4, 5, 1)),
    (w.Conv(2, (3, 2), (2, 3), "SAME"), (6, 7, 2)),
    (w.Conv(2, (2, 2), (2, 2)), (5, 4, 2)),
    (w.Conv(2, (2, 2), (1, 1), ((1, 0), (0, 2)), (2, 1)), (4, 4, 3)),
    (w.Conv(4, (3, 3), None, "SAME", None, 2), (4, 3, 6)),
    (w.Conv(4, (2, 2), (2, 1), "VALID", None, 4), (5, 4, 4)),
    (w.Conv(2, (1, 1)), (3, 3, 4)),
    (w.Conv(2, (2, 2, 2)), (3, 4, 3, 2)),
    (w.Conv(2, (2, 1, 3), (1, 2, 1), "SAME"), (3, 4, 3, 1)),
    (w.ConvTranspose(2, (3,), (2,)), (4, 3)),
    (w.ConvTranspose(3, (2, 3)), (3, 4, 2)),
    (w.ConvTranspose(1, (3, 3), (2, 2), "SAME"), (3, 2, 2)),
    (w.ConvTranspose(2, (4, 2), (2, 3), ((1, 1), (0, 1))), (3, 2, 1)),
    (w.ConvTranspose(1, (2, 2), (3, 2), "SAME"), (2, 3, 2)),
    (w.ConvTranspose(1, (2, 1, 2), (2, 1, 1), ((1, 0), (0, 0), (1, 1))), (2, 3, 3, 2)),
    (w.DepthwiseConv((3,)), (6, 2)),
    (w.DepthwiseConv((3, 3), padding="SAME"), (4, 3, 2)),
    (w.DepthwiseConv((2, 3), 2, (2, 1), ((1, 0), (0, 1))), (4, 5, 3)),
    (w.DepthwiseConv((2, 2), dilation=(2, 1)), (4, 3, 2)),
    (w.DepthwiseConv((2, 2, 1), 1, (1, 2, 1)), (3, 4, 2, 2)),
    (w.Upsample((3,)), (4, 2)),
    (w.Upsample((2, 1)), (3, 2, 2)),
    (w.Upsample((1, 2, 3)), (2, 1, 2, 3)),
    (w.Matmul(4, transposed=True), (5,)),
    (w.Matmul(3, transposed=True), (2, 5)),
    (w.Cut(1, 2), (2, 4)),
    (w.Cut(0, 3, 0), (3, 2)),
    (w.Flip((0,)), (3,)),
    (w.Flip((-1, 0)), (2, 3, 4)),
]
BATCH = 2


class Results(NamedTuple):
    """U, dL/dW and dL/dY by the record's rules; the last two by JAX as well."""

    u: Any
    found: tuple[Any, Any]
    autodiff: tuple[Any, Any]


class Example:
    """An operation on a shape, and one compiled program for all tests of it."""

    def __init__(self, weighting: Any, shape: tuple[int, ...]) -> None:
        self.weighting, self.shape = weighting, shape

    def arrays(self, seed: int = 0) -> Any:
        """W (or None), Y, and an error signal of U's shape."""
        held = self.weighting.weight_shape(self.shape)
        weight = None if held is None else numbers(held, seed)
        y = numbers((BATCH, *self.shape), seed + 1)
        u_shape = (BATCH, *self.weighting.contribution_shape(self.shape))
        return weight, y, numbers(u_shape, seed + 2)

    def own(self, w: Any, y: Any, delta: Any) -> tuple[Any, tuple[Any, Any]]:
        """U, dL/dW and dL/dY by the record's own rules."""
        dy = self.weighting.input_gradient(w, delta, y.shape)
        dw = None if w is None else self.weighting.weight_gradient(y, delta, w.shape)
        return self.weighting.forward(w, y), (dw, dy)

    @cached_property
    def program(self) -> Any:
        """From W, Y, and the error signal to `Results`."""

        def everything(w: Any, y: Any, delta: Any) -> Results:
            autodiff = jax.vjp(self.weighting.forward, w, y)[1](delta)
            return Results(*self.own(w, y, delta), autodiff)

        return quick(everything)

    @cached_property
    def results(self) -> Results:
        return self.program(*self.arrays())

    def forward(self, w: Any, y: Any) -> np.ndarray:
        return np.asarray(self.program(w, y, self.arrays()[2]).u)


@pytest.fixture(
    scope="module", params=EXAMPLES, ids=[f"{k} on {s}" for k, s in EXAMPLES]
)
def example(request) -> Example:
    """Of a module, so that all tests of an example follow each other."""
    return Example(*request.param)


def numbers(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Normal numbers that NumPy computes with: no programs to be compiled."""
    return np.asarray(draw(shape, seed))


def test_every_kind_has_an_example():
    found = {weighting.kind for weighting, _ in EXAMPLES}
    assert found | {"embed"} == set(built_in(WEIGHTINGS))  # see test_lookup.py


def test_every_axis_of_a_weight_is_named_or_none(example):
    weighting, shape = example.weighting, example.shape
    axes = weighting.weight_axes(shape)
    sizes = weighting.weight_shape(shape) or ()
    assert len(axes) == len(sizes)
    assert {axis for axis in axes if axis} <= NAMES
    for axis, size in zip(axes, sizes, strict=True):
        assert axis != "out" or size in weighting.contribution_shape(shape)


def test_the_shape_rule_is_what_forward_gives(example):
    weighting, shape = example.weighting, example.shape
    w, y, _ = example.arrays()
    expected = weighting.contribution_shape(shape)
    assert jax.eval_shape(weighting.forward, w, y[:1]).shape == (1, *expected)
    assert example.results.u.shape == (BATCH, *expected)
    assert all(isinstance(n, int) for n in expected)


# ---- forward against numpy


def _convolve(k: w.Conv, w, y):
    rank = len(k.window)
    geometry = k.geometry(y.shape[1:])
    y = np.pad(y, [(0, 0), *geometry.padding, (0, 0)])
    spatial = k.contribution_shape(
        tuple(
            n - low - high
            for n, (low, high) in zip(y.shape[1:-1], geometry.padding, strict=True)
        )
        + y.shape[-1:]
    )[:-1]
    u = np.zeros((len(y), *spatial, k.features))
    per_group = y.shape[-1] // k.groups
    for place in np.ndindex(*spatial):
        for tap in np.ndindex(*k.window):
            steps = zip(place, geometry.stride, tap, geometry.dilation, strict=True)
            at = tuple(p * s + q * d for p, s, q, d in steps)
            seen = y[(slice(None), *at)]
            for o in range(k.features):
                group = o * k.groups // k.features
                part = seen[:, group * per_group : (group + 1) * per_group]
                u[(slice(None), *place, o)] += part @ w[tap][:, o]
    assert rank == y.ndim - 2
    return u


def _convolve_transposed(k: w.ConvTranspose, w, y):
    """Paints a window for every position of the source, then cuts the padding off."""
    stride = k.stride or (1,) * len(k.window)
    shape = k.contribution_shape(y.shape[1:])
    each = list(zip(y.shape[1:-1], k.window, stride, strict=True))
    full = np.zeros((len(y), *((n + 1) * s + q for n, q, s in each), k.features))
    for place in np.ndindex(*y.shape[1:-1]):
        for tap in np.ndindex(*k.window):
            at = [p * s + q for p, s, q in zip(place, stride, tap, strict=True)]
            full[(slice(None), *at)] += y[(slice(None), *place)] @ w[tap].T
    if k.padding == "SAME":  # of the convolution that undoes it
        cut = [max(q - s, 0) // 2 for _, q, s in each]
    elif k.padding == "VALID":
        cut = [0] * len(each)
    else:
        cut = [low for low, _ in k.padding]
    at = [slice(low, low + n) for low, n in zip(cut, shape, strict=False)]
    return full[(slice(None), *at)]


def _depthwise(k: w.DepthwiseConv, w, y):
    """Each channel by itself, as a convolution of one channel."""
    parts = []
    for channel in range(y.shape[-1]):
        at = slice(channel * k.multiplier, (channel + 1) * k.multiplier)
        one = Conv(k.multiplier, k.window, k.stride, k.padding, k.dilation)
        parts.append(_convolve(one, w[..., at], y[..., channel : channel + 1]))
    return np.concatenate(parts, axis=-1)


def _upsampled(k: w.Upsample, y):
    for axis, factor in enumerate(k.factors, 1):
        y = np.repeat(y, factor, axis)
    return y


def _placed(k: w.Place, y):
    u = np.zeros((len(y), *k.contribution_shape(y.shape[1:])))
    axis = k.axis % (y.ndim - 1) + 1
    end = k.offset + y.shape[axis]
    u[(slice(None),) * axis + (slice(k.offset, end),)] = y
    return u


NUMPY = {
    "identity": lambda k, w, y: y,
    "scale": lambda k, w, y: w * y,
    "channel_scale": lambda k, w, y: np.einsum("c,...c->...c", w, y),
    "dot": lambda k, w, y: np.einsum("i,...i->...", w, y),
    "matmul": lambda k, w, y: np.einsum(
        "oi,...i->...o" if k.transposed else "io,...i->...o", w, y
    ),
    "cut": lambda k, w, y: np.take(
        y, range(k.start, k.start + k.size), k.axis % (y.ndim - 1) + 1
    ),
    "vote": lambda k, w, y: np.einsum("luoi,bli->bluo", w, y),
    "reshape": lambda k, w, y: y.reshape(len(y), *k.contribution_shape(y.shape[1:])),
    "transpose": lambda k, w, y: np.transpose(y, (0, *(a + 1 for a in k.axes))),
    "place": lambda k, w, y: _placed(k, y),
    "conv": _convolve,
    "conv_transpose": _convolve_transposed,
    "depthwise_conv": _depthwise,
    "upsample": lambda k, w, y: _upsampled(k, y),
    "flip": lambda k, w, y: np.flip(y, tuple(a % (y.ndim - 1) + 1 for a in k.axes)),
}


def test_forward_equals_numpy(example):
    w, y, _ = example.arrays()
    plain = NUMPY[example.weighting.kind](example.weighting, w, y)
    close(example.results.u, plain, 1e-12)


# ---- laws


def test_bilinearity(example):
    w, y, _ = example.arrays()
    other_w, other_y, _ = example.arrays(seed=9)
    forward, u = example.forward, example.forward(w, y)
    close(forward(w, 3 * y + other_y), 3 * u + forward(w, other_y), 1e-12)
    if w is not None:
        close(forward(3 * w + other_w, y), 3 * u + forward(other_w, y), 1e-12)


def test_adjointness(example):
    w, y, delta = example.arrays()
    u, (dw, dy), _ = example.results
    product = inner(u, delta)
    assert inner(y, dy) == pytest.approx(product, rel=1e-11, abs=1e-12)
    if w is not None:
        assert inner(w, dw) == pytest.approx(product, rel=1e-11, abs=1e-12)


# ---- derivatives


def test_gradients_equal_autodiff_and_differences(example):
    w, y, delta = example.arrays()
    _, found, autodiff = example.results
    close(found, autodiff)
    along = jax.tree.map(np.asarray, draw_like((w, y), seed=5))

    def product(at):
        return np.vdot(example.forward(*at), delta)

    slope = difference(product, (w, y), along)
    assert inner(found, along) == pytest.approx(float(slope), rel=1e-10, abs=1e-10)


def stack(*trees: Any) -> Any:
    return jax.tree.map(lambda *parts: np.stack(parts), *trees)


def test_under_jit_and_vmap(example):
    members = [example.arrays(seed) for seed in (0, 10)]
    expected = stack(*(example.program(*member)[:2] for member in members))
    close(quick(jax.vmap(example.own))(*stack(*members)), expected, 1e-12)


WAYS = ("exact", "autodiff")


def in_networks():
    """One of each sort: sizes are varied above, where a program is cheaper.

    Second derivatives of large windows take XLA half a minute to compile.
    """
    chosen: dict[tuple[Any, ...], tuple[Any, tuple[int, ...]]] = {}
    for weighting, shape in EXAMPLES:
        settings = [getattr(weighting, k, None) for k in ("stride", "groups")]
        few_taps = np.prod(weighting.weight_shape(shape) or ()) <= 18
        if few_taps or not hasattr(weighting, "window"):
            way = getattr(weighting, "transposed", None)
            sort = weighting.kind, len(shape), way, settings[0] is None, settings[1]
            chosen.setdefault(sort, (weighting, shape))
    return [pytest.param(k, s, id=f"{k} on {s}") for k, s in chosen.values()]


@pytest.mark.parametrize("weighting, shape", in_networks())
def test_through_a_network_under_vmap_and_twice_differentiated(weighting, shape):
    exact, plain = (network([weighting], shape, backward=b) for b in WAYS)
    shapes = jax.eval_shape(exact.init, jax.random.key(0))[0]
    members = [jax.tree.map(np.asarray, draw_like(shapes, s)) for s in (0, 10)]
    x = numbers((BATCH, *shape), 1)
    target = numbers((BATCH, *exact.shapes["h"].output), 2)

    def gradient(net):
        def loss(params, x):
            return net.loss(params, {}, {"x": x, "h": target})[0]

        return jax.grad(loss, (0, 1))

    def twice(net, params, x):
        value = squared_gradient(net, {"x": x, "h": target})
        return jax.grad(value)((params, {"x": x}))

    @quick
    def one(params, x):
        return gradient(plain)(params, x), twice(plain, params, x)

    @quick
    def both(stacked, params, x):
        mapped = jax.vmap(gradient(exact), (0, None))(stacked, x)
        return mapped, twice(exact, params, x)

    mapped, second = both(stack(*members), members[0], x)
    expected = [one(params, x) for params in members]
    close(mapped, stack(*(first for first, _ in expected)))
    close(second, expected[0][1])


# ---- initial weights

# (operation, source's shape, products summed into one number of U)
FAN_IN = [
    (w.Dot(), (50,), 50),
    (w.Matmul(30), (20,), 20),
    (w.Matmul(3), (7, 20), 20),
    (w.Vote(5, 4), (6, 3), 18),
    (w.Conv(4, (3, 2)), (6, 6, 5), 30),
    (w.Conv(4, (3, 3), groups=2), (6, 6, 4), 18),
    (w.ConvTranspose(4, (4, 3), (2, 1)), (6, 6, 5), 30),
    (w.ConvTranspose(4, (2, 1), (3, 2)), (6, 6, 5), 5),
    (w.DepthwiseConv((3, 2), 3), (6, 6, 8), 6),
]


@pytest.mark.parametrize("weighting, shape, fan_in", FAN_IN)
def test_initial_variance(weighting, shape, fan_in):
    @quick
    def initial(key):
        keys = jax.random.split(key, 400)
        return jax.vmap(lambda k: weighting.initial(k, shape, 1.5, jnp.float64))(keys)

    drawn = np.asarray(initial(jax.random.key(0)))
    assert drawn.shape == (400, *weighting.weight_shape(shape))
    assert drawn.dtype == jnp.float64
    error = 5 / drawn.size**0.5  # five standard errors
    scaled = drawn * fan_in**0.5 / 1.5
    assert abs(np.mean(scaled)) < error
    assert np.var(scaled) == pytest.approx(1, abs=2**0.5 * error)


@pytest.mark.parametrize("weighting", [w.Scale(), w.ChannelScale()])
def test_scales_start_at_one(weighting):
    drawn = weighting.initial(jax.random.key(0), (2, 3), 2.0, jnp.float32)
    assert drawn.dtype == jnp.float32
    np.testing.assert_array_equal(drawn, np.ones(weighting.weight_shape((2, 3))))


def test_every_weighted_kind_has_an_initial_value_tested():
    weighted = {k.kind for k, shape in EXAMPLES if k.weight_shape(shape) is not None}
    tested = {k.kind for k, _, _ in FAN_IN} | {"scale", "channel_scale"}
    assert weighted == tested


# ---- several edges


def test_several_places_are_a_concatenation():
    places = [w.Place(1), w.Place(-1), w.Place(1)]
    shapes = [(2, n) for n in (1, 3, 2)]
    resolved = w.Place.resolve(shapes, places)
    assert [(p.offset, p.size) for p in resolved] == [(0, 6), (1, 6), (4, 6)]
    ys = [draw((BATCH, *shape), seed) for seed, shape in enumerate(shapes)]
    placed = [p.forward(None, y) for p, y in zip(resolved, ys, strict=True)]
    np.testing.assert_array_equal(sum(placed), np.concatenate(ys, axis=2))


def test_pairs_of_operations_into_one_capsule():
    """Contributions add up: the gradient of each edge is as if it were alone."""
    kinds = [w.Matmul(4), w.Identity(), w.ChannelScale(), w.Scale()]
    batch = {"x": numbers((BATCH, 4), 1), "h": numbers((BATCH, 4), 2)}

    def gradients():
        for pair in itertools.combinations(kinds, 2):
            nets = [network(list(pair), (4,), backward=b) for b in WAYS]
            shapes = jax.eval_shape(nets[0].init, jax.random.key(0))[0]
            params = draw_like(shapes)
            yield [
                jax.grad(lambda p, n=n: n.loss(p, {}, batch)[0])(params) for n in nets
            ]

    for found, expected in quick(lambda: list(gradients()))():
        close(found, expected)
