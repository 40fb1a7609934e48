"""Equinox as its documentation teaches it: modules of one example, vmapped."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from bench.models.hand import cross_entropy, margin_loss, squash
from bench.models.program import Program, update_rule
from bench.problems import ROUTING_ITERATIONS, Problem, Values

# Losses and squash are plain functions of arrays: the same in every framework.


def _key():
    """Weights are replaced at once, so the key is of no account."""
    return jax.random.key(0)


def _linear(layer, weights):
    """Equinox keeps a dense weight as [out, in]."""
    new = (jnp.asarray(weights["W"].T), jnp.asarray(weights["B"]))
    return eqx.tree_at(lambda linear: (linear.weight, linear.bias), layer, new)


def _conv(layer, weights):
    """Equinox keeps a kernel as [out, in, height, width], a bias as [out, 1, 1]."""
    kernel = jnp.asarray(weights["W"].transpose(3, 2, 0, 1))
    bias = jnp.asarray(weights["B"].reshape(-1, 1, 1))
    return eqx.tree_at(lambda conv: (conv.weight, conv.bias), layer, (kernel, bias))


def mlp(problem: Problem, values: Values):
    first, last = problem.layers[0], problem.layers[-1]
    model = eqx.nn.MLP(
        in_size=first.weight[0],
        out_size=last.weight[1],
        width_size=first.weight[1],
        depth=len(problem.layers) - 1,
        activation=jnp.tanh if problem.name == "deep-mlp" else jax.nn.relu,
        key=_key(),
    )
    pairs = zip(model.layers, problem.layers, strict=True)
    layers = tuple(_linear(layer, values[spec.name]) for layer, spec in pairs)
    return eqx.tree_at(lambda mlp: mlp.layers, model, layers)


class LeNet(eqx.Module):
    """LeNet-5 on one image, channels first."""

    c1: eqx.nn.Conv2d
    c3: eqx.nn.Conv2d
    pool: eqx.nn.MaxPool2d
    c5: eqx.nn.Linear
    f6: eqx.nn.Linear
    logits: eqx.nn.Linear

    def __init__(self, values: Values):
        # The flattened image is [channel, y, x] here and [y, x, channel] in `values`.
        flat = values["c5"]["W"].reshape(5, 5, 16, 120).transpose(2, 0, 1, 3)
        c5 = {"W": flat.reshape(400, 120), "B": values["c5"]["B"]}
        first = eqx.nn.Conv2d(1, 6, 5, padding="SAME", key=_key())
        self.c1 = _conv(first, values["c1"])
        self.c3 = _conv(eqx.nn.Conv2d(6, 16, 5, key=_key()), values["c3"])
        self.pool = eqx.nn.MaxPool2d(kernel_size=2, stride=2)
        self.c5 = _linear(eqx.nn.Linear(400, 120, key=_key()), c5)
        self.f6 = _linear(eqx.nn.Linear(120, 84, key=_key()), values["f6"])
        self.logits = _linear(eqx.nn.Linear(84, 10, key=_key()), values["logits"])

    def __call__(self, x):
        x = self.pool(jax.nn.relu(self.c1(x)))
        x = self.pool(jax.nn.relu(self.c3(x)))
        x = jax.nn.relu(self.c5(jnp.ravel(x)))
        x = jax.nn.relu(self.f6(x))
        return self.logits(x)


class CapsNet(eqx.Module):
    """CapsNet on one image, channels first."""

    conv: eqx.nn.Conv2d
    primary: eqx.nn.Conv2d
    vote: jax.Array

    def __init__(self, values: Values):
        self.conv = _conv(eqx.nn.Conv2d(1, 256, 9, key=_key()), values["conv"])
        primary = eqx.nn.Conv2d(256, 256, 9, stride=2, key=_key())
        self.primary = _conv(primary, values["primary"])
        # Lower capsules are [group, y, x] here and [y, x, group] in `values`.
        vote = values["digit"]["W"]
        vote = vote.reshape(36, 32, *vote.shape[1:]).swapaxes(0, 1)
        self.vote = jnp.asarray(np.ascontiguousarray(vote.reshape(1152, 10, 16, 8)))

    def __call__(self, x):
        x = self.primary(jax.nn.relu(self.conv(x)))
        lower = squash(x.reshape(32, 8, 36).swapaxes(1, 2).reshape(1152, 8))
        votes = jnp.einsum("li,luoi->luo", lower, self.vote)
        agreement = jnp.zeros(votes.shape[:2], votes.dtype)
        for iteration in range(ROUTING_ITERATIONS):
            coupling = jax.nn.softmax(agreement, axis=1)
            upper = squash(jnp.einsum("lu,luo->uo", coupling, votes))
            if iteration < ROUTING_ITERATIONS - 1:
                agreement += jnp.einsum("luo,uo->lu", votes, upper)
        return upper


def build(problem: Problem, optimizer: str, values: Values) -> Program:
    if problem.name == "lenet-5":
        model, loss_of = LeNet(values), cross_entropy
    elif problem.name == "capsnet":
        model, loss_of = CapsNet(values), margin_loss
    else:
        model, loss_of = mlp(problem, values), cross_entropy

    update = update_rule(optimizer)

    def loss(model, batch):
        x, labels = batch
        if x.ndim == 4:
            x = x.transpose(0, 3, 1, 2)  # one channel: only a change of shape
        return loss_of(jax.vmap(model)(x), labels)

    loss_and_grad = eqx.filter_value_and_grad(loss)

    @eqx.filter_jit(donate="all-except-first")
    def step(batch, model, opt_state):
        loss, grads = loss_and_grad(model, batch)
        params = eqx.filter(model, eqx.is_array)
        updates, opt_state = update.update(grads, opt_state, params)
        return loss, (eqx.apply_updates(model, updates), opt_state)

    # A copy, because numpy's own memory cannot be donated.
    model = jax.tree.map(lambda x: x.copy() if eqx.is_array(x) else x, model)
    return Program(
        step,
        (model, update.init(eqx.filter(model, eqx.is_array))),
        loss=lambda params, static, batch: (
            loss(eqx.combine(params, static), batch),
            None,
        ),
        split=lambda carry: eqx.partition(carry[0], eqx.is_array),
    )
