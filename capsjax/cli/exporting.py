"""`capsjax export`."""

from pathlib import Path
from typing import Annotated

import jax
import typer

import capsjax as cj
from capsjax.cli.command import Spec
from capsjax.cli.given import described, folder_for, graph_of, list_results
from capsjax.compiler.state import named_state_shapes


def export(
    spec: Spec,
    parameters: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Parameters by name, such as parameters.safetensors of a run, beside "
            "which state.safetensors stands, if there is any. Left out, initial ones.",
            show_default=False,
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Batch size: quickest on this platform, for this size alone. Any "
            "size on any platform, if left out.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(min=0, max=2**31 - 1, help="Decides initial parameters."),
    ] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder for the result, new or empty; exported/NAME, with a number if "
            "there is one already, if left out.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Export a network as StableHLO, which runs without its declaration.

    Saves program, document, parameters and state in a folder that cj.load_exported
    reads; what can be done with it is inference.

    [bold]Examples[/bold]

      capsjax export lenet-5

      capsjax export first/graph.json --parameters first/parameters.safetensors
    """
    net = cj.compile(graph_of(spec))
    params, state = net.init(jax.random.key(seed))
    if parameters is not None:
        params = net.from_named(cj.load_parameters(parameters))
        if named_state_shapes(net.program.typed):
            state = cj.load_state(net, parameters.with_name("state.safetensors"))
    folder = folder_for(out, Path("exported") / net.graph.name.replace("/", "-"))
    origin = f"initial parameters of seed {seed}" if parameters is None else parameters
    size = "batches of any size, every platform"
    if batch_size is not None:
        size = f"batches of {batch_size}, this platform"
    typer.echo(
        f"Export {described(net)}: inference, {size}, with {origin}. The result will "
        f"be in {folder}."
    )
    net.export(folder, params, state, batch_size)
    list_results(folder)
