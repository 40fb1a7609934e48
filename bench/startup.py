"""Time to the first step of `capsjax train`, in a first and in a second process.

`python -m bench.startup`: each pair of processes is given a fresh cache folder, which
the first fills and the second reads. The clock runs from before the process is started
until the first training step has been computed.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

REPEATS = 5
NETWORKS = {
    "capsnet-digits": None,
    "lenet-5": ((28, 28, 1), 10),
    "resnet-20-cifar": ((32, 32, 3), 10),
}
"""Each with the shape and the number of classes of its data; None: the digits."""


def child(started: str, *arguments: str) -> None:
    """Runs the command line until its first step is done, and prints the seconds."""
    import jax

    import capsjax.training.fit as fit
    from capsjax.cli import app

    def first_step(bar, sums, epoch, size):
        jax.block_until_ready(sums)
        print("first step after", time.time() - float(started), flush=True)
        os._exit(0)

    fit._Bar.advance = first_step
    app(["train", *arguments])


def start_s(*arguments: str) -> float:
    """Seconds from the start of a process to the end of its first step."""
    code = "import sys; from bench import startup; startup.child(*sys.argv[1:])"
    command = [sys.executable, "-c", code, str(time.time()), *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode or "first step" not in done.stdout:
        raise SystemExit(f"{' '.join(arguments)} failed:\n{done.stderr}{done.stdout}")
    return float(done.stdout.split()[-1])


def write_data(path: Path, shape: tuple[int, ...], classes: int) -> None:
    """Random images and labels."""
    rng = np.random.default_rng(0)
    parts = {"train": 256, "test": 64}
    images = {f"x_{p}": rng.random((n, *shape), np.float32) for p, n in parts.items()}
    labels = {f"y_{p}": rng.integers(0, classes, n) for p, n in parts.items()}
    np.savez(path, **images, **labels)


def main() -> None:
    parser = argparse.ArgumentParser("python -m bench.startup", description=__doc__)
    parser.add_argument("--only", default=",".join(NETWORKS), metavar="A,B")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    options = parser.parse_args()

    print(f"{'network':18}{'no cache s':>12}{'first s':>12}{'second s':>12}  ratio")
    for name in options.only.split(","):
        samples = []
        with tempfile.TemporaryDirectory() as folder:
            data = "digits"
            if NETWORKS[name] is not None:
                data = os.path.join(folder, "data.npz")
                write_data(Path(data), *NETWORKS[name])
            arguments = [name, "--data", data, "--out", os.path.join(folder, "out")]
            start_s(*arguments, "--cache", "off")  # not counted: fills file caches
            for number in range(options.repeats):
                cache = os.path.join(folder, str(number))
                places = "off", cache, cache
                samples.append([start_s(*arguments, "--cache", p) for p in places])
        medians = [statistics.median(column) for column in zip(*samples, strict=True)]
        cells = "".join(f"{median:12.2f}" for median in medians)
        ratio = statistics.median(first / second for _, first, second in samples)
        print(f"{name:18}{cells}  {ratio:.1f}", flush=True)
    print(f"Medians of {options.repeats}; ratio: first over second, of one folder.")


if __name__ == "__main__":
    main()
