"""Training on eight devices of one CPU; `test_parallel` runs it.

`python sharded_training.py '{"mlp": ["4,2"]}'`: for each network and mesh it prints, as
JSON, how far what training carries is from that of one device, and the bytes of it on a
device.
"""

import json
import sys
from typing import Any

import jax
import numpy as np
import optax

import capsjax as cj
from capsjax.compiler.jit import jit
from capsjax.training.learner import Learner, number
from capsjax.training.optimizers import optimizer_of
from capsjax.training.parallel import Placement

BATCH = 16
STEPS = 3


def residual() -> Any:
    """Two convolutions with batch normalization around a shortcut."""
    x = cj.input("image", (6, 6, 3))
    edge = cj.conv(x, 8, (3, 3), padding="SAME")
    conv1 = cj.capsule("conv1", edge, cap="standardize", bias=None)
    norm1 = cj.capsule("norm1", cj.channel_scale(conv1), cap="relu")
    edge = cj.conv(norm1, 8, (3, 3), padding="SAME")
    conv2 = cj.capsule("conv2", edge, cap="standardize", bias=None)
    both = cj.channel_scale(conv2), cj.identity(norm1)
    joined = cj.capsule("norm2", *both, cap="relu")
    pool = cj.capsule("pool", cj.identity(joined), cap="global_avg_pool", bias=None)
    y = cj.capsule("y", cj.matmul(pool, 8), cap="softmax")
    return cj.graph(y, losses={"y": "cross_entropy"})


def deep() -> Any:
    """Equal layers in a row, which are folded into a scan, with dropout in each."""
    drop = cj.caps.dropout(0.1)
    h = cj.capsule("h", cj.matmul(cj.input("x", (8,)), 16), cap=drop)
    for i in range(8):
        r = cj.capsule(f"r{i}", cj.matmul(h, 16), cap=drop)
        h = cj.capsule(f"h{i}", cj.identity(h), cj.identity(r), cap="tanh", bias=None)
    y = cj.capsule("y", cj.matmul(h, 8), cap="softmax")
    return cj.graph(y, losses={"y": "cross_entropy"})


FOLDED = (
    *(each for each in cj.passes.PIPELINE if each.name != "fold"),
    cj.passes.Pass(cj.passes.fold_all, observable=True),
)
"""Passes that fold runs of any length."""

OUT = {"out": "model"}
WHOLE = ("c1:out", "f6:out", "digit:out", "digit:in", "c*:in")
LENET = {**OUT, "in": "model", **dict.fromkeys(WHOLE)}  # the sizes are odd ones
SMALL = {"vocabulary": 32, "length": 8, "width": 16, "layers": 2, "heads": 2}


def problems() -> dict[str, tuple[Any, dict[str, Any]]]:
    """Networks and rules by name."""
    graph, compiled = cj.zoo.graph, cj.compile
    gpt = compiled(graph("gpt-2", **SMALL, dropout=0.1), passes=FOLDED)
    wired = cj.neural.random_dag(
        "window", inputs=4, neurons=13, in_degree=2, window=6, outputs=3, seed=3
    )
    neurons = compiled(cj.neural.model(wired, cap="softmax", loss="cross_entropy"))
    whole = compiled(deep(), passes=FOLDED)
    assert whole.program.typed.runs and gpt.program.typed.runs
    less = whole.memory(BATCH)
    budget = less.smallest + (less.full - less.smallest) // 4
    return {
        "mlp": (compiled(graph("mlp", sizes=(8, 16, 16, 8))), OUT),
        "lenet-5": (compiled(graph("lenet-5")), LENET),
        "residual": (compiled(residual()), OUT),
        "folded": (whole, OUT),
        "layers divided": (
            compiled(deep(), passes=FOLDED, memory_budget=budget, traced=["h.rate"]),
            {"layers": "model", "in": "model", "out": "data"},
        ),
        "neurons": (neurons, {"edges": "model", "members": "data"}),
        "capsnet-digits": (compiled(graph("capsnet-digits")), OUT),
        "gpt-2": (gpt, {"vocabulary": "model", **OUT}),
    }


