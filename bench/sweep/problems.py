"""The three sweeps: a network, its data, and the learning rates that are tried."""

import dataclasses
from collections.abc import Callable

import numpy as np

import capsjax as cj


@dataclasses.dataclass(frozen=True)
class Problem:
    """A sweep over learning rates; all members begin with the same parameters.

    Attributes:
        build: Makes the graph.
        batch_size: Examples a step.
        members: How many learning rates.
        rates: The least and the greatest of them.
        epochs: Passes over the data, or None.
        steps: Steps, in place of epochs.
        images: Of how many images of MNIST's training and test set; None: the digits.
        about: What it is, in words.
    """

    build: Callable[[], cj.Graph]
    batch_size: int
    members: int
    rates: tuple[float, float]
    about: str
    epochs: int | None = None
    steps: int | None = None
    images: int | None = None

    def data(self, mnist: str | None):
        """The data, as for `cj.fit`."""
        if self.images is None:
            return cj.load_data("digits")
        if mnist is None:
            raise SystemExit("lenets: --mnist DIR says where the images are")
        data = cj.load_data(mnist)
        first = {
            "train": _first(data.train, self.images),
            "test": _first(data.test, self.images),
        }
        return dataclasses.replace(data, **first)

    def all_steps(self, count: int) -> int:
        """Steps of a member, of so many examples."""
        return self.steps or (self.epochs or 1) * (count // self.batch_size)

    def learning_rates(self, members: int | None = None) -> list[float]:
        """The rates, in a geometric row."""
        row = np.geomspace(*self.rates, self.members if members is None else members)
        return [float(rate) for rate in row]


def _first(split, count: int):
    arrays = {"inputs": split.inputs[:count], "targets": split.targets[:count]}
    return dataclasses.replace(split, **arrays)


def perceptron(width: int, depth: int) -> cj.Graph:
    """64 numbers, hidden layers of relus, 10 classes."""
    h = cj.input("image", (8, 8, 1))
    h = cj.capsule("flat", cj.reshape(h, (-1,)), bias=None)
    for number in range(depth):
        h = cj.capsule(f"h{number + 1}", cj.matmul(h, width), cap="relu")
    y = cj.capsule("digit", cj.matmul(h, 10), cap="softmax")
    return cj.graph(y, name="perceptron", losses={"digit": "cross_entropy"})


def perceptrons(
    width: int, depth: int, batch_size: int, members: int, steps: int
) -> Problem:
    """A sweep over perceptrons on digits, of any size and length."""
    layers = "-".join(map(str, (64, *[width] * depth, 10)))
    return Problem(
        lambda: perceptron(width, depth),
        batch_size,
        members,
        (1e-4, 1e-1),
        f"{members} perceptrons {layers} on digits, batches of {batch_size}, "
        f"{steps:,} steps",
        steps=steps,
    )


PROBLEMS = {
    "mlps": perceptrons(64, 1, 32, 64, 500),
    "lenets": Problem(
        lambda: cj.zoo.graph("lenet-5"),
        batch_size=64,
        members=32,
        rates=(1e-4, 1e-2),
        epochs=5,
        images=2000,
        about="32 LeNet-5 on 2,000 images of MNIST, batches of 64, 5 epochs",
    ),
    "capsnets": Problem(
        lambda: cj.zoo.graph("capsnet-digits"),
        batch_size=32,
        members=16,
        rates=(1e-4, 1e-2),
        epochs=4,
        about="16 CapsNets on digits, batches of 32, 4 epochs",
    ),
}
