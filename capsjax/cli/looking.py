"""`capsjax check`, `capsjax show` and `capsjax explain`: what a network is."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import capsjax as cj
from capsjax.cli.command import Spec
from capsjax.cli.given import described, graph_of

if TYPE_CHECKING:
    from rich.table import Table

_WIDE = 110
"""Columns that a table with a line a capsule needs."""


def check(spec: Spec) -> None:
    """Check a network: every fault is named with its place and its cure.

    [bold]Example[/bold]

      capsjax check my-network.json
    """
    graph = graph_of(spec)
    net = cj.compile(graph)
    typer.echo(f"Sound: {described(net)}.")
    for each in graph.inputs:
        typer.echo(f"  input {each.name}: {each.shape}")
    losses = dict(graph.losses)
    for name in graph.outputs:
        loss = f", loss {losses[name]}" if name in losses else ""
        typer.echo(f"  output {name}: {net.shapes[name].output}{loss}")
    typer.echo(f"  content hash {cj.content_hash(graph)}")


def show(
    spec: Annotated[
        str | None,
        typer.Argument(
            metavar="SPEC",
            help="A JSON document, or a network of the zoo.",
            show_default=False,
        ),
    ] = None,
    everything: Annotated[
        bool,
        typer.Option("--all", help="Show the sizes of all known networks instead."),
    ] = False,
    svg: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Also draw the network, to a file: .svg, .png, .pdf or .tex.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Show a network as a table: capsules, shapes, parameters, work; and as a drawing.

    [bold]Examples[/bold]

      capsjax show capsnet

      capsjax show lenet-5 --svg lenet-5.svg

      capsjax show --all
    """
    from rich.console import Console

    if everything == (spec is not None) or (everything and svg):
        raise typer.BadParameter("give one network, or --all and nothing else")
    if spec is None:
        Console().print(_overview())
        return
    net = cj.compile(graph_of(spec))
    if svg is not None:
        cj.view.draw(net, svg)
    console = Console()
    console.print(cj.view.summary(net, narrow=console.width < _WIDE))
    if svg is not None:
        typer.echo(f"Drawing in {svg}")


def _overview() -> "Table":
    """A row for each known network."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("network", style="bold", no_wrap=True)
    table.add_column("input", style="cyan", overflow="fold")
    for head in ("capsules", "parameters", "statistics", "MFLOPs"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("source", overflow="fold")
    for row in cj.zoo.overview():
        cells = (
            row.name,
            ", ".join("x".join(map(str, shape)) or "1" for shape in row.inputs),
            f"{row.capsules:,}",
            f"{row.parameters:,}",
            f"{row.statistics:,}",
            f"{row.flops / 1e6:,.1f}",
            row.source,
        )
        table.add_row(*map(Text, cells))
    return table


def explain(spec: Spec) -> None:
    """Explain what the compiler makes of a network: each stage, and what it decided.

    [bold]Example[/bold]

      capsjax explain lenet-5
    """
    typer.echo(cj.explain(cj.compile(graph_of(spec))))
