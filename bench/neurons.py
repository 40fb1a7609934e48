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
processes step in turn, so that a machine that slows down does so for all. Close other
programs first, for torch's sake above all: its threads wait for each other by spinning,
and at 500 levels one busy neighbor made its step thirty times longer.
"""

import argparse
import os
from collections.abc import Sequence

from bench import neuron_peers
from bench.neuron_peers import problem
from bench.neuron_peers.measure import measure
from bench.report import aligned

OURS = "capsjax"
# Above, they would take many minutes; connex's matrices of the graphs of 100,000 nodes
# would have 546 million entries and more for 400,000 edges.
MOST_LEVELS = {"unrolled-levels": 500}
MOST_NODES = {"naive": 500, "connex": 2_000}
MOST_NODES_OF_PEERS = 100_000

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
        left_out = {peer: _left_out(peer, found) for peer in options.peers}
        peers = [peer for peer, reason in left_out.items() if not reason]
        figures = measure(peers, "window", sizes, options)
        figures |= {peer: {"failed": why} for peer, why in left_out.items() if why}
        print(table(figures), flush=True)


def _left_out(peer: str, found: problem.Problem) -> str | None:
    """Why a subject is not tried on a graph, if it is not."""
    most = {
        "nodes": (found.nodes, MOST_NODES.get(peer, MOST_NODES_OF_PEERS)),
        "levels": (found.depth, MOST_LEVELS.get(peer, found.depth)),
    }
    for noun, (count, limit) in most.items():
        if peer != OURS and count > limit:
            return f"left out: {count:,} {noun}, of {limit:,} at most"
    return None


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
