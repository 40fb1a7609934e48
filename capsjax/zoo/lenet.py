"""LeNet-5: convolutions and pooling, then dense layers."""

import capsjax as cj
from capsjax.graph import Graph, Node
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


@network("lenet-5-1998")
def lenet_5_1998(*, shape: tuple[int, int, int] = (32, 32, 1)) -> Graph:
    """LeNet-5 as it was in 1998, for 32x32 images: 60,000 parameters.

    Each map of C3 reads some maps of S2 alone, as Table I says; S2 and S4 have a
    coefficient and a bias for each map; all units are scaled tanh; and the output is
    the distance of F6 to ten fixed bitmaps of 7x12 pixels (drawn anew here, in the
    manner of Figure 3). Softmax of the negative distances with cross-entropy is the
    paper's equation 9 without its constant for "none of them".

    Args:
        shape: Shape of an image: height, width, channels.

    Returns:
        The graph: input "image", output "digit" (10,).

    Example:
        >>> import capsjax as cj
        >>> cj.compile(cj.zoo.graph("lenet-5-1998")).parameter_count
        60000

    Source: LeCun, Bottou, Bengio & Haffner, Proc. IEEE 86 (1998), sections II.B and
        III.A.
    """
    image = cj.input("image", shape)
    c1 = cj.capsule("c1", cj.conv(image, 6, (5, 5)), cap="scaled_tanh")
    s2 = subsampling("s2", c1)
    maps = [cj.capsule(f"map{i}", cj.cut(s2, i, 1), bias=None) for i in range(6)]
    c3 = [
        _convolved_apart("c3_of_3", maps, _OF_THREE),
        _convolved_apart("c3_of_4", maps, _OF_FOUR),
        cj.capsule("c3_of_6", cj.conv(s2, 1, (5, 5)), cap="scaled_tanh"),
    ]
    c3 = cj.capsule("c3", *map(cj.place, c3), bias=None)
    c5 = cj.conv(subsampling("s4", c3), 120, (5, 5))
    c5 = cj.capsule("c5", c5, cap="scaled_tanh")
    flat = cj.capsule("flat", cj.reshape(c5, (-1,)), bias=None)
    f6 = cj.capsule("f6", cj.matmul(flat, 84), cap="scaled_tanh")
    fixed = cj.caps.radial_basis(tuple("".join(rows.split()) for rows in _BITMAPS))
    distances = cj.capsule("distances", cj.identity(f6), cap=fixed, bias=None)
    digit = cj.capsule("digit", cj.identity(distances), cap="softmax", bias=None)
    return cj.graph(digit, name="lenet-5-1998", losses={"digit": "cross_entropy"})


@cj.block
def subsampling(x):
    """Means of 2x2, a coefficient and a bias for each map, and scaled tanh."""
    pool = cj.caps.avg_pool((2, 2))
    mean = cj.capsule("mean", cj.identity(x), cap=pool, bias=None)
    return cj.capsule("out", cj.channel_scale(mean), cap="scaled_tanh")


def _convolved_apart(
    name: str, maps: list[Node], read: tuple[tuple[int, ...], ...]
) -> Node:
    """A map of C3 for each group of maps that are read together."""
    slots = [cj.place(maps[i]) for group in read for i in group]
    slots = cj.capsule(f"{name}_reads", *slots, bias=None)
    edge = cj.conv(slots, len(read), (5, 5), groups=len(read))
    return cj.capsule(name, edge, cap="scaled_tanh")


# Table I: the maps of S2 that maps 0 to 14 of C3 read; map 15 reads all of them.
_OF_THREE = ((0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5))
_OF_FOUR = (
    *((0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5)),
    *((0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5)),
    *((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5)),
)

_BITMAPS = (
    "....... ..###.. .#...#. ##...## ##...## ##...## "
    "##...## ##...## ##...## .#...#. ..###.. .......",
    "....... ...##.. ..###.. .####.. ...##.. ...##.. "
    "...##.. ...##.. ...##.. ...##.. .###### .......",
    "....... .#####. ##...## ##...## .....## ....##. "
    "...##.. ..##... .##.... ##..... ####### .......",
    "....... .#####. ##...## .....## .....## ..####. "
    ".....## .....## .....## ##...## .#####. .......",
    "....... ....##. ...###. ..####. .##.##. ##..##. "
    "##..##. ####### ....##. ....##. ....##. .......",
    "....... ####### ##..... ##..... ######. .....## "
    ".....## .....## .....## ##...## .#####. .......",
    "....... ..####. .##.... ##..... ######. ##...## "
    "##...## ##...## ##...## ##...## .#####. .......",
    "....... ####### ##...## .....## ....##. ....##. "
    "...##.. ...##.. ..##... ..##... ..##... .......",
    "....... .#####. ##...## ##...## ##...## .#####. "
    "##...## ##...## ##...## ##...## .#####. .......",
    "....... .#####. ##...## ##...## ##...## ##...## "
    ".###### .....## .....## ....##. .####.. .......",
)
