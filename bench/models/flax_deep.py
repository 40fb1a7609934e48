"""Flax NNX for convolutional networks: nnx.Conv, nnx.BatchNorm, nnx.Linear."""

import jax.numpy as jnp
from flax import nnx

from bench.problems import Layer, Problem, Values
from bench.problems.deep import NORM_EPSILON, NORM_MOMENTUM


def _layer(layer: Layer, weights: dict, rngs: nnx.Rngs) -> nnx.Module:
    # A copy, because numpy's own memory cannot be donated.
    own = {
        key: nnx.Param(jnp.array(value, copy=True)) for key, value in weights.items()
    }
    if len(layer.weight) == 1:
        module = nnx.BatchNorm(
            layer.weight[0], momentum=NORM_MOMENTUM, epsilon=NORM_EPSILON, rngs=rngs
        )
        module.scale, module.bias = own["W"], own["B"]
        return module
    if len(layer.weight) == 2:
        module = nnx.Linear(*layer.weight, rngs=rngs)
    else:
        *kernel, channels, features = layer.weight
        module = nnx.Conv(
            channels,
            features,
            kernel_size=kernel,
            strides=layer.stride,
            padding=kernel[0] // 2,
            use_bias=layer.bias is not None,
            rngs=rngs,
        )
    module.kernel = own["W"]
    if "B" in own:
        module.bias = own["B"]
    return module


class Network(nnx.Module):
    """The operations of `bench.problems.deep`, and the network made of them."""

    def __init__(self, problem: Problem, values: Values, rngs: nnx.Rngs):
        self.architecture = problem.architecture
        self.layers = nnx.Dict(
            {
                each.name: _layer(each, values[each.name], rngs)
                for each in problem.layers
            }
        )

    def conv(self, name, x, features, kernel, stride=1, bias=False):
        return self.layers[name](x)

    def norm(self, name, x):
        return self.layers[name](x)

    def relu(self, x):
        return nnx.relu(x)

    def max_pool(self, x):
        return nnx.max_pool(x, (3, 3), padding="SAME")

    def average_pool(self, x):
        return nnx.avg_pool(x, (2, 2), (2, 2))

    def concatenate(self, parts):
        return jnp.concatenate(parts, -1)

    def mean(self, x):
        return jnp.mean(x, (1, 2))

    def dense(self, name, x, features):
        return self.layers[name](x)

    def __call__(self, x):
        return self.architecture(self, x)
