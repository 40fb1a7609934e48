"""summary: a graph as a table, for the terminal and the notebook."""

from typing import TYPE_CHECKING

from capsjax.compiler import Network
from capsjax.compiler import compile as compile_graph
from capsjax.compiler.plan import flops
from capsjax.graph import Graph
from capsjax.graph.kinds import Shape
from capsjax.graph.typed import TypedCapsule, TypedEdge, TypedGroup
from capsjax.neural import Model, NeuralNetwork
from capsjax.view import labels

if TYPE_CHECKING:
    from rich.table import Table


def summary(graph: Graph | Model | NeuralNetwork | Network) -> "Table":
    """A table of a graph's capsules: kinds, shapes, parameters and work.

    Args:
        graph: A declaration, of capsules or of neurons; or a compiled network.

    Returns:
        A rich table: `rich.print` shows it in a terminal, a notebook shows it by
        itself. U and Y are shapes of one example; FLOPs are those of one forward pass
        of one example.

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
    title = f"{typed.graph.name}: {count:,} parameters, {4 * count:,} bytes in float32"
    losses = [f"{labels.loss_words(x.loss)} on {x.output}" for x in typed.losses]
    table = Table(
        title=Text(title, "bold"),
        title_justify="left",
        caption=Text("loss: " + "; ".join(losses)) if losses else None,
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        show_footer=True,
    )
    table.add_column("capsule", "total", style="bold", overflow="fold")
    table.add_column("reads", overflow="fold")
    table.add_column("U", style="cyan", no_wrap=True)
    table.add_column("function", overflow="fold")
    table.add_column("Y", style="cyan", no_wrap=True)
    table.add_column("parameters", f"{count:,}", justify="right", no_wrap=True)
    work = _short(sum(map(flops, typed.capsules)))
    table.add_column("FLOPs", work, justify="right", no_wrap=True)
    for name, shape in typed.inputs:
        table.add_row(Text(name), "input", "", "", _shape(shape))
    for capsule in typed.capsules:
        table.add_row(*map(Text, _row(capsule)))
    return table


def _row(capsule: TypedCapsule | TypedGroup) -> tuple[str, ...]:
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
            _short(flops(capsule)),
        )
    reads = "\n".join(map(_edge, capsule.edges))
    if capsule.bias_shape is not None:
        full = len(capsule.bias_shape) > 1
        reads += " + full bias" if full else " + bias"
    return (
        capsule.name,
        reads,
        _shape(capsule.total_input),
        labels.words(capsule.cap),
        _shape(capsule.output),
        f"{capsule.parameter_count:,}",
        _short(flops(capsule)),
    )


def _edge(edge: TypedEdge) -> str:
    settings = labels.edge_words(edge.weighting).removeprefix(edge.weighting.kind)
    words = [edge.weighting.kind, settings.removeprefix(", ")]
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
