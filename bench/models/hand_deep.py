"""Hand-written JAX for convolutional networks: what autodiff is given to work with.

Of the forms that were tried the faster ones stand here, all differentiated by JAX:

    batch norm        E[x^2] - E[x]^2, scale and shift folded into two vectors;
                      with `jnp.var`, or with x - E[x], steps take 1.1 of the time
    1x1 convolution   a matrix product; with lax's convolution 1.0 to 1.1
    strided ones      a product with slices, see `strided_conv`; without it a step of
                      ResNet-18 takes 1.05 of the time
    3x3 maximum       maxima of slices; with `reduce_window` 1.5 of the time, although
                      it keeps 101 MB for the backward pass in place of 261 (inception)
    concatenation     `jnp.concatenate`
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax

from bench.models.hand import cross_entropy, dense, strided_conv
from bench.problems.deep import NORM_EPSILON, NORM_MOMENTUM

_LAYOUT = ("NHWC", "HWIO", "NHWC")


class Operations:
    """The operations of `bench.problems.deep` as functions of these parameters."""

    def __init__(self, params, statistics):
        self.params = params
        self.statistics = statistics
        self.updated = {}

    def conv(self, name, x, features, kernel, stride=1, bias=False):
        weight = self.params[name]["W"]
        if kernel == 1:
            y = x[:, ::stride, ::stride] @ weight[0, 0]
        elif stride > 1:
            pads = ((0, 0), (kernel // 2,) * 2, (kernel // 2,) * 2, (0, 0))
            y = strided_conv(weight, jnp.pad(x, pads), stride)
        else:
            pads = [(kernel // 2, kernel // 2)] * 2
            y = lax.conv_general_dilated(
                x, weight, (1, 1), pads, dimension_numbers=_LAYOUT
            )
        return y + self.params[name]["B"] if bias else y

    def norm(self, name, x):
        mean = jnp.mean(x, (0, 1, 2))
        var = jnp.mean(x * x, (0, 1, 2)) - mean * mean
        old = self.statistics[name]
        self.updated[name] = {
            key: NORM_MOMENTUM * old[key] + (1 - NORM_MOMENTUM) * value
            for key, value in (("mean", mean), ("var", var))
        }
        scale = self.params[name]["W"] * lax.rsqrt(var + NORM_EPSILON)
        return x * scale + (self.params[name]["B"] - mean * scale)

    def relu(self, x):
        return jax.nn.relu(x)

    def max_pool(self, x):
        height, width = x.shape[1:3]
        pads = ((0, 0), (1, 1), (1, 1), (0, 0))
        x = jnp.pad(x, pads, constant_values=-jnp.inf)
        x = functools.reduce(jnp.maximum, [x[:, i : i + height] for i in range(3)])
        return functools.reduce(jnp.maximum, [x[:, :, i : i + width] for i in range(3)])

    def average_pool(self, x):
        b, h, w, c = x.shape
        return jnp.mean(x.reshape(b, h // 2, 2, w // 2, 2, c), (2, 4))

    def concatenate(self, parts):
        return jnp.concatenate(parts, -1)

    def mean(self, x):
        return jnp.mean(x, (1, 2))

    def dense(self, name, x, features):
        return dense(self.params[name], x)


def loss_of(architecture):
    """The loss `(params, statistics, batch) -> loss, new statistics` of a network."""

    def loss(params, statistics, batch):
        x, labels = batch
        operations = Operations(params, statistics)
        return cross_entropy(architecture(operations, x), labels), operations.updated

    return loss
