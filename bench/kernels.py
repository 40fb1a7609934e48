"""Convolution and pooling kernels against JAX's own, layer by layer.

    python -m bench.kernels [ROUNDS [LAYERS]]

LAYERS is what the names of the layers begin with, for example ResNet.

All versions run in turn in one process, so that a busy machine slows all down; the
times are medians. Gradients are compared with what `jax.vjp` makes of the same layer.
Where PyTorch is installed, its time for the same role of a convolution stands beside.
"""

import importlib.util
import math
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from capsjax.caps import pooling_algorithms as pooling
from capsjax.weightings import convolution_algorithms as convolution
from capsjax.weightings.convolution_choice import Convolution, Geometry

# name: (input shape, kernel shape, stride, padding)
CONVOLUTIONS = {
    "LeNet conv 1": ((128, 28, 28, 1), (5, 5, 1, 6), 1, 2),
    "LeNet conv 2": ((128, 14, 14, 6), (5, 5, 6, 16), 1, 0),
    "CapsNet conv 1": ((16, 28, 28, 1), (9, 9, 1, 256), 1, 0),
    "CapsNet conv 2": ((16, 20, 20, 256), (9, 9, 256, 256), 2, 0),
    "ResNet 32, 64": ((32, 32, 32, 64), (3, 3, 64, 64), 1, 1),
    "ResNet 16, 128": ((32, 16, 16, 128), (3, 3, 128, 128), 1, 1),
    "ResNet 8, 256": ((32, 8, 8, 256), (3, 3, 256, 256), 1, 1),
    "ResNet 4, 512": ((32, 4, 4, 512), (3, 3, 512, 512), 1, 1),
    "ResNet first": ((32, 32, 32, 3), (3, 3, 3, 64), 1, 1),
    "ResNet 32, /2": ((32, 32, 32, 64), (3, 3, 64, 128), 2, 1),
    "ResNet 8, /2": ((32, 8, 8, 256), (3, 3, 256, 512), 2, 1),
    "ResNet 32, 1x1": ((32, 32, 32, 64), (1, 1, 64, 128), 2, 0),
    "inception 3x3": ((8, 28, 28, 96), (3, 3, 96, 128), 1, 1),
    "inception 5x5": ((8, 28, 28, 16), (5, 5, 16, 32), 1, 2),
    "inception 1x1": ((8, 28, 28, 256), (1, 1, 256, 64), 1, 0),
    "DenseNet 3x3": ((16, 32, 32, 48), (3, 3, 48, 12), 1, 1),
    "DenseNet 1x1": ((16, 32, 32, 160), (1, 1, 160, 48), 1, 0),
}
POOLINGS = {"LeNet pool 1": (128, 28, 28, 6), "LeNet pool 2": (128, 10, 10, 16)}
# Rounds end early when this time is used up: JAX's own can take seconds.
BUDGET_S = 10.0

# layer, role, JAX's own, ours, arguments, PyTorch's
Row = tuple[str, str, Callable, Callable, tuple, Callable | None]


def random(shape: tuple[int, ...], seed: int) -> Array:
    draw = np.random.default_rng(seed).standard_normal(shape)
    return jnp.asarray(draw, jnp.float32)


def convolution_rows(layers: str) -> Iterator[Row]:
    for name, (x_shape, w_shape, stride, pad) in CONVOLUTIONS.items():
        if not name.startswith(layers):
            continue
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
        peers = torch_roles(x, w, delta, stride, pad)
        problem = Convolution(x_shape, w_shape, geometry)
        yield (
            name,
            f"forward: {convolution.FORWARD.choose(problem).name}",
            plain,
            partial(convolution.forward, geometry=geometry),
            (x, w),
            peers.get("forward"),
        )
        chosen = convolution.INPUT_GRADIENT.choose(problem).name
        yield (
            name,
            f"input gradient: {chosen}",
            partial(_plain_gradient, lambda w, x, f=plain: f(x, w), x),
            partial(convolution.input_gradient, x_shape=x_shape, geometry=geometry),
            (w, delta),
            peers.get("input"),
        )
        chosen = convolution.WEIGHT_GRADIENT.choose(problem).name
        yield (
            name,
            f"weight gradient: {chosen}",
            partial(_plain_gradient, plain, w),
            partial(convolution.weight_gradient, w_shape=w_shape, geometry=geometry),
            (x, delta),
            peers.get("weight"),
        )


