"""Keras 3 on JAX: functional models, stepped as in its guide to JAX training loops."""

import functools
import os

os.environ["KERAS_BACKEND"] = "jax"  # read once, at the import

import jax  # noqa: E402
import keras  # noqa: E402
from keras import layers  # noqa: E402

from bench.models.hand import (  # noqa: E402
    cross_entropy,
    margin_loss,
    masked,
    reconstruction_loss,
    route,
    squash,
)
from bench.models.program import Program  # noqa: E402
from bench.problems import LEARNING_RATES, Problem, Values  # noqa: E402
from bench.problems.deep import NORM_EPSILON, NORM_MOMENTUM  # noqa: E402

# Losses, squash and routing are plain functions of arrays: the same in every framework.


class Operations:
    """The operations of `bench.problems.deep` on Keras's symbolic tensors."""

    def __init__(self):
        self.layers = {}

    def _call(self, layer, x):
        self.layers[layer.name] = layer
        return layer(x)

    def conv(self, name, x, features, kernel, stride=1, bias=False):
        if stride > 1 and kernel > 1:  # Keras would pad on one side only
            x, padding = layers.ZeroPadding2D(kernel // 2)(x), "valid"
        else:
            padding = "same"
        layer = layers.Conv2D(
            features, kernel, stride, padding, use_bias=bias, name=name
        )
        return self._call(layer, x)

    def norm(self, name, x):
        layer = layers.BatchNormalization(
            momentum=NORM_MOMENTUM, epsilon=NORM_EPSILON, name=name
        )
        return self._call(layer, x)

    def relu(self, x):
        return layers.ReLU()(x)

    def max_pool(self, x):
        return layers.MaxPooling2D(3, 1, "same")(x)

    def average_pool(self, x):
        return layers.AveragePooling2D(2)(x)

    def concatenate(self, parts):
        return layers.Concatenate()(parts)

    def mean(self, x):
        return layers.GlobalAveragePooling2D()(x)

    def dense(self, name, x, features, activation=None):
        return self._call(layers.Dense(features, activation, name=name), x)


class Votes(layers.Layer):
    """Capsules of all lower ones, routed by agreement."""

    def build(self, shape):
        self.weight = self.add_weight(shape=(1152, 10, 16, 8), name="W")

    def call(self, lower):
        return route(jax.numpy.einsum("bli,luoi->bluo", lower, self.weight.value))


def _capsnet(f: Operations, x, labels):
    h = f._call(layers.Conv2D(256, 9, activation="relu", name="conv"), x)
    h = f._call(layers.Conv2D(256, 9, 2, name="primary"), h)
    lower = layers.Lambda(squash)(layers.Reshape((1152, 8))(h))
    upper = f._call(Votes(name="digit"), lower)
    h = layers.Lambda(lambda both: masked(*both), (160,))([upper, labels])
    h = f.dense("decoder-1", h, 512, "relu")
    h = f.dense("decoder-2", h, 1024, "relu")
    return upper, f.dense("decoder-3", h, 784, "sigmoid")


def _model(problem: Problem, values: Values):
    """A model, and its loss `(outputs, x, labels) -> loss`."""
    f, x = Operations(), keras.Input(problem.input_shape)
    if problem.architecture:
        model = keras.Model(x, problem.architecture(f, x))
        loss = lambda logits, x, labels: cross_entropy(logits, labels)  # noqa: E731
    else:
        labels = keras.Input((), dtype="int32")
        model = keras.Model([x, labels], _capsnet(f, x, labels))

        def loss(outputs, x, labels):
            upper, found = outputs
            return margin_loss(upper, labels) + reconstruction_loss(x, found)

    for name, layer in f.layers.items():
        new = [values[name][key] for key in ("W", "B") if key in values[name]]
        # A batch norm's statistics come after these.
        for variable, value in zip(layer.weights, new, strict=False):
            variable.assign(value)
    return model, loss


def build(problem: Problem, optimizer: str, values: Values) -> Program:
    model, loss_of = _model(problem, values)
    kind = {"adam": keras.optimizers.Adam, "sgd": keras.optimizers.SGD}[optimizer]
    # Keras adds epsilon before it corrects the bias: in the first step, 1e-8 after it.
    options = {"epsilon": 1e-8 * (1 - 0.999) ** 0.5} if optimizer == "adam" else {}
    rule = kind(LEARNING_RATES[optimizer], **options)
    rule.build(model.trainable_variables)

    def loss(params, state, batch):
        x, labels = batch
        inputs = x if problem.architecture else [x, labels]
        outputs, state = model.stateless_call(params, state, inputs, training=True)
        return loss_of(outputs, x, labels), state

    @functools.partial(jax.jit, donate_argnums=(1, 2, 3))
    def step(batch, params, state, moments):
        value_and_grad = jax.value_and_grad(loss, has_aux=True)
        (value, state), grads = value_and_grad(params, state, batch)
        params, moments = rule.stateless_apply(moments, grads, params)
        return value, (params, state, moments)

    variables = (
        model.trainable_variables,
        model.non_trainable_variables,
        rule.variables,
    )
    carry = tuple([v.value.copy() for v in each] for each in variables)
    return Program(step, carry, loss=loss)
