"""Networks of the zoo beside torchvision's and transformers' own."""

from typing import Any

import helpers_torch
import numpy as np
import pytest
from helpers_equality import draw, errors, worst

import capsjax as cj
from capsjax.pretrained import from_torch
from capsjax.zoo.correspondence import names_in

torch = helpers_torch.torch

TOLERANCE = {np.float32: 1e-4, np.float64: 1e-9}


def vit_b_16() -> tuple[Any, ...]:
    """Images of 64 x 64: 16 patches."""
    graph = cj.zoo.graph("vit-b-16", shape=(64, 64, 3))
    models = helpers_torch.torchvision.models
    model = models.VisionTransformer(64, 16, 12, 12, 768, 3072)
    inputs = draw({"image": (64, 64, 3)}, 2, seed=0)
    return graph, model, inputs, lambda y: {"class": y.softmax(-1)}, "torchvision"


def gpt_2() -> tuple[Any, ...]:
    """Texts of 12 tokens."""
    transformers = pytest.importorskip("transformers")
    graph = cj.zoo.graph("gpt-2", length=12)
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(n_positions=12))
    inputs = {"tokens": np.random.default_rng(0).integers(0, 50257, (2, 12))}
    outputs = lambda y: {"next": y.logits.softmax(-1)}  # noqa: E731
    return graph, model, inputs, outputs, "transformers"


@pytest.mark.parametrize("dtype", TOLERANCE, ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("declare", [vit_b_16, gpt_2], ids=lambda f: f.__name__)
def test_networks_compute_the_same(declare, dtype):
    graph, model, inputs, outputs, library = declare()
    net = cj.compile(graph)
    reference = helpers_torch.reference(model, inputs, outputs)
    names = names_in(library, graph.name)

    def convert(net, tensors):
        return from_torch(net, tensors, names)

    found = errors(net, reference, convert, inputs, dtype)
    assert max(found.values()) <= TOLERANCE[dtype], worst(found)
