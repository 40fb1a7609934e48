"""Runs that `test_survival` breaks off; as a program, one that it kills."""

import sys
from typing import Any

import numpy as np
import optax

import capsjax as cj

WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "masked": {"short_batch": "mask", "class_weights": "balanced", "average": 0.9},
    "guarded": {"guard": "skip", "augment": {"kind": "mixup", "alpha": 0.5}},
    "streamed": {"streamed": True},
}


def network() -> cj.Network:
    """Dropout, running statistics, classes."""
    x = cj.input("x", (4,))
    h = cj.capsule("h", cj.matmul(x, 8), cap="standardize", bias=None)
    drop = cj.capsule("drop", cj.identity(h), cap=cj.caps.dropout(0.2), bias=None)
    y = cj.capsule("y", cj.matmul(drop, 3), cap="softmax")
    return cj.compile(cj.graph(y, name="net", losses={"y": "cross_entropy"}))


def examples(count: int = 75, seed: int = 0) -> dict[str, np.ndarray]:
    """Points and the largest of their first three coordinates."""
    x = np.random.default_rng(seed).normal(size=(count, 4)).astype(np.float32)
    return {"x": x, "y": np.argmax(x[:, :3], axis=1).astype(np.int32)}


class Source:
    """The same, example by example."""

    def __init__(self, arrays: dict[str, np.ndarray]):
        self._arrays = arrays

    def __len__(self) -> int:
        return len(self._arrays["x"])

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {name: array[index] for name, array in self._arrays.items()}


def fit(way: str, spoil: bool = False, **more: Any) -> cj.Run:
    """A run of three epochs of nine steps."""
    own = dict(WAYS[way])
    data: Any = examples()
    data["x"][0, 0] += spoil
    if own.pop("streamed", False):
        data = Source(data)
    given = {"epochs": 3, "batch_size": 8, "progress": False, **own, **more}
    adam = optax.adam(0.01)
    held_out = examples(20, seed=1)
    return cj.fit(network(), data, validation=held_out, optimizer=adam, **given)


def main(folder: str) -> None:
    fit(
        "masked",
        folder=folder,
        resume=True,
        epochs=60,
        checkpoints=cj.Checkpoints(every_steps=7, every_seconds=None),
        callbacks=[lambda row: print("row", flush=True)],
    )


if __name__ == "__main__":
    main(sys.argv[1])
