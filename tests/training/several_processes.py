"""One of several processes that train together; `test_parallel` starts them.

`train` prints, as JSON, a digest of what is carried after some steps and, in process 0,
how far that is from what one device makes; `join` says only whether it could join.
"""

import hashlib
import json
import sys

import jax
import numpy as np

import capsjax as cj
from capsjax.compiler.jit import jit
from capsjax.training.learner import number
from capsjax.training.parallel import Placement, distributed
from tests.training.sharded_training import (
    BATCH,
    OUT,
    STEPS,
    examples,
    furthest,
    learner_of,
    trained,
)


def network() -> cj.Network:
    """With statistics of the whole batch, and so small that it compiles quickly."""
    h = cj.capsule("h", cj.matmul(cj.input("x", (6,)), 8), cap="standardize", bias=None)
    scaled = cj.capsule("scaled", cj.channel_scale(h), cap="tanh")
    y = cj.capsule("y", cj.matmul(scaled, 4), cap="softmax")
    return cj.compile(cj.graph(y, losses={"y": "cross_entropy"}))


def train() -> None:
    """Trains on a mesh over all processes, each feeding its own rows."""
    own = distributed(timeout=100)
    learner = learner_of(network())
    placement = Placement.of(learner.net, {"data": 4, "model": -1}, OUT)
    rows = placement.own_rows(BATCH)
    numbers = jax.tree.map(number, learner.given({}))
    carry = placement.put(learner.initial(0, numbers))
    lies = placement.carry(carry)
    step = jit(learner.step, donate_argnums=0, out_shardings=lies)
    for seed in range(STEPS):
        whole = examples(learner.net, seed)
        batch = placement.feed({name: array[rows] for name, array in whole.items()})
        carry = step(carry, batch, numbers)
    spread = {len(a.sharding.device_set) for a in jax.tree.leaves(carry)}
    gathered = placement.gathered(carry)
    assert all(type(a) is np.ndarray for a in jax.tree.leaves(gathered))
    again = placement.gathered(placement.put(gathered))
    content = b"".join(a.tobytes() for a in jax.tree.leaves(gathered))
    found = {
        "process": [own.index, own.count],
        "rows": len(rows),
        "spread": sorted(spread),
        "again": furthest(again, gathered),
        "digest": hashlib.sha256(content).hexdigest(),
    }
    if own.index == 0:
        found["apart"] = furthest(gathered, trained(learner, None)[0])
    print(json.dumps(found))


def join(timeout: str) -> None:
    """Only joins, or says why it cannot."""
    try:
        print(distributed(timeout=float(timeout)))
    except Exception as error:
        print(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    {"train": train, "join": join}[sys.argv[1]](*sys.argv[2:])
