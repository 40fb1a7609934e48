"""Residual blocks and stages of them.

With F two or three convolutions, each with batch normalization, a block is

    Y = relu(F(x) + shortcut)

and the shortcut is x itself; or, where a stage begins, what makes F(x) and x alike.
"""

from typing import Any

import capsjax as cj
from capsjax.graph import Node
from capsjax.zoo.layers import convolved, normalized, weightless

_AROUND = ((1, 1), (1, 1))


@cj.block
def basic(x, shortcut, *, features, stride=(1, 1)):
    """Two convolutions, the first with the stride."""
    edge = cj.conv(x, features, (3, 3), stride=stride, padding=_AROUND)
    norm1 = normalized(1, edge)
    conv2 = convolved(2, cj.conv(norm1, features, (3, 3), padding=_AROUND))
    return _sum(2, conv2, shortcut)


@cj.block
def bottleneck(x, shortcut, *, features, expanded, stride=(1, 1)):
    """To fewer features, a convolution there with the stride, and back."""
    norm1 = normalized(1, cj.conv(x, features, (1, 1)))
    edge = cj.conv(norm1, features, (3, 3), stride=stride, padding=_AROUND)
    conv3 = convolved(3, cj.conv(normalized(2, edge), expanded, (1, 1)))
    return _sum(3, conv3, shortcut)


@cj.block
def basic_stage(x, *, features, repeats):
    """Blocks of two convolutions behind a first one whose shortcut is projected."""
    stride = (2, 2)
    shortcut = _projected(x, features, stride)
    first = basic("block1", x, shortcut, features=features, stride=stride)
    return basic("block", first, first, features=features, repeat=repeats, first=2)


@cj.block
def padded_stage(x, *, features, repeats):
    """The same; the first shortcut is every other position of x, and zeros.

    It has no parameters: features that x lacks are zero.
    """
    stride = (2, 2)
    strided = cj.caps.avg_pool((1, 1), stride)
    smaller = weightless("smaller", cj.identity(x), strided)
    padded = cj.place(smaller, offset=0, size=features)
    shortcut = weightless("shortcut", padded)
    first = basic("block1", x, shortcut, features=features, stride=stride)
    return basic("block", first, first, features=features, repeat=repeats, first=2)


@cj.block
def bottleneck_stage(x, *, features, expanded, stride, repeats):
    """Bottlenecks behind a first one whose shortcut is projected."""
    sizes = {"features": features, "expanded": expanded}
    shortcut = _projected(x, expanded, stride)
    first = bottleneck("block1", x, shortcut, **sizes, stride=stride)
    return bottleneck("block", first, first, **sizes, repeat=repeats, first=2)


def _sum(number: int, convolution: Node, shortcut: Node) -> Node:
    edges = cj.channel_scale(convolution), cj.identity(shortcut)
    return cj.capsule(f"norm{number}", *edges, cap="relu")


def _projected(x: Node, features: Any, stride: Any) -> Node:
    edge = cj.conv(x, features, (1, 1), stride=stride)
    conv = cj.capsule("shortcut", edge, cap="standardize", bias=None)
    return cj.capsule("shortcut_norm", cj.channel_scale(conv))
