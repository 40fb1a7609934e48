"""VGG: stages of 3x3 convolutions, each stage followed by max-pooling."""

import capsjax as cj
from capsjax.graph import Graph, Node
from capsjax.zoo.layers import classification, dense_head, max_pool, rectified
from capsjax.zoo.registry import network

Shape = tuple[int, int, int]


def _convolution(number: int, x: Node, features) -> Node:
    edge = cj.conv(x, features, (3, 3), padding="SAME")
    return rectified(f"conv{number}", edge)


@cj.block
def stage_of_1(x, *, features):
    """A convolution, and pooling."""
    return max_pool("pool", _convolution(1, x, features), 2, 2)


@cj.block
def stage_of_2(x, *, features):
    """Two convolutions, and pooling."""
    conv1 = _convolution(1, x, features)
    return max_pool("pool", _convolution(2, conv1, features), 2, 2)


@cj.block
def stage_of_3(x, *, features):
    """Three convolutions, and pooling."""
    conv2 = _convolution(2, _convolution(1, x, features), features)
    return max_pool("pool", _convolution(3, conv2, features), 2, 2)


@cj.block
def stage_of_4(x, *, features):
    """Four convolutions, and pooling."""
    conv2 = _convolution(2, _convolution(1, x, features), features)
    conv4 = _convolution(4, _convolution(3, conv2, features), features)
    return max_pool("pool", conv4, 2, 2)


def _vgg(name: str, shape: Shape, classes: int, rate: float, first, others) -> Graph:
    """Two stages of one kind and three of another, and dense layers."""
    image = cj.input("image", shape)
    x = first("stage1", image, features=64)
    x = first("stage2", x, features=128)
    x = others("stage", x, features=cj.each([256, 512, 512]), repeat=3, first=3)
    head = dense_head(x, (7, 7), rate, classes, drop_first=False)
    return classification(head, name)


@network("vgg-11")
def vgg_11(
    *, shape: Shape = (224, 224, 3), classes: int = 1000, dropout: float = 0.5
) -> Graph:
    """VGG-11, configuration A: 132,863,336 parameters.

    Two stages of a convolution each, three of two; then three dense layers.

    Args:
        shape: Shape of an image: height, width, channels.
        classes: Number of classes.
        dropout: Rate of dropout behind the first two dense layers.

    Returns:
        The graph: input "image", output "classes".

    Example:
        >>> import capsjax as cj
        >>> cj.compile(cj.zoo.graph("vgg-11"), check=False).parameter_count
        132863336

    Source: Simonyan & Zisserman, arXiv 1409.1556, Table 1.
    """
    return _vgg("vgg-11", shape, classes, dropout, stage_of_1, stage_of_2)


@network("vgg-13")
def vgg_13(
    *, shape: Shape = (224, 224, 3), classes: int = 1000, dropout: float = 0.5
) -> Graph:
    """VGG-13, configuration B: 133,047,848 parameters.

    Two stages of two convolutions each, three of two; then three dense layers.

    Args:
        shape: Shape of an image: height, width, channels.
        classes: Number of classes.
        dropout: Rate of dropout behind the first two dense layers.

    Returns:
        The graph: input "image", output "classes".

    Example:
        >>> import capsjax as cj
        >>> cj.compile(cj.zoo.graph("vgg-13"), check=False).parameter_count
        133047848

    Source: Simonyan & Zisserman, arXiv 1409.1556, Table 1.
    """
    return _vgg("vgg-13", shape, classes, dropout, stage_of_2, stage_of_2)


@network("vgg-16")
def vgg_16(
    *, shape: Shape = (224, 224, 3), classes: int = 1000, dropout: float = 0.5
) -> Graph:
    """VGG-16, configuration D: 138,357,544 parameters.

    Two stages of two convolutions each, three of three; then three dense layers.

    Args:
        shape: Shape of an image: height, width, channels.
        classes: Number of classes.
        dropout: Rate of dropout behind the first two dense layers.

    Returns:
        The graph: input "image", output "classes".

    Example:
        >>> import capsjax as cj
        >>> cj.compile(cj.zoo.graph("vgg-16"), check=False).parameter_count
        138357544

    Source: Simonyan & Zisserman, arXiv 1409.1556, Table 1.
    """
    return _vgg("vgg-16", shape, classes, dropout, stage_of_2, stage_of_3)


@network("vgg-19")
def vgg_19(
    *, shape: Shape = (224, 224, 3), classes: int = 1000, dropout: float = 0.5
) -> Graph:
    """VGG-19, configuration E: 143,667,240 parameters.

    Two stages of two convolutions each, three of four; then three dense layers.

    Args:
        shape: Shape of an image: height, width, channels.
        classes: Number of classes.
        dropout: Rate of dropout behind the first two dense layers.

    Returns:
        The graph: input "image", output "classes".

    Example:
        >>> import capsjax as cj
        >>> cj.compile(cj.zoo.graph("vgg-19"), check=False).parameter_count
        143667240

    Source: Simonyan & Zisserman, arXiv 1409.1556, Table 1.
    """
    return _vgg("vgg-19", shape, classes, dropout, stage_of_2, stage_of_4)
