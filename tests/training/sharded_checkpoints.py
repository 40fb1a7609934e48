"""Checkpoints of sharded carries on eight devices; `test_checkpoints` runs it."""

import sys

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import capsjax as cj
from tests.training.checkpointing import (
    ALL_PASSES,
    blocks,
    carry_of,
    opened,
    same,
    write,
)


def placed(carry, devices: int, axis: int):
    """A carry of which what can be divided is, the rest on all devices."""
    mesh = Mesh(np.array(jax.devices()[:devices]), ("model",))

    def put(leaf):
        spec = PartitionSpec()
        if leaf.ndim > axis and leaf.shape[axis] % devices == 0 and leaf.size:
            spec = PartitionSpec(*[None] * axis, "model")
        return jax.device_put(leaf, NamedSharding(mesh, spec))

    return jax.tree.map(put, carry)


def main(folder: str) -> None:
    """Saves divided arrays, loads them divided in another way, and whole."""
    net = cj.compile(blocks(), passes=ALL_PASSES)
    carry = carry_of(net)
    write(folder, net, placed(carry, 4, 1), 7)
    likes = [carry, placed(carry, 2, 0), placed(carry, 8, 1)]
    for like in (*likes, jax.tree.map(_shape, likes[1])):
        with opened(folder, net) as checkpointer:
            saved = checkpointer.latest(like)
        assert saved is not None and not checkpointer.warnings
        same(saved.carry, carry)
        for one, two in zip(*map(jax.tree.leaves, (saved.carry, like)), strict=True):
            assert one.sharding.is_equivalent_to(two.sharding, one.ndim)
        add = jax.jit(lambda c: jax.tree.map(lambda a: a + 1, c), donate_argnums=0)
        same(add(saved.carry), jax.tree.map(lambda a: a + 1, carry))
    print("equal")


def _shape(leaf):
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding)


if __name__ == "__main__":
    main(sys.argv[1])
