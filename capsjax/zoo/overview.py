"""Sizes of all known networks, without anything being allocated."""

import math
from typing import NamedTuple

import capsjax as cj
from capsjax.compiler.plan import flops
from capsjax.graph.kinds import Shape
from capsjax.zoo.registry import graph, names, source_of


class Sizes(NamedTuple):
    """How large a network is, at its default options.

    Attributes:
        name: Its name in the zoo.
        inputs: Shapes of one example, learned inputs left out.
        capsules: Number of capsules.
        parameters: Numbers that are trained.
        statistics: Numbers of state: running means and variances.
        flops: Work of one forward pass of one example.
        source: Where it was published.
    """

    name: str
    inputs: tuple[Shape, ...]
    capsules: int
    parameters: int
    statistics: int
    flops: int
    source: str


def overview() -> list[Sizes]:
    """The sizes of all known networks, in the order of `names()`.

    Returns:
        A row for each network.

    Example:
        >>> import capsjax as cj
        >>> rows = {row.name: row for row in cj.zoo.overview()}
        >>> rows["resnet-50"][1:5]
        (((224, 224, 3),), 109, 25557032, 53120)
    """
    return [_sizes(name, cj.compile(graph(name), check=False)) for name in names()]


def _sizes(name: str, net: cj.Network) -> Sizes:
    typed = net.typed
    states = [
        shape
        for capsule in typed.capsules
        for shape in capsule.cap.state_shapes(capsule.total_input).values()  # type: ignore
    ]
    return Sizes(
        name,
        tuple(each.shape for each in net.graph.inputs if not each.learned),
        len(net.graph.capsules),
        net.parameter_count,
        sum(map(math.prod, states)),
        sum(map(flops, typed.capsules)),
        source_of(name),
    )