def examples(net: Any, seed: int) -> dict[str, np.ndarray]:
    """A batch that fits; rows of very different means, so that halves are unlike."""
    draw = np.random.default_rng(seed)
    found = {}
    real = np.dtype(np.asarray(jax.numpy.zeros(())).dtype)
    for each in net.graph.inputs:
        if each.dtype == "integer":
            found[each.name] = draw.integers(0, 32, (BATCH, *each.shape))
            continue
        offsets = np.linspace(-1, 1, BATCH).reshape(-1, *[1] * len(each.shape))
        rows = draw.normal(size=(BATCH, *each.shape)) + offsets
        found[each.name] = rows.astype(real)
    for name, _ in net.graph.losses:
        shape = net.shapes[name].output
        found[name] = draw.integers(0, shape[-1], (BATCH, *shape[:-1]))
    return found


def furthest(found: Any, expected: Any) -> float:
    """The largest difference of arrays, relative to those of large numbers."""
    pairs = zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)
    both = [(np.asarray(a, float), np.asarray(b, float)) for a, b in pairs]
    return max(float(np.max(abs(a - b)) / max(np.max(abs(b)), 1)) for a, b in both)


def learner_of(net: Any) -> Learner:
    """With an optimizer whose state is as large as two parameters."""
    # A large epsilon: of a gradient that is rounding alone, Adam would make a step.
    return Learner(net, optimizer_of(optax.adam(1e-2, eps=1e-2)))


def trained(learner: Learner, placement: Placement | None) -> tuple[Any, Any]:
    """What training carries after some steps; and the compiled step."""
    numbers = jax.tree.map(number, learner.given({}))
    carry = learner.initial(0, numbers)
    first = examples(learner.net, 0)
    more: dict[str, Any] = {}
    if placement is not None:
        carry = placement.put(carry)
        lies = placement.carry(carry)
        given = (lies, placement.batch(first), placement.everywhere)
        more = {"in_shardings": given, "out_shardings": lies}
    step = jit(learner.step, donate_argnums=0, **more)
    compiled = step.lower(carry, first, numbers).compile()
    for seed in range(STEPS):
        batch = examples(learner.net, seed)
        if placement is not None:
            batch = placement.feed(batch)
        carry = compiled(carry, batch, numbers)
    return carry, compiled


def held(carry: Any) -> int:
    """Bytes that really are on the device that holds most."""
    sums: dict[Any, int] = {}
    for array in jax.tree.leaves(carry):
        for shard in array.addressable_shards:
            sums[shard.device] = sums.get(shard.device, 0) + shard.data.nbytes
    return max(sums.values())


def deltas(net: Any, carry: Any, placement: Placement | None) -> Any:
    """Error signals of one more batch."""
    batch = examples(net, 9)
    if placement is not None:
        batch = placement.feed(batch)
    return jax.jit(net.deltas)(carry["params"], carry["state"], batch)


def main(asked: dict[str, list[str]]) -> None:
    """Compares networks on meshes."""
    found: dict[str, Any] = {}
    known = problems()
    for name, meshes in asked.items():
        net, rules = known[name]
        learner = learner_of(net)
        expected, _ = trained(learner, None)
        for text in meshes:
            sizes = dict(
                zip(("data", "model"), map(int, text.split(",")), strict=False)
            )
            own = {k: v for k, v in rules.items() if v in (*sizes, None)}
            placement = Placement.of(net, sizes, own)
            carry, compiled = trained(learner, placement)
            analysis = compiled.memory_analysis()
            row = {
                "apart": furthest(carry, expected),
                "held": held(carry),
                "planned": placement.bytes_per_device(carry),
                "whole": held(expected),
                "donated": analysis.alias_size_in_bytes,
            }
            if name == "residual":
                signals = [deltas(net, expected, p) for p in (placement, None)]
                row["deltas"] = furthest(*signals)
            found[f"{name} {text}"] = row
    print(json.dumps(found))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
