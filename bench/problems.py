"""What is measured: four networks, each with its shapes, its batch and its weights.

A problem fixes everything that the versions share, and holds no framework's code.
Weights are drawn once, with numpy, in one layout for all (channels last, a dense
weight as [in, out], a convolution as [height, width, in, out], a vote as
[lower, upper, out, in]); each version converts them to its own layout. So all start
from the same point and have to report the same losses.
"""

import dataclasses
import math

import numpy as np

Shape = tuple[int, ...]
Values = dict[str, dict[str, np.ndarray]]

SQUASH_EPSILON = 1e-9  # keeps the derivative of a norm finite at zero
ROUTING_ITERATIONS = 3


@dataclasses.dataclass(frozen=True)
class Layer:
    """One weight with its bias, in the shared layout."""

    name: str
    weight: Shape
    bias: Shape | None
    scale: float  # standard deviation of the weight

    @property
    def size(self) -> int:
        return math.prod(self.weight) + (math.prod(self.bias) if self.bias else 0)


@dataclasses.dataclass(frozen=True)
class Problem:
    """A network to train, with the batch of one step."""

    name: str
    description: str
    input_shape: Shape
    batch_size: int
    layers: tuple[Layer, ...]
    classes: int = 10

    @property
    def parameter_count(self) -> int:
        return sum(layer.size for layer in self.layers)

    def values(self, seed: int = 0) -> Values:
        """Draws the initial weights; biases too, so that a lost bias is noticed."""
        random = np.random.default_rng(seed)
        values: Values = {}
        for layer in self.layers:
            drawn = {
                "W": layer.scale * random.standard_normal(layer.weight, np.float32)
            }
            if layer.bias:
                drawn["B"] = 0.01 * random.standard_normal(layer.bias, np.float32)
            values[layer.name] = {k: v.astype(np.float32) for k, v in drawn.items()}
        return values

    def batch(self, size: int | None = None, seed: int = 1):
        """Draws one batch: inputs in [0, 1) and integer labels."""
        random = np.random.default_rng(seed)
        size = size or self.batch_size
        inputs = random.random((size, *self.input_shape), np.float32)
        return inputs, random.integers(0, self.classes, size).astype(np.int32)


def _dense(name: str, size_in: int, size_out: int, gain: float) -> Layer:
    scale = math.sqrt(gain / size_in)
    return Layer(name, (size_in, size_out), (size_out,), scale)


def _conv(name: str, kernel: int, size_in: int, size_out: int, gain: float) -> Layer:
    scale = math.sqrt(gain / (kernel * kernel * size_in))
    return Layer(name, (kernel, kernel, size_in, size_out), (size_out,), scale)


_RELU_GAIN = 2.0
_PLAIN_GAIN = 1.0

MLP = Problem(
    "mlp",
    "784-512-512-10, relu, cross-entropy",
    (784,),
    128,
    (
        _dense("hidden-1", 784, 512, _RELU_GAIN),
        _dense("hidden-2", 512, 512, _RELU_GAIN),
        _dense("logits", 512, 10, _PLAIN_GAIN),
    ),
)

LENET = Problem(
    "lenet-5",
    "LeNet-5 with relu and max-pooling, 28x28, cross-entropy",
    (28, 28, 1),
    128,
    (
        _conv("c1", 5, 1, 6, _RELU_GAIN),
        _conv("c3", 5, 6, 16, _RELU_GAIN),
        _dense("c5", 400, 120, _RELU_GAIN),
        _dense("f6", 120, 84, _RELU_GAIN),
        _dense("logits", 84, 10, _PLAIN_GAIN),
    ),
)

CAPSNET = Problem(
    "capsnet",
    "Sabour 2017 without decoder, 28x28, 3 routing iterations, margin loss",
    (28, 28, 1),
    16,
    (
        _conv("conv", 9, 1, 256, _RELU_GAIN),
        _conv("primary", 9, 256, 256, _PLAIN_GAIN),
        Layer("digit", (1152, 10, 16, 8), None, 0.1),
    ),
)

DEEP_MLP = Problem(
    "deep-mlp",
    "64 layers of width 256, tanh, cross-entropy",
    (256,),
    128,
    (
        *(_dense(f"hidden-{i}", 256, 256, _PLAIN_GAIN) for i in range(1, 65)),
        _dense("logits", 256, 10, _PLAIN_GAIN),
    ),
)

PROBLEMS = {problem.name: problem for problem in (MLP, LENET, CAPSNET, DEEP_MLP)}
OPTIMIZERS = ("adam", "sgd")
