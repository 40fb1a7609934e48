"""LeNet-5: convolutions and pooling, then dense layers."""

import capsjax as cj
from capsjax.graph import Graph
from capsjax.zoo.registry import network


@network("lenet-5")
def lenet_5(*, cap: str = "relu", classes: int = 10) -> Graph:
    """LeNet-5 as it is built today, for 28x28 images: 61,706 parameters.

    The layers are those of 1998; max-pooling takes the place of trained subsampling,
    every feature map of C3 reads all of S2, and softmax with cross-entropy takes the
    place of the radial basis functions.

    Args:
        cap: Capsule function of the hidden layers, "relu" or "tanh".
        classes: Number of classes.

    Returns:
        The graph: input "image" (28, 28, 1), output "digit" (classes,).

    Example:
        >>> import capsjax as cj
        >>> cj.compile(cj.zoo.graph("lenet-5")).parameter_count
        61706

    Source: LeCun, Bottou, Bengio & Haffner, Gradient-based learning applied to
        document recognition, Proc. IEEE 86 (1998), section II.B.
    """
    pool = cj.caps.max_pool((2, 2))
    image = cj.input("image", (28, 28, 1))
    c1 = cj.capsule("c1", cj.conv(image, 6, (5, 5), padding="SAME"), cap=cap)
    s2 = cj.capsule("s2", cj.identity(c1), cap=pool, bias=None)
    c3 = cj.capsule("c3", cj.conv(s2, 16, (5, 5)), cap=cap)
    s4 = cj.capsule("s4", cj.identity(c3), cap=pool, bias=None)
    flat = cj.capsule("flat", cj.reshape(s4, (-1,)), bias=None)
    c5 = cj.capsule("c5", cj.matmul(flat, 120), cap=cap)
    f6 = cj.capsule("f6", cj.matmul(c5, 84), cap=cap)
    digit = cj.capsule("digit", cj.matmul(f6, classes), cap="softmax")
    return cj.graph(digit, name="lenet-5", losses={"digit": "cross_entropy"})
