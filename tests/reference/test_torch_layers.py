"""Layers of PyTorch and ours, weights copied by name: everything that they compute."""

from typing import Any

import helpers_torch
import numpy as np
import pytest
from helpers_equality import draw, errors, worst

import capsjax as cj
from capsjax.pretrained import from_torch

torch = helpers_torch.torch
nn = torch.nn

TOLERANCE = {np.float32: 1e-4, np.float64: 1e-9}


def image_layers():
    """Grouped, depthwise and transposed convolutions, a pool, a flattened map."""
    image = cj.input("image", (9, 8, 4))
    c1 = cj.conv(image, 6, (3, 2), padding=((1, 1), (0, 0)), groups=2, dilation=(1, 2))
    c1 = cj.capsule("0", c1, cap="standardize")
    n1 = cj.capsule("1", cj.channel_scale(c1), cap="relu")
    p1 = cj.caps.max_pool((3, 3), stride=(2, 2), padding=((1, 1), (1, 1)))
    p1 = cj.capsule("pool", cj.identity(n1), cap=p1, bias=None)
    d1 = cj.depthwise_conv(p1, (2, 2), multiplier=2)
    d1 = cj.capsule("4", d1, cap="tanh", bias=None)
    t1 = cj.conv_transpose(d1, 5, (3, 2), stride=(2, 1), padding=((1, 1), (0, 0)))
    t1 = cj.capsule("6", t1, cap="tanh")
    flat = cj.capsule("flat", cj.reshape(t1, (-1,)), bias=None)
    flat = cj.capsule("dropped", cj.identity(flat), cap=cj.caps.dropout(0.0), bias=None)
    module = nn.Sequential(
        nn.Conv2d(4, 6, (3, 2), padding=(1, 0), groups=2, dilation=(1, 2)),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, 1),
        nn.Conv2d(6, 12, 2, groups=6, bias=False),
        nn.Tanh(),
        nn.ConvTranspose2d(12, 5, (3, 2), stride=(2, 1), padding=(1, 0)),
        nn.Tanh(),
        nn.Flatten(),
        nn.Dropout(),
    )
    digit = cj.capsule("10", cj.matmul(flat, 7))
    return cj.graph(digit), module.append(nn.Linear(105, 7)), {}


def sequence_layers():
    """A convolution along a sequence, channels of which are flattened."""
    x = cj.input("x", (6, 3))
    h = cj.capsule("0", cj.conv(x, 4, (3,)), cap="sigmoid")
    flat = cj.capsule("flat", cj.reshape(h, (-1,)), bias=None)
    y = cj.capsule("3", cj.matmul(flat, 5))
    module = nn.Sequential(nn.Conv1d(3, 4, 3), nn.Sigmoid(), nn.Flatten())
    return cj.graph(y), module.append(nn.Linear(16, 5)), {}


class Block(nn.Module):
    """A transformer's: attention and two matrices, each behind a normalization."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(11, 8)
        self.norm1, self.norm2 = nn.LayerNorm(8), nn.LayerNorm(8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(8, 12), nn.GELU(), nn.Linear(12, 8))

    def forward(self, words: Any) -> Any:
        x = self.words(words)
        y = self.norm1(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        return x + self.mlp(self.norm2(x))


def transformer_block():
    """Query, key and value from one matrix of PyTorch's."""
    words = cj.input("words", (5,), dtype="integer")
    x = cj.capsule("words-embedded", cj.embed(words, 11, 8), bias=None)
    y = cj.capsule("normal1", cj.identity(x), cap="layer_norm", bias=None)
    y = cj.capsule("norm1", cj.channel_scale(y))
    parts = []
    for part in ("query", "key", "value"):
        z = cj.capsule(part, cj.matmul(y, 8))
        parts.append(cj.capsule(f"{part}-slot", cj.reshape(z, (1, 5, 8)), bias=None))
    slots = [cj.place(part, axis=0) for part in parts]
    heads = cj.capsule("heads", *slots, cap=cj.caps.attention(2), bias=None)
    x = cj.capsule("attention", cj.matmul(heads, 8), cj.identity(x))
    y = cj.capsule("normal2", cj.identity(x), cap="layer_norm", bias=None)
    y = cj.capsule("norm2", cj.channel_scale(y))
    y = cj.capsule("hidden", cj.matmul(y, 12), cap="gelu")
    names = {
        "words-embedded": "words",
        "attention": "attention.out_proj",
        "hidden": "mlp.0",
        "mixed": "mlp.2",
    }
    for number, part in enumerate(("query", "key", "value"), 1):
        names[f"{part}:W:norm1"] = f"attention.in_proj_weight[{number}/3]"
        names[f"{part}:B"] = f"attention.in_proj_bias[{number}/3]"
    return (
        cj.graph(cj.capsule("mixed", cj.matmul(y, 8), cj.identity(x))),
        Block(),
        names,
    )


@pytest.mark.parametrize("dtype", TOLERANCE, ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize(
    "declare",
    [image_layers, sequence_layers, transformer_block],
    ids=lambda f: f.__name__,
)
def test_layers_compute_the_same(declare, dtype):
    graph, module, names = declare()
    net = cj.compile(graph)
    (name, shape), *_ = net.typed.inputs
    inputs = draw({name: shape}, 16, seed=0)
    if name == "words":
        inputs = {name: np.random.default_rng(0).integers(0, 11, (16, *shape))}
    (output,) = graph.outputs
    reference = helpers_torch.reference(module, inputs, lambda y: {output: y})
    found = errors(net, reference, lambda n, t: from_torch(n, t, names), inputs, dtype)
    assert max(found.values()) <= TOLERANCE[dtype], worst(found)
