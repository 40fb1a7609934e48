"""`capsjax evaluate` and `capsjax predict`: what a finished run is good for."""

import io
import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

import capsjax as cj
from capsjax.cli.command import Cache, RunFolder
from capsjax.cli.given import described
from capsjax.cli.inputs import read_inputs
from capsjax.graph.files import write_atomically
from capsjax.training.predict import predict as predict_outputs

_MOST_LINES = 20


def evaluate(
    run: RunFolder,
    data: Annotated[
        str,
        typer.Option(
            metavar="SOURCE",
            help="What it is judged by, as for [bold]capsjax train[/bold]: the test "
            "examples are taken.",
            show_default=False,
        ),
    ],
    batch_size: Annotated[
        int, typer.Option(min=1, help="Examples that are evaluated together.")
    ] = 256,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.json",
            help="Also write the metrics to this file.",
            show_default=False,
        ),
    ] = None,
    cache: Cache = None,
) -> None:
    """Measure a run on test examples: loss, and accuracy of classes.

    With the batch size of training, the numbers are those of training, bit by bit.

    [bold]Examples[/bold]

      capsjax evaluate runs/capsnet-digits-digits --data digits

      capsjax evaluate runs/first --data path/to/mnist --out metrics.json
    """
    _check_ending(out, (".json",))
    cj.use_cache(cache)
    loaded = cj.load_run(run)
    examples = cj.load_data(data)
    typer.echo(
        f"Evaluate {described(loaded.net)} on {examples.name}: "
        f"{len(examples.test):,} examples to judge by."
    )
    found = cj.evaluate(loaded, examples, batch_size=batch_size)
    width = max(map(len, found)) + 2
    for name, value in found.items():
        share = f"  ({value:.2%})" if name.endswith("accuracy") else ""
        typer.echo(f"  {name:{width}}{value:.6g}{share}")
    if out is not None:
        _write(out, (json.dumps(found, indent=2) + "\n").encode())


def predict(
    run: RunFolder,
    source: Annotated[
        Path,
        typer.Argument(
            metavar="INPUT",
            help="An .npy file, an .npz file of arrays by input name, or an image.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Also write all outputs: classes and rows of numbers to an .npz file, "
            "or to a .csv file, which takes rows alone.",
            show_default=False,
        ),
    ] = None,
    cache: Cache = None,
) -> None:
    """Tell what a run makes of examples: classes, and how sure it is.

    Bytes and images are brought to [0, 1], floats are taken as they are; one example
    may stand alone.

    [bold]Examples[/bold]

      capsjax predict runs/first digit.png

      capsjax predict runs/first images.npy --out predicted.csv
    """
    _check_ending(out, (".csv", ".npz"))
    cj.use_cache(cache)
    loaded = cj.load_run(run)
    inputs = read_inputs(source, loaded.net)
    count = len(next(iter(inputs.values())))
    plural = "" if count == 1 else "s"
    typer.echo(
        f"Predict by {described(loaded.net)} for {count:,} example{plural} of {source}."
    )
    outputs = predict_outputs(loaded.net, loaded.evaluated, loaded.state, inputs)
    classes = dict(loaded.net.graph.losses)
    told = {
        name: own.argmax(axis=-1)
        for name, own in outputs.items()
        if own.ndim == 2 and own.shape[1] > 1 and _tells_classes(classes.get(name))
    }
    for name, own in outputs.items():
        _tell(name, own, told.get(name))
    if out is not None:
        whole = outputs | {f"{name}_class": own for name, own in told.items()}
        _write(out, _content(out, whole))


def _tells_classes(loss: Any) -> bool:
    return loss is None or loss.classes


def _tell(name: str, y: np.ndarray, classes: np.ndarray | None) -> None:
    """What an output says of each example, as far as a person wants to read it."""
    if classes is None:
        shape = " x ".join(map(str, y.shape[1:])) or "a number"
        typer.echo(f"{name}: {shape} each, from {y.min():.4g} to {y.max():.4g}")
        return
    sums = y.sum(axis=1)
    likely = bool(np.all(y >= 0) and np.allclose(sums, 1, atol=1e-3))
    typer.echo(f"{name}, {'probabilities' if likely else 'the largest entries of Y'}:")
    for number, (row, best) in enumerate(zip(y, classes, strict=True)):
        if number == _MOST_LINES:
            typer.echo(f"  ... and {len(y) - number:,} more; --out FILE has all")
            break
        order = np.argsort(-row, kind="stable")[1:3]
        rest = ", ".join(f"{each}: {row[each]:.4f}" for each in order)
        typer.echo(f"  {number}  class {best}: {row[best]:.4f}  ({rest})")


def _content(out: Path, arrays: dict[str, np.ndarray]) -> bytes:
    """Outputs as the content of a file."""
    if out.suffix.lower() == ".npz":
        packed = io.BytesIO()
        np.savez(packed, **_keys(arrays))
        return packed.getvalue()
    import pandas as pd

    columns: dict[str, Any] = {}
    for name, own in arrays.items():
        if own.ndim == 1:
            columns[name] = own
        elif own.ndim == 2:
            columns |= {f"{name}_{i}": own[:, i] for i in range(own.shape[1])}
    if not columns:
        raise ValueError(
            f"{out}: found outputs that are no rows, {', '.join(arrays)}; expected "
            "some for a CSV file; cure: --out FILE.npz"
        )
    classes = [name for name in columns if name.endswith("_class")]
    table = pd.DataFrame(columns)
    table = table[[*classes, *(name for name in columns if name not in classes)]]
    return table.to_csv(index_label="example").encode()


def _keys(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Names that an archive can bear: "/" would make folders of them."""
    return {name.replace("/", "."): own for name, own in arrays.items()}


def _check_ending(out: Path | None, endings: tuple[str, ...]) -> None:
    """Judged before work, not after."""
    if out is not None and out.suffix.lower() not in endings:
        raise ValueError(
            f"--out {out}: found the ending {out.suffix!r}; expected "
            f"{' or '.join(endings)}"
        )


def _write(out: Path, content: bytes) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, content)
    typer.echo(f"Results in {out}")