def torch_roles(
    x: Array, w: Array, delta: Array, stride: int, pad: int
) -> dict[str, Callable]:
    """The same three roles by PyTorch, channels first."""
    if importlib.util.find_spec("torch") is None:
        return {}
    import torch

    torch.set_num_threads(os.cpu_count() or 1)
    order = (0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2)
    arrays = zip((x, w, delta), order, strict=True)
    xt, wt, dt = (
        torch.tensor(np.asarray(array)).permute(axes).contiguous()
        for array, axes in arrays
    )

    def backward(*which: bool) -> Callable:
        return lambda: torch.ops.aten.convolution_backward(
            dt, xt, wt, None, [stride] * 2, [pad] * 2, [1, 1], False, [0, 0], 1, which
        )

    return {
        "forward": lambda: torch.conv2d(xt, wt, None, stride, pad),
        "input": backward(True, False, False),
        "weight": backward(False, True, False),
    }


def _plain_gradient(f: Callable, at: Array, other: Array, delta: Array) -> Array:
    """The gradient of f(other, at) in `at`."""
    return jax.vjp(lambda at: f(other, at), at)[1](delta)[0]


def pooling_rows(layers: str) -> Iterator[Row]:
    geometry = (2, 2), (2, 2), ((0, 0), (0, 0))

    def plain(u: Array) -> Array:
        low = np.array(-np.inf, u.dtype)
        return lax.reduce_window(u, low, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")

    for name, shape in POOLINGS.items():
        if not name.startswith(layers):
            continue
        u = jnp.maximum(random(shape, 0), 0)  # ties, as after a relu
        y = plain(u)
        yield (
            name,
            "forward",
            plain,
            lambda u: pooling.max_pool(u, *geometry),
            (u,),
            None,
        )
        yield (
            name,
            "input gradient",
            lambda u, y, dy: jax.vjp(plain, u)[1](dy)[0],
            lambda u, y, dy: pooling.max_pool_gradient(u, y, dy, *geometry),
            (u, y, random(y.shape, 1)),
            None,
        )


def measure(
    plain: Callable,
    ours: Callable,
    arguments: tuple,
    peer: Callable | None,
    rounds: int,
) -> tuple[list[float], list[float]]:
    """Median milliseconds of each, and seconds to compile of the first two."""
    compiled, compile_s = [], []
    for f in (plain, ours):
        start = time.perf_counter()
        compiled.append(jax.jit(f).lower(*arguments).compile())
        compile_s.append(time.perf_counter() - start)
    a, b = (jax.block_until_ready(f(*arguments)) for f in compiled)
    np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4 * float(jnp.abs(a).max()))
    runs = [lambda f=f: jax.block_until_ready(f(*arguments)) for f in compiled]
    if peer is not None:
        peer()
        runs.append(peer)
    samples: list[list[float]] = [[] for _ in runs]
    end = time.perf_counter() + BUDGET_S
    for _ in range(rounds):
        for times, run in zip(samples, runs, strict=True):
            start = time.perf_counter()
            run()
            times.append(1e3 * (time.perf_counter() - start))
        if time.perf_counter() > end:
            break
    return [statistics.median(times) for times in samples], compile_s


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 21
    layers = sys.argv[2] if len(sys.argv) > 2 else ""
    print(f"jax {jax.__version__} on {jax.default_backend()}, float32, {rounds} rounds")
    print(
        f"{'layer':15} {'role: algorithm':26} {'plain ms':>9} {'ours ms':>9} "
        f"{'ratio':>6} {'torch ms':>9} {'compile s: plain':>17} {'ours':>6}"
    )
    for name, role, plain, ours, arguments, peer in (
        *convolution_rows(layers),
        *pooling_rows(layers),
    ):
        (a, b, *c), compile_s = measure(plain, ours, arguments, peer, rounds)
        beside = f"{c[0]:9.3f}" if c else " " * 9
        print(
            f"{name:15} {role:26} {a:9.3f} {b:9.3f} {a / b:6.1f} {beside} "
            f"{compile_s[0]:17.2f} {compile_s[1]:6.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
