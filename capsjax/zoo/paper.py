"""The networks of the paper's figures: MLP, CNN, and a graph of many kinds."""

import capsjax as cj
from capsjax.graph import Graph
from capsjax.zoo.registry import network


@network("mlp")
def mlp(
    *,
    sizes: tuple[int, ...] = (5, 7, 7, 7, 4),
    cap: str = "sigmoid",
    output: str = "softmax",
    loss: str = "cross_entropy",
) -> Graph:
    """The multilayer perceptron of the paper's Figures 1 and 10: 186 parameters.

    Figure 1 draws its neurons, Figure 10 its layers as capsules:
    `Y_H = cap(W x Y_Z + B_H)` for each layer H above the layer Z.

    Args:
        sizes: Neurons of each layer, from the input to the output; two or more.
        cap: Capsule function of the hidden layers.
        output: Capsule function of the output.
        loss: Loss of the output.

    Returns:
        The graph: input "x" (5,), hidden capsules "h1", "h2", ..., output "y" (4,).

    Raises:
        ValueError: There are fewer than two sizes.

    Example:
        >>> import capsjax as cj
        >>> cj.compile(cj.zoo.graph("mlp")).parameter_count
        186
        >>> cj.zoo.graph("mlp", sizes=(64, 32, 10))
        Graph('mlp', 1 inputs, 2 capsules, outputs ['y'])

    Source: Li & Shan, arXiv 1805.03551, Figures 1 and 10.
    """
    if len(sizes) < 2:
        raise ValueError(
            f"an MLP has two layers or more, input and output; sizes is {sizes!r}"
        )
    layer = cj.input("x", (sizes[0],))
    for i, size in enumerate(sizes[1:-1], 1):
        layer = cj.capsule(f"h{i}", cj.matmul(layer, size), cap=cap)
    y = cj.capsule("y", cj.matmul(layer, sizes[-1]), cap=output)
    return cj.graph(y, name="mlp", losses={"y": loss})


@network("cnn")
def cnn(
    *,
    shape: tuple[int, int, int] = (28, 28, 1),
    features: tuple[int, int] = (8, 16),
    hidden: int = 64,
    classes: int = 10,
    cap: str = "relu",
) -> Graph:
    """The CNN of the paper's Figures 2 and 11, its equation (2): 54,314 parameters.

    With X the image, `*` convolution, `down` pooling and `x` the matrix product:

        Y_H1 = cap(W * X + B)       Y_H2 = down(Y_H1)
        Y_H3 = cap(W * Y_H2 + B)    Y_H4 = down(Y_H3)
        Y_H5 = cap(W x Y_H4 + B)    Y = softmax(W x Y_H5 + B)

    The paper's equation adds a bias to U of the pooling capsules; here they have
    none, for one more bias after that of the convolution adds nothing. Its third
    line says `W * X` on the left of an equality and `W * Y_H2` on the right; the
    right is meant. A capsule "flat" turns maps into the vector that H5 reads.

    Args:
        shape: Shape of an image: height, width, channels.
        features: Feature maps of the two convolutions.
        hidden: Neurons of the dense layer H5.
        classes: Number of classes.
        cap: Capsule function of the convolutions and of H5.

    Returns:
        The graph: input "image", capsules "h1" to "h5", output "digit" (classes,).

    Example:
        >>> import capsjax as cj
        >>> cj.compile(cj.zoo.graph("cnn")).shapes["h4"].output
        (7, 7, 16)

    Source: Li & Shan, arXiv 1805.03551, Figures 2 and 11, equation (2).
    """
    down = cj.caps.max_pool((2, 2))
    image = cj.input("image", shape)
    h1 = cj.capsule("h1", cj.conv(image, features[0], (5, 5), padding="SAME"), cap=cap)
    h2 = cj.capsule("h2", cj.identity(h1), cap=down, bias=None)
    h3 = cj.capsule("h3", cj.conv(h2, features[1], (5, 5), padding="SAME"), cap=cap)
    h4 = cj.capsule("h4", cj.identity(h3), cap=down, bias=None)
    flat = cj.capsule("flat", cj.reshape(h4, (-1,)), bias=None)
    h5 = cj.capsule("h5", cj.matmul(flat, hidden), cap=cap)
    digit = cj.capsule("digit", cj.matmul(h5, classes), cap="softmax")
    return cj.graph(digit, name="cnn", losses={"digit": "cross_entropy"})


@network("figure-12")
def figure_12(*, classes: int = 10) -> Graph:
    """A general capsule graph in the manner of the paper's Figure 12.

    Two inputs and three outputs, each with a loss of its own; branches that split and
    merge, connections that skip layers, and eight weighting operations.

    Args:
        classes: Number of classes of the outputs "y1" and "y2".

    Returns:
        The graph: inputs "x1" (16, 16, 3) and "x2" (12,); outputs "y1" (classes,)
        for cross-entropy, "y2" (classes,) for the margin loss, "y3" () for binary
        cross-entropy.

    Example:
        >>> import capsjax as cj
        >>> net = cj.compile(cj.zoo.graph("figure-12"))
        >>> [name for name, _ in net.graph.losses]
        ['y1', 'y2', 'y3']

    Source: Li & Shan, arXiv 1805.03551, Figure 12.
    """
    x1, x2 = cj.input("x1", (16, 16, 3)), cj.input("x2", (12,))
    h1 = cj.capsule("h1", cj.conv(x1, 8, (3, 3), padding="SAME"), cap="relu")
    skipped = cj.conv(h1, 8, (3, 3), padding="SAME"), cj.channel_scale(h1)
    h2 = cj.capsule("h2", *skipped, cap="relu")
    h3 = cj.capsule("h3", cj.identity(h2), cap=cj.caps.avg_pool((4, 4)), bias=None)
    h4 = cj.capsule("h4", cj.matmul(x2, 16), cap="tanh")
    h5 = cj.capsule("h5", cj.reshape(h3, (16, 8)), cap="squash", bias=None)
    h6 = cj.capsule("h6", cj.reshape(h3, (-1,)), bias=None)
    h7 = cj.capsule("h7", cj.place(h6), cj.place(h4), bias=None)
    h8 = cj.capsule("h8", cj.matmul(h7, 24), cj.matmul(x2, 24), cap="relu", bias="full")
    votes = cj.vote(h5, classes, 6)
    h9 = cj.capsule("h9", votes, cap=cj.caps.route(2), bias=None)
    y1 = cj.capsule("y1", cj.matmul(h8, classes), cap="softmax")
    y2 = cj.capsule("y2", cj.identity(h9), cap="length", bias=None)
    y3 = cj.capsule("y3", cj.dot(h4), cj.dot(h8), cap="sigmoid", bias="full")
    losses = {"y1": "cross_entropy", "y2": "margin", "y3": "binary_cross_entropy"}
    return cj.graph(y1, y2, y3, name="figure-12", losses=losses)
