"""How long a step of a member takes, by how many members run at once, and in how many
programs at the same time: the table at the head of capsjax/sweep/strategy.py."""

import argparse
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np
import optax

import capsjax as cj
from bench.measure import rotated
from bench.report import aligned
from bench.sweep.problems import perceptron
from capsjax.sweep.groups import Groups
from capsjax.sweep.maker import Maker
from capsjax.sweep.program import Compiled, Program
from capsjax.sweep.roles import Roles, Setup
from capsjax.sweep.strategy import on_devices, processors, step_flops
from capsjax.sweep.unit import Member, Unit, run_unit

SHAPES = "8-1-8,16-2-32,32-2-32,64-1-32,64-3-128,256-2-32"
MEMBERS = 64


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--shapes", default=SHAPES, help="width-depth-batch, ...")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(
        "--seconds", type=float, default=0.3, help="about so long a measurement takes"
    )


def run(options: argparse.Namespace) -> None:
    """Prints a row a perceptron."""
    cj.keep_memory()
    ways = _ways()
    compiled = (f"compiling {lanes}, s" for lanes in _lanes(ways))
    heads = "width, depth, batch", *ways, "MFLOPs a step", *compiled
    table = [tuple(heads)]
    data = cj.load_data("digits").train
    for shape in options.shapes.split(","):
        width, depth, size = map(int, shape.split("-"))
        program, members = made(perceptron(width, depth), data, size)
        programs = {lanes: program.with_lanes(lanes) for lanes in _lanes(ways)}
        found = measured(programs, members, ways, options)
        table.append(
            (
                f"{width}, {depth}, {size}",
                *(f"{1e6 * seconds:.2g}" for seconds in found),
                f"{step_flops(program) / 1e6:.2g}",
                *(f"{each.seconds:.2f}" for each in programs.values()),
            )
        )
        print("  ".join(table[-1]), flush=True)
    print(f"\n{jax.devices()[0].device_kind}, {processors()} cores; microseconds")
    print(aligned(table))


def _ways() -> dict[str, tuple[int, int]]:
    """By heading, how many programs at the same time, and the lanes of each."""
    threads = processors()
    several = {f"{threads} x {n}": (threads, n) for n in (1, 8, MEMBERS // 2)}
    return {"one lane": (1, 1), **several, f"all {MEMBERS}": (1, MEMBERS)}


def _lanes(ways: dict[str, tuple[int, int]]) -> list[int]:
    return sorted({lanes for _, lanes in ways.values()})


def made(graph: cj.Graph, data, size: int) -> tuple[Program, list[Member]]:
    """The program of a sweep over learning rates, without an evaluation."""
    roles = Roles(Setup(graph, optax.adam, size, None, 1.0), ("learning_rate",))
    rates = np.geomspace(1e-4, 1e-2, MEMBERS)
    chosen = [
        roles.chosen(number, {"learning_rate": float(rate)}, 0)
        for number, rate in enumerate(rates)
    ]
    groups = Groups()
    members = [member for _, member in groups.place(chosen)]
    steps = 64 * 1024  # more than are taken
    maker = Maker(data, None, None, steps, 64, None, None, on_devices()[:1], False)
    return maker.program(groups.all[0], members), members


def measured(
    programs: dict[int, Compiled],
    members: list[Member],
    ways: dict[str, tuple[int, int]],
    options: argparse.Namespace,
) -> Iterator[float]:
    """Seconds of a step of a member, way by way: the median of rounds in turn."""
    blocks = {}
    for way, (threads, lanes) in ways.items():
        once(programs[lanes], members, threads, 1)  # draws initial values, fills caches
        step = once(programs[lanes], members, threads, 4)
        steps = options.seconds / (step * threads * lanes)
        blocks[way] = max(4, min(1024, round(steps / 64)))
    samples: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(options.rounds):
        for way in rotated(list(ways), number):
            threads, lanes = ways[way]
            taken = once(programs[lanes], members, threads, blocks[way])
            samples[way].append(taken)
    return map(statistics.median, samples.values())


def once(compiled: Compiled, members: list[Member], threads: int, blocks: int) -> float:
    """Seconds of a step of a member, of some blocks of steps."""
    unit = Unit(0, tuple(members[: compiled.lanes]), compiled.lanes, 0, blocks)
    with ThreadPoolExecutor(threads) as pool:
        start = time.perf_counter()
        for _ in pool.map(lambda _: run_unit(compiled, unit, None), range(threads)):
            pass
        seconds = time.perf_counter() - start
    return seconds / (blocks * 64 * threads * compiled.lanes)
