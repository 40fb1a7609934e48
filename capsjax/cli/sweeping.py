"""`capsjax sweep`."""

import difflib
import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

import capsjax as cj
from capsjax.cli.command import INTERRUPTED, Cache, Source, Spec
from capsjax.cli.given import (
    described,
    figures,
    folder_for,
    list_results,
    split_in_words,
    trainable,
)
from capsjax.graph.files import write_atomically
from capsjax.sweep.document import SweepDocument
from capsjax.sweep.roles import in_words
from capsjax.sweep.space import space_of
from capsjax.sweep.sweep import seeds_of


def sweep(
    spec: Spec,
    document: Annotated[
        str,
        typer.Argument(
            metavar="SWEEP.toml",
            help="What is swept: a document in TOML or JSON.",
            show_default=False,
        ),
    ],
    data: Source = "digits",
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder for the results: new, empty, or that of this sweep, which "
            "then goes on; runs/NAME-DATA-sweep, with a number if there is one "
            "already, if left out.",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="So many processes that run members; this one, if left out.",
            show_default=False,
        ),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="A cluster of Ray that runs members; [bold]local[/bold] for one of "
            "this machine alone.",
            show_default=False,
        ),
    ] = None,
    cache: Cache = None,
) -> None:
    """Train a network under many settings, in as few programs as they allow.

    Saves tables of members and of their histories, the members that are kept, and
    pictures in a folder. A sweep that was broken off goes on with the same --out.

    [bold]SWEEP.toml[/bold], say

      format_version = 1

      epochs = 10

      over.learning_rate = { log = [1e-4, 1e-1], count = 8 }

    [bold]Examples[/bold]

      capsjax sweep capsnet-digits sweep.toml

      capsjax sweep my-network.json sweep.toml --data my-data.npz --out runs/wide
    """
    graph = trainable(spec)
    declared = _read(document)
    arguments = declared.arguments()
    cj.use_cache(cache)
    cj.keep_memory()
    net = cj.compile(graph)
    examples = cj.load_data(data)
    name = f"{net.graph.name}-{examples.name}-sweep".replace("/", "-")
    going_on = out is not None and (out / "sweep.json").exists()
    folder = out if out and going_on else folder_for(out, Path("runs") / name)
    typer.echo(
        f"Sweep {described(net)} on {split_in_words(examples)}.\n"
        f"{_members(arguments)}.\n{_training(arguments)}. "
        + (f"Goes on in {folder}." if going_on else f"Results will be in {folder}.")
    )
    options = ["--ray", ray] if ray else []
    options += ["--workers", str(workers)] if workers else []
    again = ["capsjax", "sweep", spec, document, "--data", data, *options]
    try:
        result = _swept(graph, examples, arguments, folder, _executor(workers, ray))
        best = _best(result)
        _complete(folder, graph, declared, result)
    except KeyboardInterrupt:
        what = "nothing was saved"
        if (folder / "sweep.json").exists():
            command = shlex.join([*again, "--out", str(folder)])
            what = f"what was done is in {folder}; to go on:\n    {command}"
        typer.echo(f"\ncapsjax: interrupted; {what}", err=True)
        raise typer.Exit(INTERRUPTED) from None
    typer.echo(_told(result, best))
    list_results(folder, _CONTENTS)


def _read(document: str) -> SweepDocument:
    """The sweep; the nearest file, if there is none of this name."""
    path = Path(document)
    if not path.exists():
        files = {x.name: str(x) for x in path.parent.glob("*") if x.suffix in _SUFFIXES}
        near = difflib.get_close_matches(path.name, files, n=1)
        cure = f"did you mean {files[near[0]]!r}?" if near else "check the path"
        raise ValueError(f"no file {document!r}; {cure}")
    return cj.load_sweep(path)


_SUFFIXES = (".toml", ".json")


def _executor(workers: int | None, ray: str | None) -> Any:
    """Who runs the members; None for this process."""
    if ray is not None:
        return cj.executors.Ray(ray, workers=workers)
    return None if workers is None else cj.executors.Processes(workers)


