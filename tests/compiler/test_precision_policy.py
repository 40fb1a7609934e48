"""The precision policy: where casts stand, and what is never computed in halves."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import capsjax as cj
from tests.helpers_capsjax import draw, quick

POLICY = cj.Precision("bfloat16")


def graph():
    """Convolution, batch statistics, a routed layer, a norm and a softmax."""
    image = cj.input("image", (6, 6, 2))
    conv = cj.conv(image, 8, (3, 3))
    conv1 = cj.capsule("conv1", conv, cap="standardize", bias=None)
    norm1 = cj.capsule("norm1", cj.channel_scale(conv1), cap="relu")
    lower = cj.capsule("lower", cj.reshape(norm1, (-1, 4)), cap="squash", bias=None)
    upper = cj.capsule("upper", cj.vote(lower, 3, 4), cap=cj.caps.route(2), bias=None)
    flat = cj.capsule("flat", cj.reshape(upper, (-1,)), cap="layer_norm", bias=None)
    y = cj.capsule("y", cj.matmul(flat, 5), cap="softmax")
    return cj.graph(y, losses={"y": "cross_entropy"})


@functools.cache
def problem():
    image = draw((4, 6, 6, 2), 1).astype("float32")
    batch = {"image": image, "y": np.arange(4)}
    net = cj.compile(graph(), precision=POLICY)
    return net, *quick(net.init)(jax.random.key(0)), batch


def run(net, params, state, batch):
    return jax.value_and_grad(net.loss, has_aux=True)(params, state, batch)


def types(tree):
    return {str(leaf.dtype) for leaf in jax.tree.leaves(tree)}


def test_each_array_has_the_type_that_the_policy_gives_it():
    net, params, state, batch = problem()
    (loss, (outputs, new)), gradients = jax.eval_shape(
        lambda: run(net, params, state, batch)
    )
    assert types((params, state, loss, outputs, new, gradients)) == {"float32"}
    inputs = {"image": batch["image"]}
    activations = jax.eval_shape(lambda: net.activations(params, state, inputs))
    assert types(activations) == {"bfloat16"}
    deltas = jax.eval_shape(lambda: net.deltas(params, state, batch))
    assert types(deltas) == {"bfloat16"}
    half = cj.Precision("float16", parameters="bfloat16", outputs="float16")
    net = cj.compile(graph(), precision=half)
    params, state = jax.eval_shape(net.init, jax.random.key(0))
    (loss, (outputs, new)), gradients = jax.eval_shape(
        functools.partial(run, net), params, state, batch
    )
    assert types((params, gradients)) == {"bfloat16"}
    assert types(outputs) == {"float16"}
    assert types((loss, state, new)) == {"float32"}


def test_what_halves_lose_is_their_rounding():
    """float16 has three bits more than bfloat16: the error is eight times smaller."""
    _, *given = problem()

    def net(compute, backward):
        policy = compute and cj.Precision(compute)
        return cj.compile(graph(), precision=policy, backward=backward)

    kinds = [(None, "exact")] + [
        (compute, backward)
        for compute in ("bfloat16", "float16")
        for backward in ("exact", "autodiff")
    ]
    nets = {kind: net(*kind) for kind in kinds}
    found = quick(lambda: [run(net, *given) for net in nets.values()])()
    assert types(found[0]) == {"float32"}
    whole, *halves = [jax.tree.leaves(each) for each in found]

    def error(half):
        pairs = zip(half, whole, strict=True)
        errors = [np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in pairs]
        return np.array(errors)

    errors = dict(zip(kinds[1:], map(error, halves), strict=True))
    for backward in ("exact", "autodiff"):
        coarse, fine = errors["bfloat16", backward], errors["float16", backward]
        assert coarse.max() < 0.1 and coarse.min() > 0, backward
        assert 3 < np.linalg.norm(coarse) / np.linalg.norm(fine) < 20, backward


def test_weights_are_multiplied_in_the_type_of_the_program():
    net, params, state, batch = problem()
    program = jax.make_jaxpr(lambda p: net.loss(p, state, batch)[0])(params)
    lines = [line for line in str(program).splitlines() if "dot_general" in line]
    assert any("bf16" in line for line in lines)
    assert not any("f32[8" in line for line in lines if "dot_general" in line)


def test_members_of_a_sweep():
    net, _, _, batch = problem()

    def loss(key):
        return net.loss(*net.init(key), batch)[0]

    keys = jax.random.split(jax.random.key(1), 2)
    losses = quick(jax.vmap(loss))(keys)
    alone = list(map(quick(loss), keys))
    np.testing.assert_allclose(losses, alone, rtol=2**-7)


def test_second_derivatives():
    net, params, state, batch = problem()

    def energy(params):
        gradients = jax.grad(lambda p: net.loss(p, state, batch)[0])(params)
        return sum(jnp.vdot(g, g) for g in jax.tree.leaves(gradients))

    assert types(jax.eval_shape(jax.grad(energy), params)) == {"float32"}


def test_without_a_policy_types_promote_together():
    _, params, state, batch = problem()
    net = cj.compile(graph())
    wide = jax.tree.map(lambda p: np.asarray(p, "float64"), params)
    (loss, (outputs, _)), gradients = jax.eval_shape(
        functools.partial(run, net), wide, state, batch
    )
    assert types((loss, outputs, gradients)) == {"float64"}


@pytest.mark.parametrize("backward", ["exact", "autodiff"])
def test_narrow_arrays_stay_narrow_where_wide_ones_are_allowed(backward):
    _, params, state, batch = problem()
    net = cj.compile(graph(), backward=backward)
    narrow = jax.tree.map(lambda a: a.astype("float32"), (params, state))
    (loss, (outputs, new)), grads = jax.eval_shape(
        functools.partial(run, net), *narrow, batch
    )
    found = jax.tree.leaves((loss, outputs, new, grads))
    assert {array.dtype for array in found} == {np.dtype("float32")}


def test_wrong_policies_are_refused_in_words():
    with pytest.raises(ValueError, match="compute: found 'int8'; expected one of bf"):
        cj.Precision("int8")
    with pytest.raises(ValueError, match=r"expected cj\.Precision\(\.\.\.\)"):
        cj.compile(graph(), precision="bfloat16")  # type: ignore
    with jax.enable_x64(False):
        with pytest.raises(ValueError, match="float64 needs JAX's 64-bit mode"):
            cj.Precision("float64")
