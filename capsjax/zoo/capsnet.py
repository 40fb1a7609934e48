"""CapsNet: capsules of vectors, and routing by agreement between them."""

import capsjax as cj
from capsjax.graph import Graph, Node
from capsjax.zoo.registry import network


@network("capsnet")
def capsnet(
    *,
    shape: tuple[int, int, int] = (28, 28, 1),
    classes: int = 10,
    iterations: int = 3,
) -> Graph:
    """CapsNet of Sabour, Frosst & Hinton without decoder: 6,804,224 parameters.

    A convolution, 32 maps of primary capsules of 8 dimensions, and for each class a
    capsule of 16 dimensions that agrees with them; its length is the class's
    probability.

    Args:
        shape: Shape of an image: height, width, channels.
        classes: Number of classes.
        iterations: Iterations of routing by agreement.

    Returns:
        The graph: input "image", output "digit" (classes,).

    Example:
        >>> import capsjax as cj
        >>> net = cj.compile(cj.zoo.graph("capsnet"))
        >>> net.parameter_count
        6804224
        >>> net.shapes["primary"].output
        (1152, 8)

    Source: Sabour, Frosst & Hinton, Dynamic routing between capsules, arXiv
        1710.09829, section 4.
    """
    image = cj.input("image", shape)
    conv1 = cj.capsule("conv1", cj.conv(image, 256, (9, 9)), cap="relu")
    maps = cj.capsule("maps", cj.conv(conv1, 32 * 8, (9, 9), stride=(2, 2)))
    return _vectors("capsnet", maps, 8, classes, 16, iterations)


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
    return _vectors("capsnet-digits", maps, 8, classes, 8, iterations)


def _vectors(
    name: str,
    maps: Node,
    primary: int,
    classes: int,
    dimension: int,
    iterations: int,
) -> Graph:
    """The capsules of vectors on top of feature maps.

    Args:
        name: Name of the graph.
        maps: Feature maps, whose channels are cut into primary capsules.
        primary: Dimensions of a primary capsule.
        classes: Number of classes.
        dimension: Dimensions of a class's capsule.
        iterations: Iterations of routing by agreement.

    Returns:
        The graph, with the margin loss on the output "digit".
    """
    lower = cj.reshape(maps, (-1, primary))
    lower = cj.capsule("primary", lower, cap="squash", bias=None)
    votes = cj.vote(lower, classes, dimension)
    agreed = cj.caps.route(iterations)
    upper = cj.capsule("vectors", votes, cap=agreed, bias=None)
    digit = cj.capsule("digit", cj.identity(upper), cap="length", bias=None)
    return cj.graph(digit, name=name, losses={"digit": "margin"})
