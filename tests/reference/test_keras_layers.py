"""Layers of Keras and ours, weights copied by name: everything that they compute."""

from typing import Any

import helpers_keras
import numpy as np
from helpers_equality import draw, errors, worst

import capsjax as cj
from capsjax.pretrained import from_keras

keras = helpers_keras.keras

TOLERANCE = 1e-4
NAMES = {"scaled": "standardized", "made": "transposed"}


def declared() -> cj.Graph:
    """A convolution with a bias that is subtracted again, and further kinds."""
    image = cj.input("image", (8, 7, 4))
    conv = cj.conv(image, 6, (3, 2), stride=(2, 1), padding="SAME")
    keras_norm = cj.caps.standardize(momentum=0.99, epsilon=1e-3, unbiased=False)
    conv = cj.capsule("conv", conv, cap=keras_norm)
    scaled = cj.capsule("scaled", cj.channel_scale(conv), cap="relu")
    each = cj.depthwise_conv(scaled, (2, 2), multiplier=2)
    each = cj.capsule("each", each, cap="tanh", bias=None)
    made = cj.conv_transpose(each, 5, (2, 3), stride=(2, 1))
    made = cj.capsule("made", made, cap="tanh")
    flat = cj.capsule("flat", cj.reshape(made, (-1,)), bias=None)
    return cj.graph(cj.capsule("digit", cj.matmul(flat, 7), cap="softmax"))


def model() -> Any:
    """The same by Keras."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((8, 7, 4)),
            layers.Conv2D(6, (3, 2), strides=(2, 1), padding="same", name="conv"),
            layers.BatchNormalization(name="standardized"),
            layers.ReLU(),
            layers.DepthwiseConv2D(
                (2, 2), depth_multiplier=2, use_bias=False, name="each"
            ),
            layers.Activation("tanh"),
            layers.Conv2DTranspose(5, (2, 3), strides=(2, 1), name="transposed"),
            layers.Activation("tanh"),
            layers.Flatten(),
            layers.Dense(7, activation="softmax", name="digit"),
        ],
        name="model",
    )


def test_layers_compute_the_same():
    """In float32: some layers of Keras compute in it, whatever the type of a model."""
    net = cj.compile(declared())
    inputs = draw({"image": (8, 7, 4)}, 16, seed=0)
    reference = helpers_keras.reference(model, inputs, "digit")

    def convert(net, tensors):
        return from_keras(net, tensors, NAMES)

    found = errors(net, reference, convert, inputs, np.float32)
    assert max(found.values()) <= TOLERANCE, worst(found)
