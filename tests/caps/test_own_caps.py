"""A user's own capsule functions with parameters or state, written from docstrings."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import capsjax as cj
from capsjax.caps.base import Context
from capsjax.neural import network
from tests.helpers_capsjax import both_ways, close, draw, draw_like, quick

pytestmark = pytest.mark.usefixtures("own_kinds")


class ParametricRelu(cj.Cap):
    """`Y = U where U > 0, else slope * U`, a slope learned for each channel."""

    def parameter_shapes(self, shape):
        return {"slope": shape[-1:]}

    def initial_parameters(self, key, shape, dtype):
        return {"slope": jnp.full(shape[-1:], 0.25, dtype)}

    def run(self, u, context):
        return jnp.where(u > 0, u, context.params["slope"] * u), {}, ()

    def run_backward(self, residual, u, y, dy, u_shape, context):
        du = jnp.where(u > 0, dy, context.params["slope"] * dy)
        slope = jnp.sum(jnp.where(u > 0, 0, dy * u), tuple(range(dy.ndim - 1)))
        return du, {"slope": slope.astype(context.params["slope"].dtype)}


class RunningScale(cj.Cap):
    """`Y = U / scale`, the scale an exponential average of |U| over the batches."""

    keep: float = 0.5

    def state_shapes(self, shape):
        return {"scale": (), "steps": ()}

    def initial_state(self, shape, dtype):
        return {"scale": jnp.ones((), dtype), "steps": jnp.zeros((), jnp.int32)}

    def run(self, u, context):
        scale = context.state["scale"]
        new = self.keep * scale + (1 - self.keep) * jnp.mean(abs(u))
        new = {
            "scale": new.astype(scale.dtype),
            "steps": context.state["steps"] + 1,
        }
        return u / scale, new, ()

    def run_backward(self, residual, u, y, dy, u_shape, context):
        return dy / context.state["scale"], {}


def nets() -> tuple[cj.Network, cj.Network]:
    """Both caps in one network, as the program and as the interpreter run it."""
    cj.register_cap("parametric_relu")(ParametricRelu)
    cj.register_cap("running_scale")(RunningScale)
    x = cj.input("x", (4,))
    scaled = cj.capsule("scaled", cj.identity(x), cap=RunningScale(0.8), bias=None)
    h = cj.capsule("h", cj.matmul(scaled, 6), cap="parametric_relu")
    alone = cj.capsule("alone", cj.identity(x), cap="parametric_relu", bias=None)
    y = cj.capsule("y", cj.matmul(h, 1), cj.matmul(alone, 1))
    return both_ways(cj.graph(y, name="own", losses={"y": "mean_squared_error"}))


def test_gradients_equal_autodiff():
    exact, plain = nets()
    params, state = quick(exact.init)(jax.random.key(0))
    assert jax.tree.map(jnp.shape, params["alone"]) == {"cap": {"slope": (4,)}}
    assert exact.parameter_count == 6 * 4 + 6 + 6 + 4 + 6 + 4 + 1
    np.testing.assert_array_equal(params["h"]["cap"]["slope"], 0.25)
    params = draw_like(params)
    batch = {"x": draw((5, 4)), "y": draw((5, 1), 1)}

    def found(net):
        gradient = jax.value_and_grad(net.loss, has_aux=True)
        return gradient(params, state, batch), net.deltas(params, state, batch)

    first, second = quick(lambda: (found(exact), found(plain)))()
    close(first, second)
    assert int(first[0][0][1][1]["scaled"]["steps"]) == 1


def test_trained_saved_and_loaded(tmp_path):
    """A learned slope: the network finds that of the one that made the targets."""
    net, _ = nets()
    params, state = net.init(jax.random.key(0))
    x = draw((64, 4))
    batch = {"x": x, "y": jnp.where(x > 0, x, -0.5 * x).sum(1, keepdims=True)}
    step = jax.jit(lambda p, s: cj.algorithm_1(net, p, s, batch, 0.05))
    losses = []
    for _ in range(60):
        params, state, loss = step(params, state)
        losses.append(float(loss))
    assert losses[-1] < 0.1 * losses[0]
    assert int(state["scaled"]["steps"]) == 60
    close(state["scaled"]["scale"], jnp.mean(abs(x)), 1e-4)
    path = tmp_path / "p.safetensors"
    cj.save_parameters(net.named(params), path)
    loaded = cj.load_parameters(path)
    assert sorted(loaded["h"]) == ["B", "W", "cap"]
    close(net.from_named(loaded), params, 0)
    with pytest.raises(ValueError, match="h:cap:slope: missing; expected shape"):
        del loaded["h"]["cap"]
        net.from_named(loaded)


def test_parameters_without_a_gradient_get_zeros():
    """No error reaches the capsule, and the tree of gradients is whole all the same."""
    cj.register_cap("parametric_relu")(ParametricRelu)
    x = cj.input("x", (4,))
    y = cj.capsule("y", cj.matmul(x, 2))
    other = cj.capsule("other", cj.identity(x), cap="parametric_relu", bias=None)
    exact, plain = both_ways(cj.graph(y, other, losses={"y": "mean_squared_error"}))
    params, state = exact.init(jax.random.key(0))
    batch = {"x": draw((5, 4)), "y": draw((5, 2), 1)}

    def found(net):
        return jax.grad(lambda params: net.loss(params, state, batch)[0])(params)

    first, second = quick(lambda: (found(exact), found(plain)))()
    close(first, second)
    np.testing.assert_array_equal(first["other"]["cap"]["slope"], 0)


def test_they_stay_out_of_groups():
    """Forty capsules that are alike become a group, unless they have such a cap."""
    cj.register_cap("parametric_relu")(ParametricRelu)
    cj.register_cap("running_scale")(RunningScale)

    def groups(cap: Any) -> int:
        x = cj.input("x", (3,))
        each = [cj.capsule(f"c{i}", cj.scale(x), cap=cap) for i in range(40)]
        joined = cj.capsule("joined", *map(cj.identity, each), cap="tanh")
        return len(cj.compile(cj.graph(joined)).program.typed.groups)

    assert groups("tanh") == 1
    kinds = "dropout", "drop_path", "noise", "standardize", "spatial_dropout"
    for cap in (*kinds, "parametric_relu", "running_scale"):
        assert groups(cap) == 0, cap


class DrawingTanh(cj.Cap):
    """An elementwise function that is no map of U alone."""

    elementwise = True
    draws = True


class LearnedTanh(cj.Cap):
    """Another one."""

    elementwise = True

    def parameter_shapes(self, shape):
        return {"slope": ()}


class CountingTanh(cj.Cap):
    """A third one."""

    elementwise = True

    def state_shapes(self, shape):
        return {"count": ()}


@pytest.mark.parametrize(
    "cap, what",
    [
        (DrawingTanh, "draws in training"),
        (LearnedTanh, "has parameters of its own"),
        (CountingTanh, "carries state"),
        (cj.caps.dropout, "draws in training"),
    ],
)
def test_neurons_take_maps_of_a_number_alone(cap, what):
    record = cap()
    if not record.kind:
        record = cj.register_cap("own_tanh")(cap)()
    for given in (record, record.kind):
        with pytest.raises(cj.GraphError) as caught:
            network(1, 1, [0], [1], given)
        (problem,) = caught.value.problems
        assert record.kind in problem.found and problem.found.endswith(
            f", which {what}"
        )
        assert problem.expected.startswith("an elementwise capsule function: a neuron")


def test_context_is_given_by_name():
    """What the docstring promises a record."""
    assert Context._fields == ("params", "state", "key", "train")
