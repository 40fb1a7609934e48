"""What tests of sweeps share: a small network, data that it can learn, comparisons."""

from typing import Any

import jax
import numpy as np

import capsjax as cj


def tiny(units: int = 8, rate: float = 0.2, name: str = "tiny") -> cj.Graph:
    """A perceptron with dropout on four numbers, three classes."""
    x = cj.input("x", (4,))
    h = cj.capsule("h", cj.matmul(x, units), cap="tanh")
    d = cj.capsule("drop", cj.identity(h), cap=cj.caps.dropout(rate), bias=None)
    y = cj.capsule("y", cj.matmul(d, 3), cap="softmax")
    return cj.graph(y, name=name, losses={"y": "cross_entropy"})


def plain(units: int = 8) -> cj.Graph:
    """The same without dropout: it compiles in half the time."""
    x = cj.input("x", (4,))
    h = cj.capsule("h", cj.matmul(x, units), cap="tanh")
    y = cj.capsule("y", cj.matmul(h, 3), cap="softmax")
    return cj.graph(y, name="plain", losses={"y": "cross_entropy"})


def examples(count: int = 48, seed: int = 0) -> dict[str, np.ndarray]:
    """Examples whose class is where the largest of three numbers stands."""
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(count, 4)).astype(np.float32)
    return {"x": x, "y": np.argmax(x[:, :3], axis=1).astype(np.int32)}


def swept(over: Any, graph: Any = None, **more: Any) -> Any:
    """A sweep of the small network, without a bar."""
    settings = {"batch_size": 8, "epochs": 2, "progress": False, **more}
    return cj.sweep(graph or plain(), examples(), over, **settings)


def same(one: Any, two: Any) -> bool:
    """Whether two trees are equal, bit by bit."""
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True)
    return all((np.asarray(a) == np.asarray(b)).all() for a, b in pairs)


def furthest(one: Any, two: Any) -> float:
    """The largest difference of two trees."""
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True)
    return max(float(np.max(np.abs(np.asarray(a) - np.asarray(b)))) for a, b in pairs)
