"""What all commands have in common: how they end, and arguments of several."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from capsjax.training.guard import NonFinite
from capsjax.training.signals import Interrupted

INTERRUPTED = 130
"""128 and the number of the signal, as shells have it."""


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

RunFolder = Annotated[
    Path,
    typer.Argument(
        metavar="RUN",
        help="The folder of a run.",
        show_default=False,
    ),
]

Source = Annotated[
    str,
    typer.Option(
        metavar="SOURCE",
        help="[bold]digits[/bold] (1,797 handwritten digits of 8x8 pixels), a folder "
        "of idx files as MNIST has them, or an .npz file with x_train, y_train, "
        "x_test, y_test.",
    ),
]


def judged(function: Callable[..., None]) -> Callable[..., None]:
    """The same, where errors of bad input become one message."""

    @functools.wraps(function)
    def command(*args: Any, **kwargs: Any) -> None:
        try:
            function(*args, **kwargs)
        except Interrupted as error:
            typer.echo(f"\ncapsjax: {error}", err=True)
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            typer.echo("\ncapsjax: interrupted; nothing was saved", err=True)
            raise typer.Exit(INTERRUPTED) from None
        except (OSError, ValueError, NonFinite) as error:
            typer.echo(f"capsjax: {_message(error)}", err=True)
            raise typer.Exit(1) from None

    return command


def _message(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error)