def _swept(
    graph: Any, data: Any, arguments: dict[str, Any], folder: Path, executor: Any
) -> cj.SweepResult:
    """The sweep, with what others raise as one message."""
    try:
        return cj.sweep(graph, data, **arguments, out=folder, executor=executor)
    except (ImportError, RuntimeError) as error:
        # A library that is missing; a process that died; memory of a device.
        raise ValueError(str(error)) from error


def _best(result: cj.SweepResult) -> Any:
    """The best member's row; an error that says where the tables are, if none is."""
    try:
        return result.best()
    except ValueError as error:
        raise ValueError(f"{error}; all of it is in {result.folder}") from None


def _members(arguments: dict[str, Any]) -> str:
    """How many members there will be, and over what."""
    over, search = arguments["over"], arguments.get("search")
    drawn = {
        key: arguments[key]
        for key in ("samples", "sampler", "sample_seed")
        if key in arguments
    }
    seeds = len(seeds_of(arguments.get("seeds", 1)))
    proposed = getattr(search, "trials", None)
    count = proposed or sum(1 for _ in cj.sweep_members(over, **drawn))
    names = ["+".join(key) if isinstance(key, tuple) else key for key in over]
    times = f", {seeds} seeds each" if seeds > 1 else ""
    kind = type(search).__name__.lower() if search is not None else ""
    plural = "s" if count * seeds > 1 else ""
    return f"{count * seeds:,} member{plural} over {', '.join(names)}{times}" + (
        f"; search: {kind}" if kind else ""
    )


def _training(arguments: dict[str, Any]) -> str:
    """How members learn."""
    names = space_of(arguments["over"]).names
    length = f"Epochs {arguments.get('epochs', 20)}"
    if "steps" in arguments:
        length = f"Steps {arguments['steps']:,}"
    parts = [length]
    if "batch_size" not in names:
        parts.append(f"batch size {arguments.get('batch_size', 32)}")
    if "optimizer" not in names:
        optimizer = arguments.get("optimizer", "adam")
        kind = optimizer if isinstance(optimizer, str) else optimizer["kind"]
        parts.append(f"optimizer {kind}")
    return ", ".join(parts)


def _complete(
    folder: Path, graph: Any, declared: SweepDocument, result: cj.SweepResult
) -> None:
    """Writes what stands in the folder beside what `cj.sweep` writes."""
    cj.save(graph, folder / "graph.json")
    ending = ".json" if declared.text.lstrip().startswith("{") else ".toml"
    write_atomically(folder / f"declared{ending}", declared.text.encode())
    pictures = {
        "response.svg": cj.view.response(result),
        "learning-curves.svg": cj.view.sweep_curves(result),
    }
    if len(result.axes) > 1:
        pictures["parallel.svg"] = cj.view.parallel(result)
        pictures["heat-map.svg"] = cj.view.heat_map(result, *result.axes[:2])
    for name, picture in pictures.items():
        write_atomically(folder / name, picture.svg.encode())


def _told(result: cj.SweepResult, best: Any) -> str:
    """The best member, and what it took."""
    values = {**result.settings(best.name), "seed": best["seed"]}
    names = [name for name in result.history.columns if name in best.index]
    metrics = {n: best[n] for n in names if n not in ("epoch", "step", "seed")}
    lost, programs = len(result.diverged), len(result.groups)
    counts = [_many(len(result.table), "member") + f" in {_many(programs, 'program')}"]
    counts += [f"{lost:,} diverged"] if lost else []
    return (
        f"Best by {result.metric.replace('_', ' ')}: member {best.name} with "
        f"{in_words(values)}.\n{figures(metrics)}.\n"
        f"{', '.join(counts)}, {result.seconds:.0f} s."
    )


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


_CONTENTS = {
    "declared.json": "the sweep, as it was declared",
    "declared.toml": "the sweep, as it was declared",
    "graph.json": "the network that was swept",
    "heat-map.svg": "the metric over the first two axes",
    "history.csv": "a row for each member and row of its training",
    "learning-curves.svg": "the metric over training",
    "members": "each member that is kept: graph, parameters, settings",
    "parallel.svg": "each member across all axes",
    "response.svg": "the metric over the values of each axis",
    "sweep.json": "what decides the results",
    "table.csv": "a row for each member: settings, status, metrics",
    "units": "from which a sweep goes on",
}
