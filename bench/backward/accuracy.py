"""Test accuracy, and the angle between a rule's gradient and the exact one."""

import argparse
import dataclasses
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import capsjax as cj
from bench.backward.networks import EXPERIMENTS, learners
from bench.report import aligned


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--mnist", metavar="DIR", help="a folder of MNIST's idx files")
    parser.add_argument("--only", default=",".join(EXPERIMENTS), help="networks")
    parser.add_argument("--rules", help="rules, of those that the tables name")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, help="in place of the recipe's")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="keep tables (CSV) and pictures (SVG)"
    )


def run(options: argparse.Namespace) -> None:
    """Prints a table a network; keeps what was measured."""
    cj.keep_memory()
    for network in options.only.split(","):
        if network == "mlp" and not options.mnist:
            print("mlp: left out; --mnist DIR says where its images are")
            continue
        rows = []
        for rule in options.rules.split(",") if options.rules else learners(network):
            rows += measure(network, rule, options)
        table = pd.DataFrame(rows)
        if options.out:
            table = keep(table, network, options.out)
        print(f"\n{network}: {_recipe(network, options)}")
        print(aligned([HEADINGS, *summary(table)]), flush=True)


def keep(table: pd.DataFrame, network: str, folder: Path) -> pd.DataFrame:
    """Writes the table and its picture, with the rules that were measured before."""
    from bench.backward.pictures import draw

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{network}.csv"
    if path.exists():
        before = pd.read_csv(path)
        table = pd.concat([before[~before["rule"].isin(table["rule"])], table])
        known = list(learners(network))
        table = table.sort_values(
            "rule", key=lambda c: c.map(known.index), kind="stable"
        )
    table.to_csv(path, index=False)
    draw(table, network).save(folder / f"{network}.svg")
    return table


def _recipe(network: str, options: argparse.Namespace) -> str:
    experiment = EXPERIMENTS[network]
    return (
        f"Adam, rate {experiment.rate} falling as half a cosine, batches of "
        f"{experiment.batch_size}, {options.epochs or experiment.epochs} epochs, "
        f"{options.seeds} seeds in one program"
    )


def measure(
    network: str, rule: str, options: argparse.Namespace
) -> list[dict[str, Any]]:
    """One rule: a tidy row for each seed, epoch and quantity."""
    from bench.backward.sweep import train

    experiment = EXPERIMENTS[network]
    if options.epochs:
        experiment = dataclasses.replace(experiment, epochs=options.epochs)
    data = cj.load_data(options.mnist if network == "mlp" else "digits")
    graph, backward = learners(network)[rule]
    rows = []
    start = time.perf_counter()
    for record in train(graph, backward, experiment, data, options.seeds):
        epoch, seconds = record.pop("epoch"), record.pop("seconds")
        for quantity, values in record.items():
            for seed, value in enumerate(values):
                rows.append(
                    {
                        "network": network,
                        "rule": rule,
                        "seed": seed,
                        "epoch": epoch,
                        "quantity": quantity,
                        "value": float(value),
                    }
                )
        accuracy = 100 * np.mean(record["accuracy"])
        print(
            f"  {network}, {rule}: epoch {epoch}, {accuracy:.2f} %, {seconds:.1f} s, "
            f"cosine {np.mean(record['cosine:hidden']):.3f}",
            flush=True,
        )
    print(f"  {network}, {rule}: {time.perf_counter() - start:.0f} s in all")
    return rows


HEADINGS = ("rule", "test accuracy", "angle at first", "epoch 1", "last", "by capsule")


def summary(table: pd.DataFrame) -> list[tuple[str, ...]]:
    """A row a rule: accuracy with its range, angles in degrees."""
    rows = []
    for rule, of in table.groupby("rule", sort=False):
        last = int(of["epoch"].max())

        def at(quantity: str, epoch: int, of: pd.DataFrame = of) -> pd.Series:
            chosen = (of["quantity"] == quantity) & (of["epoch"] == epoch)
            return of.loc[chosen, "value"]

        accuracy = 100 * at("accuracy", last)
        cosines = [q for q in of["quantity"].unique() if q.startswith("cosine:")]
        angles = [
            f"{quantity.removeprefix('cosine:')} {degrees(at(quantity, last)):.0f}"
            for quantity in cosines
            if quantity != "cosine:hidden"
        ]
        spread = f"{accuracy.min():.2f} to {accuracy.max():.2f}"
        rows.append(
            (
                str(rule),
                f"{accuracy.mean():.2f} % ({spread})",
                *(f"{degrees(at('cosine:hidden', e)):.0f}" for e in (0, 1, last)),
                ", ".join(angles),
            )
        )
    return rows


def degrees(cosines: pd.Series) -> float:
    """The mean angle; a gradient of zero is taken as one of 90 degrees."""
    return float(np.degrees(np.arccos(cosines.clip(-1, 1))).mean())
