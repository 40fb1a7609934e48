"""`capsjax train`."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

import capsjax as cj
from capsjax.cli.command import Cache, Spec
from capsjax.cli.given import described, folder_for, graph_of, list_results
from capsjax.compiler.stored_step import stored_jit
from capsjax.training.fit import fit_by


def train(
    spec: Spec,
    data: Annotated[
        str,
        typer.Option(
            metavar="SOURCE",
            help="[bold]digits[/bold] (1,797 handwritten digits of 8x8 pixels), a "
            "folder of idx files as MNIST has them, or an .npz file with x_train, "
            "y_train, x_test, y_test.",
        ),
    ] = "digits",
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
    graph = graph_of(spec)
    if not graph.losses:
        key = '"losses": {...}' if isinstance(graph, cj.Graph) else '"loss": {...}'
        raise ValueError(
            f"{spec} declares no loss, so that nothing can be trained; add {key} to "
            'the document, with a loss such as {"kind": "mean_squared_error"}'
        )
    programs = cj.use_cache(cache)
    cj.keep_memory()
    net = cj.compile(graph)
    examples = cj.load_data(data)
    name = f"{net.graph.name}-{examples.name}".replace("/", "-")
    folder = folder_for(out, Path("runs") / name)
    typer.echo(
        f"Train {described(net)} on {examples.name}: {len(examples.train):,} examples "
        f"to learn from, {len(examples.test):,} to judge by.\n"
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
    typer.echo(_result(run.history.iloc[-1].to_dict()))
    list_results(folder)


def _result(last: dict[str, float]) -> str:
    """The figures on data that was not learned from, in a sentence."""
    found = {k: v for k, v in last.items() if k.startswith("validation_")} or last
    figures = [
        f"{name.removeprefix('validation_').replace('_', ' ')} "
        + (f"{value:.2%}" if name.endswith("accuracy") else f"{value:.4g}")
        for name, value in found.items()
        if name not in ("epoch", "seconds")
    ]
    judged = "Test " if found is not last else "Training "
    return f"{judged}{', '.join(figures)}, after {last['seconds']:.0f} s of training."
