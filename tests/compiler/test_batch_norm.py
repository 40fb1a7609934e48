"""Batch normalization in two capsules, whose backward rules are one where they can."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import capsjax as cj
from capsjax.caps.base import Context
from tests.helpers_capsjax import both_ways, close, draw, draw_like, quick

SIZE = 6
SHAPE = (2, 2, 3)


def single():
    """Convolution, norm, scale and shift, relu, beside a residual connection."""
    x = cj.input("x", SHAPE)
    conv = cj.capsule("conv", cj.conv(x, 3, (1, 1)))
    norm = cj.capsule("norm", cj.identity(conv), cap="standardize", bias=None)
    return cj.capsule("y", cj.channel_scale(norm), cj.identity(conv), cap="relu")


def without_bias():
    x = cj.input("x", SHAPE)
    norm = cj.capsule("norm", cj.conv(x, 3, (1, 1)), cap="standardize", bias=None)
    return cj.capsule("y", cj.channel_scale(norm), cap="tanh", bias=None)


def of_the_input():
    """No parameter is behind the norm: its error is asked for only with the input's."""
    norm = cj.identity(cj.input("x", SHAPE))
    norm = cj.capsule("norm", norm, cap="standardize", bias=None)
    return cj.capsule("y", cj.channel_scale(norm))


def read_twice():
    x = cj.input("x", SHAPE)
    norm = cj.capsule("norm", cj.conv(x, 3, (1, 1)), cap="standardize", bias=None)
    return cj.capsule("y", cj.channel_scale(norm), cj.channel_scale(norm), cap="tanh")


def shared():
    """A scale that another edge takes, too."""
    x = cj.input("x", SHAPE)
    norm = cj.capsule("norm", cj.conv(x, 3, (1, 1)), cap="standardize", bias=None)
    once = cj.capsule("once", cj.share(cj.channel_scale(norm), "scale"), cap="tanh")
    return cj.capsule("y", cj.share(cj.channel_scale(once), "scale"))


def also_an_output():
    x = cj.input("x", SHAPE)
    norm = cj.capsule("norm", cj.conv(x, 3, (1, 1)), cap="standardize", bias=None)
    return norm, cj.capsule("y", cj.channel_scale(norm))


EXAMPLES = {
    single: True,
    without_bias: True,
    of_the_input: False,
    read_twice: False,
    shared: False,
    also_an_output: False,
}


def declared(build):
    outputs = build()
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    losses = {output.name: "mean_squared_error" for output in outputs}
    return cj.graph(*outputs, name="norms", losses=losses)


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("build", EXAMPLES, ids=lambda build: build.__name__)
def test_gradients_are_those_of_autodiff(build, train):
    own, plain = both_ways(declared(build))
    params, state = draw_like(jax.eval_shape(own.init, jax.random.key(0)), 1)
    state["norm"]["variance"] = np.square(state["norm"]["variance"])
    batch = {"x": draw((SIZE, *SHAPE), 2)}
    for output in own.graph.outputs:
        batch[output] = draw((SIZE, *SHAPE), 3)

    def everything(net):
        """By parameters and inputs; by parameters alone; the error signals."""

        def loss(params, x):
            return net.loss(params, state, batch | {"x": x}, train=train)

        gradients = jax.grad(loss, (0, 1), has_aux=True)(params, batch["x"])
        alone = jax.grad(loss, has_aux=True)(params, batch["x"])
        return gradients, alone, net.deltas(params, state, batch, train=train)

    close(*quick(lambda: (everything(own), everything(plain)))())


@pytest.mark.parametrize(
    ("build", "joined"), EXAMPLES.items(), ids=[f.__name__ for f in EXAMPLES]
)
def test_y_is_kept_only_if_another_than_the_scale_reads_it(build, joined):
    plan = cj.compile(declared(build)).program.plan
    assert (("norm", "Y") not in plan.kept) == joined
    assert plan.scaled == ({"norm"} if joined else set())


@pytest.mark.parametrize("far", [0.0, 7.0, 1e3])
def test_statistics_and_gradients_far_from_zero(far):
    """The variance is 1 also where the mean of one channel is a thousand."""
    u = draw((64, 8, 2)).astype(np.float32) + np.array([far, 0], np.float32)
    d = draw((64, 8, 2), 1).astype(np.float32)
    cap = cj.caps.standardize()
    context = Context({}, cap.initial_state((8, 2), jnp.float32), None, True)
    y, state, residual = cap.run(u, context)
    exact = u.astype(np.float64)
    mean, variance = exact.mean((0, 1)), exact.var((0, 1))
    close(state["variance"], 0.9 + 0.1 * variance * 512 / 511, 1e-5)
    r = 1 / np.sqrt(variance + 1e-5)
    normal = (exact - mean) * r
    np.testing.assert_allclose(y, normal, rtol=1e-5, atol=1e-5 + 2e-7 * far)
    w = np.array([2, 3], np.float32)
    delta, gradient = cap.scaled_backward(residual, u, d, w, True)
    expected = (d * normal).sum((0, 1))
    # A sum over 512 numbers, of which the mean is known to its 7th digit.
    np.testing.assert_allclose(gradient, expected, atol=1e-4 + 3e-5 * far)
    expected = w * r * (d - d.mean((0, 1)) - normal * expected / 512)
    np.testing.assert_allclose(delta, expected, rtol=1e-5, atol=1e-5 + 1e-6 * far)
