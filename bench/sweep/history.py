"""A sweep's history as a table of pandas, and as a Dataset of xarray.

256 learning rates with 4 seeds each: 1,024 members, 100 rows, 4 metrics. Needs neither
JAX nor capsjax, so any Python with both libraries runs it.
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from bench.measure import rotated
from bench.report import aligned

RATES, SEEDS, ROWS = 256, 4, 100
METRICS = ("loss", "accuracy", "validation_loss", "validation_accuracy")


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=15)


def run(options: argparse.Namespace) -> None:
    """Prints a row a form: milliseconds, bytes, and what importing it takes."""
    forms: dict[str, type] = {"records": Records, "table": Table}
    modules = dict.fromkeys(forms, "pandas")
    try:
        import xarray  # noqa: F401 (only whether it is there)
    except ModuleNotFoundError:
        print("xarray is not installed here: left out")
    else:
        forms["Dataset"], modules["Dataset"] = Dataset, "xarray"
    curves = drawn()
    made = {name: form(curves) for name, form in forms.items()}
    tasks = {
        "made ms": lambda name: forms[name](curves),
        "one curve ms": lambda name: made[name].curve(777),
        "mean of seeds ms": lambda name: made[name].means(),
    }
    cells = {name: [name] for name in forms}
    for task in tasks.values():
        for name, seconds in timed(task, list(forms), options.rounds).items():
            cells[name].append(f"{1e3 * seconds:.3g}")
    imports = timed(lambda name: imported(modules[name]), list(forms), 5)
    for name, row in cells.items():
        row += [f"{made[name].bytes() / 2**20:.1f}", f"{1e3 * imports[name]:.0f}"]
    print(f"{RATES * SEEDS:,} members, {ROWS} rows, {len(METRICS)} metrics")
    print(aligned([("", *tasks, "MiB", "import ms"), *map(tuple, cells.values())]))


def drawn() -> dict[str, list[np.ndarray]]:
    """By metric, a curve a member, as members leave them."""
    rng = np.random.default_rng(0)
    shape = RATES * SEEDS, ROWS
    return {name: list(rng.random(shape, np.float32)) for name in METRICS}


def settings() -> tuple[np.ndarray, np.ndarray]:
    """Learning rates, and seeds, of all members."""
    return np.repeat(np.geomspace(1e-4, 1e-1, RATES), SEEDS), np.tile(
        np.arange(SEEDS), RATES
    )


class Table:
    """A tidy table of columns: a row for each member and row."""

    def __init__(self, curves: dict[str, list[np.ndarray]]):
        members = RATES * SEEDS
        steps = np.tile(np.arange(1, ROWS + 1), members)
        columns: dict[str, Any] = {"member": np.repeat(np.arange(members), ROWS)}
        columns |= {"epoch": steps, "step": 10 * steps}
        columns |= {name: np.concatenate(own) for name, own in curves.items()}
        self.history = pd.DataFrame(columns)
        rates, seeds = settings()
        self.table = pd.DataFrame({"learning_rate": rates, "seed": seeds})

    def curve(self, member: int) -> Any:
        history = self.history
        return history.loc[history["member"] == member, "loss"].to_numpy()

    def means(self) -> Any:
        own = self.history.join(self.table["learning_rate"], on="member")
        return own.groupby(["learning_rate", "step"])[list(METRICS)].mean()

    def bytes(self) -> int:
        return int(self.history.memory_usage().sum())


class Records(Table):
    """The same, made of a dictionary for each row."""

    def __init__(self, curves: dict[str, list[np.ndarray]]):
        super().__init__(curves)
        rows = [
            {"member": member, "epoch": row + 1, "step": 10 * (row + 1)}
            | {name: float(own[member][row]) for name, own in curves.items()}
            for member in range(RATES * SEEDS)
            for row in range(ROWS)
        ]
        self.history = pd.DataFrame(rows)


class Dataset:
    """A cube: axes for rates, seeds and rows."""

    def __init__(self, curves: dict[str, list[np.ndarray]]):
        import xarray

        shape = RATES, SEEDS, ROWS
        names = "learning_rate", "seed", "step"
        axes = settings()[0][::SEEDS], np.arange(SEEDS), 10 * np.arange(1, ROWS + 1)
        arrays = {
            name: (names, np.stack(own).reshape(shape)) for name, own in curves.items()
        }
        self.history = xarray.Dataset(arrays, dict(zip(names, axes, strict=True)))

    def curve(self, member: int) -> Any:
        rate, seed = divmod(member, SEEDS)
        return self.history["loss"].isel(learning_rate=rate, seed=seed).to_numpy()

    def means(self) -> Any:
        return self.history.mean("seed")

    def bytes(self) -> int:
        return self.history.nbytes


def imported(module: str) -> None:
    """A fresh process that imports a module, NumPy being there in any case."""
    subprocess.run([sys.executable, "-c", f"import numpy, {module}"], check=True)


def timed(
    task: Callable[[str], Any], names: list[str], rounds: int
) -> dict[str, float]:
    """Seconds by name: the median of rounds in turn."""
    samples: dict[str, list[float]] = {name: [] for name in names}
    for name in names:
        task(name)
    for number in range(rounds):
        for name in rotated(names, number):
            start = time.perf_counter()
            task(name)
            samples[name].append(time.perf_counter() - start)
    return {name: statistics.median(own) for name, own in samples.items()}
