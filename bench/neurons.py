"""Gradient steps of networks of single neurons: capsjax beside other ways.

    python -m bench.neurons                # all subjects on window graphs
    python -m bench.neurons --bound        # step time over what memory allows
    python -m bench.neurons --growth       # compile time from 10^3 to 10^6 neurons
    python -m bench.neurons --mlp          # a perceptron given neuron by neuron

The subjects, all from the same weights and in float32, on the CPU:

    capsjax          `cj.compile(network)`
    prototype        levels in a scan, padded to the widest; backward written by hand
    scan-autodiff    `jax.grad` of the same scanned forward
    unrolled-levels  plain JAX: a Python loop over the levels and `jax.grad`
    naive            plain JAX: an expression for each neuron and `jax.grad`
    connex           the package of that name: levels as masked dense products
    torch            `index_add` level by level, and autograd

A step is the loss, the mean over the batch of the sum of squares of the output neurons,
and its gradient by all weights and biases. Every subject has a process of its own; the
processes step in turn, so that a machine that slows down does so for all.
"""

import argparse
import collections
import json
import os
import queue
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

from bench import neuron_peers
from bench.measure import WorkerError, rotated
from bench.neuron_peers import problem

OURS = "capsjax"
# Where more would take minutes or tens of gigabytes.
MOST_LEVELS = {"unrolled-levels": 500}
MOST_NODES = {"naive": 500, "connex": 2000}

Sizes = tuple[int, int, int]
"""Nodes, in-degree, window."""

SIDE_BY_SIDE: tuple[Sizes, ...] = (
    (500, 4, 2_000),
    (2_000, 4, 2_000),
    (100_000, 4, 2_000),
    (100_000, 4, 100_000),
    (100_000, 16, 20_000),
    (1_000_000, 16, 200_000),
)
LARGE = 1_000_000  # from here on capsjax alone
BOUND: tuple[Sizes, ...] = SIDE_BY_SIDE[2:5]
# Windows grow with the size, so that the levels widen and remain some hundreds.
GROWTH: tuple[Sizes, ...] = (
    (1_000, 4, 20),
    (10_000, 4, 200),
    (100_000, 4, 2_000),
    (1_000_000, 4, 20_000),
)

COLUMNS = (
    ("plan s", "plan_s", lambda x: f"{x:.2f}"),
    ("trace s", "trace_s", lambda x: f"{x:.2f}"),
    ("compile s", "compile_s", lambda x: f"{x:.2f}"),
    ("step ms", "step_s", lambda x: f"{1e3 * x:.2f}"),
    ("ratio", "ratio", lambda x: f"{x:.2f}"),
    ("quartiles", "quartiles", lambda x: f"{x[0]:.2f}-{x[1]:.2f}"),
    ("XLA MB", "temp", lambda x: f"{x / 1e6:.1f}"),
    ("peak MB", "peak", lambda x: f"{x / 1e6:.0f}"),
    ("loss", "loss", lambda x: f"{x:.5g}"),
)


class Subject:
    """One subject's process, from its first call to the end of the `with` block."""

    def __init__(self, peer: str, name: str, arguments: Sequence[int]):
        request = {"peer": peer, "problem": name, "arguments": list(arguments)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.neuron_peers.worker", json.dumps(request)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A compilation cache on disk would let one measurement warm the next.
            env={
                **os.environ,
                "JAX_PLATFORMS": "cpu",
                "JAX_ENABLE_COMPILATION_CACHE": "false",
            },
        )
        self.lines: queue.Queue[str | None] = queue.Queue()
        self.errors: collections.deque[str] = collections.deque(maxlen=5)
        self.threads = [
            threading.Thread(target=read, daemon=True)
            for read in (self._read_output, self._read_errors)
        ]
        for thread in self.threads:
            thread.start()

    def _read_output(self) -> None:
        for line in self.process.stdout or ():
            self.lines.put(line)
        self.lines.put(None)

    def _read_errors(self) -> None:
        self.errors.extend(self.process.stderr or ())

    def answer(self, limit_s: float):
        """Returns the next answer; raises WorkerError if there is none in time."""
        try:
            line = self.lines.get(timeout=limit_s)
        except queue.Empty:
            raise WorkerError(f"not ready in {limit_s:g} s") from None
        if line is None:
            self.threads[1].join()
            last = self.errors[-1].strip() if self.errors else "no message"
            raise WorkerError(f"does not run: {last}")
        return json.loads(line)

    def steps(self, count: int, limit_s: float) -> list[float]:
        """Seconds of as many steps."""
        assert self.process.stdin
        self.process.stdin.write(f"{count}\n")
        self.process.stdin.flush()
        return self.answer(limit_s)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


