"""The part of a network that leads to one capsule, as a network of its own."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from capsjax import caps, compiler
from capsjax.compiler import Network
from capsjax.compiler.parameters import flatten, named_shapes, nest
from capsjax.compiler.state import named_state_shapes
from capsjax.graph import Graph
from capsjax.graph.declaration import Input
from capsjax.graph.errors import listing, nearest
from capsjax.graph.typed import TypedCapsule, TypedGraph

Tensor = Literal["U", "Y"]


@dataclasses.dataclass(frozen=True)
class _Cut:
    """A typed graph that is compiled as it is, with the backward rules it has."""

    part: TypedGraph

    def typed(self) -> TypedGraph:
        """The graph."""
        return self.part


def part_of(net: Network, of: str, tensor: Tensor, by: str | None = None) -> Network:
    """Cuts out what leads to a capsule.

    Backward rules stay where they are; those that bring the error signals of outputs
    straight to a capsule have no part in it, since it has no loss.

    Args:
        net: The network, compiled from a graph.
        of: The capsule whose tensor the part gives, as the output of this name.
        tensor: U, the total input, or Y, the output.
        by: A capsule whose Y becomes an input of the part, in place of what only it
            needs.

    Returns:
        The part.

    Raises:
        ValueError: A capsule or a tensor is unknown; the network is no graph; or `by`
            does not lead to `of`.
    """
    graph = net.graph
    if not isinstance(graph, Graph):
        raise ValueError(
            f"network {graph.name!r} was not compiled from a graph of capsules; "
            "expected one, to look inside it; cure: ask for an output's Y, by inputs"
        )
    if tensor not in ("U", "Y"):
        raise ValueError(
            f"found tensor={tensor!r}; expected 'U', the total input, or 'Y', the "
            "output"
        )
    capsules = {capsule.name: capsule for capsule in net.typed.alone}
    require_capsule(net, "of", of, capsules)
    shapes = dict(net.typed.inputs)
    given = {each.name: each for each in graph.inputs}
    if by is not None:
        require_capsule(net, "by", by, [*shapes, *capsules])
        shapes[by] = capsules[by].output if by in capsules else shapes[by]
        given[by] = Input(by, shapes[by])
    needed = _behind(capsules, of, by)
    if by is not None and by not in needed - {of}:
        raise ValueError(
            f"network {graph.name!r}: {by!r} does not lead to {of!r}; expected as by= "
            f"an input or a capsule from which {of!r} is computed"
        )
    kept = {n: _heard(c) for n, c in capsules.items() if n in needed - {by}}
    if tensor == "U":  # the output, where the capsule function is the identity
        identity = {"cap": caps.identity(), "output": kept[of].total_input}
        kept[of] = dataclasses.replace(kept[of], backward=None, **identity)
    inputs = {name: shape for name, shape in shapes.items() if name in needed}
    declared = tuple(each for name, each in given.items() if name in needed)
    part = dataclasses.replace(
        net.typed,
        graph=dataclasses.replace(graph, inputs=declared, losses=()),
        inputs=tuple(inputs.items()),
        capsules=tuple(kept.values()),
        outputs=(of,),
        losses=(),
        integers=net.typed.integers.intersection(inputs),
    )
    return compiler.compile(
        _Cut(part),
        backward="autodiff" if net.backward == "autodiff" else None,
        precision=net.precision,
        passes=net.passes,
        check=False,
    )


def _heard(capsule: TypedCapsule) -> TypedCapsule:
    """A capsule that hears its readers."""
    return dataclasses.replace(capsule, received=None)


def given_on(net: Network, part: Network, params: Any, state: Any) -> tuple[Any, Any]:
    """Parameters and state of a part, from those of the whole.

    Args:
        net: The whole network.
        part: What `part_of` has cut out.
        params: Parameters of the whole.
        state: State of the whole.

    Returns:
        `(params, state)` of the part.

    Raises:
        ValueError: Parameters or state do not fit the whole network.
    """
    named = dict(flatten(net.named(params)))
    own = nest({name: named[name] for name in named_shapes(part.program.typed)})
    carried = dict(flatten(net.named_state(state)))
    names = named_state_shapes(part.program.typed)
    states = nest({name: carried[name] for name in names})
    return part.from_named(own), part.state_from_named(states)


def require_capsule(
    net: Network, argument: str, name: Any, known: Iterable[str]
) -> None:
    """Raises ValueError if a name is unknown, with the nearest known one."""
    names = list(known)
    if name not in names:
        cure = nearest(name, names, f"expected one of {listing(names)}")
        raise ValueError(
            f"network {net.graph.name!r} has no capsule {name!r}, found as "
            f"{argument}=; {cure}"
        )


def _behind(capsules: Mapping[str, TypedCapsule], of: str, by: str | None) -> set[str]:
    """Names of what a capsule is computed from, itself among them, as far as `by`."""
    needed, waiting = {of}, [of]
    while waiting:
        name = waiting.pop()
        if name in capsules and (name != by or name == of):
            sources = set(capsules[name].sources) - needed
            needed |= sources
            waiting += sources
    return needed
