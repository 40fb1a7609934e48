"""Where each parameter stands in the compiled layout: names without arithmetic.

`net.named` cuts arrays apart with operations of JAX. What must not touch a device, or
has only a part of each array, such as one process of many, needs the places alone.
"""

from collections.abc import Iterator
from typing import NamedTuple

from capsjax.compiler import parameters, state
from capsjax.compiler.parameters import Name
from capsjax.graph.kinds import Shape
from capsjax.graph.typed import TypedGraph


class Place(NamedTuple):
    """Where an array that has a name stands.

    Attributes:
        own: The array of the compiled layout.
        start: Where the part begins, along each axis of that array.
        stop: Where it ends.
        stacked: Whether the first axis, of length 1, is that of a stack; by name it is
            dropped.
    """

    own: Name
    start: tuple[int, ...]
    stop: tuple[int, ...]
    stacked: bool

    @property
    def shape(self) -> Shape:
        """The shape by name."""
        shape = [b - a for a, b in zip(self.start, self.stop, strict=True)]
        return tuple(shape[self.stacked :])


def parameter_places(typed: TypedGraph) -> dict[Name, Place]:
    """The place of every parameter, in the order of `named_shapes`."""
    sides: dict[Name, tuple[Name, int]] = {}
    for own, beside in parameters.merged_sides(typed).items():
        offset = 0
        for name, shape in beside:
            sides[name] = own, offset
            offset += shape[-1]
    pieces = {name: (own, at) for name, _, own, at in parameters.stack_pieces(typed)}
    shapes = parameters.named_shapes(typed)
    return dict(_places(shapes, pieces, sides))


def state_places(typed: TypedGraph) -> dict[Name, Place]:
    """The place of every array of the state, without the wiring of neurons."""
    pieces = {name: (own, at) for name, own, at in state.state_pieces(typed)}
    return dict(_places(state.named_state_shapes(typed), pieces, {}))


def _places(
    shapes: dict[Name, Shape],
    pieces: dict[Name, tuple[Name, int]],
    sides: dict[Name, tuple[Name, int]],
) -> Iterator[tuple[Name, Place]]:
    """A stack is on the first axis; what stands side by side, on the last."""
    for name, shape in shapes.items():
        own, at = pieces.get(name, (name, None))
        start, stop = [0] * len(shape), list(shape)
        if own in sides:
            own, offset = sides[own]
            start[-1] += offset
            stop[-1] += offset
        if at is not None:
            start, stop = [at, *start], [at + 1, *stop]
        yield name, Place(own, tuple(start), tuple(stop), at is not None)
