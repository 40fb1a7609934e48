"""One of four processes that share a run; `test_checkpoints` starts them."""

import sys

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import capsjax as cj
from capsjax.training.checkpoints import Saved
from tests.training.checkpointing import ALL_PASSES, blocks, carry_of, opened

COUNT = 4


def divided(carry):
    """A carry of which each process has a quarter of what can be divided."""
    mesh = Mesh(np.array(jax.devices()), ("model",))

    def put(leaf):
        sizes = enumerate(leaf.shape)
        axis = next((axis for axis, size in sizes if size and size % COUNT == 0), None)
        names = [] if axis is None else [*[None] * axis, "model"]
        sharding = NamedSharding(mesh, PartitionSpec(*names))
        host = np.asarray(leaf)
        return jax.make_array_from_callback(leaf.shape, sharding, lambda at: host[at])

    return jax.tree.map(put, carry)


def same_parts(one, two) -> None:
    """Asserts that what this process has of two carries is equal by bits."""
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        assert a.sharding == b.sharding
        for x, y in zip(a.addressable_shards, b.addressable_shards, strict=True):
            assert np.asarray(x.data).tobytes() == np.asarray(y.data).tobytes()


def main(rank: str, port: str, folder: str) -> None:
    """Reads what one process has written, then writes twice and reads that."""
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(f"localhost:{port}", COUNT, int(rank))
    net = cj.compile(blocks(), passes=ALL_PASSES)
    carry = carry_of(net)
    like = divided(carry)
    more = divided(jax.tree.map(lambda a: a + 1, carry))
    with opened(folder, net, every_seconds=10) as checkpointer:
        saved = checkpointer.latest(like)
        assert saved is not None and saved.steps == 7
        same_parts(saved.carry, like)
        # The clock of the first process holds for all.
        due = [checkpointer.due(8, now * (rank == "0")) for now in (0.0, 20.0)]
        assert due == [False, True]
        for steps in (8, 9):
            checkpointer.save(Saved(steps, more, [], {}))
        saved = checkpointer.latest(like)
        assert saved is not None and saved.steps == 9
        same_parts(saved.carry, more)
    print("equal", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
