"""Convolution and pooling kernels against JAX's own, layer by layer.

    python -m bench.kernels [ROUNDS]

Both versions run in turn in one process, so that a busy machine slows both down; the
times are medians. Gradients are compared with what `jax.vjp` makes of the same layer.
"""

import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from capsjax.caps import pooling_kernels as pooling
from capsjax.weightings import convolution_choice as choice
from capsjax.weightings import convolution_kernels as convolution
from capsjax.weightings.convolution_choice import Geometry

# name: (input shape, kernel shape, stride, padding)
CONVOLUTIONS = {
    "LeNet conv 1": ((128, 28, 28, 1), (5, 5, 1, 6), 1, 2),
    "LeNet conv 2": ((128, 14, 14, 6), (5, 5, 6, 16), 1, 0),
    "CapsNet conv 1": ((16, 28, 28, 1), (9, 9, 1, 256), 1, 0),
    "CapsNet conv 2": ((16, 20, 20, 256), (9, 9, 256, 256), 2, 0),
}
POOLINGS = {"LeNet pool 1": (128, 28, 28, 6), "LeNet pool 2": (128, 10, 10, 16)}
# Rounds end early when this time is used up: JAX's own can take seconds.
BUDGET_S = 10.0

Row = tuple[str, str, Callable, Callable, tuple]


def random(shape: tuple[int, ...], seed: int) -> Array:
    draw = np.random.default_rng(seed).standard_normal(shape)
    return jnp.asarray(draw, jnp.float32)


def convolution_rows() -> Iterator[Row]:
    for name, (x_shape, w_shape, stride, pad) in CONVOLUTIONS.items():
        geometry = Geometry((stride,) * 2, ((pad, pad),) * 2, (1, 1))
        plain = partial(
            lax.conv_general_dilated,
            window_strides=geometry.stride,
            padding=geometry.padding,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        x, w = random(x_shape, 0), random(w_shape, 1) / math.prod(w_shape[:-1])
        out = geometry.output(x_shape[1:-1], w_shape[:-2])
        delta = random((x_shape[0], *out, w_shape[-1]), 2)
        yield (
            name,
            f"forward: {choice.forward_algorithm(x_shape, w_shape, geometry)}",
            plain,
            partial(convolution.forward, geometry=geometry),
            (x, w),
        )
        chosen = choice.input_gradient_algorithm(x_shape, w_shape, geometry)
        yield (
            name,
            f"input gradient: {chosen}",
            partial(_plain_gradient, lambda w, x, f=plain: f(x, w), x),
            partial(convolution.input_gradient, x_shape=x_shape, geometry=geometry),
            (w, delta),
        )
        chosen = choice.weight_gradient_algorithm(x_shape, w_shape, geometry)
        yield (
            name,
            f"weight gradient: {chosen}",
            partial(_plain_gradient, plain, w),
            partial(convolution.weight_gradient, w_shape=w_shape, geometry=geometry),
            (x, delta),
        )


def _plain_gradient(f: Callable, at: Array, other: Array, delta: Array) -> Array:
    """The gradient of f(other, at) in `at`."""
    return jax.vjp(lambda at: f(other, at), at)[1](delta)[0]


def pooling_rows() -> Iterator[Row]:
    geometry = (2, 2), (2, 2), ((0, 0), (0, 0))

    def plain(u: Array) -> Array:
        low = np.array(-np.inf, u.dtype)
        return lax.reduce_window(u, low, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")

    for name, shape in POOLINGS.items():
        u = jnp.maximum(random(shape, 0), 0)  # ties, as after a relu
        y = plain(u)
        yield name, "forward", plain, lambda u: pooling.max_pool(u, *geometry), (u,)
        yield (
            name,
            "input gradient",
            lambda u, y, dy: jax.vjp(plain, u)[1](dy)[0],
            lambda u, y, dy: pooling.max_pool_gradient(u, y, dy, *geometry),
            (u, y, random(y.shape, 1)),
        )


def measure(plain: Callable, ours: Callable, arguments: tuple, rounds: int) -> tuple:
    """Median milliseconds of each, then seconds to compile of each."""
    compiled, compile_s = [], []
    for f in (plain, ours):
        start = time.perf_counter()
        compiled.append(jax.jit(f).lower(*arguments).compile())
        compile_s.append(time.perf_counter() - start)
    a, b = (jax.block_until_ready(f(*arguments)) for f in compiled)
    np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4 * float(jnp.abs(a).max()))
    samples: list[list[float]] = [[], []]
    end = time.perf_counter() + BUDGET_S
    for _ in range(rounds):
        for times, f in zip(samples, compiled, strict=True):
            start = time.perf_counter()
            jax.block_until_ready(f(*arguments))
            times.append(1e3 * (time.perf_counter() - start))
        if time.perf_counter() > end:
            break
    return (*map(statistics.median, samples), *compile_s)


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 21
    print(f"jax {jax.__version__} on {jax.default_backend()}, float32, {rounds} rounds")
    print(
        f"{'layer':15} {'role: algorithm':25} {'plain ms':>9} {'ours ms':>9} "
        f"{'ratio':>6} {'compile s: plain':>17} {'ours':>6}"
    )
    for name, role, plain, ours, arguments in (*convolution_rows(), *pooling_rows()):
        a, b, compile_a, compile_b = measure(plain, ours, arguments, rounds)
        print(
            f"{name:15} {role:25} {a:9.3f} {b:9.3f} {a / b:6.1f} "
            f"{compile_a:17.2f} {compile_b:6.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
