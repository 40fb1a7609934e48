"""Flax NNX as its documentation teaches it: modules, nnx.jit, nnx.Optimizer."""

import functools

import jax
import jax.numpy as jnp
from flax import nnx

from bench.models.flax_deep import Network
from bench.models.hand import (
    cross_entropy,
    margin_loss,
    masked,
    reconstruction_loss,
    route,
    squash,
)
from bench.models.program import Program, update_rule
from bench.problems import Problem, Values

# Losses, squash and routing are plain functions of arrays: the same in every framework.


def _fill(layer, weights):
    """Puts the shared weights into a Linear or a Conv, whose layouts are the same."""
    layer.kernel = _param(weights["W"])
    layer.bias = _param(weights["B"])
    return layer


def _param(value):
    # A copy, because numpy's own memory cannot be donated.
    return nnx.Param(jnp.array(value, copy=True))


class MLP(nnx.Module):
    """Dense layers with one activation between them."""

    def __init__(self, problem: Problem, values: Values, rngs: nnx.Rngs):
        self.layers = nnx.List(
            _fill(nnx.Linear(*layer.weight, rngs=rngs), values[layer.name])
            for layer in problem.layers
        )
        self.activation = nnx.tanh if problem.name == "deep-mlp" else nnx.relu

    def __call__(self, x):
        for layer in self.layers[:-1]:
            x = self.activation(layer(x))
        return self.layers[-1](x)


class LeNet(nnx.Module):
    """LeNet-5 on a batch of images, channels last."""

    def __init__(self, values: Values, rngs: nnx.Rngs):
        conv = functools.partial(nnx.Conv, kernel_size=(5, 5), rngs=rngs)
        self.c1 = _fill(conv(1, 6, padding="SAME"), values["c1"])
        self.c3 = _fill(conv(6, 16, padding="VALID"), values["c3"])
        self.c5 = _fill(nnx.Linear(400, 120, rngs=rngs), values["c5"])
        self.f6 = _fill(nnx.Linear(120, 84, rngs=rngs), values["f6"])
        self.logits = _fill(nnx.Linear(84, 10, rngs=rngs), values["logits"])

    def __call__(self, x):
        pool = functools.partial(nnx.max_pool, window_shape=(2, 2), strides=(2, 2))
        x = pool(nnx.relu(self.c1(x)))
        x = pool(nnx.relu(self.c3(x)))
        x = x.reshape(x.shape[0], -1)
        x = nnx.relu(self.c5(x))
        x = nnx.relu(self.f6(x))
        return self.logits(x)


class CapsNet(nnx.Module):
    """CapsNet on a batch of images, channels last."""

    def __init__(self, values: Values, rngs: nnx.Rngs):
        conv = functools.partial(
            nnx.Conv, kernel_size=(9, 9), padding="VALID", rngs=rngs
        )
        self.conv = _fill(conv(1, 256), values["conv"])
        self.primary = _fill(conv(256, 256, strides=2), values["primary"])
        self.vote = _param(values["digit"]["W"])

    def __call__(self, x):
        x = self.primary(nnx.relu(self.conv(x)))
        lower = squash(x.reshape(x.shape[0], -1, 8))
        return route(jnp.einsum("bli,luoi->bluo", lower, self.vote[...]))


class CapsNetDecoder(nnx.Module):
    """CapsNet and three dense layers that draw its input again."""

    def __init__(self, values: Values, rngs: nnx.Rngs):
        self.capsnet = CapsNet(values, rngs)
        self.layers = nnx.List(
            _fill(nnx.Linear(*weights["W"].shape, rngs=rngs), weights)
            for name, weights in values.items()
            if "decoder" in name
        )

    def __call__(self, x, labels):
        upper = self.capsnet(x)
        h = masked(upper, labels)
        for layer in self.layers[:-1]:
            h = nnx.relu(layer(h))
        return upper, nnx.sigmoid(self.layers[-1](h))


class NNXProgram(Program):
    """A step that changes model and optimizer in place, and returns the loss alone."""

    def step(self, batch) -> jax.Array:
        return self.jitted(batch, *self.carry)


def _model(problem: Problem, values: Values):
    """A model, and its loss `(model, x, labels) -> loss`."""
    rngs = nnx.Rngs(0)
    if problem.name == "capsnet-decoder":

        def both(model, x, labels):
            upper, found = model(x, labels)
            return margin_loss(upper, labels) + reconstruction_loss(x, found)

        return CapsNetDecoder(values, rngs), both
    if problem.architecture:
        model, output_loss = Network(problem, values, rngs), cross_entropy
    elif problem.name == "lenet-5":
        model, output_loss = LeNet(values, rngs), cross_entropy
    elif problem.name == "capsnet":
        model, output_loss = CapsNet(values, rngs), margin_loss
    else:
        model, output_loss = MLP(problem, values, rngs), cross_entropy
    return model, lambda model, x, labels: output_loss(model(x), labels)


def build(problem: Problem, optimizer: str, values: Values) -> Program:
    model, loss_of = _model(problem, values)

    @nnx.jit(donate_argnames=("model", "optimizer"))
    def step(batch, model, optimizer):
        loss, grads = nnx.value_and_grad(lambda model: loss_of(model, *batch))(model)
        optimizer.update(model, grads)
        return loss

    graph = nnx.graphdef(model)

    def loss(parameters, rest, batch):
        model = nnx.merge(graph, parameters, rest, copy=True)
        return loss_of(model, *batch), nnx.state(model, nnx.Not(nnx.Param))

    carry = (model, nnx.Optimizer(model, update_rule(optimizer), wrt=nnx.Param))
    return NNXProgram(
        step, carry, loss=loss, split=lambda carry: nnx.state(carry[0], nnx.Param, ...)
    )
