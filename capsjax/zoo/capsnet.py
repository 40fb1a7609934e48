"""CapsNet: capsules of vectors, and routing by agreement between them."""

import math

import capsjax as cj
from capsjax.graph import Graph, Node
from capsjax.zoo.registry import network


@network("capsnet")
def capsnet(
    *,
    shape: tuple[int, int, int] = (28, 28, 1),
    classes: int = 10,
    iterations: int = 3,
    features: int = 256,
    maps: int = 32,
    decoder: bool = False,
) -> Graph:
    """CapsNet of Sabour, Frosst & Hinton: 6,804,224 parameters, 8,215,568 with decoder.

    A convolution, 32 maps of primary capsules of 8 dimensions, and for each class a
    capsule of 16 dimensions that agrees with them; its length is the class's
    probability. The decoder makes an image of one class's capsule: the input "label",
    one-hot, says of which. In training it is the true label.

    Args:
        shape: Shape of an image: height, width, channels.
        classes: Number of classes.
        iterations: Iterations of routing by agreement.
        features: Feature maps of the convolution.
        maps: Maps of primary capsules.
        decoder: Whether to reconstruct the image.

    Returns:
        The graph: input "image", output "digit" (classes,) for the margin loss. With
        decoder also the input "label" (classes,), and the output "reconstruction" of
        the image's shape, for 0.0005 times the sum of squared differences to the image.

    Example:
        >>> import capsjax as cj
        >>> net = cj.compile(cj.zoo.graph("capsnet"))
        >>> net.parameter_count
        6804224
        >>> net.shapes["primary"].output
        (1152, 8)
        >>> net = cj.compile(cj.zoo.graph("capsnet", decoder=True))
        >>> net.parameter_count, net.graph.outputs
        (8215568, ('digit', 'reconstruction'))

    Source: Sabour, Frosst & Hinton, Dynamic routing between capsules, arXiv
        1710.09829, section 4.
    """
    image = cj.input("image", shape)
    conv1 = cj.capsule("conv1", cj.conv(image, features, (9, 9)), cap="relu")
    primary = cj.capsule("maps", cj.conv(conv1, maps * 8, (9, 9), stride=(2, 2)))
    vectors = _vectors(primary, 8, classes, 16, iterations)
    outputs = [cj.capsule("digit", cj.identity(vectors), cap="length", bias=None)]
    losses: dict[str, str | cj.Loss] = {"digit": "margin"}
    if decoder:
        label = cj.input("label", (classes,))
        outputs.append(_decoder(vectors, label, classes, shape))
        losses["reconstruction"] = cj.losses.sum_squared_error(weight=0.0005)
    return cj.graph(*outputs, name="capsnet", losses=losses)


@network("capsnet-digits")
def capsnet_digits(
    *,
    shape: tuple[int, int, int] = (8, 8, 1),
    classes: int = 10,
    iterations: int = 3,
) -> Graph:
    """A small CapsNet for scikit-learn's 8x8 digits: 74,656 parameters.

    Two small convolutions in place of one large, 36 primary capsules of 8 dimensions,
    and for each class a capsule of 8 dimensions. With Adam at its usual rate of 0.001
    and batches of 32 it reads 98.5 % of the test digits or more after 20 epochs.

    Args:
        shape: Shape of an image: height, width, channels.
        classes: Number of classes.
        iterations: Iterations of routing by agreement.

    Returns:
        The graph: input "image", output "digit" (classes,).

    Example:
        >>> import capsjax as cj
        >>> net = cj.compile(cj.zoo.graph("capsnet-digits"))
        >>> net.parameter_count
        74656
        >>> net.shapes["primary"].output
        (36, 8)

    Source: after Sabour, Frosst & Hinton, arXiv 1710.09829, section 4.
    """
    image = cj.input("image", shape)
    conv1 = cj.conv(image, 32, (3, 3), padding="SAME")
    conv1 = cj.capsule("conv1", conv1, cap="relu")
    conv2 = cj.conv(conv1, 64, (3, 3), padding="SAME")
    conv2 = cj.capsule("conv2", conv2, cap="relu")
    maps = cj.capsule("maps", cj.conv(conv2, 4 * 8, (4, 4), stride=(2, 2)))
    vectors = _vectors(maps, 8, classes, 8, iterations)
    digit = cj.capsule("digit", cj.identity(vectors), cap="length", bias=None)
    return cj.graph(digit, name="capsnet-digits", losses={"digit": "margin"})


def _vectors(
    maps: Node, primary: int, classes: int, dimension: int, iterations: int
) -> Node:
    """The capsules of vectors on top of feature maps.

    Args:
        maps: Feature maps, whose channels are cut into primary capsules.
        primary: Dimensions of a primary capsule.
        classes: Number of classes.
        dimension: Dimensions of a class's capsule.
        iterations: Iterations of routing by agreement.

    Returns:
        The classes' capsules "vectors", shape [classes, dimension].
    """
    lower = cj.reshape(maps, (-1, primary))
    lower = cj.capsule("primary", lower, cap="squash", bias=None)
    votes = cj.vote(lower, classes, dimension)
    agreed = cj.caps.route(iterations)
    return cj.capsule("vectors", votes, cap=agreed, bias=None)


def _decoder(vectors: Node, label: Node, classes: int, shape: tuple[int, ...]) -> Node:
    """The image that belongs to the vector of the class that the label names."""
    chosen = cj.capsule("chosen", cj.reshape(label, (classes, 1)), bias=None)
    both = cj.place(vectors), cj.place(chosen)
    masked = cj.capsule("masked", *both, cap="mask", bias=None)
    flat = cj.capsule("flat", cj.reshape(masked, (-1,)), bias=None)
    decoder1 = cj.capsule("decoder1", cj.matmul(flat, 512), cap="relu")
    decoder2 = cj.capsule("decoder2", cj.matmul(decoder1, 1024), cap="relu")
    pixels = cj.matmul(decoder2, math.prod(shape))
    pixels = cj.capsule("pixels", pixels, cap="sigmoid")
    image = cj.reshape(pixels, shape)
    return cj.capsule("reconstruction", image, bias=None)
