"""Test accuracy of the zoo's networks on real images, and the time to reach it.

python -m bench.accuracy                       # CapsNet for digits, three seeds
python -m bench.accuracy --mnist DIR           # LeNet-5, CapsNet with decoder
python -m bench.accuracy --fashion-mnist DIR   # LeNet-5, ResNet-20
python -m bench.accuracy --mnist DIR --only capsnet --out runs/capsnet

The runs are what a CPU does in minutes: CapsNet has an eighth of its first feature maps
and a quarter of its primary capsules, and learns from a third of the images. With
`--full`, for a GPU, it is the published network on all images, shifted by up to 2
pixels. `--out` keeps what was trained, and pictures of what the decoder makes of it.
"""

import argparse
import dataclasses
import itertools
import time
from pathlib import Path
from typing import Any

import numpy as np
import optax

import capsjax as cj
from capsjax.training.data import Data, Split


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A network, what it learns from, and how: Adam, its rate falling as a cosine.

    Attributes:
        network: Name in the zoo.
        epochs: Passes over the data.
        options: Options of the network.
        examples: How many examples it learns from; all, if none are given.
        batch_size: Examples a step.
        rate: Learning rate at first; 0.001 throughout, if none is given.
        shift: Whether each image is also there shifted by 2 pixels, in 8 directions.
    """

    network: str
    epochs: int
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    examples: int | None = None
    batch_size: int = 32
    rate: float | None = None
    shift: bool = False


DIGITS = Experiment("capsnet-digits", 20)
REDUCED = {"features": 32, "maps": 8, "decoder": True}
MNIST = [
    Experiment("lenet-5", 3),
    Experiment("capsnet", 4, REDUCED, examples=20_000, rate=2e-3),
]
FASHION = [
    Experiment("lenet-5", 8, batch_size=64, rate=2e-3),
    Experiment("resnet-20-cifar", 2, {"shape": (28, 28, 1)}, 8_000, rate=2e-3),
]
FULL = Experiment("capsnet", 6, {"decoder": True}, None, 128, 1e-3, shift=True)


def measure(
    experiment: Experiment, source: str, seed: int, out: Path | None = None
) -> str:
    """Trains a network, keeps what comes of it, and reports one row."""
    net = cj.compile(cj.zoo.graph(experiment.network, **experiment.options))
    data = cj.load_data(source)
    train = Split(
        data.train.inputs[: experiment.examples],
        data.train.targets[: experiment.examples],
    )
    train = shifted(train, 2) if experiment.shift else train
    rate: Any = 1e-3
    if experiment.rate is not None:
        steps = experiment.epochs * (len(train) // experiment.batch_size)
        rate = optax.cosine_decay_schedule(experiment.rate, steps)
    folder = out and out / f"{experiment.network}-{data.name}-{seed}"
    if folder and folder.exists():
        raise SystemExit(f"{folder} is there already; choose another folder for --out")
    start = time.perf_counter()
    run = cj.fit(
        net,
        Data(data.name, train, data.test, data.classes),
        optimizer=optax.adam(rate),
        epochs=experiment.epochs,
        batch_size=experiment.batch_size,
        seed=seed,
        progress=False,
    )
    seconds = time.perf_counter() - start
    if folder:
        run.save(folder, pictures(run, data))
    last = run.history.iloc[-1]
    (accuracy,) = last.filter(regex="^validation_.*accuracy$")
    return (
        f"{experiment.network:15s} {data.name:13s} {seed:4d} {experiment.epochs:6d} "
        f"{len(train):7d} {len(data.test):6d} {100 * accuracy:8.2f} % {seconds:8.1f} s"
    )


def shifted(split: Split, pixels: int) -> Split:
    """The images as they are and moved in 8 directions; what is moved in is black."""
    copies = []
    for down, across in itertools.product((-pixels, 0, pixels), repeat=2):
        moved = np.pad(split.inputs, ((0, 0), *[(pixels, pixels)] * 2, (0, 0)))
        height, width = split.inputs.shape[1:3]
        rows = slice(pixels - down, pixels - down + height)
        columns = slice(pixels - across, pixels - across + width)
        copies.append(moved[:, rows, columns])
    return Split(np.concatenate(copies), np.tile(split.targets, len(copies)))


def pictures(run: cj.Run, data: Data) -> dict[str, bytes]:
    """Learning curves; of a decoder, also what it makes of the first test images."""
    made = {"learning-curves.svg": cj.view.learning_curves(run.history)}
    if "reconstruction" in run.net.graph.outputs:
        images, labels = data.test.inputs[:12], data.test.targets[:12]
        one_hot = np.eye(data.classes or 0, dtype=np.float32)[labels]
        given = {"image": images, "label": one_hot}
        one = {name: array[:1] for name, array in given.items()}
        trained = run.net, run.params, run.state
        made["reconstructions.svg"] = cj.view.reconstructions(*trained, given)
        made["perturbations.svg"] = cj.view.perturbations(*trained, one)
    return {name: picture.svg.encode() for name, picture in made.items()}


def main() -> None:
    """Prints a row a run."""
    parser = argparse.ArgumentParser(prog="python -m bench.accuracy")
    parser.add_argument("--mnist", metavar="DIR", help="a folder of MNIST's idx files")
    parser.add_argument("--fashion-mnist", metavar="DIR", help="of Fashion-MNIST's")
    parser.add_argument("--only", metavar="NETWORK", help="only this network")
    parser.add_argument("--full", action="store_true", help="whole CapsNet: for a GPU")
    parser.add_argument("--seeds", type=int, default=3, help="runs on digits")
    parser.add_argument("--out", type=Path, metavar="DIR", help="keep what is trained")
    given = parser.parse_args()
    runs = [(DIGITS, "digits", seed) for seed in range(given.seeds)]
    if given.mnist:
        chosen = [*MNIST[:-1], FULL] if given.full else MNIST
        runs += [(each, given.mnist, 0) for each in chosen]
    if given.fashion_mnist:
        runs += [(each, given.fashion_mnist, 0) for each in FASHION]
    print(
        "network         data          seed epochs  train   test  accuracy   training"
    )
    for experiment, source, seed in runs:
        if given.only in (None, experiment.network):
            print(measure(experiment, source, seed, given.out), flush=True)


if __name__ == "__main__":
    main()
