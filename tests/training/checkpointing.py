"""What the tests of checkpoints have in common: networks, carries, equality by bits."""

import zlib
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import capsjax as cj
from capsjax.compiler.passes import PIPELINE, Pass, fold_all, merge_all
from capsjax.training.checkpoints import Checkpointer, Checkpoints, Saved
from capsjax.training.checkpoints.reading import CONTENT

OWN = {
    "merge": Pass(merge_all, observable=True),
    "fold": Pass(fold_all, observable=True),
}
ALL_PASSES = tuple(OWN.get(each.name, each) for each in PIPELINE)
NO_FOLDING = tuple(p for p in PIPELINE if p.name not in ("fold", "merge", "batch"))
RULES = {"*": "feedback_alignment"}
ROWS = [{"epoch": 1, "seconds": 0.25, "loss": 1.5, "validation_loss": 0.1}]
MORE = {"epoch": 2, "order": [3, 1], "name": "ü"}


def tiny() -> cj.Graph:
    x = cj.input("x", (4,))
    y = cj.capsule("y", cj.matmul(x, 3), cj.matmul(x, 3), cap="softmax")
    return cj.graph(y, name="tiny", losses={"y": "cross_entropy"})


def blocks() -> cj.Graph:
    """Copies to fold, with running statistics, siblings to merge, a shared weight."""
    h = x = cj.input("x", (4,))
    for n in range(3):
        norm = cj.caps.standardize(0.8, unbiased=False)
        a = cj.capsule(f"a{n}", cj.matmul(h, 4), cap=norm, bias=None)
        b = cj.capsule(f"b{n}", cj.channel_scale(a), cap="relu")
        c = cj.capsule(f"c{n}", cj.matmul(b, 4), cap="tanh")
        d = cj.capsule(f"d{n}", cj.matmul(b, 4), cap="sigmoid")
        common = cj.share(cj.matmul(c, 4), "common")
        h = cj.capsule(f"y{n}", common, cj.identity(d), cap="tanh")
    left = cj.capsule("left", cj.matmul(x, 2), cap="tanh")
    right = cj.capsule("right", cj.matmul(x, 3), cap="relu")
    edges = (cj.matmul(each, 3) for each in (h, left, right))
    y = cj.capsule("y", *edges, cap="softmax")
    return cj.graph(y, name="blocks", losses={"y": "cross_entropy"})


def carry_of(
    net: cj.Network, optimizer: Any = None, seed: int = 0, **more: Any
) -> dict[str, Any]:
    """A carry with numbers that no initial one has, in every array."""
    optimizer = optax.adam(1e-3) if optimizer is None else optimizer

    def initial(key):
        params, state = net.init(key)
        return {
            "params": params,
            "state": state,
            "optimizer": optimizer.init(params),
            "key": jax.random.key_data(key),
            "sums": {"loss": jnp.float32(0), "accuracy": jnp.zeros(())},
        }

    key = jax.random.key(seed)
    wiring = {name: set(own) for name, own in net.program.wiring().items()}
    # Shapes are enough, where no wiring is to be kept: nothing is compiled for them.
    carry = {**(initial(key) if wiring else jax.eval_shape(initial, key)), **more}

    def drawn(path, leaf):
        keys = [str(getattr(key, "key", "")) for key in path]
        if keys[0] == "state" and keys[2] in wiring.get(keys[1], ()):
            return leaf
        return _drawn(leaf, seed + zlib.crc32(str(path).encode()) % 1000)

    return jax.tree.map_with_path(drawn, carry)


def _drawn(leaf: Any, seed: int) -> jax.Array:
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jax.random.key(seed)
    random = np.random.default_rng(seed)
    dtype = np.dtype(leaf.dtype)
    if jnp.issubdtype(dtype, jnp.floating):
        return jnp.asarray(np.asarray(random.normal(size=leaf.shape)).astype(dtype))
    numbers = random.integers(0, 1 + (dtype.kind != "b") * 99, leaf.shape)
    return jnp.asarray(np.asarray(numbers).astype(dtype))


def same(one: Any, two: Any) -> None:
    """Asserts that trees are equal in structure, types and bits."""
    assert jax.tree.structure(one) == jax.tree.structure(two)
    pairs = zip(jax.tree.leaves_with_path(one), jax.tree.leaves(two), strict=True)
    for (path, a), b in pairs:
        assert a.dtype == b.dtype, path
        if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes(), path
        assert a.shape == b.shape, path


def opened(folder: Any, net: cj.Network, **policy: Any) -> Checkpointer:
    return Checkpointer.open(folder, net, Checkpoints(**policy), {"seed": 0})


def write(folder: Any, net: cj.Network, carry: Any, *steps: int, **policy: Any) -> None:
    """Checkpoints of one carry at some steps."""
    with opened(folder, net, **policy) as checkpointer:
        for each in steps:
            checkpointer.save(Saved(each, carry, ROWS, MORE))


def files(folder: Any, number: int) -> Path:
    """Where the files of a checkpoint are."""
    return Path(folder) / "checkpoints" / f"{number:06d}" / CONTENT
