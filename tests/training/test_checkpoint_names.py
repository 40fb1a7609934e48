"""Checkpoints are by name, whatever passes and folding make of a network."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import capsjax as cj
from capsjax.compiler.parameters import flatten
from capsjax.compiler.places import parameter_places, state_places
from capsjax.training.checkpoints import Saved
from tests.training.checkpointing import (
    ALL_PASSES,
    NO_FOLDING,
    RULES,
    blocks,
    carry_of,
    opened,
    same,
    tiny,
    write,
)

OPTIMIZERS: dict[str, Any] = {
    "adam": optax.adam(1e-3),
    "momentum, clipped": optax.chain(
        optax.clip_by_global_norm(1.0), optax.sgd(0.1, momentum=0.9, nesterov=True)
    ),
    "in bfloat16": optax.adamw(1e-3, mu_dtype=jnp.bfloat16),
    "accumulated": optax.MultiSteps(optax.adam(1e-3), 4),
    "average": optax.chain(optax.adam(1e-3), optax.ema(0.9)),
    "injected": optax.inject_hyperparams(optax.adamw)(learning_rate=1e-3),
    "schedule": optax.adam(optax.cosine_decay_schedule(0.1, 100)),
    "noise": optax.chain(optax.add_noise(0.1, 0.5, jax.random.key(0)), optax.sgd(0.1)),
    "none": optax.sgd(0.1),
}


def weights_alone(params: Any) -> Any:
    """Which arrays are weights: for masks."""
    return jax.tree.map(lambda array: array.ndim > 1, params)


BY_PATH: dict[str, Any] = {
    "masked": optax.chain(
        optax.masked(optax.adam(1e-3), weights_alone), optax.scale(0.5)
    ),
    "several": optax.multi_transform(
        {True: optax.adam(1e-3), False: optax.sgd(0.1, momentum=0.9)}, weights_alone
    ),
    "factored": optax.adafactor(1e-3, min_dim_size_to_factor=2),
}


@pytest.mark.parametrize("name", [*OPTIMIZERS, *BY_PATH])
def test_what_is_loaded_is_what_was_saved(name, tmp_path):
    optimizer = {**OPTIMIZERS, **BY_PATH}[name]
    net = cj.compile(blocks(), passes=ALL_PASSES)
    carry = carry_of(net, optimizer, 1)
    carry["average"] = jax.tree.map(lambda a: a * 2, carry["params"])
    write(tmp_path, net, carry, 7)
    with opened(tmp_path, net) as checkpointer:
        saved = checkpointer.latest(jax.eval_shape(lambda: carry))
        assert saved is not None and saved.steps == 7
        same(saved.carry, carry)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_checkpoint_fits_the_network_compiled_in_another_way(name, tmp_path):
    net, other = (cj.compile(blocks(), passes=p) for p in (ALL_PASSES, NO_FOLDING))
    shapes = [
        jax.tree.map(jnp.shape, jax.eval_shape(n.init, jax.random.key(0))[0])
        for n in (net, other)
    ]
    assert shapes[0] != shapes[1]
    carry = carry_of(net, OPTIMIZERS[name], 1)
    write(tmp_path, net, carry, 7)
    with opened(tmp_path, other) as checkpointer:
        saved = checkpointer.latest(carry_of(other, OPTIMIZERS[name], 2))
    assert saved is not None
    same(other.named(saved.carry["params"]), net.named(carry["params"]))
    same(other.named_state(saved.carry["state"]), net.named_state(carry["state"]))
    trees = [c["optimizer"] for c in (carry, saved.carry)]
    if name == "adam":
        same(other.named(trees[1][0].nu), net.named(trees[0][0].nu))
        same(trees[1][0].count, trees[0][0].count)
    write(tmp_path, other, saved.carry, 8)
    with opened(tmp_path, net) as checkpointer:
        back = checkpointer.latest(carry_of(net, OPTIMIZERS[name], 2))
    assert back is not None
    same(back.carry, carry)


@pytest.mark.parametrize("passes", [ALL_PASSES, NO_FOLDING], ids=["folded", "alone"])
def test_feedback_of_backward_rules_is_saved(passes, tmp_path):
    net = cj.compile(blocks(), passes=passes, backward=RULES)
    carry = carry_of(net, seed=1)
    assert any(name[1] == "feedback" for name, _ in flatten(carry["state"]))
    write(tmp_path, net, carry, 7)
    other = cj.compile(blocks(), passes=NO_FOLDING, backward=RULES)
    with opened(tmp_path, other) as checkpointer:
        saved = checkpointer.latest(carry_of(other, seed=2))
    assert saved is not None
    same(other.named_state(saved.carry["state"]), net.named_state(carry["state"]))


def test_the_wiring_of_neurons_comes_from_the_graph(tmp_path):
    neurons = cj.neural.network(2, 2, [0, 1, 2], [2, 2, 3])
    net = cj.compile(neurons, backward="kolen_pollack")
    carry = carry_of(net, seed=1)
    write(tmp_path, net, carry, 7)
    with opened(tmp_path, net) as checkpointer:
        saved = checkpointer.latest(jax.eval_shape(lambda: carry))
    assert saved is not None
    same(saved.carry, carry)


@pytest.mark.parametrize("passes", [ALL_PASSES, cj.passes.PIPELINE, NO_FOLDING])
@pytest.mark.parametrize("backward", [None, RULES])
def test_places_are_where_names_say(passes, backward):
    net = cj.compile(blocks(), passes=passes, backward=backward)
    carry = carry_of(net)
    for named, arrays, places in (
        (net.named(carry["params"]), carry["params"], parameter_places),
        (net.named_state(carry["state"]), carry["state"], state_places),
    ):
        own = dict(flatten(arrays))
        found = places(net.program.typed)
        assert found.keys() == dict(flatten(named)).keys()
        for name, array in flatten(named):
            place = found[name]
            bounds = zip(place.start, place.stop, strict=True)
            part = np.asarray(own[place.own])[tuple(slice(*each) for each in bounds)]
            part = part[0] if place.stacked else part
            assert part.shape == place.shape
            np.testing.assert_array_equal(part, array)


@pytest.mark.parametrize("name", ["lenet-5", "vit-b-16", "googlenet"])
def test_places_of_the_zoos_networks(name):
    net = cj.compile(cj.zoo.graph(name), passes=ALL_PASSES)
    params, _ = jax.eval_shape(net.init, jax.random.key(0))
    named = jax.eval_shape(net.named, params)
    found = parameter_places(net.program.typed)
    assert {n: p.shape for n, p in found.items()} == {
        n: a.shape for n, a in flatten(named)
    }


ODD = {
    "bfloat16": jnp.bfloat16,
    "float8": jnp.float8_e4m3fn,
    "int4": jnp.int4,
    "bool": jnp.bool_,
    "uint32": jnp.uint32,
    "complex128": jnp.complex128,
    "complex64": jnp.complex64,
    "float64": jnp.float64,
}


def test_all_types_are_kept_by_bits(tmp_path):
    net = cj.compile(tiny(), precision=cj.Precision("bfloat16", parameters="bfloat16"))
    values = jnp.asarray(np.random.default_rng(0).integers(0, 2, (2, 3)))
    odd = {name: values.astype(dtype) for name, dtype in ODD.items()}
    odd["nothing"] = jnp.zeros((0, 3))
    odd["nan"] = jnp.asarray([jnp.nan, -0.0, jnp.inf])
    odd["key"] = jax.random.key(3)
    odd["another"] = jax.random.split(jax.random.key(3, impl="rbg"), 2)
    carry = carry_of(net) | {"odd": odd}
    write(tmp_path, net, carry, 7)
    with opened(tmp_path, net) as checkpointer:
        for like in (carry, jax.eval_shape(lambda: carry)):
            saved = checkpointer.latest(like)
            assert saved is not None
            same(saved.carry, carry)


def test_another_optimizer_is_refused_by_name(tmp_path):
    net = cj.compile(tiny())
    write(tmp_path, net, carry_of(net), 7)
    with opened(tmp_path, net) as checkpointer:
        with pytest.raises(ValueError, match="does not fit this run") as caught:
            checkpointer.latest(carry_of(net, optax.sgd(0.1, momentum=0.9)))
        text = str(caught.value)
        assert "optimizer[0].trace/y:B: not in the checkpoint" in text
        assert "optimizer[0].mu/y:W:x: in the checkpoint, but not in this run" in text
        assert "cure: take the network, the optimizer and the precision" in text
        wide = carry_of(net)
        wide["sums"]["loss"] = jnp.zeros(2, jnp.float32)
        with pytest.raises(ValueError, match="sums.*found float32 of shape .*; expec"):
            checkpointer.latest(wide)


def test_a_carry_that_is_none_is_refused(tmp_path):
    net = cj.compile(tiny())
    with opened(tmp_path, net) as checkpointer:
        checkpointer.save(Saved(1, {"weights": jnp.zeros(2)}, [], {}))
        with pytest.raises(ValueError, match="a table by name that holds 'params'"):
            checkpointer.wait()
