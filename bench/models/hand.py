"""Hand-written JAX: parameters in a dict, one jitted function, donated buffers."""

import functools

import jax
import jax.numpy as jnp
import optax

from bench.models.program import Program, update_rule
from bench.problems import (
    RECONSTRUCTION,
    ROUTING_ITERATIONS,
    SQUASH_EPSILON,
    Problem,
    Values,
)


def cross_entropy(logits, labels):
    """Mean over the batch of -log softmax(logits)[label]."""
    log_p = jax.nn.log_softmax(logits)
    return -jnp.mean(jnp.take_along_axis(log_p, labels[:, None], axis=-1))


def dense(layer, x):
    return x @ layer["W"] + layer["B"]


def conv(layer, x, stride=1, padding="VALID"):
    if stride > 1:
        y = strided_conv(layer["W"], x, stride)
    else:
        y = jax.lax.conv_general_dilated(
            x, layer["W"], (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
    return y + layer["B"]


def strided_conv(weight, x, stride):
    """As a product with all slices that the taps see, for the sake of its derivative.

    On CPU XLA has no fast routine for what autodiff makes of a strided convolution:
    with 9x9 taps a whole step took 7.7 s, and 0.20 s so.
    """
    kernel, _, _, features = weight.shape
    rows, columns = ((size - kernel) // stride + 1 for size in x.shape[1:3])
    seen = jnp.concatenate(
        [
            x[:, i : i + rows * stride : stride, j : j + columns * stride : stride]
            for i in range(kernel)
            for j in range(kernel)
        ],
        -1,
    )
    return seen @ weight.reshape(-1, features)


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


def digits(params, x):
    """The class capsules of CapsNet, [batch, classes, 16]."""
    x = jax.nn.relu(conv(params["conv"], x))
    x = conv(params["primary"], x, stride=2)
    lower = squash(x.reshape(x.shape[0], -1, 8))
    return route(jnp.einsum("bli,luoi->bluo", lower, params["digit"]["W"]))


def capsnet(params, batch):
    x, labels = batch
    return margin_loss(digits(params, x), labels)


def reconstruction_loss(x, found):
    """Mean over the batch of the weighted sum of squares."""
    squares = (x.reshape(found.shape) - found) ** 2
    return RECONSTRUCTION * jnp.mean(jnp.sum(squares, -1))


def masked(upper, labels):
    """The capsule of the label, the others zero, flattened."""
    target = jax.nn.one_hot(labels, upper.shape[1])
    return (upper * target[..., None]).reshape(len(upper), -1)


def capsnet_decoder(params, batch):
    x, labels = batch
    upper = digits(params, x)
    h = jax.nn.relu(dense(params["decoder-1"], masked(upper, labels)))
    h = jax.nn.relu(dense(params["decoder-2"], h))
    found = jax.nn.sigmoid(dense(params["decoder-3"], h))
    return margin_loss(upper, labels) + reconstruction_loss(x, found)


LOSSES = {
    "mlp": mlp,
    "lenet-5": lenet,
    "capsnet": capsnet,
    "deep-mlp": deep_mlp,
    "capsnet-decoder": capsnet_decoder,
}


def stateless(loss_of):
    """A loss `(params, batch)` as one that has an empty state."""
    return lambda params, state, batch: (loss_of(params, batch), state)


def training_step(loss_of, optimizer: str, params, state) -> Program:
    """Builds the jitted step of a loss `(params, state, batch) -> loss, state`."""
    update = update_rule(optimizer)

    @functools.partial(jax.jit, donate_argnums=(1, 2, 3))
    def step(batch, params, state, moments):
        value_and_grad = jax.value_and_grad(loss_of, has_aux=True)
        (loss, state), grads = value_and_grad(params, state, batch)
        updates, moments = update.update(grads, moments, params)
        return loss, (optax.apply_updates(params, updates), state, moments)

    return Program(step, (params, state, update.init(params)), loss=loss_of)


def own(tree):
    """A copy, because numpy's own memory cannot be donated."""
    return jax.tree.map(lambda value: jnp.array(value, copy=True), tree)


def build(problem: Problem, optimizer: str, values: Values) -> Program:
    from bench.models import hand_deep  # builds on this module

    if problem.architecture:
        loss_of = hand_deep.loss_of(problem.architecture)
    else:
        loss_of = stateless(LOSSES[problem.name])
    return training_step(loss_of, optimizer, own(values), own(problem.statistics()))
