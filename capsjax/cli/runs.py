"""`capsjax runs`, `capsjax compare` and `capsjax report`: what runs have left."""

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import capsjax as cj
from capsjax.cli import differences
from capsjax.cli.command import Cache, RunFolder
from capsjax.cli.given import described, split_in_words
from capsjax.cli.listed import Listed, best_of, find_runs, listed, metrics_of
from capsjax.cli.tracing import read_trace

if TYPE_CHECKING:
    from rich.table import Table

_MOST_METRICS = 2


def runs(
    folder: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", help="Where to look, and in folders of it."),
    ] = Path("runs"),
) -> None:
    """List runs: what was trained on what, how far, how well.

    [bold]Examples[/bold]

      capsjax runs

      capsjax runs experiments/may
    """
    from rich.console import Console

    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder}: found no such folder; expected one with runs in it, which "
            "capsjax train makes; cure: capsjax runs FOLDER"
        )
    found = [listed(each) for each in find_runs(folder)]
    if not found:
        typer.echo(f"No run in {folder}; capsjax train makes one.")
        return
    Console().print(_table(folder, found))
    plural = "s" if len(found) > 1 else ""
    typer.echo(f"{len(found):,} run{plural} in {folder}; capsjax compare RUN RUN")


def compare(
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN RUN...", help="Folders of runs.", show_default=False
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Also draw their learning curves, to a file that ends in .svg or "
            ".png.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Compare runs: in what they differ, and what came of it.

    Names settings that differ, and capsules one by one; and shows metrics side by side.

    [bold]Example[/bold]

      capsjax compare runs/first runs/second --out curves.svg
    """
    from rich.console import Console

    if len(folders) < 2:
        raise typer.BadParameter("give two runs or more")
    if out is not None and out.suffix.lower() not in (".svg", ".png"):
        raise ValueError(
            f"--out {out}: found the ending {out.suffix!r}; expected .svg or .png"
        )
    names = _names(folders)
    typer.echo(f"Compare {', '.join(names)}.")
    found = [cj.load_run(each) for each in folders]
    configurations = [run.configuration for run in found]
    nets = [run.net for run in found]
    console = Console()
    for title, same, rows in (
        (
            "Settings that differ",
            "No setting that run.json tells differs."
            if any(configurations)
            else "No run.json tells settings.",
            differences.of_configurations(configurations),
        ),
        (
            "Capsules that differ",
            "The networks are the same.",
            differences.of_networks(nets),
        ),
        ("Metrics", "", differences.of_metrics(found)),
    ):
        console.print(_side_by_side(title, names, rows) if rows else same)
    if out is not None:
        histories = {n: run.history for n, run in zip(names, found, strict=True)}
        picture = cj.view.compared_curves(histories)
        out.parent.mkdir(parents=True, exist_ok=True)
        typer.echo(f"Learning curves in {picture.save(out)}")


def report(
    run: RunFolder,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE",
            help="Data, as for [bold]capsjax train[/bold], whose test examples show "
            "which classes are confused, and which examples are the worst.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Where to write it; report.html in the run's folder, if left out.",
            show_default=False,
        ),
    ] = None,
    cache: Cache = None,
) -> None:
    """Write a page on a run, which a browser opens: it stands by itself.

    What a tracer has recorded is in it, if it stands in trace.csv of the folder.

    [bold]Example[/bold]

      capsjax report runs/first --data digits
    """
    cj.use_cache(cache)
    out = run / "report.html" if out is None else out
    loaded = cj.load_run(run)
    examples = None if data is None else cj.load_data(data)
    on = "" if examples is None else f", with {split_in_words(examples)}"
    typer.echo(f"Report on {described(loaded.net)}{on}. It will be in {out}.")
    page = cj.view.report(loaded, examples, read_trace(run / "trace.csv"))
    out.parent.mkdir(parents=True, exist_ok=True)
    page.save(out)
    typer.echo(f"Report in {out}, {len(page.html.encode()) / 1024:,.0f} KiB")


def _table(folder: Path, found: Sequence[Listed]) -> "Table":
    from rich import box
    from rich.table import Table
    from rich.text import Text

    counts: dict[str, int] = {}
    for each in found:
        for name in [] if each.history is None else metrics_of(each.history):
            counts[name] = counts.get(name, 0) + 1
    metrics = sorted(counts, key=lambda name: -counts[name])[:_MOST_METRICS]
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("run", style="bold", overflow="fold", min_width=9)
    table.add_column("network, data", style="cyan", overflow="fold", min_width=10)
    for head in ("parameters", "epochs"):
        table.add_column(head, justify="right", no_wrap=True)
    for name in metrics:
        words = name.removeprefix("validation_").replace("_", " ")
        table.add_column(f"{words} (best)", justify="right", min_width=8)
    table.add_column("ended", overflow="fold", min_width=10)
    for each in found:
        when = datetime.datetime.fromtimestamp(each.when)
        cells = (
            str(each.folder.relative_to(folder)),
            ", ".join(word for word in (each.network, each.data) if word),
            "" if each.parameters is None else f"{each.parameters:,}",
            "" if each.history is None else str(len(each.history)),
            *(_metric(each.history, name) for name in metrics),
            f"{each.ended} {when:%Y-%m-%d %H:%M}",
        )
        table.add_row(*map(Text, cells))
    return table


def _metric(history: Any, name: str) -> str:
    """The last value of a metric, and in brackets the best one."""
    if history is None or name not in history or not len(history):
        return ""
    last = differences.measured(name, float(history[name].iloc[-1]))
    best = differences.measured(name, best_of(history, name))
    return last if last == best else f"{last} ({best})"


def _side_by_side(
    title: str, names: Sequence[str], rows: Sequence[Sequence[str]]
) -> "Table":
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=Text(title, "bold"),
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("", style="bold", overflow="fold")
    for name in names:
        table.add_column(Text(name), overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _names(folders: Sequence[Path]) -> list[str]:
    """What runs are called: by their folders, as short as tells them apart."""
    short = [each.resolve().name for each in folders]
    if len(set(short)) == len(short):
        return short
    long = [str(each) for each in folders]
    twice = {each for each in long if long.count(each) > 1}
    if twice:
        raise ValueError(
            f"found {', '.join(sorted(twice))} more than once; expected different runs"
        )
    return long
