"""Narrow types: sums, exponentials and logarithms run in float32 at least."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params

from capsjax import caps, losses
from capsjax.caps.base import Context
from capsjax.losses import PAIRS
from tests.helpers_capsjax import close, draw, quick

SUMS = [
    (caps.softmax(), (1000,)),
    (caps.log_softmax(), (1000,)),
    (caps.softmax(0.7), (1000,)),
    (caps.log_softmax(0.7), (1000,)),
    (caps.length(), (2, 500)),
    (caps.squash(), (2, 500)),
    (caps.route(), (30, 3, 16)),
    (caps.attention(2, True), (3, 40, 16)),
    (caps.max_pool((3, 3), (1, 1)), (9, 9, 2)),
    (caps.avg_pool((16, 16)), (32, 32, 2)),
    (caps.avg_pool((5, 5), (1, 2), "SAME"), (9, 9, 2)),
    (caps.global_avg_pool(), (30, 30, 2)),
    (caps.adaptive_avg_pool((2, 5)), (20, 33, 2)),
    (caps.local_response_norm(5, 0.5, 0.8), (2, 50)),
    (caps.layer_norm(), (1000,)),
    (caps.group_norm(2), (10, 10, 4)),
    (caps.rms_norm(), (1000,)),
    (caps.standardize(), (20, 20, 3)),
    (caps.multiply(), (5, 4)),
    (caps.mask(), (2, 300)),
]
LOSSES = [
    (losses.mean_squared_error(), (1000,)),
    (losses.cross_entropy(), (2, 300)),
    (losses.cross_entropy(0.1), (2, 300)),
    (losses.binary_cross_entropy(), (1000,)),
    (losses.margin(), (300,)),
]
BATCH = 3
NARROW = [jnp.bfloat16, jnp.float16]
ULPS = 4


def stepped(cap: Any) -> Callable[..., Any]:
    """`f(U, dY)`: Y and dL/dU in training, given only what the rule reads."""

    def both(u: jax.Array, dy: jax.Array) -> tuple[jax.Array, jax.Array]:
        state = cap.initial_state(u.shape[1:], jnp.float32)
        y, _, residual = cap.run(u, Context({}, state, None, True))
        read = [{"U": u, "Y": y}[w] if w in cap.reads else None for w in ("U", "Y")]
        given = Context({}, state, None, True)
        du, _ = cap.run_backward(residual, *read, dy, u.shape, given)
        return y, du

    return both


def valued(loss: Any, shape: tuple[int, ...]) -> Callable[..., Any]:
    """`f(numbers, T)`: values of the loss and of its pairs, and their gradients."""

    def found(a: jax.Array, t: jax.Array) -> Any:
        y = jax.nn.softmax(a.astype(jnp.float32)).astype(a.dtype)
        kinds = [(pair, cap()) for (cap, of), pair in PAIRS.items() if of is type(loss)]
        values = [pair.value(cap, loss, a, t) for pair, cap in kinds]
        slopes = [pair.gradient(cap, loss, a, t) for pair, cap in kinds]
        values, slopes = [loss.value(y, t), *values], [loss.gradient(y, t), *slopes]
        return values, slopes

    return found


def drawn(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Normal numbers."""
    return np.asarray(draw(shape, seed))


def cases(dtype: Any) -> list[tuple[str, Any, tuple[np.ndarray, np.ndarray]]]:
    """Name, function and arguments of every rule, of one type."""
    found: list[Any] = []
    for i, (cap, shape) in enumerate(SUMS):
        u = drawn((BATCH, *shape), i).astype(dtype)
        dy = drawn((BATCH, *cap.output_shape(shape)), i + 50).astype(dtype)
        found.append((cap.kind, stepped(cap), (u, dy)))
    for i, (loss, shape) in enumerate(LOSSES):
        a = drawn((BATCH, *shape), i).astype(dtype)
        t = np.exp(3 * drawn((BATCH, *shape), i + 50))
        t = (t / t.sum(-1, keepdims=True)).astype(dtype)
        found.append((loss.kind, valued(loss, shape), (a, t)))
    return found


