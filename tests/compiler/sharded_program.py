"""Training steps on eight devices of one CPU; `test_state_sharded` runs it.

Prints, as JSON, how far loss, gradients, state and what was drawn are from those of one
device.
"""

import json

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import capsjax as cj

BATCH = 16


def main() -> None:
    """Compares both."""
    x = cj.input("x", (5,))
    h = cj.capsule("h", cj.matmul(x, 4), cap="standardize", bias=None)
    drop = cj.capsule("drop", cj.channel_scale(h), cap=cj.caps.dropout(0.5))
    path = cj.capsule("path", cj.identity(drop), cap=cj.caps.drop_path(0.3), bias=None)
    y = cj.capsule("y", cj.matmul(path, 3))
    graph = cj.graph(y, drop, path, losses={"y": "mean_squared_error"})
    rules = {"y": "feedback_alignment", "drop": "direct_feedback_alignment"}
    net = cj.compile(graph, backward=rules)
    params, state = net.init(jax.random.key(0))
    draw = np.random.default_rng(0).normal
    # Shards of very different means: each alone would be standardized to another Y.
    offsets = np.repeat(np.arange(8.0), BATCH // 8)[:, None]
    batch = {"x": jnp.asarray(draw(size=(BATCH, 5)) + offsets)}
    batch["y"] = jnp.asarray(draw(size=(BATCH, 3)))

    @jax.jit
    def step(params, state, batch, key):
        loss = jax.value_and_grad(net.loss, has_aux=True)
        (value, (outputs, state)), slopes = loss(params, state, batch, key=key)
        return value, slopes, state, outputs

    mesh = Mesh(np.array(jax.devices()), ("batch",))
    rows = NamedSharding(mesh, PartitionSpec("batch"))
    sharded = jax.device_put(batch, rows)
    found = step(params, state, sharded, jax.random.key(1))
    expected = step(params, state, batch, jax.random.key(1))

    def distance(a: jax.Array, b: jax.Array) -> float:
        return float(np.max(abs(np.asarray(a) - np.asarray(b))))

    names = "loss", "gradients", "state", "outputs"
    trees = [
        jax.tree.map(distance, *pair) for pair in zip(found, expected, strict=True)
    ]
    apart = {
        name: max(jax.tree.leaves(tree))
        for name, tree in zip(names, trees, strict=True)
    }
    masks = [
        {n: np.asarray(o[-1][n] != 0) for n in ("drop", "path")}
        for o in (found, expected)
    ]
    same = all(np.array_equal(masks[0][n], masks[1][n]) for n in masks[0])
    shards = len(found[-1]["drop"].sharding.device_set)
    kept = float(masks[1]["drop"].mean())
    print(json.dumps(apart | {"masks": same, "shards": shards, "kept": kept}))


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    main()
