"""fit on eight devices of one CPU; `test_meshed_fit` runs it.

Prints, as JSON by way of dividing, how far parameters are from those of one device.
"""

import json
import sys
from pathlib import Path

import jax
import numpy as np

import capsjax as cj


def network():
    x = cj.input("x", (8,))
    # No bias before standardize: its gradient is 0 but for rounding, and Adam's step
    # from there as large as any other.
    h = cj.capsule("h", cj.matmul(x, 16), cap="standardize", bias=None)
    drop = cj.capsule("drop", cj.identity(h), cap=cj.caps.dropout(0.2), bias=None)
    y = cj.capsule("y", cj.matmul(drop, 4), cap="softmax")
    return cj.compile(cj.graph(y, losses={"y": "cross_entropy"}))


def examples(count=90):
    numbers = np.random.default_rng(0)
    x = numbers.normal(size=(count, 8)).astype(np.float32)
    return {"x": x, "y": np.argmax(x[:, :4], axis=1).astype(np.int32)}


def main(folder: Path) -> None:
    data, more = examples(), {"epochs": 3, "batch_size": 16, "progress": False}
    more |= {"validation": examples(40), "guard": "stop", "average": 0.9}
    alone = cj.fit(network(), data, short_batch="mask", **more)
    ways = {
        "rows": {"mesh": {"data": 8}},
        "both": {"mesh": {"data": 4, "model": 2}, "rules": {"out": "model"}},
        "saved": {"mesh": {"data": 8}, "folder": folder / "run"},
    }
    found = {}
    for name, way in ways.items():
        run = cj.fit(network(), data, short_batch="mask", **way, **more)
        found[name] = apart(alone, run)
    again = cj.fit(
        network(),
        data,
        short_batch="mask",
        **{**more, "epochs": 5},
        **ways["saved"],
        resume=True,
    )
    whole = cj.fit(network(), data, short_batch="mask", **{**more, "epochs": 5})
    found["resumed"] = apart(whole, again)
    print(json.dumps(found))


def apart(one: cj.Run, two: cj.Run) -> float:
    pairs = zip(
        jax.tree.leaves((one.params, one.average, one.state)),
        jax.tree.leaves((two.params, two.average, two.state)),
        strict=True,
    )
    gaps = [float(np.abs(np.asarray(a) - np.asarray(b)).max()) for a, b in pairs]
    columns = ["loss", "validation_loss"]
    rows = one.history[columns].to_numpy() - two.history[columns].to_numpy()
    return max(*gaps, float(np.abs(rows).max()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
