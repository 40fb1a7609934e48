"""Test accuracy of the zoo's networks on real images, and the time to reach it.

python -m bench.accuracy                  # CapsNet for digits, three seeds
python -m bench.accuracy --mnist DIR      # LeNet-5 on MNIST's idx files as well
"""

import argparse
import time

import capsjax as cj


def measure(network: str, source: str, epochs: int, seed: int) -> str:
    """Trains a network with the settings of `capsjax train`, and reports one row."""
    net = cj.compile(cj.zoo.graph(network))
    data = cj.load_data(source)
    start = time.perf_counter()
    run = cj.fit(net, data, epochs=epochs, seed=seed, progress=False)
    seconds = time.perf_counter() - start
    accuracy = run.history["validation_accuracy"].iloc[-1]
    return (
        f"{network:15s} {data.name:10s} {seed:4d} {epochs:6d} {len(data.test):6d} "
        f"{100 * accuracy:8.2f} % {seconds:8.1f} s"
    )


def main() -> None:
    """Prints a row a run."""
    parser = argparse.ArgumentParser(prog="python -m bench.accuracy")
    parser.add_argument("--mnist", metavar="DIR", help="a folder of MNIST's idx files")
    parser.add_argument("--seeds", type=int, default=3, help="runs on digits")
    arguments = parser.parse_args()
    print("network         data       seed epochs   test  accuracy   training")
    for seed in range(arguments.seeds):
        print(measure("capsnet-digits", "digits", 20, seed), flush=True)
    if arguments.mnist:
        print(measure("lenet-5", arguments.mnist, 3, 0), flush=True)


if __name__ == "__main__":
    main()
