"""What the axes of parameters are called, wherever they stand in the compiled layout.

A weighting operation says it of its weight (`weight_axes`); the last axis of a bias is
"out". Where the compiled layout stacks parameters, the axis in front is called

    layers     copies of a run           members    capsules of a group
    edges      weights of a group's edges

Parameters of a capsule function's own have no names for their axes.
"""

from typing import NamedTuple

from capsjax.compiler.parameters import (
    Name,
    named_shapes,
    own_names,
    parameter_shapes,
    show,
    standing,
    weight_name,
)
from capsjax.graph.kinds import Shape
from capsjax.graph.typed import TypedCapsule, TypedGraph, TypedGroup, TypedRun

Axes = tuple[str | None, ...]

NAMES = frozenset(
    {
        *("in", "out", "depth", "height", "width", "lower", "upper", "vocabulary"),
        *("layers", "members", "edges"),
    }
)
"""The names that the library itself gives."""


class Leaf(NamedTuple):
    """An array of the compiled layout.

    Attributes:
        shape: Its shape.
        axes: What its axes are called.
        names: The parameters that stand in it, by name.
        stacked: How many axes stand before those of a parameter's own: 0 or 1.
    """

    shape: Shape
    axes: Axes
    names: tuple[Name, ...]
    stacked: int


def leaves(typed: TypedGraph) -> dict[Name, Leaf]:
    """The arrays of the compiled layout with their axes, in topological order.

    Args:
        typed: The graph as the compiler's passes left it.

    Raises:
        ValueError: A weighting operation names more or fewer axes than W has.

    Example:
        >>> import capsjax as cj
        >>> from capsjax.compiler.axes import leaves
        >>> x = cj.input("x", (5,))
        >>> net = cj.compile(cj.graph(cj.capsule("h", cj.matmul(x, 4))))
        >>> for name, leaf in leaves(net.program.typed).items():
        ...     print(name, leaf.axes)
        ('h', 'B') ('out',)
        ('h', 'W', 'x') ('in', 'out')
    """
    axes, names, alone = _axes(typed), standing(typed), named_shapes(typed)
    found = {}
    for own, shape in parameter_shapes(typed).items():
        if len(axes[own]) != len(shape):
            raise ValueError(
                f"parameter {show(own)}: found {len(axes[own])} names of axes, "
                f"{axes[own]}, for shape {shape}; expected one a piece; cure: correct "
                "weight_axes of the weighting operation"
            )
        first, *_ = names[own]
        stacked = len(shape) - len(alone[first])
        found[own] = Leaf(shape, axes[own], tuple(names[own]), stacked)
    return found


def _axes(typed: TypedGraph) -> dict[Name, Axes]:
    found: dict[Name, Axes] = {}
    for item in typed.capsules:
        if isinstance(item, TypedGroup):
            own = _of_group(item)
        elif isinstance(item, TypedRun):
            shared = item.body.shared
            own = {
                name: axes if name[0] in shared else ("layers", *axes)
                for name, axes in _axes(item.body).items()
            }
        else:
            own = _of_capsule(item)
        found = own | found  # a shared weight's axes are those of its first edge
    return found


def _of_group(group: TypedGroup) -> dict[Name, Axes]:
    biases, weights = own_names(group)
    return {
        biases: ("members", *_of_bias(group.bias_shape)),
        weights: ("edges", *group.weighting.weight_axes(group.unit)),
    }


def _of_capsule(capsule: TypedCapsule) -> dict[Name, Axes]:
    found: dict[Name, Axes] = {(capsule.name, "B"): _of_bias(capsule.bias_shape)}
    for edge in reversed(capsule.edges):  # of merged ones, the first counts
        name = weight_name(capsule, edge)
        found[name] = edge.weighting.weight_axes(edge.source_shape)
    for own, shape in capsule.cap_shapes.items():
        found[(capsule.name, "cap", own)] = (None,) * len(shape)
    return found


def _of_bias(shape: Shape | None) -> Axes:
    return (*(None,) * (len(shape) - 1), "out") if shape else ()
