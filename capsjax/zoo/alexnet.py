"""AlexNet: five convolutions and three dense layers; torchvision's and the original."""

import capsjax as cj
from capsjax.graph import Graph, Node
from capsjax.zoo.layers import (
    classification,
    dense_head,
    max_pool,
    rectified,
    weightless,
    wide_layers,
)
from capsjax.zoo.registry import network

Shape = tuple[int, int, int]


@network("alexnet")
def alexnet(
    *, shape: Shape = (224, 224, 3), classes: int = 1000, dropout: float = 0.5
) -> Graph:
    """AlexNet as torchvision has it, on one device: 61,100,840 parameters.

    Args:
        shape: Shape of an image: height, width, channels.
        classes: Number of classes.
        dropout: Rate of dropout before the first two dense layers.

    Returns:
        The graph: input "image", output "classes".

    Example:
        >>> import capsjax as cj
        >>> cj.compile(cj.zoo.graph("alexnet"), check=False).parameter_count
        61100840

    Source: Krizhevsky, One weird trick for parallelizing convolutional neural
        networks, arXiv 1404.5997.
    """
    image = cj.input("image", shape)
    around = ((2, 2), (2, 2))
    edge = cj.conv(image, 64, (11, 11), stride=(4, 4), padding=around)
    pool1 = max_pool("pool1", rectified("conv1", edge), 3, 2)
    conv2 = rectified("conv2", cj.conv(pool1, 192, (5, 5), padding="SAME"))
    pool2 = max_pool("pool2", conv2, 3, 2)
    conv3 = rectified("conv3", cj.conv(pool2, 384, (3, 3), padding="SAME"))
    conv4 = rectified("conv4", cj.conv(conv3, 256, (3, 3), padding="SAME"))
    conv5 = rectified("conv5", cj.conv(conv4, 256, (3, 3), padding="SAME"))
    pool5 = max_pool("pool5", conv5, 3, 2)
    head = dense_head(pool5, (6, 6), dropout, classes, drop_first=True)
    return classification(head, "alexnet")


@network("alexnet-original")
def alexnet_original(
    *, shape: Shape = (227, 227, 3), classes: int = 1000, dropout: float = 0.5
) -> Graph:
    """AlexNet of 2012, in two groups and with local response norm: 60,965,224.

    The second, fourth and fifth convolutions read two groups of channels apart, which
    were on two devices. The paper says images of 224x224, but its 55x55 positions of
    the first convolution are those of 227x227.

    Args:
        shape: Shape of an image: height, width, channels.
        classes: Number of classes.
        dropout: Rate of dropout behind the first two dense layers.

    Returns:
        The graph: input "image", output "classes".

    Example:
        >>> import capsjax as cj
        >>> net = cj.compile(cj.zoo.graph("alexnet-original"), check=False)
        >>> net.parameter_count
        60965224

    Source: Krizhevsky, Sutskever & Hinton, NeurIPS 2012, section 3.5.
    """
    image = cj.input("image", shape)
    conv1 = rectified("conv1", cj.conv(image, 96, (11, 11), stride=(4, 4)))
    pool1 = max_pool("pool1", _normed(1, conv1), 3, 2)
    edge = cj.conv(pool1, 256, (5, 5), padding="SAME", groups=2)
    pool2 = max_pool("pool2", _normed(2, rectified("conv2", edge)), 3, 2)
    conv3 = rectified("conv3", cj.conv(pool2, 384, (3, 3), padding="SAME"))
    edge = cj.conv(conv3, 384, (3, 3), padding="SAME", groups=2)
    conv4 = rectified("conv4", edge)
    edge = cj.conv(conv4, 256, (3, 3), padding="SAME", groups=2)
    pool5 = max_pool("pool5", rectified("conv5", edge), 3, 2)
    flat = weightless("flat", cj.reshape(pool5, (-1,)))
    head = wide_layers(flat, dropout, classes, drop_first=False)
    return classification(head, "alexnet-original")


def _normed(number: int, x: Node) -> Node:
    """Local response normalization with the paper's n = 5, k = 2, alpha = 1e-4."""
    norm = cj.caps.local_response_norm(5, 5e-4, 0.75, 2.0)
    return weightless(f"norm{number}", cj.identity(x), norm)
