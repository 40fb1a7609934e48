"""What the networks of this folder are built of, named in one way throughout.

A convolution with batch normalization is a capsule `conv1`, which standardizes, and a
capsule `norm1`, which scales, shifts and rectifies.
"""

import capsjax as cj
from capsjax.graph import Graph, Incoming, Node


def convolved(number: object, edge: Incoming, epsilon: float = 1e-5) -> Node:
    """A convolution whose output is standardized over the batch.

    Args:
        number: What stands behind `conv` in its name.
        edge: The convolution.
        epsilon: Added to the variance.

    Returns:
        The capsule.
    """
    cap = cj.caps.standardize(epsilon=epsilon)
    return cj.capsule(f"conv{number}", edge, cap=cap, bias=None)


def normalized(
    number: object, edge: Incoming, epsilon: float = 1e-5, norm: object = None
) -> Node:
    """Convolution, batch normalization, relu: capsules `conv...` and `norm...`.

    Args:
        number: What stands behind `conv` in the name.
        edge: The convolution.
        epsilon: Added to the variance.
        norm: What stands behind `norm`, if something else.

    Returns:
        The capsule `norm...`.
    """
    conv = convolved(number, edge, epsilon)
    name = f"norm{number if norm is None else norm}"
    return cj.capsule(name, cj.channel_scale(conv), cap="relu")


def rectified(name: str, edge: Incoming) -> Node:
    """A capsule with a bias that rectifies."""
    return cj.capsule(name, edge, cap="relu")


def standardized(number: object, source: Node) -> Node:
    """Batch normalization and relu of what is there: `standard...` and `norm...`.

    Args:
        number: What stands behind `standard` and `norm` in the names.
        source: What is normalized.

    Returns:
        The capsule `norm...`.
    """
    standard = weightless(f"standard{number}", cj.identity(source), "standardize")
    return cj.capsule(f"norm{number}", cj.channel_scale(standard), cap="relu")


def weightless(name: str, edge: Incoming, cap: object = "identity") -> Node:
    """A capsule without bias: pooling, dropout, another shape.

    Args:
        name: Its name.
        edge: The edge, without a weight.
        cap: The capsule function.

    Returns:
        The capsule.
    """
    return cj.capsule(name, edge, cap=cap, bias=None)  # type: ignore


def max_pool(name: str, source: Node, window: int, stride: int, *padding: int) -> Node:
    """Max-pooling over squares.

    Args:
        name: Name of the capsule.
        source: What is pooled.
        window: Side of the squares.
        stride: Step along both axes.
        *padding: Before and behind, along both axes; none if left out.

    Returns:
        The capsule.
    """
    pads = (padding, padding) if padding else "VALID"
    pool = cj.caps.max_pool((window, window), (stride, stride), pads)  # type: ignore
    return weightless(name, cj.identity(source), pool)


def classifier(source: Node, classes: int) -> Node:
    """The capsule `classes`: a dense layer and softmax."""
    return cj.capsule("classes", cj.matmul(source, classes), cap="softmax")


def dense_head(
    x: Node, windows: tuple[int, int], rate: float, classes: int, *, drop_first: bool
) -> Node:
    """Averages of feature maps, then `wide_layers`.

    Args:
        x: The maps.
        windows: How many averages there are along each axis.
        rate: Rate of dropout.
        classes: Number of classes.
        drop_first: Whether dropout stands before the wide layers, or behind.

    Returns:
        The capsule `classes`.
    """
    pool = cj.caps.adaptive_avg_pool(windows)
    pool = weightless("pool", cj.identity(x), pool)
    flat = weightless("flat", cj.reshape(pool, (-1,)))
    return wide_layers(flat, rate, classes, drop_first=drop_first)


def wide_layers(x: Node, rate: float, classes: int, *, drop_first: bool) -> Node:
    """Dense layers `fc6` and `fc7` with dropout, and the classifier.

    Args:
        x: A vector.
        rate: Rate of dropout.
        classes: Number of classes.
        drop_first: Whether dropout stands before the wide layers, or behind.

    Returns:
        The capsule `classes`.
    """
    for number in (6, 7):
        if drop_first:
            x = dropped(f"drop{number}", x, rate)
        x = rectified(f"fc{number}", cj.matmul(x, 4096))
        if not drop_first:
            x = dropped(f"drop{number}", x, rate)
    return classifier(x, classes)


def dropped(name: str, x: Node, rate: float) -> Node:
    """Dropout of single numbers."""
    return weightless(name, cj.identity(x), cj.caps.dropout(rate))


def classification(classes: Node, name: str) -> Graph:
    """The graph of the capsule `classes`, trained by cross-entropy."""
    return cj.graph(classes, name=name, losses={"classes": "cross_entropy"})
