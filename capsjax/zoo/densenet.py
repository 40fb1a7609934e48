"""DenseNet: each layer reads the features of all layers before it.

A layer adds its features to those it reads, so that a chain of layers passes all of
them on. Normalization comes before a convolution: what is read is standardized anew
for each layer, with statistics and a scale of its own.
"""

import capsjax as cj
from capsjax.graph import Graph, Node
from capsjax.zoo.layers import (
    classification,
    classifier,
    max_pool,
    normalized,
    standardized,
    weightless,
)
from capsjax.zoo.registry import network

Shape = tuple[int, int, int]


@cj.block
def layer(x, *, growth, bottleneck):
    """What is read, and behind it `growth` more features."""
    norm2 = normalized(1, cj.conv(standardized(1, x), bottleneck, (1, 1)), norm=2)
    edge = cj.conv(norm2, growth, (3, 3), padding="SAME")
    return cj.capsule(
        "out", cj.place(x), cj.place(weightless("conv2", edge)), bias=None
    )


@cj.block
def transition(x, *, features):
    """Fewer features at half as many positions along each axis."""
    conv = weightless("conv", cj.conv(standardized("", x), features, (1, 1)))
    return weightless("pool", cj.identity(conv), cj.caps.avg_pool((2, 2)))


@cj.block
def dense_block(x, *, layers, growth, bottleneck):
    """Layers one behind the other."""
    return layer("layer", x, growth=growth, bottleneck=bottleneck, repeat=layers)


def _densely(
    x: Node,
    name: str,
    layers: tuple[int, ...],
    growth: int,
    features: int,
    classes: int,
) -> Graph:
    """Dense blocks with transitions between them that halve the features."""
    sizes = {"growth": growth, "bottleneck": 4 * growth}
    for i, count in enumerate(layers, 1):
        x = dense_block(f"block{i}", x, layers=count, **sizes)
        features += count * growth
        if i < len(layers):
            features //= 2
            x = transition(f"transition{i}", x, features=features)
    pool = cj.identity(standardized("", x))
    pool = weightless("pool", pool, "global_avg_pool")
    return classification(classifier(pool, classes), name)


def _for_imagenet(
    name: str, shape: Shape, classes: int, layers: tuple[int, ...]
) -> Graph:
    image = cj.input("image", shape)
    edge = cj.conv(image, 64, (7, 7), stride=(2, 2), padding=((3, 3), (3, 3)))
    pool0 = max_pool("pool0", normalized(0, edge), 3, 2, 1, 1)
    return _densely(pool0, name, layers, 32, 64, classes)


def _for_cifar(name: str, shape: Shape, classes: int, layers: int) -> Graph:
    image = cj.input("image", shape)
    conv0 = weightless("conv0", cj.conv(image, 24, (3, 3), padding="SAME"))
    return _densely(conv0, name, (layers,) * 3, 12, 24, classes)


@network("densenet-bc-40-12")
def densenet_bc_40_12(*, shape: Shape = (32, 32, 3), classes: int = 10) -> Graph:
    """DenseNet-BC of 40 layers, growth 12, for images of 32x32: 176,122 parameters.

    Three dense blocks of 6 bottleneck layers; transitions halve the features.

    Args:
        shape: Shape of an image: height, width, channels.
        classes: Number of classes.

    Returns:
        The graph: input "image", output "classes".

    Example:
        >>> import capsjax as cj
        >>> cj.compile(cj.zoo.graph("densenet-bc-40-12"), check=False).parameter_count
        176122

    Source: Huang, Liu, van der Maaten & Weinberger, arXiv 1608.06993, section 4.
    """
    return _for_cifar("densenet-bc-40-12", shape, classes, 6)


@network("densenet-bc-100-12")
def densenet_bc_100_12(*, shape: Shape = (32, 32, 3), classes: int = 10) -> Graph:
    """DenseNet-BC of 100 layers, growth 12, for images of 32x32: 769,162 parameters.

    Three dense blocks of 16 bottleneck layers; transitions halve the features.

    Args:
        shape: Shape of an image: height, width, channels.
        classes: Number of classes.

    Returns:
        The graph: input "image", output "classes".

    Example:
        >>> import capsjax as cj
        >>> cj.compile(cj.zoo.graph("densenet-bc-100-12"), check=False).parameter_count
        769162

    Source: Huang, Liu, van der Maaten & Weinberger, arXiv 1608.06993, section 4.
    """
    return _for_cifar("densenet-bc-100-12", shape, classes, 16)


@network("densenet-121")
def densenet_121(*, shape: Shape = (224, 224, 3), classes: int = 1000) -> Graph:
    """DenseNet-121 (BC, growth 32): 7,978,856 parameters.

    Dense blocks of 6, 12, 24 and 16 bottleneck layers.

    Args:
        shape: Shape of an image: height, width, channels.
        classes: Number of classes.

    Returns:
        The graph: input "image", output "classes".

    Example:
        >>> import capsjax as cj
        >>> cj.compile(cj.zoo.graph("densenet-121"), check=False).parameter_count
        7978856

    Source: Huang, Liu, van der Maaten & Weinberger, arXiv 1608.06993, Table 1.
    """
    return _for_imagenet("densenet-121", shape, classes, (6, 12, 24, 16))


@network("densenet-169")
def densenet_169(*, shape: Shape = (224, 224, 3), classes: int = 1000) -> Graph:
    """DenseNet-169 (BC, growth 32): 14,149,480 parameters.

    Dense blocks of 6, 12, 32 and 32 bottleneck layers.

    Args:
        shape: Shape of an image: height, width, channels.
        classes: Number of classes.

    Returns:
        The graph: input "image", output "classes".

    Example:
        >>> import capsjax as cj
        >>> cj.compile(cj.zoo.graph("densenet-169"), check=False).parameter_count
        14149480

    Source: Huang, Liu, van der Maaten & Weinberger, arXiv 1608.06993, Table 1.
    """
    return _for_imagenet("densenet-169", shape, classes, (6, 12, 32, 32))


@network("densenet-201")
def densenet_201(*, shape: Shape = (224, 224, 3), classes: int = 1000) -> Graph:
    """DenseNet-201 (BC, growth 32): 20,013,928 parameters.

    Dense blocks of 6, 12, 48 and 32 bottleneck layers.

    Args:
        shape: Shape of an image: height, width, channels.
        classes: Number of classes.

    Returns:
        The graph: input "image", output "classes".

    Example:
        >>> import capsjax as cj
        >>> cj.compile(cj.zoo.graph("densenet-201"), check=False).parameter_count
        20013928

    Source: Huang, Liu, van der Maaten & Weinberger, arXiv 1608.06993, Table 1.
    """
    return _for_imagenet("densenet-201", shape, classes, (6, 12, 48, 32))
