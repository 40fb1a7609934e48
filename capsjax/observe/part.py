"""The part of a network that leads to one capsule, as a network of its own."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from capsjax import caps, compiler
from capsjax.compiler import Network
from capsjax.compiler.parameters import flatten, named_shapes, nest
from capsjax.graph import Graph
from capsjax.graph.declaration import Input
from capsjax.graph.errors import listing, nearest

Tensor = Literal["U", "Y"]


def part_of(net: Network, of: str, tensor: Tensor, by: str | None = None) -> Network:
    """Cuts out what leads to a capsule.

    Args:
        net: The network, compiled from a graph.
        of: The capsule whose tensor the part gives, as the output of this name.
        tensor: U, the total input, or Y, the output.
        by: A capsule whose Y becomes an input of the part, in place of what only it
            needs.

    Returns:
        The part, with the backward rules of the whole.

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
    capsules = {capsule.name: capsule for capsule in graph.capsules}
    _require(net, "of", of, capsules)
    inputs = {each.name: each for each in graph.inputs}
    if tensor == "U":  # the output, where the capsule function is the identity
        capsules[of] = dataclasses.replace(capsules[of], cap=caps.identity())
    if by is not None:
        _require(net, "by", by, [*inputs, *capsules])
        is_input = by in inputs
        shape = inputs[by].shape if is_input else net.shapes[by].output
        inputs[by] = Input(by, shape)
    needed = _behind(capsules, of, by)
    if by is not None and by not in needed - {of}:
        raise ValueError(
            f"network {graph.name!r}: {by!r} does not lead to {of!r}; expected as by= "
            f"an input or a capsule from which {of!r} is computed"
        )
    kept = tuple(c for c in capsules.values() if c.name in needed - {by})
    cut = dataclasses.replace(
        graph,
        inputs=tuple(each for each in inputs.values() if each.name in needed),
        capsules=kept,
        outputs=(of,),
        losses=(),
        declared="",
        uses=(),
    )
    return compiler.compile(
        cut,
        backward=_rules(net.backward, needed),
        precision=net.precision,
        passes=net.passes,
        check=False,
    )


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
    return part.from_named(own), part.state_from_named(net.named_state(state))


def _require(net: Network, argument: str, name: Any, known: Iterable[str]) -> None:
    names = list(known)
    if name not in names:
        cure = nearest(name, names, f"expected one of {listing(names)}")
        raise ValueError(
            f"network {net.graph.name!r} has no capsule {name!r}, found as "
            f"{argument}=; {cure}"
        )


def _behind(capsules: Mapping[str, Any], of: str, by: str | None) -> set[str]:
    """Names of what a capsule is computed from, itself among them, as far as `by`."""
    needed, waiting = {of}, [of]
    while waiting:
        name = waiting.pop()
        if name in capsules and (name != by or name == of):
            sources = {edge.source for edge in capsules[name].edges} - needed
            needed |= sources
            waiting += sources
    return needed


def _rules(backward: Any, names: set[str]) -> Any:
    """Backward rules given by place: those whose places the part has."""
    if not isinstance(backward, Mapping):
        return backward
    return {
        place: rule
        for place, rule in backward.items()
        if place == "*" or names.issuperset((place,) if place in names else place)
    }
