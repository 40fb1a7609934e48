"""summary: a graph as a table, for the terminal and the notebook."""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from capsjax.compiler import Network
from capsjax.compiler import compile as compile_graph
from capsjax.compiler.outline import Copies, Item, count_words, held, relative
from capsjax.compiler.plan import flops
from capsjax.graph import Graph
from capsjax.graph.kinds import Shape
from capsjax.graph.typed import TypedCapsule, TypedEdge, TypedGroup
from capsjax.neural import Model, NeuralNetwork
from capsjax.view import labels
from capsjax.view.kept import kept_bytes

_NAME = 16
"""Columns that names have at least, if they need them."""

if TYPE_CHECKING:
    from rich.table import Table


def summary(
    graph: Graph | Model | NeuralNetwork | Network, *, narrow: bool = False
) -> "Table":
    """A table of a graph's capsules: kinds, shapes, parameters and work.

    Args:
        graph: A declaration, of capsules or of neurons; or a compiled network.
        narrow: Whether functions stand below what is read, and Y below U, for 80
            columns.

    Returns:
        A rich table: `rich.print` shows it in a terminal, a notebook shows it by
        itself. U and Y are shapes of one example; kept are the bytes that the backward
        pass holds of the forward pass; FLOPs are those of one forward pass, both for
        one example.

    Raises:
        GraphError: As for `cj.compile`.

    Example:
        >>> import capsjax as cj, rich.console
        >>> console = rich.console.Console(width=100, color_system=None)
        >>> console.print(cj.view.summary(cj.zoo.graph("mlp")))
                                 mlp: 186 parameters, 744 bytes in float32
        ...
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    net = graph if isinstance(graph, Network) else compile_graph(graph, check=False)
    typed = net.typed
    count = typed.parameter_count
    title = f"{typed.graph.name}: {count_words(typed)}"
    losses = [f"{labels.loss_words(x.loss)} on {x.output}" for x in typed.losses]
    table = Table(
        title=Text(title, "bold"),
        title_justify="left",
        caption=Text("loss: " + "; ".join(losses)) if losses else None,
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        show_footer=True,
    )
    longest = max((len(c.name) for c in typed.unfolded if "/" not in c.name), default=0)
    least = min(longest, _NAME)
    table.add_column("capsule", "total", style="bold", overflow="fold", min_width=least)
    heads = ("reads, function", "U, Y") if narrow else ("reads", "U", "function", "Y")
    for head in heads:
        shape = head[0] in "UY"
        style = "cyan" if shape else None
        table.add_column(head, style=style, no_wrap=shape, overflow="fold")
    table.add_column("parameters", f"{count:,}", justify="right", no_wrap=True)
    kept, whole = kept_bytes(net)
    table.add_column("kept", _short(whole), justify="right", no_wrap=True)
    work = _short(sum(map(flops, typed.unfolded)))
    table.add_column("FLOPs", work, justify="right", no_wrap=True)

    def add(cells: tuple[str, ...]) -> None:
        table.add_row(*map(Text, _stacked(cells) if narrow else cells))

    for name, shape in typed.inputs:
        what = "input, integers" if name in typed.integers else "input"
        own = _short(kept.get(name, 0))
        add((name, what, "", "", _shape(shape), "0", own, "0"))
    rows = {c.name: capsule_cells(c, kept.get(c.name, 0)) for c in typed.unfolded}
    counts = {
        c.name: (c.parameter_count, kept.get(c.name, 0), flops(c))
        for c in typed.unfolded
    }

    def write(items: Iterable[Item], within: str, indent: str) -> None:
        for item in items:
            if isinstance(item, Copies):
                own = [counts[name] for name in item.members]
                parameters, held_bytes, work = map(sum, zip(*own, strict=True))
                cells = f"{parameters:,}", _short(held_bytes), _short(work)
                name = indent + item.title(within)
                add((name, item.block, "", "", "", *cells))
                write(item.inner, item.name, indent + "  ")
            else:
                name, reads, *cells = rows[item]
                name = indent + relative(name, within)
                reads = reads.replace(f"{within}/", "") if within else reads
                add((name, reads, *cells))

    write(held(typed, lambda name: rows[name][2:]), "", "")
    for name, (_, edge) in typed.shared.items():
        size = f"{math.prod(edge.weight_shape or ()):,}"
        add((name, "shared weight", "", "", "", size, "0", "0"))
    return table


def _stacked(cells: tuple[str, ...]) -> tuple[str, ...]:
    """The function below what is read, and Y below U, where they say more."""
    name, reads, u, function, y, *figures = cells
    reads = "\n".join(x for x in (reads, function) if x and x != "identity")
    shapes = "\n".join(dict.fromkeys(x for x in (u, y) if x))
    return name, reads, shapes, *figures


def capsule_cells(capsule: TypedCapsule | TypedGroup, kept: int = 0) -> tuple[str, ...]:
    if isinstance(capsule, TypedGroup):
        edges = f"{len(capsule.edge_sources):,} edges: {capsule.weighting.kind}"
        bias = "" if capsule.bias_shape is None else " + bias"
        shape = _shape((capsule.size, *capsule.unit))
        return (
            capsule.name,
            "\n".join([*capsule.sources, edges + bias]),
            shape,
            labels.caps_words(capsule),
            shape,
            f"{capsule.parameter_count:,}",
            _short(kept),
            _short(flops(capsule)),
        )
    reads = "\n".join(map(_edge, capsule.edges)) or "learned"
    if capsule.edges and capsule.bias_shape is not None:
        full = len(capsule.bias_shape) > 1
        reads += " + full bias" if full else " + bias"
    return (
        capsule.name,
        reads,
        _shape(capsule.total_input),
        labels.words(capsule.cap),
        _shape(capsule.output),
        f"{capsule.parameter_count:,}",
        _short(kept),
        _short(flops(capsule)),
    )


def _edge(edge: TypedEdge) -> str:
    settings = labels.edge_words(edge.weighting).removeprefix(edge.weighting.kind)
    shared = f"by {edge.weight}" if edge.weight is not None else ""
    words = [edge.weighting.kind, settings.removeprefix(", "), shared]
    return f"{edge.source}: {' '.join(word for word in words if word)}"


def _shape(shape: Shape) -> str:
    return labels.shape_words(shape).replace(" ", "")


def _short(count: int) -> str:
    """A count in four digits: `404M`.

    Example:
        >>> [_short(n) for n in (0, 9_999, 16_793_600, 403_829_056)]
        ['0', '9,999', '16.8M', '404M']
    """
    for size, unit in ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**4, "k")):
        if count >= size:
            divisor = min(size, 10**3) if unit == "k" else size
            return f"{count / divisor:.3g}{unit}"
    return f"{count:,}"
