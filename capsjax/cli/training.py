"""`capsjax train`."""

import contextlib
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
from capsjax.cli.recorder import Recorder
from capsjax.cli.tracing import recorded, together, tracer_of
from capsjax.compiler.stored_step import stored_jit
from capsjax.graph.files import write_atomically
from capsjax.training.fit import fit_by
from capsjax.training.identity import digest
from capsjax.training.parallel import distributed
from capsjax.training.recipe import Recipe

_FORM = 'format_version = 1\noptimizer = { kind = "adam", learning_rate = 1e-3 }'


def train(
    spec: Spec,
    data: Source = "digits",
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A run configuration, TOML or JSON; options go before it.",
            show_default=False,
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="Passes over the data.  [default: 20]"),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Examples a step.  [default: 32]")
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(min=0.0, help="Learning rate of Adam.  [default: 0.001]"),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=2**31 - 1,
            help="Decides initial parameters and order.  [default: 0]",
        ),
    ] = None,
    guard: Annotated[
        str | None,
        typer.Option(
            help="What to do where numbers are not finite any more: off, stop, skip, "
            'or "roll back".  [default: off]',
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder for the run, new or empty; runs/NAME-DATA, with a number if "
            "there is one already, if left out.",
            show_default=False,
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on with the run in --out, if there is one there."
        ),
    ] = False,
    profile: Annotated[
        bool,
        typer.Option(
            "--profile",
            help="Record twenty steps as a trace with the capsules' names, for XProf, "
            "TensorBoard and Perfetto.",
        ),
    ] = False,
    trace: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="STEPS",
            help="Every so many steps, record how large outputs, error signals, "
            "weights and gradients are: trace.csv, and curves in the report.",
            show_default=False,
        ),
    ] = None,
    several: Annotated[
        bool,
        typer.Option(
            "--distributed",
            help="Train together with the other processes that SLURM, Open MPI or "
            "Kubernetes has started, or that JAX_COORDINATOR_ADDRESS, "
            "JAX_NUM_PROCESSES and JAX_PROCESS_ID name.",
        ),
    ] = False,
    cache: Cache = None,
) -> None:
    """Train a network and save the result.

    Saves graph, configuration, parameters, history, learning curves, a drawing and a
    report in a folder; checkpoints, too, from which --resume goes on after Ctrl-C or
    a crash.

    [bold]Examples[/bold]

      capsjax train capsnet-digits

      capsjax train lenet-5 --data path/to/mnist --epochs 3 --out runs/lenet

      capsjax train lenet-5 --data path/to/mnist --epochs 3 --out runs/lenet --resume

      capsjax train my-network.json --data my-data.npz --config run.toml
    """
    told = {"epochs": epochs, "batch_size": batch_size, "seed": seed, "guard": guard}
    configuration = _configuration(config, told, learning_rate)
    graph = trainable(spec)
    if (resume or several) and out is None:
        option = "--resume goes on" if resume else "--distributed trains"
        raise ValueError(f"{option} in a folder; name it by --out DIR")
    first = not several or distributed().index == 0
    say = typer.echo if first else _silent
    programs = cj.use_cache(cache)
    cj.keep_memory()
    net = cj.compile(graph, precision=configuration.precision)
    examples = cj.load_data(data)
    name = f"{net.graph.name}-{examples.name}".replace("/", "-")
    folder = (
        out if out and (resume or not first) else folder_for(out, Path("runs") / name)
    )
    going_on = resume and (folder / "run.json").exists()
    say(
        f"Train {described(net)} on {split_in_words(examples)}.\n"
        f"{_in_words(configuration)}. "
        + (f"Goes on in {folder}." if going_on else f"Results will be in {folder}.")
    )
    identity = f"{cj.content_hash(graph)}, {digest(configuration.document)}"

    recorder = Recorder(folder / "profile") if profile else None

    def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
        if recorder is not None:
            return recorder.compiled(function)
        named = f"{function.__qualname__}, {identity}"
        return stored_jit(function, named, programs)

    arguments = configuration.arguments()
    if several:
        arguments.setdefault("mesh", {"data": -1})
    tracer = None if trace is None else tracer_of(net, examples, trace)
    recipe = Recipe(
        **arguments,
        trace=together(recorder, tracer),
        folder=folder,
        resume=resume,
        about={"data": examples.name, "configuration": configuration.document},
    )
    traced = None
    try:
        with recorder or contextlib.nullcontext():
            run = fit_by(compiled, net, examples, recipe)
    finally:  # a run that was broken off goes on in the same table
        if first and tracer is not None:
            traced = recorded(tracer, folder / "trace.csv")
    if not first:
        return
    pictures = {
        "learning-curves.svg": cj.view.learning_curves(run.history).svg,
        "graph.svg": cj.view.draw(net).svg,
        "report.html": cj.view.report(run, examples, traced).html,
    }
    for name, content in pictures.items():
        write_atomically(folder / name, content.encode())
    last = run.history.iloc[-1].to_dict()
    typer.echo(f"{figures(last)}, after {last['seconds']:.0f} s of training.")
    for fault in run.faults:
        typer.echo(f"Guard: {fault}.")
    list_results(folder)


def _silent(text: str) -> None:
    """What all processes but the first say."""


def _configuration(
    path: Path | None, told: dict[str, Any], learning_rate: float | None
) -> cj.RunConfiguration:
    """The configuration, with what options say in place of what stands in it."""
    if path is None:
        found = cj.parse_run_configuration(_FORM)
    else:
        found = cj.load_run_configuration(path)
    if learning_rate is not None:
        own = found.document.get("optimizer", "adam")
        own = {"kind": own} if isinstance(own, str) else dict(own)
        told = {**told, "optimizer": {**own, "learning_rate": learning_rate}}
    if told["epochs"] is not None and "steps" in found.document:
        found = found.having(steps=None)
    return found.having(**{key: own for key, own in told.items() if own is not None})


def _in_words(configuration: cj.RunConfiguration) -> str:
    """How a network is trained, in a line."""
    told = {"epochs": 20, "batch_size": 32, "seed": 0, **configuration.document}
    if "steps" in told:
        del told["epochs"]
    shown = [
        f"{key.replace('_', ' ')} {_shown(value)}"
        for key, value in told.items()
        if key not in ("format_version", "metadata")
    ]
    text = ", ".join(shown)
    return text[0].upper() + text[1:]


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        inner = [f"{key} {_shown(own)}" for key, own in value.items() if key != "kind"]
        return " ".join([str(value.get("kind", "")), f"({', '.join(inner)})"]).strip()
    if isinstance(value, list):
        return " and ".join(map(_shown, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
