"""`capsjax train`."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

import capsjax as cj
from capsjax.cli.command import Cache, Source, Spec
from capsjax.cli.given import (
    described,
    figures,
    folder_for,
    list_results,
    split_in_words,
    trainable,
)
from capsjax.compiler.stored_step import stored_jit
from capsjax.training.fit import fit_by


def train(
    spec: Spec,
    data: Source = "digits",
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the data.")] = 20,
    batch_size: Annotated[int, typer.Option(min=1, help="Examples a step.")] = 32,
    learning_rate: Annotated[
        float, typer.Option(min=0.0, help="Learning rate of Adam.")
    ] = 1e-3,
    seed: Annotated[
        int,
        typer.Option(
            min=0, max=2**31 - 1, help="Decides initial parameters and order."
        ),
    ] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder for the results, new or empty; runs/NAME-DATA, with a number "
            "if there is one already, if left out.",
            show_default=False,
        ),
    ] = None,
    cache: Cache = None,
) -> None:
    """Train a network with Adam and save the result.

    Saves graph, parameters, history, learning curves and a drawing in a folder.

    [bold]Examples[/bold]

      capsjax train capsnet-digits

      capsjax train lenet-5 --data path/to/mnist --epochs 3

      capsjax train my-network.json --data my-data.npz --out runs/first
    """
    graph = trainable(spec)
    programs = cj.use_cache(cache)
    cj.keep_memory()
    net = cj.compile(graph)
    examples = cj.load_data(data)
    name = f"{net.graph.name}-{examples.name}".replace("/", "-")
    folder = folder_for(out, Path("runs") / name)
    typer.echo(
        f"Train {described(net)} on {split_in_words(examples)}.\n"
        f"Epochs {epochs}, batch size {batch_size}, Adam with learning rate "
        f"{learning_rate:g}, seed {seed}. Results will be in {folder}."
    )
    import optax  # here: --help shall not wait for it

    identity = f"{cj.content_hash(graph)}, adam, learning rate {learning_rate!r}"

    def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
        named = f"{function.__qualname__}, {identity}"
        return stored_jit(function, named, programs)

    run = fit_by(
        compiled,
        net,
        examples,
        optimizer=optax.adam(learning_rate),
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
    )
    pictures = {
        "learning-curves.svg": cj.view.learning_curves(run.history).svg.encode(),
        "graph.svg": cj.view.draw(net).svg.encode(),
    }
    run.save(folder, pictures)
    last = run.history.iloc[-1].to_dict()
    typer.echo(f"{figures(last)}, after {last['seconds']:.0f} s of training.")
    list_results(folder)
