"""Networks of the zoo beside those of torchvision, timm and transformers.

Every network computes the same in float64: outputs in inference and in training, new
running statistics and the gradient of every parameter. Small images serve as well as
large ones, since the weights of convolutions do not depend on the size; VGG's head
averages to 2x2 in place of 7x7 positions.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import helpers_torch
import numpy as np
import pytest
from helpers_equality import Arrays, draw, errors, with_settings, worst

import capsjax as cj
from capsjax.pretrained import from_torch
from capsjax.zoo.correspondence import names_in

torch = helpers_torch.torch
models = helpers_torch.torchvision.models


class Case(NamedTuple):
    """A network of the zoo, and the same by others.

    Attributes:
        graph: Ours.
        model: Theirs.
        inputs: A batch by our names.
        outputs: From what theirs returns to outputs by our names.
        library: Whose it is.
        residual: A regular expression: normalizations added to a shortcut.
    """

    graph: cj.Graph
    model: Any
    inputs: Arrays
    outputs: Callable[[Any], Mapping[str, Any]]
    library: str = "torchvision"
    residual: str = ""


def images(size: int, count: int = 2) -> Arrays:
    return draw({"image": (size, size, 3)}, count, seed=0)


def classes(logits: Any) -> dict[str, Any]:
    return {"classes": logits.softmax(-1)}


def of_images(name: str, model: Any, size: int, library: str = "torchvision") -> Case:
    options = cj.zoo.options_of(name).keys() & {"dropout"}
    graph = cj.zoo.graph(name, shape=(size, size, 3), **dict.fromkeys(options, 0.0))
    return Case(graph, model, images(size), classes, library)


def alexnet() -> Case:
    return of_images("alexnet", models.alexnet(), 96)


def vgg(depth: int) -> Case:
    case = of_images(f"vgg-{depth}", getattr(models, f"vgg{depth}")(), 64)
    case.model.avgpool = torch.nn.AdaptiveAvgPool2d((2, 2))
    case.model.classifier[0] = torch.nn.Linear(4 * 512, 4096)
    settings = {"adaptive_avg_pool": {"windows": (2, 2)}}
    return case._replace(graph=with_settings(case.graph, settings))


def googlenet() -> Case:
    """With its two auxiliary heads, which torchvision's has in training alone."""
    options = {"auxiliary": True, "dropout": 0.0, "shape": (96, 96, 3)}
    graph = cj.zoo.graph("googlenet", **options)
    graph = with_settings(graph, {"dropout": {"rate": 0.0}})

    def outputs(found: Any) -> dict[str, Any]:
        if not isinstance(found, tuple):
            return classes(found)
        names = "classes", "aux2/classes", "aux1/classes"
        return {n: y.softmax(-1) for n, y in zip(names, found, strict=True)}

    model = models.googlenet(aux_logits=True, init_weights=False)
    return Case(graph, model, images(96), outputs)


def resnet(depth: int) -> Case:
    case = of_images(f"resnet-{depth}", getattr(models, f"resnet{depth}")(), 64)
    last = 3 if depth >= 50 else 2
    return case._replace(residual=rf"layer.*(bn{last}|downsample\.1)$")


def densenet(depth: int) -> Case:
    return of_images(f"densenet-{depth}", getattr(models, f"densenet{depth}")(), 64)


def vit_b_16() -> Case:
    """Images of 64x64: 16 patches."""
    graph = cj.zoo.graph("vit-b-16", shape=(64, 64, 3))
    model = models.VisionTransformer(64, 16, 12, 12, 768, 3072)
    return Case(graph, model, images(64), lambda y: {"class": y.softmax(-1)})


def gpt_2() -> Case:
    """Texts of 12 tokens."""
    transformers = pytest.importorskip("transformers")
    graph = cj.zoo.graph("gpt-2", length=12)
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(n_positions=12))
    inputs = {"tokens": np.random.default_rng(0).integers(0, 50257, (2, 12))}
    outputs = lambda y: {"next": y.logits.softmax(-1)}  # noqa: E731
    return Case(graph, model, inputs, outputs, "transformers")


def timm_resnet_50() -> Case:
    timm = pytest.importorskip("timm")
    return of_images("resnet-50", timm.create_model("resnet50"), 64, "timm")


def timm_vit_b_16() -> Case:
    timm = pytest.importorskip("timm")
    model = timm.create_model("vit_base_patch16_224", img_size=64)
    case = vit_b_16()
    return case._replace(model=model, library="timm")


CASES: dict[str, Callable[[], Case]] = {
    "alexnet": alexnet,
    **{f"vgg-{depth}": lambda depth=depth: vgg(depth) for depth in (11, 13, 16, 19)},
    "googlenet": googlenet,
    **{f"resnet-{d}": lambda d=d: resnet(d) for d in (18, 34, 50, 101, 152)},
    **{f"densenet-{d}": lambda d=d: densenet(d) for d in (121, 169, 201)},
    "vit-b-16": vit_b_16,
    "gpt-2": gpt_2,
    "timm resnet-50": timm_resnet_50,
    "timm vit-b-16": timm_vit_b_16,
}
SHALLOW = ("alexnet", "vgg-11", "resnet-18", "vit-b-16")
DEEP = ("googlenet", "resnet-50", "densenet-121")


def compared(case: Case, dtype: Any) -> dict[str, float]:
    """Errors of ours; in float32, normalized channels are apart from relu's kink."""
    net = cj.compile(case.graph)
    apart = dtype == np.float32
    reference = helpers_torch.reference(
        case.model, case.inputs, case.outputs, residual=case.residual, apart=apart
    )
    names = names_in(case.library, case.graph.name)

    def convert(net, tensors):
        return from_torch(net, tensors, names)

    return errors(net, reference, convert, case.inputs, dtype)


@pytest.mark.parametrize("name", CASES)
def test_networks_compute_the_same(name):
    found = compared(CASES[name](), np.float64)
    assert max(found.values()) <= 1e-9, worst(found)


@pytest.mark.parametrize("name", SHALLOW)
def test_networks_compute_the_same_in_float32(name):
    found = compared(CASES[name](), np.float32)
    assert max(found.values()) <= 1e-4, worst(found)


@pytest.mark.parametrize("name", DEEP)
def test_deep_networks_compute_the_same_outputs_and_statistics_in_float32(name):
    """Gradients are compared in float64 alone.

    Rounding takes some units over the kink of relu, or another maximum into a pool, and
    the gradient of everything below jumps: torch's own gradients in float32 are further
    than 1e-4 from its gradients in float64.
    """
    found = compared(CASES[name](), np.float32)
    found = {n: e for n, e in found.items() if not n.startswith("gradient")}
    assert max(found.values()) <= 1e-4, worst(found)
