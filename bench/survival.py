"""Kill -9 at random moments, also in a checkpoint: `python -m bench.survival`.

A run in a process of its own is killed, started again with `resume=True`, perhaps
killed again, until it ends. Its parameters must be, bit by bit, those of a run that
nobody disturbed, and so must its history but for the seconds.
"""

import argparse
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STEPS, EVERY = 20_000, 400


def train(folder: Path, steps: int, every: int) -> None:
    """What each process does: trains, or goes on."""
    import optax

    import capsjax as cj

    x = cj.input("x", (8, 8, 1))
    flat = cj.capsule("flat", cj.reshape(x, (-1,)), bias=None)
    h = cj.capsule("h", cj.matmul(flat, 32), cap="relu")
    thinned = cj.capsule("thinned", cj.identity(h), cap=cj.caps.dropout(0.2), bias=None)
    y = cj.capsule("y", cj.matmul(thinned, 10), cap="softmax")
    net = cj.compile(cj.graph(y, name="digits", losses={"y": "cross_entropy"}))
    print("begun", flush=True)
    cj.fit(
        net,
        cj.load_data("digits"),
        optimizer=optax.adam,
        settings={"learning_rate": 1e-3},
        steps=steps,
        folder=folder,
        resume=True,
        checkpoints=cj.Checkpoints(every_steps=every, every_seconds=None),
        progress=False,
        callbacks=[lambda row: print("row", flush=True)],
    )


def start(folder: Path, steps: int, every: int) -> subprocess.Popen[str]:
    """A process that trains."""
    given = [str(folder), str(steps), str(every)]
    command = [sys.executable, "-m", "bench.survival", "train", *given]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def outcome(folder: Path) -> tuple[bytes, list[str]]:
    """The parameters' bytes, and the history without its seconds."""
    lines = (folder / "history.csv").read_text().splitlines()
    at = lines[0].split(",").index("seconds")
    kept = [",".join(c for i, c in enumerate(x.split(",")) if i != at) for x in lines]
    return (folder / "parameters.safetensors").read_bytes(), kept


def disturbed(folder: Path, lasts: float, steps: int, every: int, chance) -> int:
    """Runs to the end, killed once or more on the way; how often."""
    kills = 0
    while True:
        process = start(folder, steps, every)
        assert process.stdout is not None
        process.stdout.readline()  # it has begun
        # Later kills come sooner, so that a run also ends.
        wait = chance.random() * lasts if kills < 2 else lasts * 10
        try:
            code = process.wait(wait)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
            continue
        finally:
            process.stdout.close()
        if code:
            raise SystemExit(f"a run that went on ended with {code}")
        return kills


def main() -> None:
    """Prints a line for each run that was killed, and the verdict."""
    if sys.argv[1:2] == ["train"]:
        return train(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--every", type=int, default=EVERY)
    options = parser.parse_args()
    work = Path(tempfile.mkdtemp())
    given = options.steps, options.every
    try:
        process = start(work / "whole", *given)
        assert process.stdout is not None
        process.stdout.readline()
        begun = time.perf_counter()
        process.communicate()
        lasts = time.perf_counter() - begun
        wanted = outcome(work / "whole")
        kills = runs = equal = 0
        while kills < options.kills:
            folder = work / str(runs)
            here = disturbed(folder, lasts, *given, random.Random(runs))
            same = outcome(folder) == wanted
            kills, runs, equal = kills + here, runs + 1, equal + same
            print(
                f"run {runs}: killed {here} times, {'equal' if same else 'DIFFERENT'}"
            )
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print(f"{kills} kills in {runs} runs of {options.steps:,} steps: {equal} equal")
    if equal != runs:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
