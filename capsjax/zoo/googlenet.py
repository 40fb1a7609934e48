"""GoogLeNet: blocks of four branches side by side; torchvision's and the original.

The branches of an inception block are a 1x1 convolution; a 1x1, then a 3x3; a 1x1, then
a 5x5; and max-pooling, then a 1x1. Their features are concatenated. `conv3_2` is the
second convolution of the third branch.
"""

from collections.abc import Callable

import capsjax as cj
from capsjax.graph import Block, Graph, Incoming, Node
from capsjax.zoo.layers import (
    classification,
    classifier,
    dropped,
    max_pool,
    normalized,
    rectified,
    weightless,
)
from capsjax.zoo.registry import network

Shape = tuple[int, int, int]
Convolution = Callable[[object, Incoming], Node]

_EPSILON = 1e-3
_STAGES = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
"""Table 1: features of 1x1; 3x3 reduced, 3x3; 5x5 reduced, 5x5; behind pooling."""

_FEATURES = ("one", "three_reduced", "three", "five_reduced", "five", "pooled")
_AUXILIARY_AT = {"4a": 1, "4d": 2}


def _normalized(number: object, edge: Incoming) -> Node:
    return normalized(number, edge, _EPSILON)


def _rectified(number: object, edge: Incoming) -> Node:
    return rectified(f"conv{number}", edge)


def _branches(
    convolution: Convolution,
    five: int,
    x: Node,
    features: tuple,
) -> Node:
    """The four branches, and their concatenation."""
    one, three_reduced, three, five_reduced, fives, pooled = features
    branch1 = convolution(1, cj.conv(x, one, (1, 1)))
    branch2 = convolution("2_1", cj.conv(x, three_reduced, (1, 1)))
    branch2 = convolution("2_2", cj.conv(branch2, three, (3, 3), padding="SAME"))
    branch3 = convolution("3_1", cj.conv(x, five_reduced, (1, 1)))
    edge = cj.conv(branch3, fives, (five, five), padding="SAME")
    branch3 = convolution("3_2", edge)
    branch4 = max_pool("pool", x, 3, 1, 1, 1)
    branch4 = convolution("4", cj.conv(branch4, pooled, (1, 1)))
    branches = map(cj.place, (branch1, branch2, branch3, branch4))
    return cj.capsule("out", *branches, bias=None)


@cj.block
def inception(x, *, one, three_reduced, three, five_reduced, five, pooled):
    """Four branches side by side."""
    features = (one, three_reduced, three, five_reduced, five, pooled)
    return _branches(_rectified, 5, x, features)


@cj.block
def inception_normalized(x, *, one, three_reduced, three, five_reduced, five, pooled):
    """Four branches with batch norm; in place of 5x5 stands 3x3, as in torchvision."""
    features = (one, three_reduced, three, five_reduced, five, pooled)
    return _branches(_normalized, 3, x, features)


def _dense(pool: Node, convolution: Convolution, classes) -> Node:
    conv = convolution("", cj.conv(pool, 128, (1, 1)))
    flat = weightless("flat", cj.reshape(conv, (-1,)))
    fc1 = rectified("fc1", cj.matmul(flat, 1024))
    return classifier(dropped("drop", fc1, 0.7), classes)


@cj.block
def auxiliary_head(x, *, classes):
    """A classifier in the middle of the network, for training."""
    pool = cj.caps.avg_pool((5, 5), (3, 3))
    return _dense(weightless("pool", cj.identity(x), pool), _rectified, classes)


@cj.block
def auxiliary_head_normalized(x, *, classes):
    """The same with batch norm and adaptive pooling, as in torchvision."""
    pool = cj.caps.adaptive_avg_pool((4, 4))
    return _dense(weightless("pool", cj.identity(x), pool), _normalized, classes)


def _half(number: int, x: Node, window: int = 3) -> Node:
    """Max-pooling at every other position; a window may reach over the end."""
    return max_pool(f"pool{number}", x, window, 2, 0, 1)


