"""The command line: `capsjax train|sweep|check|show|explain|export SPEC`, and
`capsjax evaluate|predict|report|compare RUN`, `capsjax runs`.

Each command says what it will do, shows progress, and ends with where the results are.
It exits with 0; with 1 and one message if what it was given is no good; with 2 if it
was called in the wrong way; with 130 if it was interrupted.
"""

import os
import sys

import typer

import capsjax as cj
from capsjax.cli.command import INTERRUPTED, judged
from capsjax.cli.exporting import export
from capsjax.cli.judging import evaluate, predict
from capsjax.cli.looking import check, explain, show
from capsjax.cli.runs import compare, report, runs
from capsjax.cli.sweeping import sweep
from capsjax.cli.training import train

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

# In the order of `--help`.
_SPEC = (train, sweep, check, show, explain, export)
_RUN = (evaluate, predict, runs, compare, report)
for _function in (*_SPEC, *_RUN):
    app.command()(judged(_function))


def main() -> None:
    """The entry point `capsjax`."""
    try:
        app(prog_name="capsjax")
    except SystemExit as end:
        if end.code == INTERRUPTED:
            # Where an interrupt meets XLA as it compiles, Python's own way out crashes.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(INTERRUPTED)
        raise
