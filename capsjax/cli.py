"""The command line: `capsjax train|check|show|explain|export SPEC`.

Each command says what it will do, shows progress, and ends with where the results are.
It exits with 0; with 1 and one message if what it was given is no good; with 2 if it
was called in the wrong way; with 130 if it was interrupted.
"""

import difflib
import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import jax
import typer

import capsjax as cj
from capsjax.compiler.state import named_state_shapes
from capsjax.compiler.stored_step import stored_jit
from capsjax.training.fit import fit_by

if TYPE_CHECKING:
    from rich.table import Table


app = typer.Typer(
    name="capsjax",
    help="""Deep networks as graphs of capsules, compiled by JAX.

    [bold]SPEC[/bold] is a JSON document that declares a graph of capsules or of
    neurons, or the name of a known network: """
    + ", ".join(cj.zoo.names())
    + """. A file wins over a name.""",
    epilog="Start with: [bold]capsjax train capsnet-digits[/bold]",
    rich_markup_mode="rich",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

_INTERRUPTED = 130  # 128 and the number of the signal, as shells have it

Cache = Annotated[
    str | None,
    typer.Option(
        metavar="DIR",
        envvar="CAPSJAX_CACHE",
        help="Folder where compiled programs are kept for the next time, at most "
        "2 GiB; [bold]off[/bold] for nowhere; left out, one among the user's caches.",
        show_default=False,
    ),
]

Spec = Annotated[
    str,
    typer.Argument(
        metavar="SPEC",
        help="A JSON document, or a network of the zoo.",
        show_default=False,
    ),
]


def main() -> None:
    """The entry point `capsjax`."""
    try:
        app(prog_name="capsjax")
    except SystemExit as end:
        if end.code == _INTERRUPTED:
            # Where an interrupt meets XLA as it compiles, Python's own way out crashes.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(_INTERRUPTED)
        raise


def _command(function: Callable[..., None]) -> Callable[..., None]:
    """Enters a command whose errors of bad input become one message."""

    @functools.wraps(function)
    def command(*args: Any, **kwargs: Any) -> None:
        try:
            function(*args, **kwargs)
        except KeyboardInterrupt:
            typer.echo("\ncapsjax: interrupted; nothing was saved", err=True)
            raise typer.Exit(_INTERRUPTED) from None
        except (OSError, ValueError) as error:
            typer.echo(f"capsjax: {_message(error)}", err=True)
            raise typer.Exit(1) from None

    return app.command()(command)


def _message(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error)


@_command
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
    graph = _graph(spec)
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
    folder = _folder(out, Path("runs") / name)
    typer.echo(
        f"Train {_described(net)} on {examples.name}: {len(examples.train):,} examples "
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
    _list(folder)


def _list(folder: Path) -> None:
    """Says what is in a folder of results."""
    typer.echo(f"Results in {folder}:")
    names = sorted(path.name for path in folder.iterdir())
    width = max(map(len, names)) + 2
    for name in names:
        content = _CONTENTS.get(name, "the connections, which graph.json names")
        typer.echo(f"  {name:{width}}{content}")


_CONTENTS = {
    "graph.json": "the network; capsjax show reads it",
    "graph.svg": "a drawing of the network",
    "history.csv": "loss and metrics of each epoch",
    "layout.stablehlo": "from parameters by name to the program's own",
    "learning-curves.svg": "the same as curves",
    "manifest.json": "what the other files are",
    "parameters.safetensors": "the parameters by name",
    "program.stablehlo": "the program; cj.load_exported reads the folder",
    "state.safetensors": "running statistics and wiring",
}


@_command
def check(spec: Spec) -> None:
    """Check a network: every fault is named with its place and its cure.

    [bold]Example[/bold]

      capsjax check my-network.json
    """
    graph = _graph(spec)
    net = cj.compile(graph)
    typer.echo(f"Sound: {_described(net)}.")
    for each in graph.inputs:
        typer.echo(f"  input {each.name}: {each.shape}")
    losses = dict(graph.losses)
    for name in graph.outputs:
        loss = f", loss {losses[name]}" if name in losses else ""
        typer.echo(f"  output {name}: {net.shapes[name].output}{loss}")
    typer.echo(f"  content hash {cj.content_hash(graph)}")


@_command
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
            help="Also draw the network, to a file that ends in .svg or .png.",
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
    net = cj.compile(_graph(spec))
    if svg is not None:
        cj.view.draw(net, svg)
    Console().print(cj.view.summary(net))
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


@_command
def explain(spec: Spec) -> None:
    """Explain what the compiler makes of a network: each stage, and what it decided.

    [bold]Example[/bold]

      capsjax explain lenet-5
    """
    typer.echo(cj.explain(cj.compile(_graph(spec))))


@_command
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
    net = cj.compile(_graph(spec))
    params, state = net.init(jax.random.key(seed))
    if parameters is not None:
        params = net.from_named(cj.load_parameters(parameters))
        if named_state_shapes(net.program.typed):
            state = cj.load_state(net, parameters.with_name("state.safetensors"))
    folder = _folder(out, Path("exported") / net.graph.name.replace("/", "-"))
    origin = f"initial parameters of seed {seed}" if parameters is None else parameters
    size = "batches of any size, every platform"
    if batch_size is not None:
        size = f"batches of {batch_size}, this platform"
    typer.echo(
        f"Export {_described(net)}: inference, {size}, with {origin}. The result will "
        f"be in {folder}."
    )
    net.export(folder, params, state, batch_size)
    _list(folder)


def _graph(spec: str) -> cj.Graph | cj.neural.Model:
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


def _folder(out: Path | None, first: Path) -> Path:
    """Where the results go, if nowhere else `first`: judged before work, not after."""
    if out is None:
        number, out = 1, first
        while out.exists():
            number += 1
            out = first.with_name(f"{first.name}-{number}")
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(
            f"{out} exists and is not an empty folder; choose another for --out"
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(out.parent, os.W_OK | os.X_OK):
        raise PermissionError(
            f"{out.parent} can't be written to; choose another folder for --out"
        )
    return out


def _described(net: cj.Network) -> str:
    declared: cj.Graph | cj.neural.Model = net.graph
    if isinstance(declared, cj.Graph):
        what = f"{len(declared.capsules)} capsules"
    else:
        neurons = len(declared.network.neurons)
        what = f"{neurons:,} neurons, {len(declared.network.sources):,} connections"
    return f"{declared.name} ({what}, {net.parameter_count:,} parameters)"


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