def test_as_exact_as_the_type_allows():
    """Against the same rule in float64, of the rounded arguments."""
    given = cases(jnp.bfloat16)
    arguments = [each for *_, each in given]

    @quick
    def everything(arguments):
        pairs = zip(given, arguments, strict=True)
        return [f(*each) for (_, f, _), each in pairs]

    wide = jax.tree.map(lambda a: a.astype(np.float64), arguments)
    found, expected = everything(arguments), everything(wide)
    tolerance = ULPS * float(jnp.finfo(jnp.bfloat16).eps)
    for (name, *_), one, two in zip(given, found, expected, strict=True):
        one = jax.tree.map(lambda a: np.asarray(a, np.float64), one)
        try:
            close(one, two, tolerance)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from None


def results(jaxpr: Any) -> Iterator[tuple[str, Any]]:
    """Operations of a program, also inside of others, with the types they give."""
    for equation in jaxpr.eqns:
        inner = list(jaxprs_in_params(equation.params))
        for each in inner:
            yield from results(getattr(each, "jaxpr", each))
        if not inner:
            for out in equation.outvars:
                yield equation.primitive.name, out.aval.dtype


HARMLESS = {
    *("convert_element_type", "reshape", "broadcast_in_dim", "transpose", "squeeze"),
    *("slice", "concatenate", "select_n", "pad", "max", "mul", "div", "rev", "copy"),
    *("optimization_barrier", "expand_dims", "custom_jvp_call", "gather", "split"),
}
"""Moves numbers, takes one of them, or rounds once."""


@pytest.mark.parametrize("dtype", NARROW)
def test_nothing_is_added_up_in_a_narrow_type(dtype):
    for name, f, arguments in cases(dtype):
        program = jax.make_jaxpr(f)(*arguments)
        narrow = {op for op, out in results(program.jaxpr) if out == dtype}
        assert narrow <= HARMLESS, f"{name}: {narrow - HARMLESS}"
        shapes = jax.tree.leaves(jax.eval_shape(f, *arguments))
        assert all(shape.dtype != jnp.float64 for shape in shapes), name


@pytest.mark.parametrize("dtype", [*NARROW, jnp.float32, jnp.float64])
def test_types_of_results(dtype):
    """Y and gradients have the type they are given; losses are float32 at least."""
    at_least = jnp.promote_types(dtype, jnp.float32)
    for name, f, arguments in cases(dtype):
        first, second = jax.eval_shape(f, *arguments)
        is_loss = isinstance(first, list)
        expected = at_least if is_loss else dtype
        assert all(a.dtype == expected for a in jax.tree.leaves(first)), name
        assert all(a.dtype == dtype for a in jax.tree.leaves(second)), name


def test_squares_that_overflow_a_half():
    """300^2 is more than float16 holds; lengths and norms of it are not."""
    u = np.full((1, 4), 300.0, np.float16)
    y = np.asarray([[300.0, 0.0]], np.float16)

    @quick
    def all_three(u, y):
        loss = losses.mean_squared_error().value(y, jnp.zeros_like(y))
        return caps.length().forward(u), caps.squash().forward(u), loss

    length, squashed, values = all_three(u, y)
    assert length[0] == 600
    assert np.isfinite(squashed).all()
    assert values.dtype == jnp.float32 and values[0] == 45000


def test_noise_of_a_narrow_type_has_its_tails():
    """Drawn in bfloat16, no number would lie beyond 2.7."""
    u = jnp.zeros((1, 40_000), jnp.bfloat16)
    context = Context({}, {}, jax.random.key(0), True)
    y = quick(lambda u: caps.noise(1.0).run(u, context)[0])(u)
    assert y.dtype == jnp.bfloat16
    y = np.asarray(y, np.float64)
    assert abs(y).max() > 3.5
    assert y.mean() == pytest.approx(0, abs=0.02)
    assert y.std() == pytest.approx(1, abs=0.02)
