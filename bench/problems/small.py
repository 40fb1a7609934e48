"""Networks that every version writes itself."""

import dataclasses

from bench.problems.base import PLAIN_GAIN, RELU_GAIN, Layer, Problem, conv, dense

SQUASH_EPSILON = 1e-9  # keeps the derivative of a norm finite at zero
ROUTING_ITERATIONS = 3
RECONSTRUCTION = 0.0005  # times the sum of squares of one example

MLP = Problem(
    "mlp",
    "784-512-512-10, relu, cross-entropy",
    (784,),
    128,
    (
        dense("hidden-1", 784, 512, RELU_GAIN),
        dense("hidden-2", 512, 512, RELU_GAIN),
        dense("logits", 512, 10, PLAIN_GAIN),
    ),
)

LENET = Problem(
    "lenet-5",
    "LeNet-5 with relu and max-pooling, 28x28, cross-entropy",
    (28, 28, 1),
    128,
    (
        conv("c1", 5, 1, 6, RELU_GAIN),
        conv("c3", 5, 6, 16, RELU_GAIN),
        dense("c5", 400, 120, RELU_GAIN),
        dense("f6", 120, 84, RELU_GAIN),
        dense("logits", 84, 10, PLAIN_GAIN),
    ),
)

CAPSNET = Problem(
    "capsnet",
    "Sabour 2017 without decoder, 28x28, 3 routing iterations, margin loss",
    (28, 28, 1),
    16,
    (
        conv("conv", 9, 1, 256, RELU_GAIN),
        conv("primary", 9, 256, 256, PLAIN_GAIN),
        Layer("digit", (1152, 10, 16, 8), None, 0.1),
    ),
)

CAPSNET_DECODER = dataclasses.replace(
    CAPSNET,
    name="capsnet-decoder",
    description="Sabour 2017 with decoder, margin loss and reconstruction",
    layers=(
        *CAPSNET.layers,
        dense("decoder-1", 160, 512, RELU_GAIN),
        dense("decoder-2", 512, 1024, RELU_GAIN),
        dense("decoder-3", 1024, 784, PLAIN_GAIN),
    ),
)

DEEP_MLP = Problem(
    "deep-mlp",
    "64 layers of width 256, tanh, cross-entropy",
    (256,),
    128,
    (
        *(dense(f"hidden-{i}", 256, 256, PLAIN_GAIN) for i in range(1, 65)),
        dense("logits", 256, 10, PLAIN_GAIN),
    ),
)
