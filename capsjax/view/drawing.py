"""draw: a graph of capsules in the manner of the paper.

Capsules are boxes, weighted edges are lines with the symbol of their operation.
"""

import os
from collections.abc import Sequence

from capsjax.compiler import Network
from capsjax.compiler import compile as compile_graph
from capsjax.graph import Graph
from capsjax.neural import Model, NeuralNetwork
from capsjax.view.painting import Drawing, ThemeName
from capsjax.view.scene import Direction, scene_of


def draw(
    graph: Graph | Model | NeuralNetwork | Network,
    path: str | os.PathLike[str] | None = None,
    *,
    direction: Direction | None = None,
    expand: bool | str | Sequence[str] = False,
    theme: ThemeName = "light",
) -> Drawing:
    """Draws a graph: capsules, their functions and shapes, and the edges' operations.

    Inputs are blue, outputs amber with the name of their loss. A line without a
    symbol reads its source as it is. A block is one gray box, equal copies that read
    each other in a row are one, too; a line into it stands for all that it reads. An
    open block is a frame around what it holds.

    Args:
        graph: A declaration, of capsules or of neurons; or a compiled network.
        path: Where to save the drawing: `.svg`, `.png`, `.pdf`, or `.tex` (TikZ).
        direction: Where data flows, "right" or "down"; by the depth, if left out.
        expand: Names of the uses of blocks to draw by what they hold; True for all.
        theme: "light" or "dark".

    Returns:
        The drawing: shows itself in a notebook; has `.svg`, `.png`, `.pdf`, `.tex` and
        `.save(path)`.

    Raises:
        ValueError: Another direction, theme or ending, or no such use of a block.
        OSError: The file can't be written.

    Example:
        >>> import capsjax as cj
        >>> drawing = cj.view.draw(cj.zoo.graph("lenet-5"))
        >>> drawing.svg[:4]
        '<svg'

    Source: Li & Shan, arXiv 1805.03551, Figures 10 to 12.
    """
    if direction not in (None, "right", "down"):
        raise ValueError(f"direction {direction!r}; expected 'right' or 'down'")
    net = graph if isinstance(graph, Network) else compile_graph(graph, check=False)
    opened = [expand] if isinstance(expand, str) else expand
    drawing = Drawing(scene_of(net, opened, direction), theme)
    if path is not None:
        drawing.save(path)
    return drawing
