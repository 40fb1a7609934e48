"""Networks of the zoo beside those of keras.applications.

Keras' batch normalization computes in float32 in models of any type, and its epsilon
and momentum are its own: they are settings of `standardize`. Its ResNet-50 differs from
the others': it keeps the biases of convolutions, and has the stride of a block in the
first.
"""

from collections.abc import Callable
from typing import Any

import helpers_keras
import numpy as np
import pytest
from helpers_equality import draw, errors, with_settings, worst

import capsjax as cj
from capsjax.graph import from_document, to_document
from capsjax.pretrained import from_keras
from capsjax.zoo.correspondence import names_in

applications = helpers_keras.keras.applications

SETTINGS = {
    "standardize": {"momentum": 0.99, "epsilon": 1.001e-5, "unbiased": False},
    "adaptive_avg_pool": {"windows": (1, 1)},  # VGG's, of one position
    "dropout": {"rate": 0.0},
}
RESNET_NAMES = {
    "conv1": "conv1_conv",
    "norm1": "conv1_bn",
    "stage{i}/block{j}/conv{k}": "conv{i+1}_block{j}_{k}_conv",
    "stage{i}/block{j}/norm{k}": "conv{i+1}_block{j}_{k}_bn",
    "stage{i}/shortcut": "conv{i+1}_block1_0_conv",
    "stage{i}/shortcut_norm": "conv{i+1}_block1_0_bn",
    "classes": "predictions",
}


def resnet(graph: cj.Graph) -> cj.Graph:
    """As Keras has it: with biases, and the stride elsewhere."""

    def with_biases(value: Any) -> Any:
        if isinstance(value, list):
            return [with_biases(each) for each in value]
        if not isinstance(value, dict):
            return value
        kept = {key: with_biases(each) for key, each in value.items()}
        if value.get("cap") == {"kind": "standardize"}:
            del kept["bias"]
        return kept

    document = with_biases(to_document(graph))
    block = document["blocks"]["bottleneck"]["capsules"]
    edges = {each["name"]: each["from"][0] for each in block}
    edges["conv1"]["stride"] = edges["conv2"].pop("stride")
    return from_document(document)


def errors_of(
    name: str, build: Callable[..., Any], training: bool, dtype: Any
) -> dict[str, float]:
    is_resnet = name.startswith("resnet")
    # Batch statistics of ResNet's last stage are over more than a few numbers.
    shape = (64, 64, 3) if is_resnet else (32, 32, 3)
    graph = cj.zoo.graph(name, shape=shape, classes=10)
    graph = with_settings(resnet(graph) if is_resnet else graph, SETTINGS)
    names = RESNET_NAMES if is_resnet else names_in("keras", name)
    inputs = draw({"image": shape}, 4, seed=0)

    def model() -> Any:
        return build(weights=None, input_shape=shape, classes=10)

    reference = helpers_keras.reference(model, inputs, "classes")

    def convert(net, tensors):
        return from_keras(net, tensors, names)

    return errors(cj.compile(graph), reference, convert, inputs, dtype, training)


@pytest.mark.parametrize(
    ("name", "build"),
    [("vgg-16", applications.VGG16), ("vgg-19", applications.VGG19)],
)
def test_vgg_computes_the_same(name, build):
    found = errors_of(name, build, True, np.float64)
    assert max(found.values()) <= 1e-9, worst(found)


@pytest.mark.parametrize(
    ("name", "build"),
    [
        ("resnet-50", applications.ResNet50),
        ("densenet-121", applications.DenseNet121),
    ],
)
def test_networks_with_batch_normalization_compute_the_same(name, build):
    """Outputs and statistics; float32 takes units over the kink of relu.

    Their gradients are compared in float64, with torchvision's.
    """
    found = errors_of(name, build, True, np.float32)
    found = {n: e for n, e in found.items() if not n.startswith("gradient")}
    assert max(found.values()) <= 1e-4, worst(found)
