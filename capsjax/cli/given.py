"""From what a command is given to a network, and to the folder of its results."""

import difflib
import os
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

import capsjax as cj
from capsjax.training.data.split import Data

NO_CONTENTS: Mapping[str, str] = types.MappingProxyType({})


def graph_of(spec: str) -> cj.Graph | cj.neural.Model:
    """A declaration from a document or by its name in the zoo; a file wins."""
    path = Path(spec)
    if path.exists():
        return cj.load(path)
    if spec in cj.zoo.names():
        return cj.zoo.graph(spec)
    folder = path.parent
    files = {each.name: str(each) for each in folder.glob("*.json")}
    known = files | {name: name for name in cj.zoo.names()}
    near = difflib.get_close_matches(path.name, known, n=1)
    cure = f"did you mean {known[near[0]]!r}?" if near else "check the path"
    names = ", ".join(cj.zoo.names())
    raise ValueError(
        f"no file and no known network {spec!r}; {cure}\n    known networks: {names}"
    )


def trainable(spec: str) -> cj.Graph | cj.neural.Model:
    """The same, where it declares a loss."""
    graph = graph_of(spec)
    if not graph.losses:
        key = '"losses": {...}' if isinstance(graph, cj.Graph) else '"loss": {...}'
        raise ValueError(
            f"{spec} declares no loss, so that nothing can be trained; add {key} to "
            'the document, with a loss such as {"kind": "mean_squared_error"}'
        )
    return graph


def folder_for(out: Path | None, first: Path) -> Path:
    """Where the results go, if nowhere else `first`: judged before work, not after."""
    if out is None:
        number, out = 1, first
        while out.exists():
            number += 1
            out = first.with_name(f"{first.name}-{number}")
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        more = ""
        if (out / "checkpoints").is_dir():
            more = ", or go on with the run in it: --resume"
        raise FileExistsError(
            f"{out} exists and is not an empty folder; choose another for --out{more}"
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(out.parent, os.W_OK | os.X_OK):
        raise PermissionError(
            f"{out.parent} can't be written to; choose another folder for --out"
        )
    return out


def described(net: cj.Network) -> str:
    """A network in a few words."""
    declared: cj.Graph | cj.neural.Model = net.graph
    if isinstance(declared, cj.Graph):
        what = f"{len(declared.capsules)} capsules"
    else:
        neurons = len(declared.network.neurons)
        what = f"{neurons:,} neurons, {len(declared.network.sources):,} connections"
    return f"{declared.name} ({what}, {net.parameter_count:,} parameters)"


def split_in_words(data: Data) -> str:
    """How many examples there are, in words."""
    found = f"{data.name}: {len(data.train):,} examples to learn from"
    return found if data.test is None else f"{found}, {len(data.test):,} to judge by"


def figures(last: Mapping[str, Any]) -> str:
    """Metrics in words: those on data that was not learned from, if there are any."""
    found = {k: v for k, v in last.items() if k.startswith("validation_")}
    parts = [
        f"{name.removeprefix('validation_').replace('_', ' ')} "
        + (f"{value:.2%}" if name.endswith("accuracy") else f"{value:.4g}")
        for name, value in (found or last).items()
        if name not in ("epoch", "seconds")
    ]
    return f"{'Test' if found else 'Training'} {', '.join(parts)}"


def list_results(folder: Path, contents: Mapping[str, str] = NO_CONTENTS) -> None:
    """Says what is in a folder of results.

    Args:
        folder: The folder.
        contents: What files are, by name, where they are not what they are elsewhere.
    """
    typer.echo(f"Results in {folder}:")
    names = sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))
    width = max(map(len, names)) + 2
    known = {**_CONTENTS, **contents}
    for name in names:
        content = known.get(name, "the connections, which graph.json names")
        typer.echo(f"  {name:{width}}{content}")


_CONTENTS = {
    "average.safetensors": "the moving average of the parameters, by name",
    "checkpoints": "from which --resume goes on",
    "graph.json": "the network; capsjax show reads it",
    "graph.svg": "a drawing of the network",
    "history.csv": "loss and metrics of each epoch",
    "layout.stablehlo": "from parameters by name to the program's own",
    "learning-curves.svg": "the same as curves",
    "manifest.json": "what the other files are",
    "parameters.safetensors": "the parameters by name",
    "profile": "a trace of some steps: tensorboard --logdir DIR, or ui.perfetto.dev",
    "program.stablehlo": "the program; cj.load_exported reads the folder",
    "report.html": "all of this on a page",
    "run.json": "how it was trained, and what decides the result",
    "trace.csv": "sizes of signals, weights and gradients over steps",
    "state.safetensors": "running statistics and wiring",
}
