"""Hand-written JAX: parameters in a dict, one jitted function, donated buffers."""

import functools

import jax
import jax.numpy as jnp
import optax

from bench.models.program import Program
from bench.problems import ROUTING_ITERATIONS, SQUASH_EPSILON, Problem, Values


def cross_entropy(logits, labels):
    """Mean over the batch of -log softmax(logits)[label]."""
    log_p = jax.nn.log_softmax(logits)
    return -jnp.mean(jnp.take_along_axis(log_p, labels[:, None], axis=-1))


def dense(layer, x):
    return x @ layer["W"] + layer["B"]


def conv(layer, x, stride=1, padding="VALID"):
    layout = ("NHWC", "HWIO", "NHWC")
    y = jax.lax.conv_general_dilated(
        x, layer["W"], (stride, stride), padding, dimension_numbers=layout
    )
    return y + layer["B"]


def max_pool(x):
    window = (1, 2, 2, 1)
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, window, "VALID")


def mlp(params, batch):
    x, labels = batch
    for name in ("hidden-1", "hidden-2"):
        x = jax.nn.relu(dense(params[name], x))
    return cross_entropy(dense(params["logits"], x), labels)


def deep_mlp(params, batch):
    x, labels = batch
    for i in range(1, len(params)):
        x = jnp.tanh(dense(params[f"hidden-{i}"], x))
    return cross_entropy(dense(params["logits"], x), labels)


def lenet(params, batch):
    x, labels = batch
    x = max_pool(jax.nn.relu(conv(params["c1"], x, padding="SAME")))
    x = max_pool(jax.nn.relu(conv(params["c3"], x)))
    x = x.reshape(x.shape[0], -1)
    x = jax.nn.relu(dense(params["c5"], x))
    x = jax.nn.relu(dense(params["f6"], x))
    return cross_entropy(dense(params["logits"], x), labels)


def squash(s):
    """v = |s|^2 / (1 + |s|^2) * s / |s|, over the last axis."""
    square = jnp.sum(s * s, axis=-1, keepdims=True)
    return s * square / ((1 + square) * jnp.sqrt(square + SQUASH_EPSILON))


def route(votes):
    """Routing by agreement; votes: [batch, lower, upper, out] -> [batch, upper, out].

    Gradients flow through every iteration, and the softmax is over the upper capsules.
    """
    agreement = jnp.zeros(votes.shape[:3], votes.dtype)
    for iteration in range(ROUTING_ITERATIONS):
        coupling = jax.nn.softmax(agreement, axis=2)
        upper = squash(jnp.einsum("blu,bluo->buo", coupling, votes))
        if iteration < ROUTING_ITERATIONS - 1:
            agreement += jnp.einsum("bluo,buo->blu", votes, upper)
    return upper


def margin_loss(upper, labels):
    """Mean over the batch of the margin loss, m+ 0.9, m- 0.1, lambda 0.5."""
    length = jnp.sqrt(jnp.sum(upper * upper, axis=-1) + SQUASH_EPSILON)
    target = jax.nn.one_hot(labels, length.shape[-1])
    present = target * jax.nn.relu(0.9 - length) ** 2
    absent = 0.5 * (1 - target) * jax.nn.relu(length - 0.1) ** 2
    return jnp.mean(jnp.sum(present + absent, axis=-1))


def capsnet(params, batch):
    x, labels = batch
    x = jax.nn.relu(conv(params["conv"], x))
    x = conv(params["primary"], x, stride=2)
    lower = squash(x.reshape(x.shape[0], -1, 8))
    votes = jnp.einsum("bli,luoi->bluo", lower, params["digit"]["W"])
    return margin_loss(route(votes), labels)


LOSSES = {"mlp": mlp, "lenet-5": lenet, "capsnet": capsnet, "deep-mlp": deep_mlp}


def training_step(loss_of, optimizer: optax.GradientTransformation, params) -> Program:
    """Builds the jitted step of a loss `(params, batch) -> loss`."""

    @functools.partial(jax.jit, donate_argnums=(1, 2))
    def step(batch, params, opt_state):
        loss, grads = jax.value_and_grad(loss_of)(params, batch)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return loss, (optax.apply_updates(params, updates), opt_state)

    return Program(step, (params, optimizer.init(params)))


def build(problem: Problem, optimizer, values: Values) -> Program:
    # A copy, because numpy's own memory cannot be donated.
    params = jax.tree.map(lambda value: jnp.array(value, copy=True), values)
    return training_step(LOSSES[problem.name], optimizer, params)
