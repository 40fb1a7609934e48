"""What fixes a network to train, without any framework's code.

Weights are drawn once, with numpy, in one layout for all (channels last, a dense
weight as [in, out], a convolution as [height, width, in, out], a vote as
[lower, upper, out, in]); each version converts them to its own layout. So all start
from the same point and have to report the same losses.
"""

import dataclasses
import math
from collections.abc import Callable

import numpy as np

Shape = tuple[int, ...]
Values = dict[str, dict[str, np.ndarray]]

RELU_GAIN = 2.0
PLAIN_GAIN = 1.0


@dataclasses.dataclass(frozen=True)
class Layer:
    """One weight with its bias, in the shared layout.

    A weight of one dimension is the scale of a batch norm, and the bias its shift.
    """

    name: str
    weight: Shape
    bias: Shape | None
    scale: float  # standard deviation of the weight
    mean: float = 0.0
    stride: int = 1  # of a convolution

    @property
    def size(self) -> int:
        return math.prod(self.weight) + (math.prod(self.bias) if self.bias else 0)


@dataclasses.dataclass(frozen=True)
class Problem:
    """A network to train, with the batch of one step.

    Attributes:
      architecture: the network in terms of `bench.problems.deep.Operations`; None
        where every version writes it itself.
    """

    name: str
    description: str
    input_shape: Shape
    batch_size: int
    layers: tuple[Layer, ...]
    classes: int = 10
    architecture: Callable | None = None

    @property
    def parameter_count(self) -> int:
        return sum(layer.size for layer in self.layers)

    @property
    def norms(self) -> tuple[Layer, ...]:
        """The batch norms, which have running statistics."""
        return tuple(layer for layer in self.layers if len(layer.weight) == 1)

    def values(self, seed: int = 0) -> Values:
        """Draws the initial weights; biases too, so that a lost bias is noticed."""
        random = np.random.default_rng(seed)
        values: Values = {}
        for layer in self.layers:
            weight = random.standard_normal(layer.weight, np.float32)
            drawn = {"W": layer.mean + layer.scale * weight}
            if layer.bias:
                drawn["B"] = 0.01 * random.standard_normal(layer.bias, np.float32)
            values[layer.name] = {k: v.astype(np.float32) for k, v in drawn.items()}
        return values

    def statistics(self) -> Values:
        """The initial running statistics of the batch norms."""
        return {
            layer.name: {
                "mean": np.zeros(layer.weight, np.float32),
                "var": np.ones(layer.weight, np.float32),
            }
            for layer in self.norms
        }

    def batch(self, size: int | None = None, seed: int = 1):
        """Draws one batch: inputs in [0, 1) and integer labels."""
        random = np.random.default_rng(seed)
        size = size or self.batch_size
        inputs = random.random((size, *self.input_shape), np.float32)
        return inputs, random.integers(0, self.classes, size).astype(np.int32)


def dense(name: str, size_in: int, size_out: int, gain: float) -> Layer:
    """A dense layer whose outputs have the variance of its inputs, times gain."""
    scale = math.sqrt(gain / size_in)
    return Layer(name, (size_in, size_out), (size_out,), scale)


def conv(
    name: str,
    kernel: int,
    size_in: int,
    size_out: int,
    gain: float,
    *,
    stride: int = 1,
    bias: bool = True,
) -> Layer:
    """A convolution, likewise."""
    scale = math.sqrt(gain / (kernel * kernel * size_in))
    shape = (kernel, kernel, size_in, size_out)
    return Layer(name, shape, (size_out,) if bias else None, scale, stride=stride)


def norm(name: str, size: int) -> Layer:
    """A batch norm."""
    return Layer(name, (size,), (size,), scale=0.1, mean=1.0)
