"""ResNet: stages of blocks that add to what they read; for ImageNet and for CIFAR."""

from collections.abc import Callable

import capsjax as cj
from capsjax.graph import Graph, Node
from capsjax.zoo.layers import (
    classification,
    classifier,
    max_pool,
    normalized,
    weightless,
)
from capsjax.zoo.registry import network
from capsjax.zoo.residual import basic, basic_stage, bottleneck_stage, padded_stage

Shape = tuple[int, int, int]


def _basic_stages(repeats: tuple[int, ...]) -> Callable[[Node], Node]:
    def stages(x: Node) -> Node:
        # The first stage has the features and the positions of what it reads.
        first = basic("stage1/block", x, x, features=64, repeat=repeats[0])
        return basic_stage(
            "stage",
            first,
            features=cj.each([128, 256, 512]),
            repeats=cj.each([n - 1 for n in repeats[1:]]),
            repeat=3,
            first=2,
        )

    return stages


def _bottleneck_stages(repeats: tuple[int, ...]) -> Callable[[Node], Node]:
    def stages(x: Node) -> Node:
        return bottleneck_stage(
            "stage",
            x,
            features=cj.each([64, 128, 256, 512]),
            expanded=cj.each([256, 512, 1024, 2048]),
            stride=cj.each([(1, 1), (2, 2), (2, 2), (2, 2)]),
            repeats=cj.each([n - 1 for n in repeats]),
            repeat=4,
        )

    return stages


def _for_imagenet(
    name: str, shape: Shape, classes: int, stages: Callable[[Node], Node]
) -> Graph:
    image = cj.input("image", shape)
    edge = cj.conv(image, 64, (7, 7), stride=(2, 2), padding=((3, 3), (3, 3)))
    pool1 = max_pool("pool1", normalized(1, edge), 3, 2, 1, 1)
    pool = weightless("pool", cj.identity(stages(pool1)), "global_avg_pool")
    return classification(classifier(pool, classes), name)


def _for_cifar(name: str, shape: Shape, classes: int, blocks: int) -> Graph:
    image = cj.input("image", shape)
    norm1 = normalized(1, cj.conv(image, 16, (3, 3), padding="SAME"))
    first = basic("stage1/block", norm1, norm1, features=16, repeat=blocks)
    last = padded_stage(
        "stage",
        first,
        features=cj.each([32, 64]),
        repeats=blocks - 1,
        repeat=2,
        first=2,
    )
    pool = weightless("pool", cj.identity(last), "global_avg_pool")
    return classification(classifier(pool, classes), name)


@network("resnet-20-cifar")
def resnet_20_cifar(*, shape: Shape = (32, 32, 3), classes: int = 10) -> Graph:
    """ResNet-20 for images of 32x32: 269,722 parameters.

    Three stages of 3 blocks; shortcuts have no parameters (option A).

    Args:
        shape: Shape of an image: height, width, channels.
        classes: Number of classes.

    Returns:
        The graph: input "image", output "classes".

    Example:
        >>> import capsjax as cj
        >>> cj.compile(cj.zoo.graph("resnet-20-cifar"), check=False).parameter_count
        269722

    Source: He, Zhang, Ren & Sun, arXiv 1512.03385, section 4.2.
    """
    return _for_cifar("resnet-20-cifar", shape, classes, 3)


@network("resnet-56-cifar")
def resnet_56_cifar(*, shape: Shape = (32, 32, 3), classes: int = 10) -> Graph:
    """ResNet-56 for images of 32x32: 853,018 parameters.

    Three stages of 9 blocks; shortcuts have no parameters (option A).

    Args:
        shape: Shape of an image: height, width, channels.
        classes: Number of classes.

    Returns:
        The graph: input "image", output "classes".

    Example:
        >>> import capsjax as cj
        >>> cj.compile(cj.zoo.graph("resnet-56-cifar"), check=False).parameter_count
        853018

    Source: He, Zhang, Ren & Sun, arXiv 1512.03385, section 4.2.
    """
    return _for_cifar("resnet-56-cifar", shape, classes, 9)


@network("resnet-110-cifar")
def resnet_110_cifar(*, shape: Shape = (32, 32, 3), classes: int = 10) -> Graph:
    """ResNet-110 for images of 32x32: 1,727,962 parameters.

    Three stages of 18 blocks; shortcuts have no parameters (option A).

    Args:
        shape: Shape of an image: height, width, channels.
        classes: Number of classes.

    Returns:
        The graph: input "image", output "classes".

    Example:
        >>> import capsjax as cj
        >>> cj.compile(cj.zoo.graph("resnet-110-cifar"), check=False).parameter_count
        1727962

    Source: He, Zhang, Ren & Sun, arXiv 1512.03385, section 4.2.
    """
    return _for_cifar("resnet-110-cifar", shape, classes, 18)


