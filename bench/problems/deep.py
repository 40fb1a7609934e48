"""Convolutional networks, each written once for all versions.

An architecture is a function of a set of operations and an input. With a version's own
operations it is the network; with the `Recorder` it lists the network's layers.
"""

from collections.abc import Callable
from typing import Any, Protocol

from bench.problems.base import (
    PLAIN_GAIN,
    RELU_GAIN,
    Layer,
    Problem,
    Shape,
    conv,
    dense,
    norm,
)

NORM_EPSILON = 1e-5
NORM_MOMENTUM = 0.9  # what a step keeps of the running statistics


class Operations(Protocol):
    """What a version brings. Convolutions are padded by half of their kernel.

    The shapes that `conv` and `dense` are told stand in the problem's layers as well.
    """

    def conv(
        self, name: str, x, features: int, kernel: int, stride: int = 1, bias=False
    ) -> Any:
        """A convolution."""

    def norm(self, name: str, x) -> Any:
        """Batch norm by the statistics of the batch; updates the running ones."""

    def relu(self, x) -> Any:
        """The larger of x and zero."""

    def max_pool(self, x) -> Any:
        """The largest of 3x3 neighbors, at stride 1, padded."""

    def average_pool(self, x) -> Any:
        """The mean of 2x2 neighbors, at stride 2."""

    def concatenate(self, parts: list) -> Any:
        """Joins channels."""

    def mean(self, x) -> Any:
        """The mean over all positions."""

    def dense(self, name: str, x, features: int) -> Any:
        """A dense layer with bias."""


def resnet_18(f: Operations, x):
    """He et al. 2016, blocks as in torchvision, with CIFAR's stem: 3x3, no pooling."""
    x = f.relu(f.norm("stem-norm", f.conv("stem", x, 64, 3)))
    for stage, features in enumerate((64, 128, 256, 512), 1):
        for block in (1, 2):
            name = f"stage{stage}-block{block}"
            stride = 2 if stage > 1 and block == 1 else 1
            y = f.conv(f"{name}-conv1", x, features, 3, stride)
            y = f.relu(f.norm(f"{name}-norm1", y))
            y = f.norm(f"{name}-norm2", f.conv(f"{name}-conv2", y, features, 3))
            if stride > 1:
                x = f.conv(f"{name}-shortcut", x, features, 1, stride)
                x = f.norm(f"{name}-shortcut-norm", x)
            x = f.relu(x + y)
    return f.dense("logits", f.mean(x), 10)


def densenet_bc_40_12(f: Operations, x):
    """Huang et al. 2017: three dense blocks of six bottlenecks, compression 0.5."""
    growth, channels = 12, 24
    x = f.conv("stem", x, channels, 3)
    for block in (1, 2, 3):
        for layer in range(1, 7):
            name = f"block{block}-layer{layer}"
            y = f.relu(f.norm(f"{name}-norm1", x))
            y = f.conv(f"{name}-conv1", y, 4 * growth, 1)
            y = f.relu(f.norm(f"{name}-norm2", y))
            y = f.conv(f"{name}-conv2", y, growth, 3)
            x = f.concatenate([x, y])
            channels += growth
        if block < 3:
            channels //= 2
            x = f.relu(f.norm(f"transition{block}-norm", x))
            x = f.average_pool(f.conv(f"transition{block}-conv", x, channels, 1))
    return f.dense("logits", f.mean(f.relu(f.norm("norm", x))), 10)


def four_inceptions(f: Operations, x):
    """GoogLeNet's block 3a, original (no batch norm, true 5x5), four times in a row."""

    def conv(name: str, x, features: int, kernel: int):
        return f.relu(f.conv(name, x, features, kernel, bias=True))

    for block in (1, 2, 3, 4):
        name = f"block{block}"
        medium = conv(f"{name}-3x3-reduce", x, 96, 1)
        large = conv(f"{name}-5x5-reduce", x, 16, 1)
        x = f.concatenate(
            [
                conv(f"{name}-1x1", x, 64, 1),
                conv(f"{name}-3x3", medium, 128, 3),
                conv(f"{name}-5x5", large, 32, 5),
                conv(f"{name}-pool", f.max_pool(x), 32, 1),
            ]
        )
    return f.dense("logits", f.mean(x), 10)


class _Shape(tuple):
    """A shape that residual connections can add."""

    def __add__(self, other):
        assert self == other
        return self


class Recorder:
    """Operations on shapes, `(height, width, channels)`, that list the layers."""

    def __init__(self):
        self.layers: list[Layer] = []

    def conv(self, name, x, features, kernel, stride=1, bias=False):
        each = conv(name, kernel, x[2], features, RELU_GAIN, stride=stride, bias=bias)
        self.layers.append(each)
        return _Shape((-(-x[0] // stride), -(-x[1] // stride), features))

    def norm(self, name, x):
        self.layers.append(norm(name, x[2]))
        return x

    def relu(self, x):
        return x

    def max_pool(self, x):
        return x

    def average_pool(self, x):
        return _Shape((x[0] // 2, x[1] // 2, x[2]))

    def concatenate(self, parts):
        return _Shape((*parts[0][:2], sum(part[2] for part in parts)))

    def mean(self, x):
        return x[2:]

    def dense(self, name, x, features):
        self.layers.append(dense(name, x[0], features, PLAIN_GAIN))
        return (features,)


def _problem(
    name: str, description: str, shape: Shape, batch_size: int, architecture: Callable
) -> Problem:
    recorder = Recorder()
    architecture(recorder, _Shape(shape))
    return Problem(
        name,
        description,
        shape,
        batch_size,
        tuple(recorder.layers),
        architecture=architecture,
    )


RESNET = _problem(
    "resnet-18", "ResNet-18, 32x32, batch norm", (32, 32, 3), 32, resnet_18
)
DENSENET = _problem(
    "densenet-bc-40-12",
    "DenseNet-BC-40-12, 32x32, batch norm",
    (32, 32, 3),
    16,
    densenet_bc_40_12,
)
INCEPTION = _problem(
    "inception",
    "four inception blocks (3a), 28x28x192",
    (28, 28, 192),
    8,
    four_inceptions,
)
