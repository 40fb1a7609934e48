"""Names of all that a carry holds, and where in its leaves each one stands.

    params/c1:W:image          a parameter, whatever the compiled layout
    average/c1:W:image         of any tree that has the structure and shapes of params
    optimizer[0].mu/c1:W:image
    state/c1:mean              network state
    optimizer[0].count         all else, by its place in the tree
    key

So a checkpoint does not depend on passes and folding, except in what is neither like
the parameters nor state: masked or factored statistics of optimizers.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from capsjax.compiler import Network
from capsjax.compiler.parameters import Name, flatten, show
from capsjax.compiler.places import Place, parameter_places, state_places
from capsjax.graph.kinds import Shape


class Slot(NamedTuple):
    """Where an array that is saved by name stands in a carry.

    Attributes:
        leaf: The number of the leaf.
        start: Where the part begins, along each axis of the leaf.
        stop: Where it ends.
        stacked: Whether the first axis is dropped by name.
        shape: The shape by name.
        dtype: The type of its elements.
    """

    leaf: int
    start: tuple[int, ...]
    stop: tuple[int, ...]
    stacked: bool
    shape: Shape
    dtype: np.dtype


class Leaf(NamedTuple):
    """The shape and the type in which a leaf is stored."""

    shape: Shape
    dtype: np.dtype


def is_key(leaf: Any) -> bool:
    """Whether a leaf is a typed random key, which is stored as its data."""
    dtype = getattr(leaf, "dtype", None)
    return dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key)


def leaf_of(leaf: Any) -> Leaf:
    """How a leaf is stored; given arrays or their shapes."""
    if is_key(leaf):
        leaf = jax.eval_shape(jax.random.key_data, leaf)
    elif not hasattr(leaf, "dtype"):
        leaf = np.asarray(leaf)
    return Leaf(tuple(leaf.shape), np.dtype(leaf.dtype))


def slots(net: Network, structure: Any, leaves: list[Leaf]) -> dict[str, Slot]:
    """The names of a carry: all but the wiring of neurons, which the graph holds.

    Args:
        net: The network.
        structure: The structure of the carry, as `jax.tree.structure` gives it.
        leaves: Its leaves, in order.

    Returns:
        Slots by name.

    Raises:
        ValueError: Two arrays have one name, or it is no carry.
    """
    carry = jax.tree.unflatten(structure, range(len(leaves)))
    if not isinstance(carry, Mapping) or "params" not in carry:
        raise ValueError("a carry is a table by name that holds 'params'")
    typed = net.program.typed
    found: dict[str, Slot] = {}
    places = parameter_places(typed)
    like = _Like(carry["params"], leaves)
    for part, tree in carry.items():
        if part == "state":
            _add(found, "state", tree, state_places(typed), leaves)
            continue
        inner, _ = jax.tree.flatten_with_path(tree, is_leaf=like)
        for path, value in inner:
            where = f"{part}{jax.tree_util.keystr(path)}"
            if like(value):
                _add(found, where, value, places, leaves)
            else:
                shape, dtype = leaves[value]
                start = (0,) * len(shape)
                _enter(found, where, Slot(value, start, shape, False, shape, dtype))
    return found


class _Like:
    """Tells trees that have the structure and the shapes of the parameters."""

    def __init__(self, params: Any, leaves: list[Leaf]):
        self.structure = jax.tree.structure(params)
        self.leaves = leaves
        self.shapes = [leaves[number].shape for number in jax.tree.leaves(params)]

    def __call__(self, tree: Any) -> bool:
        if type(tree) is int or not self.shapes:
            return False
        numbers, structure = jax.tree.flatten(tree)
        return structure == self.structure and self.shapes == [
            self.leaves[number].shape for number in numbers
        ]


def _add(
    found: dict[str, Slot],
    where: str,
    tree: Mapping[str, Any],
    places: Mapping[Name, Place],
    leaves: list[Leaf],
) -> None:
    """Slots of a tree whose arrays have names of the network's."""
    numbers = dict(flatten(tree))
    for name, place in places.items():
        number = numbers[place.own]
        slot = Slot(number, *place[1:], place.shape, leaves[number].dtype)
        _enter(found, f"{where}/{show(name)}", slot)


def _enter(found: dict[str, Slot], name: str, slot: Slot) -> None:
    if name in found:
        raise ValueError(f"the carry holds two arrays of the name {name!r}")
    found[name] = slot


def wiring(net: Network, structure: Any) -> dict[int, Any]:
    """The wiring of neurons, by the number of the leaf."""
    carry = jax.tree.unflatten(structure, range(structure.num_leaves))
    given: dict[int, Any] = {}
    for group, tables in net.program.wiring().items():
        for name, table in tables.items():
            numbers = jax.tree.leaves(carry["state"][group][name])
            given |= dict(zip(numbers, jax.tree.leaves(table), strict=True))
    return given
