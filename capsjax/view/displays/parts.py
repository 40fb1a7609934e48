"""What results show in notebooks: facts, figures, pictures and tables of each kind."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from capsjax.view.report.pictures import Shown, curves, embedded
from capsjax.view.report.tables import Table, facts, history, metrics
from capsjax.view.report.tables import configuration as settings_table

_MOST_ROWS = 40
_MOST_STEPS = 16
_MOST_NODES = 24
_BEST = 5
_MOST_CLASSES = 20


class Content(NamedTuple):
    """What is shown, from top to bottom.

    Attributes:
        title: What it is.
        facts: It in few words.
        cards: Figures: name, value, note.
        words: Sentences.
        pictures: Pictures.
        tables: Tables by name.
        text: Text whose columns stand below each other.
    """

    title: str
    facts: Sequence[str] = ()
    cards: Sequence[tuple[str, str, str]] = ()
    words: Sequence[str] = ()
    pictures: Sequence[Shown] = ()
    tables: Sequence[tuple[str, Table]] = ()
    text: str = ""


def run(found: Any) -> Content:
    """A run: what was trained, last figures, curves, and where it is saved."""
    kept = [] if found.folder is None else [f"Saved in {found.folder}."]
    kept += [f"Guard: {fault}." for fault in found.faults]
    rows = len(found.history)
    tables = []
    if found.configuration:
        tables.append(("Configuration", settings_table(found.configuration)))
    if rows:
        tables.append(("History", history(found.history)))
    return Content(
        f"Run of {found.net.graph.name}",
        [f"{rows:,} epoch{'' if rows == 1 else 's'}", *facts(found.net)],
        cards=[
            (each.name, each.last, f"best {each.best}" + (each.at and f", {each.at}"))
            for each in metrics(found.history)
        ],
        words=kept,
        pictures=curves(found.history)[:4],
        tables=tables,
    )


def sweep(found: Any) -> Content:
    """A sweep: its best members, how the metric responds, and what it took."""
    from capsjax.view.sweep import response

    counts = found.table["status"].value_counts()
    ended = [f"{counts[name]:,} {name}" for name in counts.index]
    cards, pictures, tables = [], [], []
    try:
        best = found.best(_BEST)
    except ValueError as error:
        words = [str(error)]
    else:
        words = []
        first = best.iloc[0]
        value = _number(first[found.metric])
        cards = [(f"best {_words(found.metric)}", value, f"member {best.index[0]}")]
        pictures = [embedded(response(found), "the metric over each axis")]
        tables = [("Best members", _frame(best.reset_index()))]
    tables.append(("How they were run", _frame(found.groups.reset_index(drop=True))))
    if found.folder is not None:
        words.append(f"Saved in {found.folder}.")
    lost = len(found.diverged)
    return Content(
        f"Sweep over {', '.join(found.axes)}",
        [f"{len(found.table):,} members", *ended, f"{found.seconds:.3g} s"],
        cards=[
            *cards,
            ("programs", f"{len(found.groups):,}", f"{found.compilations:,} compiled"),
            ("diverged", f"{lost:,}", f"of {len(found.table):,}"),
        ],
        words=words,
        pictures=pictures,
        tables=tables,
    )


def derivation(found: Any) -> Content:
    """A derivation: the network that each step makes, as a picture; or the tree."""
    text = str(found)
    content = Content("Derivation", repr(found)[len("Derivation(") : -1].split(", "))
    if len(found) > _MOST_STEPS:
        return content._replace(text=text)
    from capsjax.neural import convergence, growth, variable
    from capsjax.view.neural import Panel, arrange, cell

    made: list[Any] = []
    panels = []
    for step in found:
        if step.rule == "variable":
            net = variable(step.name)
        elif step.rule == "growth":
            net = growth(made[step.networks[0]], step.name, step.sources[0])
        else:
            before = [made[number] for number in step.networks]
            net = convergence(before, step.name, step.sources)
        made.append(net)
        if len(net.names) <= _MOST_NODES:
            caption = f"step {step.number}: {step.rule} {step.name}"
            panels.append(Panel(caption, (), cell(net)))
    picture = arrange(panels, f"{len(found)} steps")
    shown = embedded(picture, "the network that each step makes")
    return content._replace(pictures=[shown], text=text)


def judged(found: Any) -> Content:
    """What a network makes of examples: figures, confusions, the worst examples."""
    cards = [("examples", f"{len(found):,}", "")]
    cards.append(("mean loss", _number(float(found.loss.mean())), ""))
    tables = []
    for name, truth in found.truth.items():
        share = float(np.mean(truth == found.predicted[name]))
        cards.append((f"{name} right", f"{share:.2%}", ""))
        if found.classes[name] <= _MOST_CLASSES:
            counts = found.confusion(name)
            heads = ["class", *(f"as {each}" for each in range(len(counts)))]
            rows = [
                [str(at), *(str(own) if own else "·" for own in row)]
                for at, row in enumerate(counts.tolist())
            ]
            tables.append((f"Confusion of {name}", Table(heads, rows)))
    heads = ["example", "loss"]
    heads += [f"{name}: {what}" for name in found.truth for what in ("is", "taken for")]
    rows = []
    for at in found.worst(10):
        row = [f"{at:,}", _number(float(found.loss[at]))]
        for name, truth in found.truth.items():
            row += [str(truth[at]), str(found.predicted[name][at])]
        rows.append(row)
    tables.append(("Largest losses", Table(heads, rows)))
    return Content("Judged examples", cards=cards, tables=tables)


def diagnosis(found: Any) -> Content:
    """A diagnosis: its words, its picture, its table."""
    from capsjax.view.diagnosis import diagnosis as draw

    words = [line.strip() for line in repr(found).split("\n\n")[0].splitlines()[1:]]
    return Content(
        f"Diagnosis of {found.name}",
        ["healthy" if found.healthy else "out of range", f"{found.examples} examples"],
        words=words,
        pictures=[embedded(draw(found), "outputs and error signals over depth")],
        tables=[("Capsules", _frame(found.table))],
    )


def tracer(found: Any) -> Content:
    """A tracer: what it has recorded, as curves."""
    from capsjax.view.trace import trace

    table = found.table
    shown = [embedded(trace(table), "signals over steps")] if len(table) else []
    return Content(
        f"Trace of {found.net.graph.name}",
        [f"every {found.every} steps", f"{table['step'].nunique():,} recorded"],
        pictures=shown,
    )


def explanation(found: Any) -> Content:
    """What the compiler did, as text."""
    return Content("What the compiler made of it", text=found.text)


def printed(found: Any) -> Content:
    """What prints itself, as text."""
    head, *rest = repr(found).splitlines()
    return Content(type(found).__name__, [head], text="\n".join(rest))


KINDS: dict[str, Callable[[Any], Content]] = {
    "Run": run,
    "SweepResult": sweep,
    "Derivation": derivation,
    "Judged": judged,
    "Diagnosis": diagnosis,
    "Tracer": tracer,
    "Explanation": explanation,
    "Profile": printed,
}


def _frame(table: Any) -> Table:
    heads = [_words(str(name)) for name in table.columns]
    shown = table.iloc[:_MOST_ROWS]
    rows = [[_number(own) for own in row] for row in shown.itertuples(index=False)]
    return Table(heads, rows, len(table) - len(shown))


def _words(name: str) -> str:
    return name.replace("_", " ")


def _number(value: Any) -> str:
    if isinstance(value, bool | str) or value is None:
        return str(value)
    if isinstance(value, float | np.floating):
        return "" if math.isnan(value) else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int | np.integer) else str(value)