@network("resnet-18")
def resnet_18(*, shape: Shape = (224, 224, 3), classes: int = 1000) -> Graph:
    """ResNet-18: 11,689,512 parameters.

    Stages of 2, 2, 2 and 2 blocks, each two convolutions.

    Args:
        shape: Shape of an image: height, width, channels.
        classes: Number of classes.

    Returns:
        The graph: input "image", output "classes".

    Example:
        >>> import capsjax as cj
        >>> cj.compile(cj.zoo.graph("resnet-18"), check=False).parameter_count
        11689512

    Source: He, Zhang, Ren & Sun, arXiv 1512.03385, Table 1.
    """
    stages = _basic_stages((2, 2, 2, 2))
    return _for_imagenet("resnet-18", shape, classes, stages)


@network("resnet-34")
def resnet_34(*, shape: Shape = (224, 224, 3), classes: int = 1000) -> Graph:
    """ResNet-34: 21,797,672 parameters.

    Stages of 3, 4, 6 and 3 blocks, each two convolutions.

    Args:
        shape: Shape of an image: height, width, channels.
        classes: Number of classes.

    Returns:
        The graph: input "image", output "classes".

    Example:
        >>> import capsjax as cj
        >>> cj.compile(cj.zoo.graph("resnet-34"), check=False).parameter_count
        21797672

    Source: He, Zhang, Ren & Sun, arXiv 1512.03385, Table 1.
    """
    stages = _basic_stages((3, 4, 6, 3))
    return _for_imagenet("resnet-34", shape, classes, stages)


@network("resnet-50")
def resnet_50(*, shape: Shape = (224, 224, 3), classes: int = 1000) -> Graph:
    """ResNet-50: 25,557,032 parameters.

    Stages of 3, 4, 6 and 3 blocks, each a bottleneck of three convolutions. The
    stride is that of the 3x3 convolution, as in torchvision.

    Args:
        shape: Shape of an image: height, width, channels.
        classes: Number of classes.

    Returns:
        The graph: input "image", output "classes".

    Example:
        >>> import capsjax as cj
        >>> cj.compile(cj.zoo.graph("resnet-50"), check=False).parameter_count
        25557032

    Source: He, Zhang, Ren & Sun, arXiv 1512.03385, Table 1.
    """
    stages = _bottleneck_stages((3, 4, 6, 3))
    return _for_imagenet("resnet-50", shape, classes, stages)


@network("resnet-101")
def resnet_101(*, shape: Shape = (224, 224, 3), classes: int = 1000) -> Graph:
    """ResNet-101: 44,549,160 parameters.

    Stages of 3, 4, 23 and 3 blocks, each a bottleneck of three convolutions. The
    stride is that of the 3x3 convolution, as in torchvision.

    Args:
        shape: Shape of an image: height, width, channels.
        classes: Number of classes.

    Returns:
        The graph: input "image", output "classes".

    Example:
        >>> import capsjax as cj
        >>> cj.compile(cj.zoo.graph("resnet-101"), check=False).parameter_count
        44549160

    Source: He, Zhang, Ren & Sun, arXiv 1512.03385, Table 1.
    """
    return _for_imagenet(
        "resnet-101", shape, classes, _bottleneck_stages((3, 4, 23, 3))
    )


@network("resnet-152")
def resnet_152(*, shape: Shape = (224, 224, 3), classes: int = 1000) -> Graph:
    """ResNet-152: 60,192,808 parameters.

    Stages of 3, 8, 36 and 3 blocks, each a bottleneck of three convolutions. The
    stride is that of the 3x3 convolution, as in torchvision.

    Args:
        shape: Shape of an image: height, width, channels.
        classes: Number of classes.

    Returns:
        The graph: input "image", output "classes".

    Example:
        >>> import capsjax as cj
        >>> cj.compile(cj.zoo.graph("resnet-152"), check=False).parameter_count
        60192808

    Source: He, Zhang, Ren & Sun, arXiv 1512.03385, Table 1.
    """
    return _for_imagenet(
        "resnet-152", shape, classes, _bottleneck_stages((3, 8, 36, 3))
    )
