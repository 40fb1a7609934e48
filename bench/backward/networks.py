"""The networks that learn under every rule, and the rules."""

import dataclasses
from collections.abc import Callable
from typing import Any

import capsjax as cj


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A network and its recipe, which is the same for all rules.

    The optimizer is Adam, its rate falling to zero as half a cosine.

    Attributes:
        build: Makes the graph.
        epochs: Passes over the data.
        batch_size: Examples a step.
        rate: Learning rate at first.
    """

    build: Callable[..., cj.Graph]
    epochs: int
    batch_size: int
    rate: float


def mlp(cap: str = "relu") -> cj.Graph:
    """784-512-512-10."""
    h = cj.input("image", (28, 28, 1))
    h = cj.capsule("flat", cj.reshape(h, (-1,)), bias=None)
    for name in ("h1", "h2"):
        h = cj.capsule(name, cj.matmul(h, 512), cap=cap)
    y = cj.capsule("digit", cj.matmul(h, 10), cap="softmax")
    return cj.graph(y, name="mlp", losses={"digit": "cross_entropy"})


def local_mlp() -> cj.Graph:
    """The same; each hidden capsule has a readout with a loss, and hears no other."""
    h = cj.input("image", (28, 28, 1))
    h = cj.capsule("flat", cj.reshape(h, (-1,)), bias=None)
    h1 = cj.capsule("h1", cj.matmul(h, 512), cap="relu")
    near = cj.capsule("readout1", cj.matmul(h1, 10), cap="softmax")
    h2 = cj.with_backward(cj.matmul(h1, 512), "stop")
    h2 = cj.capsule("h2", h2, cap="relu")
    y = cj.capsule("digit", cj.matmul(h2, 10), cap="softmax")
    losses = {"digit": "cross_entropy", "readout1": "cross_entropy"}
    return cj.graph(y, near, name="mlp", losses=losses)


def cnn() -> cj.Graph:
    """Three convolutions, one pooling and two dense layers, for 8x8 digits."""
    h = cj.input("image", (8, 8, 1))
    for name, features in (("conv1", 16), ("conv2", 32)):
        conv = cj.conv(h, features, (3, 3), padding="SAME")
        h = cj.capsule(name, conv, cap="relu")
    h = cj.capsule("pool", cj.identity(h), cap=cj.caps.max_pool((2, 2)), bias=None)
    h = cj.capsule("conv3", cj.conv(h, 32, (3, 3), padding="SAME"), cap="relu")
    h = cj.capsule("flat", cj.reshape(h, (-1,)), bias=None)
    h = cj.capsule("dense", cj.matmul(h, 64), cap="relu")
    y = cj.capsule("digit", cj.matmul(h, 10), cap="softmax")
    return cj.graph(y, name="cnn", losses={"digit": "cross_entropy"})


def capsnet() -> cj.Graph:
    """The zoo's CapsNet for 8x8 digits."""
    return cj.zoo.graph("capsnet-digits")


EXPERIMENTS = {
    "mlp": Experiment(mlp, epochs=10, batch_size=128, rate=1e-3),
    "cnn": Experiment(cnn, epochs=30, batch_size=32, rate=2e-3),
    "capsnet": Experiment(capsnet, epochs=20, batch_size=32, rate=2e-3),
}


def learners(network: str) -> dict[str, tuple[cj.Graph, Any]]:
    """What learns: by name of the rule, a graph and `backward` for `cj.compile`.

    The error signal of an example is 1/B of what the example alone would give, so norm
    and deviation are given as shares of 1/B.
    """
    experiment = EXPERIMENTS[network]
    graph, share = experiment.build(), 0.1 / experiment.batch_size
    # The output's softmax keeps its derivative: of dL/dY alone nothing is learned.
    hidden_straight = {"digit": "exact", "*": "straight_through"}
    rules = {
        "exact": "exact",
        "feedback_alignment": "feedback_alignment",
        "direct_feedback_alignment": "direct_feedback_alignment",
        "sign_symmetric": "sign_symmetric",
        "kolen_pollack": "kolen_pollack",
        "straight_through": hidden_straight,
        "guided": "guided",
        "scale(0.5)": cj.backward.scale(0.5),
        "clip(0.1 / B)": cj.backward.clip(share),
        "noise(0.1 / B)": cj.backward.noise(share),
        "stop": "stop",
    }
    made = {name: (graph, rule) for name, rule in rules.items()}
    if network == "mlp":
        made["local readouts"] = (local_mlp(), None)
        made["sign units: exact"] = (mlp("sign"), "exact")
        made["sign units: straight_through"] = (mlp("sign"), hidden_straight)
    return made