def measure(
    peers: Sequence[str],
    name: str,
    arguments: Sequence[int],
    options: argparse.Namespace,
) -> dict[str, dict]:
    """Measures subjects on one problem; `{subject: figures}`.

    The figures of a subject that fails are `{"failed": reason}`. Ratios are of the
    rounds' own step times, to those of the first subject that runs.
    """
    subjects: dict[str, Subject] = {}
    figures: dict[str, dict] = {}
    try:
        for peer in peers:
            print(f"  {peer}", file=sys.stderr)
            if not neuron_peers.installed(peer):
                figures[peer] = {"failed": "is not installed"}
                continue
            subject = Subject(peer, name, arguments)
            try:
                figures[peer] = subject.answer(options.limit)
                subjects[peer] = subject
            except WorkerError as error:
                figures[peer] = {"failed": str(error)}
                subject.end()
        rounds = _rounds(subjects, options)
    finally:
        for subject in subjects.values():
            subject.end()
    for peer, seconds in rounds.items():
        reference = next(iter(rounds.values()))
        ratios = [a / b for a, b in zip(seconds, reference, strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
        figures[peer] |= {
            "step_s": statistics.median(seconds),
            "ratio": middle,
            "quartiles": (low, high),
        }
    return figures


def _rounds(
    subjects: dict[str, Subject], options: argparse.Namespace
) -> dict[str, list[float]]:
    """Median seconds of each subject's steps in each round."""
    once = {
        peer: subject.steps(1, options.limit)[0] for peer, subject in subjects.items()
    }
    # Quick steps are repeated within a round, after two that are not counted.
    repeats = {peer: max(1, min(20, int(0.2 / s))) for peer, s in once.items()}
    skipped = {peer: 2 if s < 0.2 else 0 for peer, s in once.items()}
    seconds: dict[str, list[float]] = {peer: [] for peer in subjects}
    end = time.perf_counter() + options.seconds
    for number in range(options.rounds):
        for peer in rotated(list(subjects), number) if subjects else ():
            times = subjects[peer].steps(skipped[peer] + repeats[peer], options.limit)
            seconds[peer].append(statistics.median(times[skipped[peer] :]))
        if number >= 2 and time.perf_counter() > end:
            break
    return seconds


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows as columns of one width; the first to the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *cells in rows:
        padded = (c.rjust(w) for c, w in zip(cells, widths[1:], strict=True))
        lines.append("  ".join([first.ljust(widths[0]), *padded]))
    return "\n".join(lines)


def table(figures: dict[str, dict]) -> str:
    """`{subject: figures}` as columns; under them, why the others have no figures."""
    rows = [["", *(heading for heading, _, _ in COLUMNS)]]
    notes = []
    for peer, row in figures.items():
        if "failed" in row:
            notes.append(f"{peer}: {row['failed']}")
            continue
        cells = (
            "-" if row.get(key) is None else write(row[key])
            for _, key, write in COLUMNS
        )
        rows.append([peer, *cells])
    losses = [row["loss"] for row in figures.values() if "loss" in row]
    if losses and max(losses) - min(losses) > 1e-3 * abs(losses[0]):
        notes.append("THE LOSSES DIFFER: these are not the same computations")
    return "\n".join([aligned(rows), *notes])


def heading(found: problem.Problem) -> str:
    return (
        f"\n{found.nodes:,} nodes, {found.edges:,} edges, {found.depth} levels, "
        f"{len(found.sinks):,} outputs ({found.name}); batch {len(found.x)}"
    )


def side_by_side(options: argparse.Namespace) -> None:
    """The subjects on every graph of theirs."""
    for sizes in SIDE_BY_SIDE:
        found = problem.window(*sizes)
        print(heading(found), flush=True)
        peers = [peer for peer in options.peers if _covers(peer, found)]
        print(table(measure(peers, "window", sizes, options)), flush=True)


def _covers(peer: str, found: problem.Problem) -> bool:
    return (
        (peer == OURS or found.nodes < LARGE)
        and found.nodes <= MOST_NODES.get(peer, found.nodes)
        and found.depth <= MOST_LEVELS.get(peer, found.depth)
    )


def bound(options: argparse.Namespace) -> None:
    """Step time over the least time for the bytes that must move."""
    from bench.neuron_peers import bandwidth

    measured = {"JAX": bandwidth.triad_jax(), "numpy": bandwidth.triad_numpy()}
    best = max(measured.values())
    for library, rate in measured.items():
        print(f"triad in {library}: {rate / 1e9:.1f} GB/s on {os.cpu_count()} cores")
    for sizes in BOUND:
        found = problem.window(*sizes)
        least = bandwidth.least_bytes(found)
        gathered = least + bandwidth.gathered_bytes(found)
        print(heading(found))
        print(f"at least {least / 1e6:.0f} MB: {1e3 * least / best:.2f} ms; ", end="")
        print(f"with gathers {gathered / 1e6:.0f} MB: {1e3 * gathered / best:.2f} ms")
        peers = [peer for peer in options.peers if peer in (OURS, "prototype")]
        rows = [["", "step ms", "/ least", "/ with gathers"]]
        for peer, row in measure(peers, "window", sizes, options).items():
            if "failed" in row:
                print(f"{peer}: {row['failed']}")
                continue
            step = row["step_s"]
            over = (step * best / count for count in (least, gathered))
            rows.append([peer, f"{1e3 * step:.2f}", *(f"{x:.1f}" for x in over)])
        print(aligned(rows), flush=True)


def growth(options: argparse.Namespace) -> None:
    """Compile time by size."""
    peers = [peer for peer in options.peers if peer in (OURS, "prototype")]
    for sizes in GROWTH:
        print(heading(problem.window(*sizes)), flush=True)
        print(table(measure(peers, "window", sizes, options)), flush=True)


def mlp(options: argparse.Namespace) -> None:
    """The perceptron as capsules, lifted from its neurons, and as neurons."""
    print(heading(problem.mlp()), flush=True)
    print(table(measure(neuron_peers.MLP_PEERS, "mlp", (), options)), flush=True)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        "python -m bench.neurons",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    tables = parser.add_mutually_exclusive_group()
    parser.set_defaults(table=side_by_side)
    for option, function in (("bound", bound), ("growth", growth), ("mlp", mlp)):
        tables.add_argument(
            f"--{option}",
            dest="table",
            action="store_const",
            const=function,
            help=function.__doc__,
        )
    add = parser.add_argument
    add(
        "--peers",
        type=lambda text: tuple(text.split(",")),
        default=neuron_peers.PEERS,
        metavar="A,B",
        help=f"some of {', '.join(neuron_peers.PEERS)}; default: all",
    )
    add("--rounds", type=int, default=21, help="rounds of steps, at most")
    add("--seconds", type=float, default=60, help="for the rounds of one graph")
    add("--limit", type=float, default=300, help="seconds for a subject to be ready")
    options = parser.parse_args(arguments)
    if unknown := [peer for peer in options.peers if peer not in neuron_peers.PEERS]:
        known = ", ".join(neuron_peers.PEERS)
        parser.error(f"--peers: unknown: {', '.join(unknown)}; known: {known}")
    return options


def main() -> None:
    options = parse()
    options.table(options)


if __name__ == "__main__":
    main()