def _from_3a(
    name: str,
    x: Node,
    block: Block,
    head: Block | None,
    classes: int,
    rate: float,
    last_pool: int,
) -> Graph:
    """The inception blocks, pooling between them, and the classifiers."""
    heads = []
    for stage, sizes in _STAGES.items():
        if stage == "4a":
            x = _half(3, x)
        if stage == "5a":
            x = _half(4, x, last_pool)
        features = dict(zip(_FEATURES, sizes, strict=True))
        x = block(f"inception{stage}", x, **features)
        if head is not None and stage in _AUXILIARY_AT:
            heads.append(head(f"aux{_AUXILIARY_AT[stage]}", x, classes=classes))
    pool = weightless("pool", cj.identity(x), "global_avg_pool")
    top = classifier(dropped("drop", pool, rate), classes)
    if not heads:
        return classification(top, name)
    aside = {each.name: cj.losses.cross_entropy(weight=0.3) for each in heads}
    losses = {"classes": "cross_entropy", **aside}
    return cj.graph(top, *heads, name=name, losses=losses)


@network("googlenet")
def googlenet(
    *,
    shape: Shape = (224, 224, 3),
    classes: int = 1000,
    dropout: float = 0.2,
    auxiliary: bool = False,
) -> Graph:
    """GoogLeNet as torchvision has it, with batch norm: 6,624,904 parameters.

    Where the paper has 5x5 convolutions, this one has 3x3. With auxiliary classifiers
    it has 13,004,888 parameters.

    Args:
        shape: Shape of an image: height, width, channels.
        classes: Number of classes.
        dropout: Rate of dropout before the classifier.
        auxiliary: Whether there are two more classifiers in the middle, outputs
            "aux1/classes" and "aux2/classes", whose losses weigh 0.3 each.

    Returns:
        The graph: input "image", output "classes".

    Example:
        >>> import capsjax as cj
        >>> cj.compile(cj.zoo.graph("googlenet"), check=False).parameter_count
        6624904
        >>> net = cj.compile(cj.zoo.graph("googlenet", auxiliary=True), check=False)
        >>> net.parameter_count, net.graph.outputs
        (13004888, ('classes', 'aux1/classes', 'aux2/classes'))

    Source: Szegedy, Liu, Jia, Sermanet, Reed, Anguelov, Erhan, Vanhoucke & Rabinovich,
        arXiv 1409.4842, Table 1; Ioffe & Szegedy, arXiv 1502.03167.
    """
    image = cj.input("image", shape)
    edge = cj.conv(image, 64, (7, 7), stride=(2, 2), padding=((3, 3), (3, 3)))
    pool1 = _half(1, _normalized(1, edge))
    norm2 = _normalized(2, cj.conv(pool1, 64, (1, 1)))
    norm3 = _normalized(3, cj.conv(norm2, 192, (3, 3), padding="SAME"))
    head = auxiliary_head_normalized if auxiliary else None
    x = _half(2, norm3)
    return _from_3a("googlenet", x, inception_normalized, head, classes, dropout, 2)


@network("googlenet-original")
def googlenet_original(
    *,
    shape: Shape = (224, 224, 3),
    classes: int = 1000,
    dropout: float = 0.4,
    auxiliary: bool = False,
) -> Graph:
    """GoogLeNet of 2014, with local response norm: 6,998,552 parameters.

    With auxiliary classifiers it has 13,378,280 parameters.

    Args:
        shape: Shape of an image: height, width, channels.
        classes: Number of classes.
        dropout: Rate of dropout before the classifier.
        auxiliary: Whether there are two more classifiers in the middle, outputs
            "aux1/classes" and "aux2/classes", whose losses weigh 0.3 each.

    Returns:
        The graph: input "image", output "classes".

    Example:
        >>> import capsjax as cj
        >>> net = cj.compile(cj.zoo.graph("googlenet-original"), check=False)
        >>> net.parameter_count
        6998552

    Source: Szegedy et al., arXiv 1409.4842, Table 1 and section 5.
    """
    image = cj.input("image", shape)
    edge = cj.conv(image, 64, (7, 7), stride=(2, 2), padding=((3, 3), (3, 3)))
    norm = cj.caps.local_response_norm(5)
    norm1 = weightless("norm1", cj.identity(_half(1, _rectified(1, edge))), norm)
    conv2 = _rectified(2, cj.conv(norm1, 64, (1, 1)))
    conv3 = _rectified(3, cj.conv(conv2, 192, (3, 3), padding="SAME"))
    x = _half(2, weightless("norm2", cj.identity(conv3), norm))
    head = auxiliary_head if auxiliary else None
    return _from_3a("googlenet-original", x, inception, head, classes, dropout, 3)
